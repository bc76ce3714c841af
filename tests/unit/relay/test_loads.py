"""Models on their way into memory: one load each, however many wait for it."""

import asyncio

import pytest

from builders import a_provider
from core_builders import FIRST, a_core
from fakes import faults
from fakes.ollama import FakeOllama
from gateway.domain.failure import FailureClass
from gateway.domain.plan import Deployment
from gateway.domain.role import Deadlines, Task
from gateway.errors import RequestFailed, UpstreamFailed
from gateway.relay.breaker import breaker_key
from gateway.relay.embedding_request import EmbeddingRequest
from gateway.relay.loads import Load, Loads
from gateway.relay.route import Route
from relay_builders import a_deployment, a_route, ask

KEY = breaker_key(FIRST, provider=a_provider())


def route_to(ollama: FakeOllama, *deployments: Deployment, deadlines: Deadlines | None = None) -> Route:
    return a_route(*(deployments or (FIRST,)), urls={"ollama": ollama.url}, deadlines=deadlines)


class Lift:
    """A load that a test lets go on."""

    def __init__(self) -> None:
        self.begun = 0
        self.open = asyncio.Event()
        self.failure: UpstreamFailed | None = None

    async def start(self) -> None:
        self.begun += 1
        await self.open.wait()
        if self.failure is not None:
            raise self.failure


async def test_a_load_is_begun_once_and_ends_for_all() -> None:
    loads, lift = Loads(), Lift()
    waiting = [loads.begin(KEY, lift.start, load_s=30) for _ in range(5)]
    assert [load.begun_here for load in waiting] == [True, False, False, False, False]
    assert not await waiting[0].done(within_s=0)
    lift.open.set()
    assert all([await load.done(within_s=10) for load in waiting])
    assert lift.begun == 1
    again = loads.begin(KEY, lift.start, load_s=30)
    assert await again.done(within_s=10)
    assert lift.begun == 2


async def test_a_failure_reaches_all_who_wait_and_the_next_one_begins_anew() -> None:
    loads, lift = Loads(), Lift()
    lift.failure = UpstreamFailed("out of memory", failure=FailureClass.LOAD_FAILED)
    told: list[UpstreamFailed] = []
    waiting = [loads.begin(KEY, lift.start, load_s=30) for _ in range(3)]
    waiting[0].when_failed(told.append)
    lift.open.set()
    ends = await asyncio.gather(*(load.done(within_s=10) for load in waiting), return_exceptions=True)
    assert ends == [lift.failure] * 3
    assert told == [lift.failure]
    lift.failure = None
    assert await loads.begin(KEY, lift.start, load_s=30).done(within_s=10)


async def test_a_load_has_its_own_deadline() -> None:
    loads, lift = Loads(), Lift()
    load = loads.begin(KEY, lift.start, load_s=0.005)
    with pytest.raises(UpstreamFailed, match=r"^the model was not ready within 0\.005 s$") as caught:
        await load.done(within_s=10)
    assert caught.value.failure is FailureClass.TIMEOUT


async def test_who_leaves_does_not_end_the_load_but_closing_does() -> None:
    loads, lift = Loads(), Lift()
    load = loads.begin(KEY, lift.start, load_s=30)
    leaving = asyncio.create_task(load.done(within_s=30))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert not loads.begin(KEY, lift.start, load_s=30).begun_here
    await loads.close()
    with pytest.raises(UpstreamFailed, match=r"^the load was called off$"):
        await load.done(within_s=1)


async def test_many_callers_share_one_preload() -> None:
    async with FakeOllama() as ollama, a_core() as relay:
        ollama.runners.gate.clear()
        callers = [asyncio.create_task(ask(relay, route_to(ollama), stream=number % 2 == 0)) for number in range(8)]
        await ollama.until(lambda: len(ollama.requests_to("/api/ps")) == 8 and len(ollama.runners.loads) == 1)
        callers.pop(0).cancel()
        callers.pop(2).cancel()
        ollama.runners.gate.set()
        answers = await asyncio.gather(*callers)
        for answer in answers:
            assert answer.deployment is FIRST
            if not hasattr(answer, "body"):
                await answer.aclose()
        assert [(load.outcome, load.num_ctx) for load in ollama.runners.loads] == [("loaded", 4096)]
        assert len(ollama.requests_to("/api/generate")) == 1


async def test_a_caller_that_leaves_lets_the_load_go_on() -> None:
    async with FakeOllama() as ollama, a_core() as relay:
        ollama.runners.gate.clear()
        caller = asyncio.create_task(ask(relay, route_to(ollama)))
        await ollama.until(lambda: len(ollama.runners.loads) == 1)
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        ollama.runners.gate.set()
        await ollama.until(lambda: bool(ollama.loaded))
        assert ollama.runners.loads[0].outcome == "loaded"
        await ask(relay, route_to(ollama))
        assert len(ollama.runners.loads) == 1


async def test_a_short_total_deadline_of_who_began_it_does_not_cut_the_load_short() -> None:
    async with FakeOllama() as ollama, a_core() as relay:
        ollama.runners.gate.clear()
        with pytest.raises(RequestFailed) as caught:
            await ask(relay, route_to(ollama, deadlines=Deadlines(total_s=0.05)))
        assert caught.value.status == 504
        ollama.runners.gate.set()
        await ollama.until(lambda: bool(ollama.loaded))
        assert ollama.runners.loads[0].outcome == "loaded"


async def test_a_caller_is_told_when_the_model_is_not_ready_in_time() -> None:
    async with FakeOllama() as ollama, a_core() as relay:
        ollama.runners.gate.clear()
        with pytest.raises(RequestFailed) as caught:
            await ask(relay, route_to(ollama, deadlines=Deadlines(load_s=0.02)))
    assert caught.value.message == (
        'no deployment of role "planner" answered; the last, ollama:llama3.1:8b, failed with timeout: '
        "the model was not ready within 0.02 s"
    )


@pytest.mark.parametrize(
    ("fault", "asked"),
    [(faults.status(404, "404 page not found"), 1), (faults.status(405, "no"), 1)],
    ids=["unknown", "not allowed"],
)
async def test_a_server_that_does_not_know_the_preload_is_simply_called(fault: faults.Fault, asked: int) -> None:
    async with FakeOllama() as ollama, a_core() as relay:
        ollama.fail(fault, route="/api/generate")
        answer = await ask(relay, route_to(ollama))
        assert [one.failure for one in answer.attempts] == [""]
        assert len(ollama.requests_to("/api/generate")) == asked


async def test_a_model_is_loaded_only_if_it_is_not_there_with_its_context() -> None:
    async with FakeOllama() as ollama, a_core() as relay:
        wider = a_deployment("ollama:llama3.1:8b", context_tokens=8192)
        for one in (FIRST, FIRST, wider):
            await ask(relay, route_to(ollama, one))
        assert [(load.num_ctx, load.reload) for load in ollama.runners.loads] == [(4096, False), (8192, True)]
        assert len(ollama.requests_to("/api/generate")) == 2


async def test_a_model_for_embeddings_is_loaded_over_its_own_route() -> None:
    embedder = a_deployment("ollama:nomic-embed-text:latest", context_tokens=2048, features=frozenset())
    async with FakeOllama() as ollama, a_core() as relay:
        route = a_route(embedder, urls={"ollama": ollama.url}, task=Task.EMBEDDING)
        request = EmbeddingRequest.parse(b'{"model": "planner", "input": "a text"}')
        await relay.embed(request=request, route=route, request_id="req-1")
        sent = [one.json for one in ollama.requests_to("/api/embed")]
        assert ollama.requests_to("/api/generate") == []
    assert [one.get("input") for one in sent][1:] in (["a text"], [["a text"]])
    assert not sent[0].get("input")
    assert [one["options"]["num_ctx"] for one in sent] == [2048, 2048]


async def test_a_load_that_fails_is_a_failed_attempt_of_all_who_waited() -> None:
    async with FakeOllama() as ollama, a_core() as relay:
        ollama.runners.load_errors["llama3.1:8b"] = "model requires more system memory (9.0 GiB) than is available"
        ollama.runners.gate.clear()
        callers = [asyncio.create_task(ask(relay, route_to(ollama))) for _ in range(3)]
        await ollama.until(lambda: len(ollama.requests_to("/api/ps")) == 3 and len(ollama.runners.loads) == 1)
        ollama.runners.gate.set()
        ends = await asyncio.gather(*callers, return_exceptions=True)
        assert len(ollama.runners.loads) == 1
    for end in ends:
        assert isinstance(end, RequestFailed)
        assert (end.status, end.failure_code) == (503, "model_load_failed")
        assert [one.failure for one in end.attempts] == ["load_failed"]


async def test_a_load_that_nothing_needs_is_over() -> None:
    load = Load.over()
    assert await load.done(within_s=0)
    assert not load.begun_here

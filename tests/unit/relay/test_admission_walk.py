"""Requests that wait for a place at a provider, over real connections."""

import asyncio
from typing import Any

import pytest

from core_builders import FIRST, Listener, a_core, a_lab, bounded
from fakes import faults
from fakes.replies import Reply
from fakes.upstream import FakeUpstream, UpstreamModel
from gateway.domain.model import Lane
from gateway.domain.plan import Deployment
from gateway.domain.role import Deadlines, Task
from gateway.errors import RequestFailed
from gateway.relay.answer import StreamingAnswer
from gateway.relay.embedding_request import EmbeddingRequest
from gateway.relay.relay import Relay
from gateway.relay.route import Route
from relay_builders import a_deployment, a_route, ask, ask_stream, heard

LAB = a_lab(order=1)
ATTIC = a_lab("attic", order=2)


def route_of(*deployments: Deployment, deadlines: Deadlines | None = None, **limits: Any) -> Route:
    route = a_route(*(deployments or (LAB,)), deadlines=deadlines, urls={"ollama": "http://127.0.0.1:9"})
    return bounded(route, "lab", **limits)


async def answered(relay: Relay, route: Route, *, stream: bool) -> None:
    answer = await ask(relay, route, stream=stream)
    if isinstance(answer, StreamingAnswer):
        assert (await heard(answer))[-1] == "[DONE]"


class HighWater:
    """How many requests a fake had at once, at most."""

    def __init__(self, fake: FakeUpstream) -> None:
        self.most = 0
        self._fake = fake
        fake.say("", self.reply)

    def reply(self, _: Any) -> Reply:
        self.most = max(self.most, self._fake.active)
        return Reply(content=("a ", "b ", "c "), gap_s=0.001)


async def test_no_more_requests_than_allowed_are_under_way_at_once() -> None:
    async with FakeUpstream() as lab, a_core(urls={"lab": lab.base_url}) as relay:
        water = HighWater(lab)
        other = bounded(a_route(LAB, FIRST, urls={"ollama": "http://127.0.0.1:9"}), "lab", max_parallel=3)
        routes = [route_of(max_parallel=3), other]
        await asyncio.gather(*(answered(relay, routes[n % 2], stream=n % 3 == 0) for n in range(40)))
        assert len(lab.requests) == 40
    assert water.most == 3
    assert relay._admission.counts("lab") == (0, 0)


async def test_a_full_queue_leaves_the_request_to_the_next_deployment() -> None:
    async with (
        FakeUpstream() as lab,
        FakeUpstream() as attic,
        a_core(urls={"lab": lab.base_url, "attic": attic.base_url}) as relay,
    ):
        lab.fail(faults.hang(), times=1)
        route = route_of(LAB, ATTIC, max_parallel=1, queue=0)
        first = asyncio.create_task(ask(relay, route))
        await lab.until(lambda: lab.active == 1)
        answer = await ask(relay, route)
        assert answer.deployment is ATTIC
        assert answer.fallback_reason == "lab:gpt-4o-mini: saturated"
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert (await ask(relay, route)).deployment is LAB


@pytest.mark.parametrize(("queue", "queue_wait_s"), [(0, 60.0), (5, 0.005)])
async def test_with_nothing_else_left_the_caller_is_told_when_to_come_again(queue: int, queue_wait_s: float) -> None:
    async with FakeUpstream() as lab, a_core(urls={"lab": lab.base_url}) as relay:
        route = route_of(max_parallel=1, queue=queue, queue_wait_s=queue_wait_s)
        lab.fail(faults.hang())
        first = asyncio.create_task(ask(relay, route))
        await lab.until(lambda: lab.active == 1)
        with pytest.raises(RequestFailed) as caught:
            await ask(relay, route)
        assert (caught.value.status, caught.value.failure_code) == (429, "queue_full")
        assert caught.value.source == "gateway"
        assert caught.value.retry_after_s == 5.0
        assert caught.value.hint == "try again later, or raise max_parallel or queue_wait_s of the provider"
        assert [one.failure for one in caught.value.attempts] == ["saturated"]
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


async def test_time_in_the_queue_is_no_time_to_the_first_token() -> None:
    async with FakeUpstream() as lab, a_core(urls={"lab": lab.base_url}) as relay:
        route = route_of(max_parallel=1, deadlines=Deadlines(first_token_s=0.4, gap_s=5))
        lab.say("", Reply(content=("a ",) * 10, gap_s=0.05))
        first = asyncio.create_task(answered(relay, route, stream=False))
        await lab.until(lambda: lab.active == 1)
        answer = await ask(relay, route)
        await first
    assert [one.failure for one in answer.attempts] == [""]
    assert answer.attempts[0].ms > 400


async def test_places_come_back_however_a_request_ends() -> None:
    async with FakeUpstream() as lab, a_core(urls={"lab": lab.base_url}) as relay:
        route = route_of(max_parallel=1, deadlines=Deadlines(first_token_s=0.05, gap_s=0.05, connect_s=1))
        counts = relay._admission.counts
        for fault in (faults.reset(), faults.status(500, "{}"), faults.hang(), faults.status(400, "{}")):
            lab.fail(fault)
            with pytest.raises(RequestFailed):
                await ask(relay, route)
            assert counts("lab") == (0, 0)
            lab.heal()
        for fault in (faults.cut(after_chunks=2), faults.stall(after_chunks=2)):
            lab.fail(fault)
            assert "error" in (await heard(await ask_stream(relay, route)))[-1]
            assert counts("lab") == (0, 0)
            lab.heal()


async def test_a_caller_that_leaves_gives_its_place_back() -> None:
    async with FakeUpstream() as lab, a_core(urls={"lab": lab.base_url}) as relay:
        route = route_of(max_parallel=1)
        lab.fail(faults.stall(after_chunks=2), times=1)
        listener = Listener()
        delivery = listener.follow(await ask_stream(relay, route))
        await listener.hear(b"data: ")
        waiting = asyncio.create_task(ask(relay, route))
        leaving = asyncio.create_task(ask(relay, route))
        while relay._admission.counts("lab") != (1, 2):  # noqa: ASYNC110  (the queue has no event)
            await asyncio.sleep(0)
        leaving.cancel()
        delivery.cancel()
        await asyncio.gather(delivery, leaving, return_exceptions=True)
        assert leaving.cancelled()
        assert (await waiting).deployment is LAB
        assert relay._admission.counts("lab") == (0, 0)


async def test_a_stream_that_nobody_reads_to_its_end_gives_its_place_back_when_closed() -> None:
    async with FakeUpstream() as lab, a_core(urls={"lab": lab.base_url}) as relay:
        route = route_of(max_parallel=1)
        for _ in range(3):
            await (await ask_stream(relay, route)).aclose()
        assert relay._admission.counts("lab") == (0, 0)


async def test_embeddings_wait_for_the_same_places() -> None:
    models = [UpstreamModel(name="gpt-4o-mini"), UpstreamModel(name="embedder", embeds=True)]
    embedder = a_deployment("lab:embedder", lane=Lane.OPENAI)
    async with FakeUpstream(models=models) as lab, a_core(urls={"lab": lab.base_url}) as relay:
        vectors = bounded(a_route(embedder, task=Task.EMBEDDING), "lab", max_parallel=1, queue=0)
        request = EmbeddingRequest.parse(b'{"model": "planner", "input": "a text"}')
        lab.fail(faults.hang(), model="gpt-4o-mini")
        chatting = asyncio.create_task(ask(relay, route_of(max_parallel=1)))
        await lab.until(lambda: lab.active == 1)
        with pytest.raises(RequestFailed) as caught:
            await relay.embed(request=request, route=vectors, request_id="req-1")
        assert caught.value.failure_code == "queue_full"
        chatting.cancel()
        await asyncio.gather(chatting, return_exceptions=True)
        await relay.embed(request=request, route=vectors, request_id="req-2")
        assert relay._admission.counts("lab") == (0, 0)

"""A role that would rather have a model that is loaded."""

import asyncio
from typing import Any

from core_builders import FIRST, SECOND, a_core, a_lab, served
from fakes import faults
from fakes.ollama import FakeOllama
from fakes.upstream import FakeUpstream
from gateway.domain.model import Lane
from gateway.domain.plan import Deployment
from gateway.relay.breaker import Breakers
from gateway.relay.route import Route
from relay_builders import ScriptedBackend, a_deployment, a_relay, a_route, ask

LAB = a_lab()


def route_to(ollama: FakeOllama, *deployments: Deployment, **more: Any) -> Route:
    return served(a_route(*deployments, urls={"ollama": ollama.url}, **more), cold_start="avoid")


async def test_a_resident_second_choice_answers_while_the_first_loads() -> None:
    async with FakeOllama() as ollama, a_core() as relay:
        await ask(relay, route_to(ollama, SECOND))
        ollama.runners.gate.clear()
        for _ in range(3):
            answer = await ask(relay, route_to(ollama, FIRST, SECOND))
            assert answer.deployment is SECOND
            assert answer.fallback_reason == "ollama:llama3.1:8b: not loaded yet"
            assert [one.model for one in answer.attempts] == ["ollama:mistral:latest"]
        await ollama.until(lambda: len(ollama.runners.loads) == 2)
        ollama.runners.gate.set()
        await ollama.until(lambda: "llama3.1:8b" in ollama.loaded)
        await ollama.until(lambda: ollama.active == 0)
        answer = await ask(relay, route_to(ollama, FIRST, SECOND))
        assert answer.deployment is FIRST
        assert answer.fallback_reason == ""
        assert [load.model for load in ollama.runners.loads] == ["mistral:latest", "llama3.1:8b"]


async def test_where_nothing_is_loaded_the_first_is_waited_for() -> None:
    async with FakeOllama() as ollama, a_core() as relay:
        answer = await ask(relay, route_to(ollama, FIRST, SECOND))
        assert answer.deployment is FIRST
        assert [load.model for load in ollama.runners.loads] == ["llama3.1:8b"]


async def test_a_cloud_model_is_always_there() -> None:
    cloud = a_deployment("anthropic:claude-sonnet-4-5", lane=Lane.LITELLM, order=3)
    head = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "claude"}
    said = {**head, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]}
    async with FakeOllama() as ollama, a_relay() as relay:
        ollama.runners.gate.clear()
        answer = await ask(relay, route_to(ollama, FIRST, SECOND, cloud, backend=ScriptedBackend([said])))
        await ollama.until(lambda: len(ollama.runners.loads) == 1)
        ollama.runners.gate.set()
    assert answer.deployment is cloud
    assert answer.fallback_reason == "ollama:llama3.1:8b: not loaded yet; ollama:mistral:latest: not loaded yet"


async def test_one_that_fails_before_is_told_beside_one_that_loads() -> None:
    dead = a_deployment("attic:x", order=1)
    async with FakeOllama() as ollama, FakeUpstream() as lab, a_core(urls={"lab": lab.base_url}) as relay:
        route = served(
            a_route(dead, FIRST, LAB, urls={"ollama": ollama.url, "attic": "http://127.0.0.1:9"}), cold_start="avoid"
        )
        answer = await ask(relay, route)
    assert answer.deployment is LAB
    assert answer.fallback_reason == "attic:x: transport; ollama:llama3.1:8b: not loaded yet"


async def test_when_the_resident_one_fails_the_load_is_waited_for() -> None:
    async with FakeOllama() as ollama, FakeUpstream() as lab, a_core(urls={"lab": lab.base_url}) as relay:
        lab.fail(faults.status(503, "{}"))
        answer = await ask(relay, route_to(ollama, FIRST, LAB))
        assert answer.deployment is FIRST
        assert [(one.model, one.failure) for one in answer.attempts] == [
            ("lab:gpt-4o-mini", "overloaded"),
            ("ollama:llama3.1:8b", ""),
        ]
        assert len(ollama.runners.loads) == 1


async def test_a_load_in_the_background_that_fails_counts_once() -> None:
    breakers = Breakers()
    async with (
        FakeOllama() as ollama,
        FakeUpstream() as lab,
        a_core(urls={"lab": lab.base_url}, breakers=breakers) as relay,
    ):
        ollama.runners.load_errors["llama3.1:8b"] = "out of memory"
        for number in range(3):
            ollama.runners.gate.clear()
            answers = await asyncio.gather(*(ask(relay, route_to(ollama, FIRST, LAB)) for _ in range(4)))
            assert {answer.deployment.ref.provider for answer in answers if answer.deployment} == {"lab"}
            await ollama.until(lambda number=number: len(ollama.runners.loads) == number + 1)  # type: ignore[misc]
            ollama.runners.gate.set()
            await ollama.until(lambda: ollama.active == 0)
            await asyncio.sleep(0.01)
        now_s = asyncio.get_running_loop().time()
        [failed, _] = breakers.standings(route_to(ollama, FIRST, LAB).keys, now_s=now_s)
        assert failed.failure == "load_failed"
        await ask(relay, route_to(ollama, FIRST, LAB))
        assert len(ollama.runners.loads) == 3

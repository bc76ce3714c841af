"""The beginning of a streamed answer that is kept back, so that a failure until then moves on unseen."""

import asyncio
from typing import Any

import pytest

from core_builders import FIRST, Listener, a_core, a_lab, served
from fakes import faults
from fakes.ollama import FakeOllama
from fakes.replies import Reply, ToolCall
from fakes.upstream import FakeUpstream
from gateway.domain.role import Deadlines, HoldBack
from gateway.relay.route import Route
from relay_builders import a_route, ask_stream, heard, text_of

LAB = a_lab()
WORDS = ("one ", "two ", "three ", "four ", "five ")
QUICK = Deadlines(connect_s=2, load_s=5, first_token_s=1, gap_s=1, total_s=10)
BREAKS = [
    pytest.param(faults.cut(after_chunks=3), "truncated", id="cut"),
    pytest.param(faults.eof(after_chunks=3), "truncated", id="end without a finish"),
    pytest.param(faults.stall(after_chunks=3), "stall", id="stall"),
    pytest.param(faults.error("no model", after_chunks=3), "upstream_error", id="error"),
]


def held(ollama: FakeOllama, *, characters: int | None = None, text_age_s: float | None = None, **more: Any) -> Route:
    ollama.say("", Reply(content=WORDS))
    route = a_route(FIRST, LAB, urls={"ollama": ollama.url}, deadlines=QUICK)
    return served(route, hold_back=HoldBack(characters=characters, text_age_s=text_age_s), **more)


@pytest.mark.parametrize(("fault", "failure"), BREAKS)
@pytest.mark.parametrize("bound", [{"characters": 100}, {"text_age_s": 30.0}, {"characters": 100, "text_age_s": 30.0}])
async def test_what_breaks_off_within_it_is_never_seen(
    fault: faults.Fault, failure: str, bound: dict[str, Any]
) -> None:
    async with FakeOllama() as ollama, FakeUpstream() as lab, a_core(urls={"lab": lab.base_url}) as relay:
        ollama.fail(fault, route="/api/chat")
        answer = await ask_stream(relay, held(ollama, **bound))
        events = await heard(answer)
    assert text_of(events) == "Hello from gpt-4o-mini"
    assert events[-1] == "[DONE]"
    assert {one["model"] for one in events[:-1]} == {"gpt-4o-mini"}
    assert {one.failure for one in answer.attempts[:-1]} == {failure}
    assert answer.fallback_reason == f"ollama:llama3.1:8b: {failure}"


@pytest.mark.parametrize(("fault", "failure"), BREAKS)
@pytest.mark.parametrize("bound", [{"characters": 5}, {"text_age_s": 0.0}, {"characters": 5, "text_age_s": 30.0}])
async def test_what_breaks_off_beyond_it_is_an_error(fault: faults.Fault, failure: str, bound: dict[str, Any]) -> None:
    async with FakeOllama() as ollama, FakeUpstream() as lab, a_core(urls={"lab": lab.base_url}) as relay:
        ollama.fail(fault, route="/api/chat")
        events = await heard(await ask_stream(relay, held(ollama, **bound)))
        assert lab.requests == []
    assert "".join(WORDS).startswith(text_of(events))
    assert text_of(events)
    assert "error" in events[-1]


@pytest.mark.parametrize("characters", [1, 4, 5, 9, 24, 25, 1000])
async def test_nothing_is_lost_or_told_twice(characters: int) -> None:
    async with FakeOllama() as ollama, a_core() as relay:
        events = await heard(await ask_stream(relay, held(ollama, characters=characters)))
    assert text_of(events) == "".join(WORDS)
    assert events[-1] == "[DONE]"
    assert sum(1 for one in events[:-1] if one["choices"][0]["finish_reason"]) == 1


async def test_a_stream_goes_out_as_soon_as_there_is_enough() -> None:
    async with FakeOllama() as ollama, a_core() as relay:
        route = held(ollama, characters=6)
        ollama.fail(faults.stall(after_chunks=3), route="/api/chat")
        listener = Listener()
        delivery = listener.follow(await ask_stream(relay, route))
        await listener.hear(b'"two "')
        delivery.cancel()
        await asyncio.gather(delivery, return_exceptions=True)


async def test_an_answer_of_tool_calls_only_is_kept_back_to_its_end() -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    async with FakeOllama() as ollama, a_core() as relay:
        route = held(ollama, characters=10)
        ollama.say("", Reply(content=(), tool_calls=(ToolCall(name="f", arguments={"a": 1}),)))
        events = await heard(await ask_stream(relay, route, tools=[tool]))
    assert any(one["choices"][0]["delta"].get("tool_calls") for one in events[:-1])
    assert events[-1] == "[DONE]"


async def test_kept_back_and_gone_on_with_nothing_is_told_twice() -> None:
    async with FakeOllama() as ollama, FakeUpstream() as lab, a_core(urls={"lab": lab.base_url}) as relay:
        route = held(ollama, characters=5, stream_failure="continue")
        ollama.fail(faults.stall(after_chunks=3), route="/api/chat")
        lab.say("", Reply(content=("and ", "so ", "on")))
        events = await heard(await ask_stream(relay, route))
    assert text_of(events) == "one two three and so on"
    assert events[-1] == "[DONE]"

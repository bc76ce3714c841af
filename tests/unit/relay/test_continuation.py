"""Another deployment goes on with an answer that broke off, over real connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from core_builders import FIRST, SECOND, Listener, a_core, a_lab, served
from fakes import faults
from fakes.ollama import FakeOllama
from fakes.replies import Reply, ToolCall
from fakes.upstream import FakeUpstream
from gateway.api.messages import Messages
from gateway.api.responses import Responses
from gateway.domain.lesson import refused_feature
from gateway.domain.plan import Deployment
from gateway.domain.role import Deadlines
from gateway.errors import UpstreamFailed
from gateway.relay.answer import StreamingAnswer
from gateway.relay.breaker import Breakers, State
from gateway.relay.continuation import BEGAN_ANEW
from gateway.relay.needs import Needs
from gateway.relay.relay import Relay
from gateway.relay.route import Route
from relay_builders import a_route, ask_stream, delivered, heard, text_of

LAB = a_lab()
ATTIC = a_lab("attic", order=3)
PARTIAL = ("one ", "two ", "three ", "four ", "five ", "six ", "seven ")
BEFORE = "".join(PARTIAL)
TOOL = {"type": "function", "function": {"name": "f"}}
QUICK = Deadlines(connect_s=2, load_s=5, first_token_s=1, gap_s=1, total_s=10)


class Stage:
    """An Ollama host that breaks off after some words, and two servers that may go on."""

    def __init__(self, ollama: FakeOllama, lab: FakeUpstream, attic: FakeUpstream, relay: Relay) -> None:
        self.ollama, self.lab, self.attic, self.relay = ollama, lab, attic, relay

    def route(self, *deployments: Deployment, **manner: Any) -> Route:
        urls = {"ollama": self.ollama.url, "lab": self.lab.base_url, "attic": self.attic.base_url}
        route = a_route(*(deployments or (FIRST, LAB)), urls=urls, deadlines=QUICK)
        return served(route, stream_failure="continue", **manner)


@asynccontextmanager
async def a_stage(**settings: Any) -> AsyncIterator[Stage]:
    async with (
        FakeOllama() as ollama,
        FakeUpstream() as lab,
        FakeUpstream() as attic,
        a_core(urls={"lab": lab.base_url, "attic": attic.base_url}, **settings) as relay,
    ):
        ollama.say("", Reply(content=(*PARTIAL, "never said")))
        ollama.fail(faults.cut(after_chunks=len(PARTIAL)), route="/api/chat", model="llama3.1:8b")
        lab.say("", Reply(content=("eight ", "nine")))
        attic.say("", Reply(content=("ten ", "eleven")))
        yield Stage(ollama, lab, attic, relay)


def errors_of(events: list[Any]) -> list[dict[str, Any]]:
    return [event["error"] for event in events if isinstance(event, dict) and "error" in event]


async def test_the_second_goes_on_where_the_first_broke_off() -> None:
    async with a_stage() as stage:
        answer = await ask_stream(stage.relay, stage.route(), stream_options={"include_usage": True})
        events = await heard(answer)
        sent = stage.lab.last.json
    assert sent["messages"] == [
        {"role": "user", "content": "Say hello."},
        {"role": "assistant", "content": BEFORE},
    ]
    assert text_of(events) == BEFORE + "eight nine"
    assert events[-1] == "[DONE]"
    chunks = events[:-1]
    assert len({(one["id"], one["created"]) for one in chunks}) == 1
    roles = [choice["delta"].get("role") for one in chunks for choice in one["choices"] if choice["delta"].get("role")]
    assert roles == ["assistant"]
    assert next(one["model"] for one in chunks) == "llama3.1:8b"
    assert chunks[-1]["model"] == "gpt-4o-mini"
    assert chunks[-1]["usage"]["completion_tokens"] == 2
    assert [choice["finish_reason"] for one in chunks for choice in one["choices"]][-1] == "stop"
    assert not answer.failed
    assert answer.deployment is LAB
    assert [(one.model, one.failure) for one in answer.attempts] == [
        ("ollama:llama3.1:8b", "truncated"),
        ("lab:gpt-4o-mini", ""),
    ]


@pytest.mark.parametrize(
    "fault",
    [
        faults.reset(after_chunks=7),
        faults.eof(after_chunks=7),
        faults.stall(after_chunks=7),
        faults.error("no", after_chunks=7),
    ],
    ids=["reset", "eof", "stall", "error"],
)
async def test_it_goes_on_however_the_first_broke_off(fault: faults.Fault) -> None:
    async with a_stage() as stage:
        stage.ollama.heal()
        stage.ollama.fail(fault, route="/api/chat", model="llama3.1:8b")
        events = await heard(await ask_stream(stage.relay, stage.route()))
    said = text_of(events)
    assert said.endswith("eight nine")
    assert BEFORE.startswith(said.removesuffix("eight nine"))
    assert events[-1] == "[DONE]"


async def test_it_goes_on_natively_on_another_model_of_the_same_host() -> None:
    async with a_stage() as stage:
        stage.ollama.say("mistral:latest", Reply(content=("and ", "so on")))
        events = await heard(await ask_stream(stage.relay, stage.route(FIRST, SECOND)))
        asked = stage.ollama.requests_to("/api/chat")[-1].json
    assert asked["messages"][-1] == {"role": "assistant", "content": BEFORE}
    assert text_of(events) == BEFORE + "and so on"


@pytest.mark.parametrize("pieces", [1, 5, len(BEFORE) + 5])
async def test_a_server_that_repeats_what_it_was_given_is_cut(pieces: int) -> None:
    whole = BEFORE + "eight nine"
    size = -(-len(whole) // pieces)
    async with a_stage() as stage:
        stage.lab.say("", Reply(content=tuple(whole[at : at + size] for at in range(0, len(whole), size))))
        events = await heard(await ask_stream(stage.relay, stage.route()))
    assert text_of(events) == whole
    assert events[-1] == "[DONE]"


@pytest.mark.parametrize("in_one", [True, False])
async def test_a_model_that_begins_anew_leaves_the_original_error(in_one: bool) -> None:
    anew = "one two three four five six SEVEN, eight"
    async with a_stage() as stage:
        stage.lab.say("", Reply(content=(anew,) if in_one else tuple(anew)))
        answer = await ask_stream(stage.relay, stage.route())
        events = await heard(answer)
    assert text_of(events) == BEFORE
    assert "[DONE]" not in events
    (error,) = errors_of(events)
    assert error["code"] == "stream_truncated"
    assert [(one["model"], one["class"]) for one in error["attempts"]] == [
        ("ollama:llama3.1:8b", "truncated"),
        ("lab:gpt-4o-mini", "capability"),
    ]
    assert answer.failed


@pytest.mark.parametrize("in_one", [True, False])
async def test_what_one_began_anew_is_not_held_against_the_next(in_one: bool) -> None:
    anew = "one two three four five six SEVEN, eight"
    async with a_stage() as stage:
        stage.lab.say("", Reply(content=(anew,) if in_one else tuple(anew)))
        events = await heard(await ask_stream(stage.relay, stage.route(FIRST, LAB, ATTIC)))
    assert text_of(events) == BEFORE + "ten eleven"
    assert events[-1] == "[DONE]"


async def test_beginning_anew_teaches_nothing_of_what_the_model_can_do() -> None:
    assert refused_feature(BEGAN_ANEW, asked=("supports_tools",)) is None
    assert refused_feature(BEGAN_ANEW, asked=("supports_thinking",)) is None


async def test_who_does_not_go_on_with_anothers_answer_is_left_out() -> None:
    stubborn = a_lab(features=frozenset())
    async with a_stage() as stage:
        events = await heard(await ask_stream(stage.relay, stage.route(FIRST, stubborn, ATTIC)))
        assert stage.lab.requests == []
        assert text_of(events) == BEFORE + "ten eleven"
        events = await heard(await ask_stream(stage.relay, stage.route(FIRST, stubborn)))
    assert text_of(events) == BEFORE
    assert errors_of(events)[0]["code"] == "stream_truncated"


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
async def test_a_refusal_to_go_on_leaves_the_original_error(status: int) -> None:
    async with a_stage() as stage:
        stage.lab.fail(faults.status(status, '{"error":{"message":"the last message must be the user\'s"}}'))
        events = await heard(await ask_stream(stage.relay, stage.route()))
        asked = len(stage.lab.requests)
    assert text_of(events) == BEFORE
    assert "[DONE]" not in events
    assert [error["code"] for error in errors_of(events)] == ["stream_truncated"]
    assert [one["model"] for one in errors_of(events)[0]["attempts"]] == ["ollama:llama3.1:8b", "lab:gpt-4o-mini"]
    assert asked == 1


async def test_a_role_that_does_not_ask_for_it_gets_the_error() -> None:
    async with a_stage() as stage:
        route = served(stage.route(), stream_failure="terminate")
        events = await heard(await ask_stream(stage.relay, route))
        assert stage.lab.requests == []
    assert errors_of(events)[0]["code"] == "stream_truncated"


@pytest.mark.parametrize(
    "request_changes",
    [
        {"response_format": {"type": "json_object"}},
        {"max_tokens": len(PARTIAL)},
        {"max_completion_tokens": len(PARTIAL)},
    ],
    ids=["a JSON answer", "the limit reached", "the other limit reached"],
)
async def test_some_answers_cannot_be_gone_on_with(request_changes: dict[str, Any]) -> None:
    async with a_stage() as stage:
        stage.ollama.say("", Reply(content=(*PARTIAL, "x", "y")))
        events = await heard(await ask_stream(stage.relay, stage.route(), **request_changes))
        assert stage.lab.requests == []
    assert errors_of(events)[0]["code"] == "stream_truncated"


async def test_an_answer_with_a_tool_call_begun_is_not_gone_on_with() -> None:
    async with a_stage() as stage:
        stage.ollama.heal()
        calls = (ToolCall(name="f", arguments={"a": 1}), ToolCall(name="f", arguments={"a": 2}))
        stage.lab.say("", Reply(content=("I call ", "f"), tool_calls=calls))
        stage.lab.fail(faults.cut(after_chunks=4))
        events = await heard(await ask_stream(stage.relay, stage.route(LAB, ATTIC), tools=[TOOL]))
        assert stage.attic.requests == []
    assert any(choice["delta"].get("tool_calls") for one in events[:-1] for choice in one["choices"])
    assert errors_of(events)[0]["code"] == "stream_truncated"


async def test_the_rest_may_have_as_many_tokens_as_are_left() -> None:
    async with a_stage() as stage:
        await heard(await ask_stream(stage.relay, stage.route(), max_tokens=50))
        assert stage.lab.last.json["max_tokens"] == 50 - len(PARTIAL)
        await heard(await ask_stream(stage.relay, stage.route(), max_completion_tokens=30))
        assert stage.lab.last.json["max_completion_tokens"] == 30 - len(PARTIAL)


async def test_a_third_goes_on_with_what_the_second_left() -> None:
    async with a_stage() as stage:
        stage.lab.say("", Reply(content=("eight ", "nine ", "lost")))
        stage.lab.fail(faults.cut(after_chunks=3))
        answer = await ask_stream(stage.relay, stage.route(FIRST, LAB, ATTIC), max_tokens=50)
        events = await heard(answer)
        sent = stage.attic.last.json
    told = text_of(events).removesuffix("ten eleven")
    assert told in (BEFORE + "eight ", BEFORE + "eight nine ")
    assert sent["messages"] == [{"role": "user", "content": "Say hello."}, {"role": "assistant", "content": told}]
    assert sent["max_tokens"] == 50 - len(told.split())
    assert len({(one["id"], one["created"]) for one in events[:-1]}) == 1
    assert events[-1] == "[DONE]"
    assert [one.failure for one in answer.attempts] == ["truncated", "truncated", ""]


async def test_a_second_that_breaks_off_as_the_last_is_told_as_the_error() -> None:
    async with a_stage() as stage:
        stage.lab.say("", Reply(content=("eight ", "nine ", "lost")))
        stage.lab.fail(faults.stall(after_chunks=3))
        events = await heard(await ask_stream(stage.relay, stage.route()))
    (error,) = errors_of(events)
    assert error["code"] == "stream_stalled"
    assert [one["class"] for one in error["attempts"]] == ["truncated", "stall"]


class Diary:
    def __init__(self) -> None:
        self.entries: list[tuple[str, str]] = []

    def attempt_failed(self, deployment: Deployment, failed: UpstreamFailed, *, needs: Needs) -> None:
        self.entries.append((str(deployment.ref), failed.failure))


async def test_the_break_counts_against_the_first_and_the_rest_for_the_second() -> None:
    breakers, diary = Breakers(), Diary()
    async with a_stage(breakers=breakers, observer=diary) as stage:
        route = stage.route()
        for _ in range(3):
            await heard(await ask_stream(stage.relay, route))
        assert diary.entries == [("ollama:llama3.1:8b", "truncated")] * 3
        now_s = asyncio.get_running_loop().time()
        assert [one.state for one in breakers.standings(route.keys, now_s=now_s)] == [State.COOLING, State.READY]
        answer = await ask_stream(stage.relay, route)
        assert answer.deployment is LAB
        await answer.aclose()


async def test_a_caller_hears_that_the_model_that_goes_on_is_loading() -> None:
    async with a_stage(notice_s=0.01) as stage:
        stage.ollama.say("mistral:latest", Reply(content=("and ", "so on")))
        answer = await ask_stream(stage.relay, stage.route(FIRST, SECOND))
        stage.ollama.runners.gate.clear()
        listener = Listener()
        delivery = listener.follow(answer)
        await listener.hear(b": loading ollama:mistral:latest\n\n")
        stage.ollama.runners.gate.set()
        await delivery
    assert listener.data.endswith(b"data: [DONE]\n\n")


async def test_a_caller_who_leaves_while_another_goes_on_closes_that_one() -> None:
    async with a_stage() as stage:
        stage.lab.fail(faults.hang())
        delivery = Listener().follow(await ask_stream(stage.relay, stage.route()))
        await stage.lab.until(lambda: stage.lab.active == 1)
        delivery.cancel()
        await asyncio.gather(delivery, return_exceptions=True)
        await stage.lab.until(lambda: stage.lab.active == 0)


async def test_messages_are_gone_on_with_as_one_message() -> None:
    async with a_stage() as stage:
        body = {"model": "planner", "max_tokens": 50, "stream": True}
        asked = Messages().asked(orjson.dumps({**body, "messages": [{"role": "user", "content": "Count."}]}))
        assert asked.wire is not None
        answer = await stage.relay.answer(
            inquiry=asked.inquiry, wire=asked.wire, route=stage.route(), request_id="req-1"
        )
        assert isinstance(answer, StreamingAnswer)
        data = await delivered(answer)
    events = [orjson.loads(line[6:]) for line in data.split(b"\n") if line.startswith(b"data: ")]
    kinds = [event["type"] for event in events if event["type"] != "ping"]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert kinds.count("content_block_start") == 1
    texts = [event["delta"]["text"] for event in events if event["type"] == "content_block_delta"]
    assert "".join(texts) == BEFORE + "eight nine"


async def test_responses_are_gone_on_with_as_one_response() -> None:
    async with a_stage() as stage:
        asked = Responses().asked(orjson.dumps({"model": "planner", "input": "Count.", "stream": True}))
        assert asked.wire is not None
        answer = await stage.relay.answer(
            inquiry=asked.inquiry, wire=asked.wire, route=stage.route(), request_id="req-1"
        )
        assert isinstance(answer, StreamingAnswer)
        data = await delivered(answer)
    events = [orjson.loads(line[6:]) for line in data.split(b"\n") if line.startswith(b"data: {")]
    texts = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert "".join(texts) == BEFORE + "eight nine"
    assert events[-1]["type"] == "response.completed"
    assert events[-1]["response"]["output"][-1]["content"][0]["text"] == BEFORE + "eight nine"
    assert len({event["response"]["id"] for event in events if "response" in event}) == 1

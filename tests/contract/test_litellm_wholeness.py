"""What a deployment on the litellm lane is asked and answers, on both wires: nothing of it is lost on the way through LiteLLM."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from contract.litellm_builders import CLAUDE, GPT, HELLO, KEY, ODD_WARNINGS, a_backend, chunks
from fakes import faults
from fakes.replies import Reply, ToolCall
from fakes.upstream import FakeUpstream
from gateway.backend.router import LiteLLMBackend

pytestmark = [pytest.mark.litellm_facts, *ODD_WARNINGS, pytest.mark.usefixtures("litellm_stays_at_home")]

HEAD = {"id": "c1", "object": "chat.completion.chunk", "created": 5, "model": "far", "system_fingerprint": "fp_1"}
PIXEL = "data:image/png;base64,iVBORw0KGgo="
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "look_up", "description": "Looks up.", "parameters": CITY}}
OTHER = {"type": "function", "function": {"name": "note", "description": "Notes.", "parameters": CITY}}
TOKEN = {"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []}
NAMED = {"id": "call_a", "type": "function", "function": {"name": "look_up", "arguments": '{"city":"Rome"}'}}


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(models=[GPT.name, CLAUDE.name], key=KEY) as fake:
        yield fake


@pytest.fixture
async def backend(upstream: FakeUpstream) -> AsyncIterator[LiteLLMBackend]:
    built = a_backend(openai_url=upstream.base_url, anthropic_url=upstream.url)
    yield built
    await built.close()


def told(upstream: FakeUpstream, *deltas: Mapping[str, object], finish: str = "stop", **choice: object) -> None:
    """Have upstream answer with these deltas; ``choice`` is beside each of them."""
    made = [{"index": 0, "delta": delta, "finish_reason": None, **choice} for delta in deltas]
    choices = [*made, {"index": 0, "delta": {}, "finish_reason": finish}]
    events = [f"data: {json.dumps({**HEAD, 'choices': [one]})}\n\n" for one in choices]
    body = "".join([*events, "data: [DONE]\n\n"]).encode()
    upstream.fail(faults.raw(faults.head(content_type="text/event-stream"), body))


def choices(answer: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [choice for chunk in answer for choice in chunk["choices"]]


def gathered(answer: list[Mapping[str, Any]], name: str) -> list[Any]:
    return [choice["delta"][name] for choice in choices(answer) if choice["delta"].get(name)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("refusal", "I will not."),
        ("annotations", [{"type": "url_citation", "url_citation": {"url": "http://a.example", "title": "A"}}]),
        ("images", [{"type": "image_url", "image_url": {"url": PIXEL}, "index": 0}]),
        ("reasoning_details", [{"type": "reasoning.text", "text": "so", "signature": "c2ln"}]),
        ("audio", {"id": "audio_1", "transcript": "Hi", "data": "AAAA"}),
        ("reasoning_content", "hm"),
    ],
)
async def test_a_delta_that_holds_nothing_else_is_passed_on(
    backend: LiteLLMBackend, upstream: FakeUpstream, name: str, value: object
) -> None:
    told(upstream, {"role": "assistant", "content": ""}, {name: value})
    assert gathered(await chunks(backend), name) == [value]


async def test_reasoning_in_its_other_spelling_is_told_in_the_one(
    backend: LiteLLMBackend, upstream: FakeUpstream
) -> None:
    told(upstream, {"role": "assistant", "content": ""}, {"reasoning": "hm"}, {"content": "Hi"})
    assert gathered(await chunks(backend), "reasoning_content") == ["hm"]


async def test_log_probabilities_stay_with_their_text(backend: LiteLLMBackend, upstream: FakeUpstream) -> None:
    told(upstream, {"role": "assistant", "content": "Hi"}, logprobs={"content": [TOKEN], "refusal": None})
    answer = await chunks(backend, {**HELLO, "logprobs": True, "top_logprobs": 0})
    first = choices(answer)[0]
    assert (first["delta"]["content"], first["logprobs"]) == ("Hi", {"content": [TOKEN]})
    assert upstream.requests[-1].json["logprobs"] is True


async def test_what_a_chunk_says_of_itself_is_kept(backend: LiteLLMBackend, upstream: FakeUpstream) -> None:
    told(upstream, {"role": "assistant", "content": "Hi"}, finish="content_filter")
    answer = await chunks(backend)
    assert {chunk["system_fingerprint"] for chunk in answer if chunk["choices"]} == {"fp_1"}
    assert choices(answer)[-1]["finish_reason"] == "content_filter"


async def test_the_details_of_the_usage_are_kept(backend: LiteLLMBackend, upstream: FakeUpstream) -> None:
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 4,
        "total_tokens": 13,
        "prompt_tokens_details": {"cached_tokens": 5, "audio_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 2, "accepted_prediction_tokens": 1},
    }
    said = {"index": 0, "delta": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    events = [{**HEAD, "choices": [said]}, {**HEAD, "choices": [], "usage": usage}]
    body = "".join([*(f"data: {json.dumps(event)}\n\n" for event in events), "data: [DONE]\n\n"]).encode()
    upstream.fail(faults.raw(faults.head(content_type="text/event-stream"), body))
    shown = (await chunks(backend))[-1]["usage"]
    assert {name: shown[name] for name in usage} == usage


@pytest.mark.parametrize("ref", [GPT, CLAUDE], ids=str)
async def test_parallel_tool_calls_come_apart_by_their_index(
    backend: LiteLLMBackend, upstream: FakeUpstream, ref: Any
) -> None:
    calls = (ToolCall(name="look_up", arguments={"city": "Rome"}), ToolCall(name="note", arguments={"city": "Oslo"}))
    upstream.say(ref.name, Reply(content=("Let me",), tool_calls=calls))
    role = "planner" if ref == GPT else "critic"
    answer = await chunks(backend, {**HELLO, "tools": [TOOL, OTHER], "tool_choice": "auto"}, role=role, ref=ref)
    heard: dict[int, list[str]] = {}
    for call in [call for calls in gathered(answer, "tool_calls") for call in calls]:
        function = call["function"]
        heard.setdefault(call["index"], ["", ""])
        heard[call["index"]][0] += function.get("name") or ""
        heard[call["index"]][1] += function.get("arguments") or ""
    assert [(name, json.loads(arguments)) for name, arguments in heard.values()] == [
        ("look_up", {"city": "Rome"}),
        ("note", {"city": "Oslo"}),
    ]
    assert choices(answer)[-1]["finish_reason"] == "tool_calls"


async def test_a_request_reaches_a_server_on_the_openai_wire_as_it_is(
    backend: LiteLLMBackend, upstream: FakeUpstream
) -> None:
    body = {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "what is it?"},
                    {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
                    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                ],
            },
            {"role": "assistant", "content": "Let me", "tool_calls": [NAMED]},
            {"role": "tool", "tool_call_id": "call_a", "content": "sunny"},
        ],
        "tools": [TOOL, OTHER],
        "tool_choice": {"type": "function", "function": {"name": "note"}},
        "parallel_tool_calls": False,
        "response_format": {"type": "json_schema", "json_schema": {"name": "city", "strict": True, "schema": CITY}},
    }
    await chunks(backend, body)
    assert {name: upstream.requests[-1].json[name] for name in body} == body


async def test_a_conversation_with_tools_pictures_and_thoughts_reaches_anthropic_in_its_own_words(
    backend: LiteLLMBackend, upstream: FakeUpstream
) -> None:
    thoughts = [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "aGlkZGVu"},
    ]
    picture = {"type": "image_url", "image_url": {"url": PIXEL}}
    body = {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "what is it?"}, picture]},
            {"role": "assistant", "content": "", "thinking_blocks": thoughts, "tool_calls": [NAMED]},
            {"role": "tool", "tool_call_id": "call_a", "content": "sunny"},
        ],
        "tools": [TOOL],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "max_tokens": 4000,
    }
    await chunks(backend, body, role="critic", ref=CLAUDE)
    asked, called, answered = upstream.requests[-1].json["messages"]
    source = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    assert {"type": "image", "source": source} in asked["content"]
    assert called["content"][:2] == thoughts
    assert called["content"][-1] == {"type": "tool_use", "id": "call_a", "name": "look_up", "input": {"city": "Rome"}}
    assert answered["content"] == [{"type": "tool_result", "tool_use_id": "call_a", "content": "sunny"}]


async def test_the_thoughts_of_anthropic_come_with_their_signature(
    backend: LiteLLMBackend, upstream: FakeUpstream
) -> None:
    upstream.say(CLAUDE.name, Reply(thinking=("hm", " so"), content=("Good",)))
    thinking = {"type": "enabled", "budget_tokens": 1024}
    answer = await chunks(backend, {**HELLO, "thinking": thinking, "max_tokens": 4000}, role="critic", ref=CLAUDE)
    blocks = [block for blocks in gathered(answer, "thinking_blocks") for block in blocks]
    assert "".join(gathered(answer, "reasoning_content")) == "hm so"
    assert "".join(block["thinking"] for block in blocks) == "hm so"
    assert [block["signature"] for block in blocks if block.get("signature")] == ["c2ln"]

"""OpenAI requests as Ollama wants them, and its answers as OpenAI chunks."""

from typing import Any

import orjson
import pytest

from gateway.domain.failure import FailureClass
from gateway.errors import BadRequest, UpstreamFailed
from gateway.relay.event import EventKind
from gateway.relay.ollama_wire import NativeReader, native_request

USER = {"role": "user", "content": "Hi"}


def native(*, thinks: bool = True, context_tokens: int | None = 8192, **body: Any) -> dict[str, Any]:
    asked = {"model": "planner", "messages": [USER], **body}
    return native_request(asked, model="qwen3:8b", context_tokens=context_tokens, thinks=thinks)


def reader(*, parallel_tools: bool = True) -> NativeReader:
    return NativeReader(answer_id="chatcmpl-1", created=5, model="qwen3:8b", parallel_tools=parallel_tools)


def line(**fields: Any) -> bytes:
    return orjson.dumps({"model": "x", "done": False, **fields})


def deltas(one: NativeReader, *lines: bytes) -> list[Any]:
    chunks = [event.chunk for data in lines for event in one.read(data)]
    return [choice["delta"] for chunk in chunks if chunk for choice in chunk["choices"]]  # type: ignore[attr-defined]


def test_a_plain_request_carries_the_load_profile_and_refuses_to_be_cut() -> None:
    assert native() == {
        "model": "qwen3:8b",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "truncate": False,
        "options": {"num_ctx": 8192},
    }


def test_sampling_goes_into_the_options_and_load_options_of_the_caller_do_not() -> None:
    asked = native(
        temperature=0,
        top_p=0.5,
        top_k=10,
        min_p=0.1,
        seed=3,
        stop="END",
        frequency_penalty=0.1,
        presence_penalty=None,
        max_tokens=5,
        max_completion_tokens=7,
        num_ctx=99,
        num_gpu=0,
        options={"num_ctx": 1},
        keep_alive=0,
        shift=True,
    )
    assert asked["options"] == {
        "temperature": 0,
        "top_p": 0.5,
        "top_k": 10,
        "min_p": 0.1,
        "seed": 3,
        "frequency_penalty": 0.1,
        "stop": ["END"],
        "num_predict": 7,
        "num_ctx": 8192,
    }
    assert set(asked) == {"model", "messages", "stream", "truncate", "options"}


def test_an_unplanned_context_is_left_to_the_server() -> None:
    assert native(context_tokens=None)["options"] == {}


@pytest.mark.parametrize(
    ("effort", "think"),
    [
        ("none", False),
        ("minimal", "low"),
        ("low", "low"),
        ("medium", "medium"),
        ("high", "high"),
        ("xhigh", "max"),
        ("ultra", "max"),
        ("MAX", "max"),
    ],
)
def test_efforts_become_thoughts(effort: str, think: object) -> None:
    assert native(reasoning_effort=effort)["think"] == think
    assert native(reasoning={"effort": effort})["think"] == think
    assert "think" not in native(reasoning_effort=effort, thinks=False)


def test_formats() -> None:
    schema = {"type": "object"}
    assert native(response_format={"type": "json_object"})["format"] == "json"
    asked = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    assert native(response_format=asked)["format"] == schema
    assert "format" not in native(response_format={"type": "text"})


def test_tools_are_left_out_when_the_caller_wants_none() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert native(tools=tools)["tools"] == tools
    assert native(tools=tools, tool_choice="auto")["tools"] == tools
    assert "tools" not in native(tools=tools, tool_choice="none")


def test_parts_become_one_text_with_the_images_beside_it() -> None:
    content = [
        {"type": "text", "text": "Look:"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
        {"type": "text", "text": "What is it?"},
    ]
    assert native(messages=[{"role": "user", "content": content}])["messages"] == [
        {"role": "user", "content": "Look:\nWhat is it?", "images": ["aGk="]}
    ]


def test_sound_goes_where_images_go() -> None:
    content = [
        {"type": "text", "text": "Listen:"},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
    ]
    assert native(messages=[{"role": "user", "content": content}])["messages"] == [
        {"role": "user", "content": "Listen:", "images": ["UklGRg==", "aGk="]}
    ]


def test_a_tool_history_gets_objects_and_names() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    bare = {"id": "c2", "type": "function", "function": {"name": "g", "arguments": ""}}
    messages = [
        {"role": "developer", "content": "Be short."},
        {"role": "assistant", "content": None, "tool_calls": [call, bare], "reasoning_content": "hm"},
        {
            "role": "tool",
            "tool_call_id": "c1",
            "content": [{"type": "text", "text": "1"}, {"type": "text", "text": "2"}],
        },
        {"role": "tool", "tool_call_id": "c2", "content": "3"},
    ]
    assert native(messages=messages)["messages"] == [
        {"role": "system", "content": "Be short."},
        {
            "role": "assistant",
            "content": "",
            "thinking": "hm",
            "tool_calls": [
                {"id": "c1", "function": {"name": "f", "arguments": {"a": 1}}},
                {"id": "c2", "function": {"name": "g", "arguments": {}}},
            ],
        },
        {"role": "tool", "content": "1\n2", "tool_call_id": "c1", "tool_name": "f"},
        {"role": "tool", "content": "3", "tool_call_id": "c2", "tool_name": "g"},
    ]
    assert "thinking" not in native(messages=messages, thinks=False)["messages"][1]


@pytest.mark.parametrize(
    ("arguments", "found"), [("{", "text that is not JSON"), ("[1]", "JSON that is not an object")]
)
def test_a_history_that_is_not_json_is_the_callers_mistake(arguments: str, found: str) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    with pytest.raises(BadRequest) as caught:
        native(messages=[USER, {"role": "assistant", "tool_calls": [call]}])
    assert caught.value.param == "messages[1].tool_calls[0].function.arguments"
    assert caught.value.message == f"{caught.value.param}: found {found}; allowed: a JSON object as text"


def test_thinking_and_content_in_one_line_are_two_deltas() -> None:
    told = deltas(reader(), line(message={"role": "assistant", "content": "A", "thinking": "T"}))
    assert told == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "T", "reasoning": "T"},
        {"content": "A"},
    ]


def test_tool_calls_are_numbered_and_named_over_the_whole_answer() -> None:
    one = reader()
    first = line(message={"content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]})
    last = line(
        message={"content": "", "tool_calls": [{"id": "own", "function": {"index": 0, "name": "g", "arguments": {}}}]},
        done=True,
        done_reason="stop",
    )
    events = [event for data in (first, last) for event in one.read(data)]
    calls: list[Any] = [
        call
        for event in events
        if event.chunk
        for choice in event.chunk["choices"]  # type: ignore[attr-defined]
        for call in choice["delta"].get("tool_calls", [])
    ]
    assert [(call["index"], call["id"], call["function"]["arguments"]) for call in calls] == [
        (0, "call_1_0", '{"a":1}'),
        (1, "own", "{}"),
    ]
    finish = next(event for event in events if event.finished)
    assert finish.chunk is not None
    assert finish.chunk["choices"][0]["finish_reason"] == "tool_calls"  # type: ignore[index]


def test_one_tool_call_is_enough_for_a_caller_who_wants_no_parallel_ones() -> None:
    calls: list[Any] = [{"function": {"name": name, "arguments": {}}} for name in ("f", "g")]
    told = deltas(reader(parallel_tools=False), line(message={"content": "", "tool_calls": calls}))
    assert [call["function"]["name"] for delta in told for call in delta.get("tool_calls", [])] == ["f"]


def test_length_wins_over_tool_calls() -> None:
    one = reader()
    calls = [{"function": {"name": "f", "arguments": {}}}]
    events = one.read(line(message={"content": "", "tool_calls": calls}, done=True, done_reason="length"))
    assert events[-2].chunk is not None
    assert events[-2].chunk["choices"][0]["finish_reason"] == "length"  # type: ignore[index]


def test_the_end_has_a_finish_and_then_the_counts() -> None:
    one = reader()
    events = one.read(line(message={"content": ""}, done=True, done_reason="stop", prompt_eval_count=3))
    assert [event.kind for event in events] == [EventKind.OPENING, EventKind.FINISH, EventKind.USAGE]
    assert events[-1].chunk is not None
    assert events[-1].chunk["usage"] == {"prompt_tokens": 3, "completion_tokens": 0, "total_tokens": 3}
    assert one.done
    assert one.read(line(message={"content": "late"})) == []


def test_logprobs_keep_their_place() -> None:
    entry = {"token": "A", "logprob": -0.1, "bytes": [65]}
    (_, event) = reader().read(line(message={"content": "A"}, logprobs=[entry]))
    assert event.chunk is not None
    assert event.chunk["choices"][0]["logprobs"] == {"content": [entry]}  # type: ignore[index]


@pytest.mark.parametrize("reason", ["", "load", "unload", None])
def test_an_end_without_a_reason_is_no_end(reason: str | None) -> None:
    with pytest.raises(UpstreamFailed) as caught:
        reader().read(line(message={"content": ""}, done=True, done_reason=reason))
    assert caught.value.failure == FailureClass.TRUNCATED


def test_an_error_line_is_a_failure_with_its_words() -> None:
    with pytest.raises(UpstreamFailed, match="it broke") as caught:
        reader().read(b'{"error":"it broke"}')
    assert caught.value.failure == FailureClass.UPSTREAM_ERROR


def test_lines_nobody_can_read_are_counted_and_skipped() -> None:
    one = reader()
    for data in (b"{", b"5", b"", b"  ", b"[]"):
        assert one.read(data) == []
    assert one.skipped == 3


def test_a_history_nested_too_deeply_is_the_callers_mistake() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":' * 300 + "1" + "}" * 300}}
    with pytest.raises(BadRequest) as caught:
        native(messages=[USER, {"role": "assistant", "tool_calls": [call]}])
    assert caught.value.param == "messages[1].tool_calls[0].function.arguments"
    assert caught.value.message == (
        f"{caught.value.param}: found JSON nested too deeply; allowed: at most 100 levels of objects and lists"
    )

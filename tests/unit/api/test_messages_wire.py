"""Chat answers as Anthropic's messages, whole and in events, and what the official client makes of them."""

from collections.abc import Callable
from typing import Any

import anthropic
import httpx
import orjson
import pytest

from gateway.api.messages_wire import MessagesWire
from gateway.errors import RequestFailed, UpstreamFailed
from gateway.relay.event import OPENED, Event, EventKind

HI: list[anthropic.types.MessageParam] = [{"role": "user", "content": "Hi"}]
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def a_wire(**changes: Any) -> MessagesWire:
    return MessagesWire(answer_id="msg_1", model="planner", **changes)


def a_chunk(delta: dict[str, Any] | None = None, *, finish: str | None = None, **more: Any) -> Event:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish, **more}
    chunk = {"id": "chatcmpl-1", "model": "ollama:qwen3:8b", "choices": [choice]}
    return Event(EventKind.CONTENT, chunk, finished=finish is not None)


def call(index: int | None, arguments: str = "", *, name: str | None = None, given: str | None = None) -> Event:
    function = {"arguments": arguments} | ({"name": name} if name else {})
    piece = {"index": index, "id": given, "function": function}
    return a_chunk({"tool_calls": [{key: value for key, value in piece.items() if value is not None}]})


def streamed(wire: MessagesWire, *events: Event, usage: dict[str, Any] | None = None) -> bytes:
    counted = None if usage is None else {"model": "ollama:qwen3:8b", "choices": [], "usage": usage}
    return b"".join(wire.events([event]) for event in events) + wire.ending(counted)


def names(data: bytes) -> list[str]:
    """The events in ``data``, deltas by their own type."""
    told = [orjson.loads(line.removeprefix(b"data: ")) for line in data.split(b"\n") if line.startswith(b"data: ")]
    return [one["delta"]["type"] if one["type"] == "content_block_delta" else one["type"] for one in told]


def a_client(answer: Callable[[], httpx.Response]) -> anthropic.Anthropic:
    transport = httpx.MockTransport(lambda _: answer())
    return anthropic.Anthropic(api_key="x", max_retries=0, http_client=httpx.Client(transport=transport))


def understood(data: bytes) -> anthropic.types.Message:
    """The message that the official client puts together from a stream."""
    headers = {"content-type": "text/event-stream"}
    client = a_client(lambda: httpx.Response(200, content=data, headers=headers))
    with client.messages.stream(model="planner", max_tokens=10, messages=HI) as stream:
        return stream.get_final_message()


def a_completion(finish: str | None = "stop", *, usage: Any = USAGE, **message: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return {"id": "chatcmpl-1", "model": "ollama:qwen3:8b", "choices": [choice], "usage": usage}


def whole(finish: str | None = "stop", *, usage: Any = USAGE, wire: MessagesWire | None = None, **message: Any) -> Any:
    return orjson.loads((wire or a_wire()).whole(a_completion(finish, usage=usage, **message)))


def a_tool_call(arguments: str, *, given: str | None = "call_1") -> dict[str, Any]:
    return {"id": given, "type": "function", "function": {"name": "weather", "arguments": arguments}}


def test_a_whole_answer_is_one_message() -> None:
    calls = [a_tool_call('{"city":"Oslo"}')]
    assert whole("tool_calls", content="Let me see", reasoning_content="Hm", tool_calls=calls) == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "ollama:qwen3:8b",
        "content": [
            {"type": "thinking", "thinking": "Hm", "signature": ""},
            {"type": "text", "text": "Let me see"},
            {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Oslo"}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 7, "output_tokens": 3},
    }


def test_the_client_takes_a_whole_answer() -> None:
    body = a_wire().whole(a_completion(content="Hello"))
    client = a_client(lambda: httpx.Response(200, content=body, headers={"content-type": "application/json"}))
    message = client.messages.create(model="planner", max_tokens=10, messages=HI)
    assert isinstance(message.content[0], anthropic.types.TextBlock)
    assert message.content[0].text == "Hello"
    assert (message.stop_reason, message.usage.input_tokens) == ("end_turn", 7)


def test_a_stream_tells_each_block_from_its_start_to_its_stop() -> None:
    data = streamed(
        a_wire(),
        OPENED,
        a_chunk({"role": "assistant", "content": ""}),
        a_chunk({"reasoning_content": "Hm", "reasoning": "Hm"}),
        a_chunk({"content": "Hel"}),
        a_chunk({"content": "lo"}),
        call(0, '{"city":', name="weather", given="call_1"),
        call(0, '"Oslo"}'),
        a_chunk(finish="tool_calls"),
        usage=USAGE,
    )
    assert names(data) == [
        "message_start",
        "content_block_start",
        "thinking_delta",
        "signature_delta",
        "content_block_stop",
        "content_block_start",
        "text_delta",
        "text_delta",
        "content_block_stop",
        "content_block_start",
        "ping",
        "ping",
        "input_json_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    message = understood(data)
    assert (message.id, message.model, message.stop_reason) == ("msg_1", "ollama:qwen3:8b", "tool_use")
    assert (message.usage.input_tokens, message.usage.output_tokens) == (7, 3)
    thinking, text, tool = message.content
    assert isinstance(thinking, anthropic.types.ThinkingBlock)
    assert isinstance(text, anthropic.types.TextBlock)
    assert isinstance(tool, anthropic.types.ToolUseBlock)
    assert (thinking.thinking, text.text) == ("Hm", "Hello")
    assert (tool.id, tool.name, tool.input) == ("call_1", "weather", {"city": "Oslo"})


def test_the_frames_are_named_events() -> None:
    wire = a_wire()
    assert wire.events([a_chunk({"content": "Hi"})]) == (
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant",'
        b'"model":"ollama:qwen3:8b","content":[],"stop_reason":null,"stop_sequence":null,'
        b'"usage":{"input_tokens":0,"output_tokens":0}}}\n\n'
        b"event: content_block_start\n"
        b'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n'
        b"event: content_block_delta\n"
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}\n\n'
    )
    assert wire.events([a_chunk(finish="stop")]) == b""
    assert wire.ending({"choices": [], "usage": USAGE}) == (
        b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
        b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},'
        b'"usage":{"output_tokens":3,"input_tokens":7}}\n\n'
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    )


def test_an_empty_answer_is_a_message_without_blocks() -> None:
    data = streamed(a_wire())
    assert names(data) == ["message_start", "message_delta", "message_stop"]
    message = understood(data)
    assert (message.content, message.model, message.stop_reason) == ([], "planner", "end_turn")
    assert whole(content="", usage=None)["content"] == []


def test_counts_that_upstream_did_not_give_are_zero_only_where_a_number_must_be() -> None:
    data = streamed(a_wire(), a_chunk({"content": "Hi"}, finish="stop"))
    assert b'"usage":{"output_tokens":0}}' in data
    assert whole(content="Hi", usage=None)["usage"] == {"input_tokens": 0, "output_tokens": 0}


def test_cached_tokens_are_counted_beside_the_others() -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 60},
        "completion_tokens_details": {"reasoning_tokens": 4},
        "cache_creation_input_tokens": 30,
    }
    expected = {
        "input_tokens": 10,
        "output_tokens": 9,
        "cache_read_input_tokens": 60,
        "cache_creation_input_tokens": 30,
        "output_tokens_details": {"thinking_tokens": 4},
    }
    assert whole(content="Hi", usage=usage)["usage"] == expected
    message = understood(streamed(a_wire(), a_chunk({"content": "Hi"}), usage=usage))
    assert message.usage.to_dict() == expected


@pytest.mark.parametrize(
    ("finish", "message", "reason"),
    [
        ("stop", {"content": "Hi"}, "end_turn"),
        ("length", {"content": "Hi"}, "max_tokens"),
        ("length", {"tool_calls": [a_tool_call("{")]}, "max_tokens"),
        ("tool_calls", {"tool_calls": [a_tool_call("{}")]}, "tool_use"),
        ("stop", {"tool_calls": [a_tool_call("{}")]}, "tool_use"),
        ("content_filter", {"content": "Hi"}, "refusal"),
        ("stop", {"refusal": "No"}, "refusal"),
        ("eos", {"content": "Hi"}, "end_turn"),
        (None, {"content": "Hi"}, "end_turn"),
    ],
)
def test_the_stop_reason_follows_from_the_finish(finish: str | None, message: dict[str, Any], reason: str) -> None:
    assert whole(finish, **message)["stop_reason"] == reason
    delta = {**message}
    if calls := delta.get("tool_calls"):
        delta["tool_calls"] = [{"index": 0, **calls[0]}]
    assert understood(streamed(a_wire(), a_chunk(delta), a_chunk(finish=finish))).stop_reason == reason


def test_a_stop_sequence_is_told_where_upstream_names_it() -> None:
    wire = a_wire(stops=["END"])
    message = understood(streamed(wire, a_chunk({"content": "Hi"}), a_chunk(finish="stop", stop_reason="END")))
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "END")
    other = understood(streamed(a_wire(), a_chunk({"content": "Hi"}), a_chunk(finish="stop", stop_reason="END")))
    assert (other.stop_reason, other.stop_sequence) == ("end_turn", None)


def test_a_refusal_is_text() -> None:
    assert whole(content=None, refusal="I will not")["content"] == [{"type": "text", "text": "I will not"}]
    (block,) = understood(streamed(a_wire(), a_chunk({"refusal": "I will not"}))).content
    assert isinstance(block, anthropic.types.TextBlock)
    assert block.text == "I will not"


def test_content_in_parts_is_thinking_and_text() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]},
        {"type": "text", "text": "Hello"},
    ]
    assert whole(content=parts)["content"] == [
        {"type": "thinking", "thinking": "Hm", "signature": ""},
        {"type": "text", "text": "Hello"},
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", {}),
        (" ", {}),
        ('{"a": 1}', {"a": 1}),
        ('{"a": 1', {"_raw": '{"a": 1'}),
        ("[1]", {"_raw": "[1]"}),
        ("Oslo", {"_raw": "Oslo"}),
        ('{"a": 1180591620717411303424}', {"a": 1180591620717411303424}),
    ],
)
def test_what_a_model_wrote_as_input_is_kept_whatever_it_is(arguments: str, expected: dict[str, Any]) -> None:
    (tool,) = understood(streamed(a_wire(), call(0, arguments, name="weather", given="call_1"))).content
    assert isinstance(tool, anthropic.types.ToolUseBlock)
    assert tool.input == expected
    body = a_wire().whole(a_completion(tool_calls=[a_tool_call(arguments)]))
    message = anthropic.types.Message.model_validate_json(body)
    assert isinstance(message.content[0], anthropic.types.ToolUseBlock)
    assert message.content[0].input == expected


def test_a_call_without_an_id_gets_one_made_from_the_answer() -> None:
    assert whole(tool_calls=[a_tool_call("{}", given=None)])["content"][0]["id"] == "toolu_1_0"
    assert b'"id":"toolu_1_0"' in streamed(a_wire(), call(None, "{}", name="weather"))


def test_calls_that_come_one_after_the_other_are_told_at_once() -> None:
    wire = a_wire()
    wire.events([call(0, '{"a":1}', name="f", given="x")])
    second = wire.events([call(1, '{"b":2}', name="g", given="y")])
    assert names(second) == ["input_json_delta", "content_block_stop", "content_block_start"]
    text = wire.events([a_chunk({"content": "Done"})])
    assert names(text) == ["input_json_delta", "content_block_stop", "content_block_start", "text_delta"]


def test_pieces_of_several_calls_may_come_in_any_order() -> None:
    data = streamed(
        a_wire(),
        call(0, "{", name="f", given="x"),
        call(1, "{", name="g", given="y"),
        a_chunk({"content": "Wait"}),
        a_chunk({"reasoning_content": "Hm"}),
        call(0, '"a":1}'),
        a_chunk({"reasoning_content": "!"}),
        call(1, '"b":2}'),
    )
    told = [block.to_dict() for block in understood(data).content]
    assert [(one["type"], one.get("input") or one.get("text") or one.get("thinking")) for one in told] == [
        ("tool_use", {"a": 1}),
        ("tool_use", {"b": 2}),
        ("text", "Wait"),
        ("thinking", "Hm!"),
    ]


def test_calls_without_an_index_are_told_apart_by_their_ids() -> None:
    data = streamed(
        a_wire(),
        call(None, "{", name="f", given="x"),
        call(None, "}"),
        call(None, "{}", name="g", given="y"),
    )
    assert [block.to_dict()["id"] for block in understood(data).content] == ["x", "y"]


def test_arguments_that_go_on_after_their_end_are_a_failure() -> None:
    wire = a_wire()
    wire.events([call(0, "{}", name="f"), call(1, "{}", name="g"), call(0, " ")])
    with pytest.raises(UpstreamFailed) as caught:
        wire.events([call(0, '{"a":1}')])
    assert str(caught.value) == "the arguments for the tool f went on after they were complete"


def test_an_eager_tool_is_told_piece_by_piece() -> None:
    wire = a_wire(eager_tools=frozenset({"weather"}))
    first = wire.events([call(0, '{"city":', name="weather", given="call_1")])
    assert names(first)[1:] == ["content_block_start", "input_json_delta"]
    assert names(wire.events([call(0, '"Oslo"}')])) == ["input_json_delta"]
    assert names(wire.ending(None)) == ["content_block_stop", "message_delta", "message_stop"]


def test_an_eager_tool_whose_input_is_no_object_is_told_at_the_end() -> None:
    wire = a_wire(eager_tools=frozenset({"weather"}))
    (tool,) = understood(streamed(wire, call(0, "Os", name="weather"), call(0, "lo"))).content
    assert isinstance(tool, anthropic.types.ToolUseBlock)
    assert tool.input == {"_raw": "Oslo"}


def a_failure() -> RequestFailed:
    return RequestFailed(
        "it broke off",
        code="stream_truncated",
        http_status=502,
        openai_type="api_error",
        source="upstream",
        attempts=(),
    )


def test_a_broken_answer_ends_with_an_error_event() -> None:
    wire = a_wire()
    begun = wire.events([a_chunk({"content": "Hi"})])
    failed = wire.failed(a_failure())
    assert failed == (
        b'event: error\ndata: {"type":"error","error":{"type":"api_error","code":"stream_truncated","source":"upstream",'
        b'"attempts":[],"message":"it broke off"},"request_id":null}\n\n'
    )
    with pytest.raises(anthropic.APIStatusError, match="it broke off"):
        understood(begun + failed)


def test_the_client_iterates_raw_events() -> None:
    data = streamed(a_wire(), a_chunk({"content": "Hi"}), a_chunk(finish="stop"), usage=USAGE)
    headers = {"content-type": "text/event-stream"}
    client = a_client(lambda: httpx.Response(200, content=data, headers=headers))
    with client.messages.create(model="planner", max_tokens=10, messages=HI, stream=True) as stream:
        assert [event.type for event in stream] == [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]

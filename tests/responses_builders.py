"""Chat chunks in, what the Responses wire makes of them out."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from gateway.api.responses import Responses
from gateway.errors import RolegateError
from gateway.relay.event import Event, EventKind
from gateway.relay.gather import Gathered
from gateway.relay.wire import AnswerWire

USAGE = {
    "prompt_tokens": 5,
    "completion_tokens": 7,
    "total_tokens": 12,
    "prompt_tokens_details": {"cached_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 3},
}


def a_wire(**request: Any) -> AnswerWire:
    """The wire of one request, with the same ids and time each time it is made."""
    dialect = Responses(new_id=lambda: "1f", now_s=lambda: 1_700_000_000.9)
    wire = dialect.asked(orjson.dumps({"model": "planner", "input": "Hi", **request})).wire
    assert wire is not None
    return wire


def a_chunk(
    delta: Mapping[str, Any] | None = None, *, finish: str | None = None, logprobs: Any = None
) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    if logprobs is not None:
        choice["logprobs"] = {"content": logprobs}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "llama3.1:8b",
        "choices": [choice],
    }


def a_call(piece: str = "", *, index: int | None = 0, call_id: str = "", name: str = "") -> dict[str, Any]:
    """A delta with one piece of one tool call."""
    function = {"arguments": piece, "name": name} if name else {"arguments": piece}
    call: dict[str, Any] = {"function": function}
    if index is not None:
        call["index"] = index
    if call_id:
        call |= {"id": call_id, "type": "function"}
    return {"tool_calls": [call]}


def told(frames: bytes) -> list[dict[str, Any]]:
    """The events in some frames, whose form is checked."""
    events: list[dict[str, Any]] = []
    for frame in frames.split(b"\n\n")[:-1]:
        first, second = frame.split(b"\n")
        event = orjson.loads(second.removeprefix(b"data: "))
        assert first == b"event: " + event["type"].encode()
        events.append(event)
    return events


def streamed(
    chunks: Sequence[Mapping[str, Any]],
    *,
    usage: Mapping[str, Any] | None = None,
    error: RolegateError | None = None,
    **request: Any,
) -> list[dict[str, Any]]:
    """Every event of an answer that is streamed."""
    return told(stream_of(chunks, usage=usage, error=error, **request))


def stream_of(
    chunks: Sequence[Mapping[str, Any]],
    *,
    usage: Mapping[str, Any] | None = None,
    error: RolegateError | None = None,
    **request: Any,
) -> bytes:
    wire = a_wire(stream=True, **request)
    frames = [wire.events([Event(EventKind.CONTENT, chunk)]) for chunk in chunks]
    if error is None:
        frames.append(wire.ending({**a_chunk(), "choices": [], "usage": usage} if usage else None))
    else:
        frames.append(wire.failed(error))
    return b"".join(frames)


def whole(
    chunks: Sequence[Mapping[str, Any]], *, usage: Mapping[str, Any] | None = None, **request: Any
) -> dict[str, Any]:
    """The same answer for a caller who does not stream."""
    gathered = Gathered()
    for chunk in chunks:
        gathered.add(chunk)
    if usage:
        gathered.add({**a_chunk(), "choices": [], "usage": usage})
    response: dict[str, Any] = orjson.loads(a_wire(**request).whole(gathered.completion()))
    return response

"""Laws of the wires: how bytes are split never matters, and translation loses nothing."""

from contextlib import suppress
from itertools import pairwise
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRequest, UpstreamFailed
from gateway.relay.classify import classify
from gateway.relay.gather import Gathered
from gateway.relay.lines import LineBuffer
from gateway.relay.ollama_wire import NativeReader, native_messages, native_request
from gateway.relay.openai_wire import ChunkReader
from gateway.relay.request import ChatRequest
from gateway.relay.sse import SseParser, frame, raw_frame

texts = st.text(max_size=20)
words = st.text(min_size=1, max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
stream_bytes = st.lists(
    st.sampled_from([b"\n", b"\r", b"\r\n", b"data: ", b"data:", b"data", b": c", b"event: e", b"x", b"{}", b" "]),
    max_size=40,
).map(b"".join)
cuts = st.lists(st.integers(0, 200), max_size=10)
calls = st.lists(st.tuples(words, st.dictionaries(texts, json_values, max_size=2)), max_size=3)


def pieces(data: bytes, where: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(data)) for cut in where), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def parsed(parts: list[bytes]) -> list[bytes]:
    parser = SseParser()
    return [event for part in parts for event in parser.feed(part)] + parser.finish()


@given(stream_bytes, cuts)
def test_sse_is_read_the_same_however_it_is_split(data: bytes, where: list[int]) -> None:
    assert parsed(pieces(data, where)) == parsed([data])


@given(st.binary(max_size=60), cuts)
def test_lines_are_the_same_however_they_are_split(data: bytes, where: list[int]) -> None:
    buffer = LineBuffer()
    lines = [line for part in pieces(data, where) for line in buffer.feed(part)]
    assert [*lines, buffer.rest()] == data.split(b"\n")


@given(st.lists(st.dictionaries(texts, json_values, max_size=3), max_size=4), cuts)
def test_what_is_encoded_is_parsed_back(chunks: list[dict[str, Any]], where: list[int]) -> None:
    data = b"".join(frame(chunk) for chunk in chunks)
    assert [orjson.loads(event) for event in parsed(pieces(data, where))] == chunks


@given(st.text(st.characters(exclude_characters="\r"), min_size=1).map(str.encode))
def test_raw_data_is_parsed_back(data: bytes) -> None:
    assert parsed([raw_frame(data)]) == [data]


@given(st.lists(texts, max_size=5), st.lists(texts, max_size=5), calls, st.sampled_from(["stop", "length"]))
def test_a_native_answer_is_gathered_whole(
    thoughts: list[str], content: list[str], asked: list[tuple[str, dict[str, Any]]], reason: str
) -> None:
    lines: list[dict[str, Any]] = [{"message": {"thinking": thought, "content": ""}} for thought in thoughts]
    lines += [{"message": {"content": text}} for text in content]
    native_calls = [{"function": {"name": name, "arguments": arguments}} for name, arguments in asked]
    lines.append({"message": {"content": "", "tool_calls": native_calls}})
    last = {"message": {"content": ""}, "done": True, "done_reason": reason, "prompt_eval_count": 2, "eval_count": 3}
    reader = NativeReader(answer_id="chatcmpl-1", created=1, model="m")
    whole = Gathered()
    for line in [*lines, last]:
        for event in reader.read(orjson.dumps(line)):
            assert event.chunk is not None
            whole.add(event.chunk)
    choice: Any = whole.completion()["choices"][0]  # type: ignore[index]
    message = choice["message"]
    assert (message["content"] or "") == "".join(content)
    assert message.get("reasoning", "") == "".join(thoughts)
    told = message.get("tool_calls", [])
    assert [(one["function"]["name"], orjson.loads(one["function"]["arguments"])) for one in told] == asked
    assert len({one["id"] for one in told}) == len(told)
    assert choice["finish_reason"] == ("tool_calls" if asked and reason == "stop" else reason)


@given(calls)
def test_a_tool_call_that_comes_back_as_history_is_what_the_model_said(asked: list[tuple[str, dict[str, Any]]]) -> None:
    native_calls = [{"function": {"name": name, "arguments": arguments}} for name, arguments in asked]
    reader = NativeReader(answer_id="chatcmpl-1", created=1, model="m")
    whole = Gathered()
    for event in reader.read(orjson.dumps({"message": {"content": "", "tool_calls": native_calls}})):
        assert event.chunk is not None
        whole.add(event.chunk)
    message: Any = whole.completion()["choices"][0]["message"]  # type: ignore[index]
    results = [{"role": "tool", "tool_call_id": one["id"], "content": "done"} for one in message.get("tool_calls", [])]
    told = native_messages([message, *results], thinks=False)
    assert [one["function"] for one in told[0].get("tool_calls", [])] == [one["function"] for one in native_calls]  # type: ignore[attr-defined]
    assert [one["tool_name"] for one in told[1:]] == [name for name, _ in asked]


@given(st.binary(max_size=200) | json_values.map(orjson.dumps))
def test_no_line_and_no_event_is_too_odd(data: bytes) -> None:
    for read in (
        NativeReader(answer_id="a", created=1, model="m").read,
        ChunkReader(answer_id="a", created=1, model="m", keyed=False).read,
    ):
        with suppress(UpstreamFailed):
            read(data)


@given(st.sampled_from([None, 200, 400, 401, 404, 429, 500, 503]), st.binary(max_size=100) | json_values)
def test_every_refusal_has_a_class(status: int | None, body: object) -> None:
    assert classify(status=status, body=body, keyed=True).failure


FIELDS = (
    "messages",
    "tools",
    "tool_choice",
    "response_format",
    "stop",
    "stream",
    "temperature",
    "max_tokens",
    "reasoning",
)
odd_messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "tool", "system"])},
        optional={
            "content": json_values | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": json_values})),
            "tool_calls": json_values | st.lists(st.fixed_dictionaries({"function": json_values}), max_size=2),
            "tool_call_id": json_values,
            "name": json_values,
            "reasoning": json_values,
        },
    ),
    max_size=3,
)


@given(odd_messages, st.dictionaries(st.sampled_from(FIELDS[1:]), json_values, max_size=4))
def test_a_request_is_refused_or_can_be_translated(messages: list[dict[str, Any]], fields: dict[str, Any]) -> None:
    body = orjson.dumps({"model": "m", "messages": messages, **fields})
    with suppress(BadRequest):
        request = ChatRequest.parse(body)
        assert request.needs.most_prompt_tokens >= request.needs.prompt_tokens
        native_request(request.body, model="m", context_tokens=4096, thinks=True)

"""Chunks from any OpenAI-wire server, mended where needed, and whole answers made of them."""

from typing import Any

import orjson
import pytest

from gateway.domain.failure import FailureClass
from gateway.errors import UpstreamFailed
from gateway.relay.event import Event, EventKind
from gateway.relay.gather import Gathered
from gateway.relay.openai_wire import ChunkReader
from gateway.relay.sse import SseParser

HEAD = {"id": "up-1", "object": "chat.completion.chunk", "created": 7, "model": "m"}


def a_reader() -> ChunkReader:
    return ChunkReader(answer_id="ours", created=1, model="m", keyed=False)


def chunk(delta: dict[str, Any], *, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def read(reader: ChunkReader, *chunks: dict[str, Any]) -> list[Event]:
    return [event for one in chunks for event in reader.read(orjson.dumps(one))]


def gathered(*chunks: dict[str, Any]) -> dict[str, Any]:
    whole = Gathered()
    for one in chunks:
        whole.add(one)
    return whole.completion()


def test_a_chunk_that_is_as_it_should_be_goes_on_byte_for_byte() -> None:
    reader = a_reader()
    read(reader, chunk({"role": "assistant", "content": ""}))
    data = b'{"id":"up-1","object":"chat.completion.chunk","created":7,"model":"m",   "choices":[{"delta":{"content":"a"}}]}'
    (event,) = reader.read(data)
    assert event.frame == b"data: " + data + b"\n\n"
    assert event.kind is EventKind.CONTENT


def test_another_model_name_or_id_is_mended() -> None:
    events = read(a_reader(), chunk({"role": "assistant"}), chunk({"content": "a"}, model="/models/x.gguf", id="up-2"))
    assert events[1].frame == b""
    assert events[1].chunk is not None
    assert (events[1].chunk["id"], events[1].chunk["model"]) == ("up-1", "m")


def test_the_role_is_added_to_a_first_delta_that_lacks_it() -> None:
    events = read(a_reader(), chunk({"content": "a"}), chunk({"content": "b"}))
    assert events[0].chunk == chunk({"role": "assistant", "content": "a"})
    assert events[1].chunk == chunk({"content": "b"})


def test_counts_beside_the_finish_come_in_a_chunk_of_their_own() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    events = read(a_reader(), chunk({"content": "a"}), chunk({}, finish="stop", usage=usage))
    assert [event.kind for event in events] == [EventKind.CONTENT, EventKind.FINISH, EventKind.USAGE]
    assert events[1].chunk is not None
    assert "usage" not in events[1].chunk
    assert events[2].chunk == {**HEAD, "choices": [], "usage": usage}


def test_there_is_one_finish() -> None:
    events = read(a_reader(), chunk({"content": "a"}, finish="stop"), chunk({}, finish="stop"))
    assert [event.finished for event in events] == [True]


def test_what_comes_after_done_is_not_read() -> None:
    reader = a_reader()
    assert reader.read(b" [DONE]") == []
    assert reader.done
    assert read(reader, chunk({"content": "a"})) == []


def test_what_cannot_be_read_is_counted_and_skipped() -> None:
    reader = a_reader()
    for data in (b"{", b"5", b"{}", b'{"choices":[1]}', b'{"choices":{}}'):
        assert reader.read(data) == []
    assert reader.skipped == 5


def test_an_error_event_is_a_failure() -> None:
    with pytest.raises(UpstreamFailed, match="no more"):
        a_reader().read(b'{"error":{"message":"no more"}}')


@pytest.mark.parametrize("key", ["content", "reasoning_content", "reasoning", "refusal", "tool_calls"])
def test_any_delta_that_says_something_is_content(key: str) -> None:
    value: object = [{"index": 0, "function": {"name": "f"}}] if key == "tool_calls" else "x"
    assert read(a_reader(), chunk({key: value}))[0].kind is EventKind.CONTENT
    assert read(a_reader(), chunk({key: None}))[0].kind is EventKind.OPENING


def test_a_whole_answer_is_put_together_from_its_deltas() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    entry = {"token": "a", "logprob": -0.1}
    said = gathered(
        chunk({"role": "assistant", "content": ""}, system_fingerprint="fp"),
        chunk({"reasoning_content": "h", "reasoning": "h"}),
        chunk({"reasoning_content": "m", "reasoning": "m"}),
        {**HEAD, "choices": [{"index": 0, "delta": {"content": "a"}, "logprobs": {"content": [entry]}}]},
        {**HEAD, "choices": [{"index": 0, "delta": {"content": "b"}, "logprobs": {"content": [entry]}}]},
        chunk({}, finish="length"),
        {**HEAD, "choices": [], "usage": usage},
    )
    message = {"role": "assistant", "content": "ab", "refusal": None, "reasoning_content": "hm", "reasoning": "hm"}
    logprobs = {"content": [entry, entry]}
    assert said == {
        **HEAD,
        "object": "chat.completion",
        "system_fingerprint": "fp",
        "choices": [{"index": 0, "message": message, "logprobs": logprobs, "finish_reason": "length"}],
        "usage": usage,
    }


def test_unknown_counts_are_left_out() -> None:
    assert "usage" not in gathered(chunk({"content": "a"}, finish="stop", usage=None))


def test_tool_calls_are_joined_by_index() -> None:
    said = gathered(
        chunk(
            {"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]}
        ),
        chunk({"tool_calls": [{"index": 1, "id": "b", "function": {"name": "g", "arguments": "{"}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),
        chunk({"tool_calls": [{"index": 1, "function": {"arguments": "}"}}]}),
        chunk({}, finish="tool_calls"),
    )
    message = said["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"] == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]


def test_tool_calls_without_an_index_are_told_apart_by_their_ids() -> None:
    said = gathered(
        chunk({"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{"}}]}),
        chunk({"tool_calls": [{"function": {"arguments": "}"}}]}),
        chunk({"tool_calls": [{"id": "b", "function": {"name": "g", "arguments": "{}"}}]}),
    )
    calls = said["choices"][0]["message"]["tool_calls"]
    assert [(one["id"], one["function"]["arguments"]) for one in calls] == [("a", "{}"), ("b", "{}")]


def test_an_answer_without_a_word_has_empty_content() -> None:
    assert gathered(chunk({"role": "assistant"}, finish="stop"))["choices"][0]["message"]["content"] == ""


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_events_are_read_with_any_line_end(end: bytes) -> None:
    stream = end.join(
        [b": hello", b"event: x", b"data: a", b"data:b", b"", b"id: 1", b"data", b"", b"data: c", b"", b""]
    )
    parser = SseParser()
    assert parser.feed(stream) + parser.finish() == [b"a\nb", b"", b"c"]


def test_a_byte_order_mark_and_a_missing_last_blank_line_do_no_harm() -> None:
    parser = SseParser()
    assert parser.feed(b"\xef\xbb\xbfdata: a\n\ndata: b") == [b"a"]
    assert parser.finish() == [b"b"]


@pytest.mark.parametrize("reason", ["abort", "error"])
def test_a_finish_that_is_none_is_a_cut_answer(reason: str) -> None:
    reader = a_reader()
    reader.read(orjson.dumps({"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}]}))
    with pytest.raises(UpstreamFailed) as caught:
        reader.read(orjson.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}))
    assert caught.value.failure == FailureClass.TRUNCATED
    assert caught.value.message == f'upstream broke off its answer (finish_reason "{reason}")'

"""Text completions as OpenAI's clients get them."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from openai.types import Completion

from gateway.api.completions import Completions, CompletionWire
from gateway.api.dialect import Dialect
from gateway.errors import BadRequest, UpstreamFailed
from gateway.relay.event import OPENED, Event, EventKind
from gateway.relay.gather import Gathered
from gateway.relay.sse import DONE, SseParser

HEAD: Mapping[str, object] = {"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 5, "model": "m"}
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


def wire(*, include_usage: bool = False) -> CompletionWire:
    return CompletionWire(include_usage=include_usage)


def event(delta: object, *, finish: str | None = None, kind: EventKind = EventKind.CONTENT, **more: object) -> Event:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, **more}
    return Event(kind, {**HEAD, "choices": [choice]}, finished=finish is not None)


def entry(token: str, *others: str) -> dict[str, object]:
    tops = [{"token": one, "logprob": -0.5 * n, "bytes": None} for n, one in enumerate((token, *others))]
    return {"token": token, "logprob": -0.25, "bytes": list(token.encode()), "top_logprobs": tops if others else []}


def told(frames: bytes) -> list[Any]:
    return [orjson.loads(data) for data in SseParser().feed(frames) if data != b"[DONE]"]


def whole(*events: Event) -> Completion:
    gathered = Gathered()
    for one in events:
        assert one.chunk is not None
        gathered.add(one.chunk)
    return Completion.model_validate(orjson.loads(wire().whole(gathered.completion())), strict=True)


def test_a_request_becomes_an_inquiry_and_the_wire_for_its_answer() -> None:
    dialect: Dialect = Completions()
    asked = dialect.asked(b'{"model":"writer","prompt":"Once","stream_options":{"include_usage":true}}')
    assert (dialect.name, asked.inquiry.model, asked.inquiry.body["prompt"]) == ("completions", "writer", "Once")
    assert asked.wire is not None
    assert asked.wire.ending({**HEAD, "choices": [], "usage": USAGE}) != DONE


def test_a_refusal_has_the_shape_of_every_error() -> None:
    with pytest.raises(BadRequest) as caught:
        Completions().asked(b'{"model":"writer"}')
    assert orjson.loads(Completions().error(caught.value, request_id="req-1"))["error"]["param"] == "prompt"


def test_a_whole_answer_is_what_openai_clients_expect() -> None:
    counted = Event(EventKind.USAGE, {**HEAD, "choices": [], "usage": USAGE})
    completion = whole(event({"content": "Hi"}), event({"content": "!"}), event({}, finish="stop"), counted)
    assert (completion.id, completion.object, completion.created, completion.model) == (
        "cmpl-7",
        "text_completion",
        5,
        "m",
    )
    assert [one.model_dump() for one in completion.choices] == [
        {"finish_reason": "stop", "index": 0, "logprobs": None, "text": "Hi!"}
    ]
    assert completion.usage is not None
    assert completion.usage.total_tokens == 3


def test_an_answer_without_words_has_an_empty_text() -> None:
    assert whole(event({"role": "assistant"}), event({}, finish="length")).choices[0].text == ""


def test_a_streamed_answer_is_what_openai_clients_expect() -> None:
    one = wire(include_usage=True)
    frames = one.events([OPENED, event({"role": "assistant", "content": ""}, kind=EventKind.OPENING)])
    assert frames == b""
    frames = one.events([event({"content": "Hi"}), event({"content": "!"})])
    frames += one.events([event({}, finish="length", kind=EventKind.FINISH)])
    frames += one.ending({**HEAD, "choices": [], "usage": USAGE})
    assert frames.endswith(DONE)
    chunks = told(frames)
    assert [Completion.model_construct(**chunk).object for chunk in chunks] == ["text_completion"] * 4
    assert [chunk["choices"] for chunk in chunks] == [
        [{"text": "Hi", "index": 0, "logprobs": None, "finish_reason": None}],
        [{"text": "!", "index": 0, "logprobs": None, "finish_reason": None}],
        [{"text": "", "index": 0, "logprobs": None, "finish_reason": "length"}],
        [],
    ]
    assert {chunk["id"] for chunk in chunks} == {"cmpl-7"}
    assert [chunk.get("usage") for chunk in chunks] == [None, None, None, USAGE]


def test_token_counts_come_only_when_they_are_asked_for_and_known() -> None:
    assert wire().ending({**HEAD, "choices": [], "usage": USAGE}) == DONE
    assert wire(include_usage=True).ending(None) == DONE


def test_an_id_that_is_one_already_stays() -> None:
    chunk = {**HEAD, "id": "cmpl-upstream", "choices": [{"index": 0, "delta": {"content": "Hi"}}]}
    assert told(wire().events([Event(EventKind.CONTENT, chunk)]))[0]["id"] == "cmpl-upstream"


def test_a_frame_of_a_chat_is_written_anew() -> None:
    content = event({"content": "Hi"})
    passed_on = content._replace(frame=b"data: {}\n\n")
    assert wire().events([passed_on]) == wire().events([content])


def test_thoughts_are_left_out() -> None:
    thought = event({"reasoning_content": "hm", "reasoning": "hm"})
    assert wire().events([thought]) == b""
    assert whole(thought, event({"content": "Hi"}), event({}, finish="stop")).choices[0].text == "Hi"


def test_log_probabilities_of_a_chat_become_lists() -> None:
    entries = [entry("He", "Ha"), entry("llo", "y")]
    completion = whole(
        event({"content": "He"}, logprobs={"content": entries[:1]}),
        event({"content": "llo"}, logprobs={"content": entries[1:]}),
        event({}, finish="stop"),
    )
    logprobs = completion.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.model_dump() == {
        "text_offset": [0, 2],
        "token_logprobs": [-0.25, -0.25],
        "tokens": ["He", "llo"],
        "top_logprobs": [{"He": 0.0, "Ha": -0.5}, {"llo": 0.0, "y": -0.5}],
    }


def test_offsets_go_on_from_chunk_to_chunk() -> None:
    one = wire()
    frames = one.events([event({"content": "He"}, logprobs={"content": [entry("He")]})])
    frames += one.events([event({"content": "llo"}, logprobs={"content": [entry("llo")]})])
    logprobs = [chunk["choices"][0]["logprobs"] for chunk in told(frames)]
    assert [(one["text_offset"], one["top_logprobs"]) for one in logprobs] == [([0], None), ([2], None)]


def test_log_probabilities_without_text_are_passed_on() -> None:
    opening = event({"content": ""}, kind=EventKind.OPENING, logprobs={"content": [entry("\ufffd")]})
    assert told(wire().events([opening]))[0]["choices"][0]["logprobs"]["tokens"] == ["\ufffd"]


def test_log_probabilities_of_a_text_completion_stay_as_they_are() -> None:
    given = {"tokens": ["Hi"], "token_logprobs": [-0.1], "top_logprobs": [{"Hi": -0.1}], "text_offset": [9], "more": 1}
    frames = wire().events([event({"content": "Hi"}, logprobs=given)])
    assert told(frames)[0]["choices"][0]["logprobs"] == given
    logprobs = whole(event({"content": "Hi"}, logprobs=given), event({}, finish="stop")).choices[0].logprobs
    assert logprobs is not None
    assert (logprobs.tokens, logprobs.text_offset) == (["Hi"], [9])


@pytest.mark.parametrize("given", [None, 5, [], {}, {"content": None}, {"content": "x"}])
def test_what_are_no_log_probabilities_are_none(given: object) -> None:
    frames = wire().events([event({"content": "Hi"}, logprobs=given)])
    assert told(frames)[0]["choices"][0]["logprobs"] is None


def test_text_in_parts_is_one_text() -> None:
    parts = [{"type": "text", "text": "Hi"}, {"type": "thinking"}, 5, {"text": None}, {"text": "!"}]
    assert told(wire().events([event({"content": parts})]))[0]["choices"][0]["text"] == "Hi!"


@pytest.mark.parametrize(
    ("given", "shown"),
    [("tool_calls", "stop"), ("function_call", "stop"), ("length", "length"), ("content_filter", "content_filter")],
)
def test_an_end_is_one_that_a_text_completion_can_have(given: str, shown: str) -> None:
    assert told(wire().events([event({}, finish=given)]))[0]["choices"][0]["finish_reason"] == shown


def test_an_answer_that_breaks_off_says_so_and_does_not_end() -> None:
    frames = wire().failed(UpstreamFailed("gone silent", failure="stall"))
    assert told(frames)[0]["error"]["message"] == "gone silent"
    assert DONE not in frames

"""Text completions of OpenAI-wire servers, read as chats."""

from typing import Any

import httpx
import orjson
import pytest

from fakes.replies import Reply
from fakes.upstream import FakeUpstream
from gateway.domain.failure import FailureClass
from gateway.errors import UpstreamFailed
from gateway.relay.event import Event, EventKind
from gateway.relay.openai_text import TextReader, refused_text
from gateway.relay.openai_wire import chunk_of
from gateway.relay.sse import SseParser


def reader() -> TextReader:
    return TextReader(answer_id="chatcmpl-1", created=5, model="m", keyed=False)


def chunk(*choices: object, **more: object) -> bytes:
    head = {"id": "cmpl-9", "object": "text_completion", "created": 7, "model": "upstream"}
    return orjson.dumps({**head, "choices": list(choices), **more})


def text(said: object, *, finish: str | None = None, **more: object) -> dict[str, object]:
    return {"index": 0, "text": said, "finish_reason": finish, **more}


def choices(events: list[Event]) -> list[Any]:
    return [choice for event in events if event.chunk for choice in event.chunk["choices"]]  # type: ignore[attr-defined]


async def heard(fake: FakeUpstream, **body: Any) -> tuple[TextReader, list[Event]]:
    one, parser = reader(), SseParser()
    async with httpx.AsyncClient(trust_env=False) as client:
        asked = {"model": "gpt-4o-mini", "prompt": "Once", **body}
        data = (await client.post(f"{fake.base_url}/completions", json=asked)).content
    if body.get("stream"):
        return one, [event for piece in parser.feed(data) for event in one.read(piece)]
    return one, one.chunk(chunk_of(orjson.loads(data)))


def test_texts_become_deltas_under_upstreams_id() -> None:
    one = reader()
    events = [event for data in (chunk(text("Hi")), chunk(text("", finish="stop"))) for event in one.read(data)]
    assert [event.kind for event in events] == [EventKind.CONTENT, EventKind.FINISH]
    assert events[0].chunk == {
        "id": "cmpl-9",
        "object": "chat.completion.chunk",
        "created": 7,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": None, "delta": {"role": "assistant", "content": "Hi"}}],
    }
    assert one.finished
    assert not any(event.frame for event in events)


def test_log_probabilities_stay_as_they_are() -> None:
    logprobs = {"tokens": ["Hi"], "token_logprobs": [-0.1], "top_logprobs": [{"Hi": -0.1}], "text_offset": [0]}
    events = reader().read(chunk(text("Hi", logprobs=logprobs)))
    assert choices(events)[0]["logprobs"] == logprobs


def test_token_counts_in_the_last_chunk_come_after_it() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    events = reader().read(chunk(text("Hi", finish="stop"), usage=usage))
    assert [event.kind for event in events] == [EventKind.CONTENT, EventKind.USAGE]
    assert events[0].finished
    assert events[1].chunk is not None
    assert events[1].chunk["usage"] == usage


@pytest.mark.parametrize("said", [5, ["Hi"], {"text": "Hi"}, False])
def test_a_text_that_is_none_is_skipped(said: object) -> None:
    one = reader()
    assert one.read(chunk(text(said))) == []
    assert one.skipped == 1


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"choices":5}', b'{"choices":[5]}', b"{}"])
def test_a_chunk_that_cannot_be_read_is_skipped(data: bytes) -> None:
    one = reader()
    assert one.read(data) == []
    assert one.skipped == 1


def test_no_text_beside_a_finish_is_the_finish() -> None:
    assert [event.kind for event in reader().read(chunk(text(None, finish="length")))] == [EventKind.FINISH]


def test_an_error_event_is_that_error() -> None:
    with pytest.raises(UpstreamFailed, match="slow down") as caught:
        reader().read(b'{"error":{"message":"slow down","type":"rate_limit_error"}}')
    assert caught.value.failure == FailureClass.RATE_LIMIT


async def test_a_streamed_text_is_heard_to_its_end() -> None:
    async with FakeUpstream() as fake:
        fake.say("", Reply(content=("upon", " a time")))
        one, events = await heard(fake, stream=True, stream_options={"include_usage": True}, logprobs=2)
    assert [event.kind for event in events] == [
        EventKind.CONTENT,
        EventKind.CONTENT,
        EventKind.FINISH,
        EventKind.USAGE,
    ]
    assert [choice["logprobs"]["text_offset"] for choice in choices(events)[:2]] == [[0], [4]]
    assert (one.finished, one.done) == (True, True)


async def test_a_whole_text_is_heard_as_one_chunk() -> None:
    async with FakeUpstream() as fake:
        fake.say("", Reply(content=("upon", " a time")))
        one, events = await heard(fake)
    assert [event.kind for event in events] == [EventKind.CONTENT, EventKind.USAGE]
    assert choices(events)[0]["delta"]["content"] == "upon a time"
    assert one.finished


@pytest.mark.parametrize(
    ("status", "failure", "words"),
    [
        (404, FailureClass.GONE, "This is a chat model and not supported in the v1/completions endpoint."),
        (404, FailureClass.GONE, "Not Found"),
        (405, FailureClass.UPSTREAM_ERROR, "Method Not Allowed"),
    ],
)
def test_where_texts_are_not_completed_the_model_is_not_gone(status: int, failure: FailureClass, words: str) -> None:
    seen = refused_text(UpstreamFailed(words, failure=failure, status=status))
    assert (seen.failure, seen.status) == (FailureClass.CAPABILITY, status)
    assert seen.message == f"does not complete texts, it may only chat: {words}"


@pytest.mark.parametrize(
    ("status", "failure", "words"),
    [
        (404, FailureClass.GONE, "The model `x` does not exist"),
        (404, FailureClass.GONE, 'model "x" not found'),
        (500, FailureClass.UPSTREAM_ERROR, "Not Found"),
        (None, FailureClass.TRANSPORT, "no connection"),
    ],
)
def test_any_other_refusal_is_what_it_was(status: int | None, failure: FailureClass, words: str) -> None:
    failed = UpstreamFailed(words, failure=failure, status=status)
    assert refused_text(failed) is failed

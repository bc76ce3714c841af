"""An answer that comes whole, for a caller who wants it whole: what is known from the one before changes nothing of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UpstreamFailed
from gateway.relay.batch import read_batch
from gateway.relay.gather import Gathered
from gateway.relay.moulds import Moulds
from gateway.relay.openai_wire import ChunkReader
from gateway.relay.sse import SseParser


class Heard:
    """What comes of an answer that is read in one piece, event by event where nothing is remembered."""

    def __init__(self, data: bytes, *, moulds: Moulds | None) -> None:
        parser = SseParser()
        self.reader = ChunkReader(
            answer_id="own", created=7, model="m", keyed=False, framing=False, moulds=moulds, model_key="m"
        )
        self.failed: UpstreamFailed | None = None
        if moulds is not None:
            events, self.failed = read_batch(data, splitter=parser, reader=self.reader, whose="upstream")
        else:
            events = []
            for piece in parser.feed(data):
                try:
                    events += self.reader.read(piece)
                except UpstreamFailed as failed:
                    self.failed = failed
                    break
        self.events = len(events)
        gathered = Gathered()
        whole: Mapping[str, object] | None = None
        for event in events:
            if event.whole:
                whole = event.chunk
            elif event.text:
                gathered.say(event.text)
            elif event.chunk is not None:
                gathered.add(event.chunk)
        self.completion = gathered.completion() if whole is None else whole

    @property
    def outcome(self) -> tuple[Any, ...]:
        failed = None if self.failed is None else (self.failed.failure, self.failed.message)
        return self.completion, failed, self.reader.finished, self.reader.done


def told(
    texts: Sequence[str],
    *,
    head: Mapping[str, Any],
    opening: Mapping[str, Any],
    finish: Mapping[str, Any],
    usage: Mapping[str, Any] | None,
    spaced: bool,
) -> list[bytes]:
    """The events of an answer, as a server sends them that writes its JSON with spaces or without."""

    def chunk(choices: list[Any], **more: Any) -> bytes:
        said = {**head, "object": "chat.completion.chunk", "choices": choices, **more}
        data = orjson.dumps(said)
        return b"data: " + (data.replace(b'":', b'": ') if spaced else data) + b"\n\n"

    def choice(delta: Mapping[str, Any], reason: Any) -> list[Any]:
        return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]

    events = [chunk(choice(opening, None)), *(chunk(choice({"content": text}, None)) for text in texts)]
    events.append(chunk([{**choice({}, "stop")[0], **finish}]))
    if usage is not None:
        events.append(chunk([], usage=usage))
    return [*events, b"data: [DONE]\n\n"]


texts = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
    | st.sampled_from([" lorem", '"', "\\", '"}', '"content":', '"delta":{"content":', "\u2028", "\n\n", "data: "]),
    max_size=8,
)
heads = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["x", "chatcmpl-1", "chatcmpl-22", "1", 'a"b', "", None]),
        "created": st.sampled_from([1, 17, 1_700_000_000, 0, None, "1"]),
        "model": st.sampled_from(["m", "m", "m", "other"]),
    },
    optional={"system_fingerprint": st.sampled_from(["fp", "fp", None]), "usage": st.none()},
)
openings = st.sampled_from(
    [
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": "So"},
        {"role": "assistant", "content": None},
        {"role": "assistant"},
        {"content": "So"},
        {},
        {"role": "assistant", "content": ["So"]},
        {"role": "assistant", "reasoning_content": "hm"},
        {"role": "assistant", "tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]},
    ]
)
finishes = st.sampled_from(
    [
        {},
        {},
        {"finish_reason": "length"},
        {"finish_reason": "error"},
        {"delta": {"content": ""}},
        {"delta": {"content": "."}},
        {"stop_reason": "x"},
        {"index": 1},
        {"logprobs": {"content": []}},
    ]
)
usages = st.sampled_from(
    [
        None,
        {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
        {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
        {"prompt_tokens": -1},
        {},
    ]
)
answers = st.fixed_dictionaries({"head": heads, "opening": openings, "finish": finishes, "usage": usages})


@given(before=answers, after=answers, said=texts, says=texts, alike=st.booleans(), spaced=st.booleans())
def test_what_is_known_of_one_answer_changes_nothing_of_the_next(
    before: dict[str, Any], after: dict[str, Any], said: list[str], says: list[str], alike: bool, spaced: bool
) -> None:
    if alike:
        after = {**before, "head": {**before["head"], "id": after["head"]["id"]}, "usage": after["usage"]}
    moulds = Moulds()
    Heard(b"".join(told(said, **before, spaced=spaced)), moulds=moulds)
    data = b"".join(told(says, **after, spaced=spaced))
    assert Heard(data, moulds=moulds).outcome == Heard(data, moulds=None).outcome


@given(answer=answers, said=texts, says=texts, more=st.data(), spaced=st.booleans())
def test_an_answer_that_is_spoilt_comes_to_the_same(
    answer: dict[str, Any], said: list[str], says: list[str], more: st.DataObject, spaced: bool
) -> None:
    moulds = Moulds()
    Heard(b"".join(told(said, **answer, spaced=spaced)), moulds=moulds)
    events = told(says, **answer, spaced=spaced)
    at = more.draw(st.integers(0, len(events) - 1))
    place = more.draw(st.integers(0, len(events[at])))
    match more.draw(st.sampled_from(["drop", "double", "bytes", "flip", "swap"])):
        case "drop":
            del events[at]
        case "double":
            events.insert(at, events[at])
        case "bytes":
            events[at] = events[at][:place] + more.draw(st.binary(max_size=4)) + events[at][place:]
        case "flip":
            events[at] = events[at][:place] + bytes([more.draw(st.integers(0, 255))]) + events[at][place + 1 :]
        case _:
            events[at - 1], events[at] = events[at], events[at - 1]
    data = b"".join(events)
    assert Heard(data, moulds=moulds).outcome == Heard(data, moulds=None).outcome


@pytest.mark.parametrize("opening", [{"role": "assistant", "content": ""}, {"role": "assistant", "content": "So"}])
@pytest.mark.parametrize("spaced", [False, True])
def test_an_answer_like_the_last_is_read_as_one_event(opening: Mapping[str, Any], spaced: bool) -> None:
    moulds, usage = Moulds(), {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    heard = []
    for answer_id in ("chatcmpl-1", "chatcmpl-22", "chatcmpl-333"):
        head = {"id": answer_id, "created": 1_700_000_000, "model": "m"}
        events = told([" it", " is", " so"], head=head, opening=opening, finish={}, usage=usage, spaced=spaced)
        heard.append(Heard(b"".join(events), moulds=moulds))
    assert [one.events for one in heard[1:]] == [1, 1]
    for one, answer_id in zip(heard, ("chatcmpl-1", "chatcmpl-22", "chatcmpl-333"), strict=True):
        message = one.completion["choices"]
        assert isinstance(message, list)
        assert message[0]["message"]["content"] == f"{opening['content']} it is so"
        assert (one.completion["id"], one.completion["usage"]) == (answer_id, usage)


def test_text_that_is_found_without_reading_its_chunk_counts_as_said() -> None:
    head = {"id": "x", "created": 1, "model": "m"}
    events = told(["", "", "so"], head=head, opening={"role": "assistant"}, finish={}, usage=None, spaced=False)
    heard = Heard(b"data: {not JSON\n\n" + b"".join(events[1:]), moulds=Moulds())
    assert heard.failed is None
    assert (heard.reader.skipped, heard.reader.finished) == (1, True)

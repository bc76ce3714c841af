"""Whatever upstream sends: however split it is read the same, spoilt it fails as upstream does, cut short it never ends well."""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz_bodies import bent
from gateway.api.chat import Chat
from gateway.api.completions import Completions
from gateway.api.dialect import Dialect
from gateway.api.messages import Messages
from gateway.api.responses import Responses
from gateway.domain.failure import FailureClass
from gateway.errors import RequestFailed, UpstreamFailed
from gateway.relay.batch import read_batch
from gateway.relay.event import Event
from gateway.relay.gather import Gathered
from gateway.relay.lines import LineBuffer
from gateway.relay.ollama_generate import GenerateReader
from gateway.relay.ollama_wire import NativeReader
from gateway.relay.openai_text import TextReader
from gateway.relay.openai_wire import ChunkReader
from gateway.relay.outgoing import Outgoing
from gateway.relay.sse import SseParser

both_forms = pytest.mark.parametrize("form", ["short", pytest.param("long", marks=pytest.mark.soak)])
DIALECTS: Final[Mapping[str, tuple[Dialect, bytes]]] = {
    "chat": (Chat(), b'{"model": "m", "stream": true, "messages": [{"role": "user", "content": "Hi"}]}'),
    "completions": (Completions(), b'{"model": "m", "stream": true, "prompt": "Hi"}'),
    "responses": (Responses(), b'{"model": "m", "stream": true, "input": "Hi"}'),
    "messages": (
        Messages(),
        b'{"model": "m", "stream": true, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}',
    ),
}
WIRES: Final = ("openai chat", "openai text", "ollama chat", "ollama text")


class Hearing:
    """One answer read to its end, as the lanes do it. ``failed`` is what ended it, ``ended_well`` that it came to its finish."""

    def __init__(self, wire: str, pieces: Sequence[bytes]) -> None:
        names: dict[str, Any] = {"answer_id": "chatcmpl-1", "created": 1, "model": "m", "keyed": False}
        self.events: list[Event] = []
        self.failed: UpstreamFailed | None = None
        self.ended_well = False
        if wire.startswith("openai"):
            chunks = ChunkReader(**names) if wire == "openai chat" else TextReader(**names)
            parser = SseParser()
            self._read(pieces, split=parser.feed, read=chunks.data)
            if self.failed is None:
                with suppress(UpstreamFailed):
                    for rest in parser.finish():
                        self.events += chunks.data(rest)
                    self.ended_well = chunks.finished
        else:
            lines = NativeReader(**names) if wire == "ollama chat" else GenerateReader(**names)
            buffer = LineBuffer()
            self._read(pieces, split=buffer.feed, read=lines.read)
            if self.failed is None:
                with suppress(UpstreamFailed):
                    self.events += lines.read(buffer.rest())
                    self.ended_well = lines.done

    def _read(
        self, pieces: Sequence[bytes], *, split: Callable[[bytes], list[bytes]], read: Callable[[bytes], list[Event]]
    ) -> None:
        for piece in pieces:
            try:
                events, self.failed = read_batch(piece, split=split, read=read, whose="upstream")
            except (
                orjson.JSONEncodeError
            ):  # nested too deeply to be written: the relay takes that for upstream's failure
                self.failed = UpstreamFailed("too deep", failure=FailureClass.UPSTREAM_ERROR)
                return
            self.events += events
            if self.failed is not None:
                return

    @property
    def chunks(self) -> list[Mapping[str, object]]:
        return [event.chunk for event in self.events if event.chunk is not None]

    @property
    def texts(self) -> list[str]:
        """What is said, piece by piece."""
        return [text for chunk in self.chunks for text in _contents(chunk)]


def _contents(chunk: Mapping[str, Any]) -> list[str]:
    found = []
    for choice in chunk.get("choices") or ():
        delta = choice.get("delta") if isinstance(choice, dict) else None
        text = delta.get("content") if isinstance(delta, dict) else None
        if isinstance(text, str) and text:
            found.append(text)
    return found


def tolerant(wire: str, data: bytes) -> list[str]:
    """Every text that stands anywhere in ``data`` where this wire has its text."""
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    texts = []
    for line in lines:
        with suppress(ValueError, AttributeError, TypeError, KeyError, IndexError):
            said = json.loads(line.removeprefix(b"\xef\xbb\xbf").removeprefix(b"data:").strip())
            if wire == "ollama chat":
                texts.append(said["message"]["content"])
            elif wire == "ollama text":
                texts.append(said["response"])
            else:
                texts += [one["text"] if wire == "openai text" else one["delta"]["content"] for one in said["choices"]]
    return [text for text in texts if isinstance(text, str)]


def told(wire: str, texts: Sequence[str]) -> list[bytes]:
    """The answer with these texts, event by event, as a good server sends it."""
    said: list[dict[str, Any]] = []
    if wire == "ollama chat":
        said = [{"message": {"role": "assistant", "content": text}, "done": False} for text in texts]
        said.append({"message": {"content": ""}, "done": True, "done_reason": "stop", "eval_count": 3})
    elif wire == "ollama text":
        said = [{"response": text, "done": False} for text in texts]
        said.append({"response": "", "done": True, "done_reason": "stop", "eval_count": 3})
    else:
        for text in [*texts, None]:
            finish = "stop" if text is None else None
            one: dict[str, Any] = {"index": 0, "finish_reason": finish}
            if wire == "openai text":
                one["text"] = text or ""
            else:
                one["delta"] = {} if text is None else {"content": text}
            said.append({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [one]})
    if wire.startswith("ollama"):
        return [orjson.dumps(one) + b"\n" for one in said]
    said.append({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}})
    return [*(b"data: " + orjson.dumps(one) + b"\n\n" for one in said), b"data: [DONE]\n\n"]


def pieces_of(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def is_subsequence(part: Sequence[str], whole: Sequence[str]) -> bool:
    left = iter(whole)
    return all(any(one == other for other in left) for one in part)


texts = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6), max_size=5)
cuts = st.lists(st.integers(0, 1500), max_size=12)


@both_forms
@pytest.mark.parametrize("wire", WIRES)
@given(texts=texts, cuts=cuts, crlf=st.booleans())
def test_an_answer_is_the_same_however_it_is_split(
    wire: str, form: str, texts: list[str], cuts: list[int], crlf: bool
) -> None:
    data = b"".join(told(wire, texts))
    if crlf and wire.startswith("openai"):
        data = data.replace(b"\n", b"\r\n")
    whole, split = Hearing(wire, [data]), Hearing(wire, pieces_of(data, cuts))
    assert whole.ended_well
    assert split.ended_well
    assert split.events == whole.events
    assert whole.texts == texts


@both_forms
@pytest.mark.parametrize("wire", WIRES)
@given(texts=texts, at=st.integers(0, 1500), cuts=cuts)
def test_an_answer_that_is_cut_short_never_ends_well(
    wire: str, form: str, texts: list[str], at: int, cuts: list[int]
) -> None:
    events = told(wire, texts)
    finish = len(texts)
    before = b"".join(events[:finish]) + events[finish].rstrip()[:-1]
    cut = before[: min(at, len(before))]
    heard = Hearing(wire, pieces_of(cut, cuts))
    assert not heard.ended_well
    assert heard.texts == texts[: len(heard.texts)]


@st.composite
def spoilt_streams(draw: st.DrawFn, wire: str) -> bytes:
    """A good answer with lines left out, doubled, moved, or of other bytes or values."""
    events = told(wire, draw(texts))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(events) - 1))
        change = draw(st.sampled_from(["flip", "bytes", "bend", "bend", "double", "drop", "join"]))
        line = events[at]
        if change == "flip" and line:
            place = draw(st.integers(0, len(line) - 1))
            events[at] = line[:place] + bytes([draw(st.integers(0, 255))]) + line[place + 1 :]
        elif change == "bytes":
            place = draw(st.integers(0, len(line)))
            events[at] = line[:place] + draw(st.binary(max_size=5)) + line[place:]
        elif change == "bend":
            prefix = b"data: " if line.startswith(b"data: ") else b""
            with suppress(ValueError):
                value = json.loads(line[len(prefix) :])
                bended = draw(bent(value)) if isinstance(value, dict) and value else None
                events[at] = prefix + json.dumps(bended).encode() + b"\n\n"
        elif change == "double":
            events.insert(at, line)
        elif change == "drop" and len(events) > 1:
            del events[at]
        else:
            events[at] = line.rstrip(b"\n")
    return b"".join(events)


@both_forms
@pytest.mark.parametrize("wire", WIRES)
@given(data=st.data(), cuts=cuts)
def test_a_spoilt_answer_says_nothing_that_was_not_sent_and_never_hurts_the_gateway(
    wire: str, form: str, data: st.DataObject, cuts: list[int]
) -> None:
    stream = data.draw(spoilt_streams(wire))
    heard = Hearing(wire, pieces_of(stream, cuts))
    assert is_subsequence(heard.texts, tolerant(wire, stream))
    whole = Hearing(wire, [stream])
    assert whole.events == heard.events[: len(whole.events)]
    assert whole.ended_well == heard.ended_well
    for dialect in DIALECTS:
        check_written(heard, dialect=dialect)


def check_written(heard: Hearing, *, dialect: str) -> None:
    """Every wire writes what was heard, streamed and whole, in events and JSON that can be read again."""
    spoken, body = DIALECTS[dialect]
    stream, whole = spoken.asked(body).wire, spoken.asked(body).wire
    assert stream is not None
    assert whole is not None
    outgoing, gathered, frames = Outgoing(stream, continues=False), Gathered(), b""
    try:
        for event in heard.events:
            frames += outgoing.frames([event])
            if event.chunk is not None:
                gathered.add(copy.copy(event.chunk))
        failed = RequestFailed(
            "cut", code="stream_truncated", http_status=502, openai_type="api_error", source="upstream", attempts=()
        )
        frames += outgoing.ending() if heard.ended_well else outgoing.failed(failed)
        answer = orjson.loads(whole.whole(gathered.completion()))
    except orjson.JSONEncodeError:
        return  # nested too deeply to be written: the relay takes that for a failure of upstream
    assert isinstance(answer, dict)
    parser = SseParser()
    events = parser.feed(frames)
    assert parser.finish() == []
    if not heard.ended_well:
        assert b"[DONE]" not in events
        assert not any(b'"message_stop"' in one or b'"response.completed"' in one for one in events[-1:])
    for one in events:
        assert one == b"[DONE]" or isinstance(orjson.loads(one), dict)

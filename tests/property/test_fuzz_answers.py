"""Whatever upstream sends: however split it is read the same, spoilt it fails as upstream does, cut short it never ends well."""

import copy
import json
from collections.abc import Mapping, Sequence
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
from gateway.errors import RequestFailed, UpstreamFailed
from gateway.relay.batch import Reader, Splitter, read_batch
from gateway.relay.event import Event, EventKind
from gateway.relay.gather import Gathered
from gateway.relay.lines import LineBuffer
from gateway.relay.moulds import Moulds
from gateway.relay.ollama_generate import GenerateReader
from gateway.relay.ollama_wire import NativeReader
from gateway.relay.openai_text import TextReader
from gateway.relay.openai_wire import ChunkReader
from gateway.relay.outgoing import Outgoing
from gateway.relay.shortcut import Shortcut
from gateway.relay.sse import SseParser
from gateway.relay.wire import ChatWire

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
    """One answer read to its end, as the lanes do it; not ``quick``: each of its pieces by itself and in full; ``short``: with
    the shortcut open once there is content. ``failed`` is what ended it, ``ended_well`` that it came to its finish, ``frames``
    what a caller on the chat wire is sent."""

    def __init__(
        self,
        wire: str,
        pieces: Sequence[bytes],
        *,
        quick: bool = True,
        short: bool = False,
        moulds: Moulds | None = None,
    ) -> None:
        names: dict[str, Any] = {"answer_id": "chatcmpl-1", "created": 1, "model": "m", "keyed": False}
        self.events: list[Event] = []
        self.failed: UpstreamFailed | None = None
        self.frames = b""
        self._quick = quick
        self._short = short
        if wire.startswith("openai"):
            chunks = (ChunkReader if wire == "openai chat" else TextReader)(**names, moulds=moulds)
            parser = SseParser()
            self._read(pieces, splitter=parser, reader=chunks)
            self._rest(parser.finish(), reader=chunks)
            self._finished = chunks.finished
        else:
            lines = NativeReader(**names) if wire == "ollama chat" else GenerateReader(**names)
            buffer = LineBuffer()
            self._read(pieces, splitter=buffer, reader=lines)
            self._rest([buffer.rest()], reader=lines)
            self._finished = lines.done

    @property
    def ended_well(self) -> bool:
        return self.failed is None and self._finished

    def _read(self, pieces: Sequence[bytes], *, splitter: Splitter, reader: Reader) -> None:
        shortcut = Shortcut()
        past = shortcut.past(splitter, reader)
        with shortcut.to(self._take if self._short else None):
            for piece in pieces:
                if past(piece):
                    continue
                if self._quick:
                    events, self.failed = read_batch(piece, splitter=splitter, reader=reader, whose="upstream")
                    self._heard(events)
                else:
                    self._rest(splitter.feed(piece), reader=reader)
                if self.failed is not None:
                    return

    def _take(self, frames: bytes) -> bool:
        if not any(event.kind is EventKind.CONTENT for event in self.events):
            # It is open from the first content on.
            return False
        self.frames += frames
        return True

    def _heard(self, events: Sequence[Event]) -> None:
        self.events += events
        self.frames += ChatWire(include_usage=True).events(events)

    def _rest(self, pieces: Sequence[bytes], *, reader: Reader) -> None:
        for piece in pieces:
            if self.failed is not None:
                return
            try:
                self._heard(reader.read(piece))
            except UpstreamFailed as failed:
                self.failed = failed

    @property
    def apart(self) -> list[Event]:
        """Every chunk by itself, where several were made into one."""
        return [one for event in self.events for one in _apart(event)]

    @property
    def chunks(self) -> list[Mapping[str, object]]:
        return [event.chunk for event in self.apart if event.chunk is not None]

    @property
    def answer(self) -> dict[str, Any]:
        """The whole of it."""
        gathered = Gathered()
        for chunk in self.chunks:
            gathered.add(copy.deepcopy(chunk))
        return gathered.completion()

    @property
    def texts(self) -> list[str]:
        """What is said, piece by piece."""
        return [text for chunk in self.chunks for text in _contents(chunk)]

    @property
    def sent(self) -> list[Mapping[str, Any]]:
        """The chunks that a caller on the chat wire is sent. Token counts that are not there yet may be left out."""
        chunks = [orjson.loads(one.removeprefix(b"data: ")) for one in self.frames.split(b"\n\n")[:-1]]
        return [{key: value for key, value in one.items() if (key, value) != ("usage", None)} for one in chunks]


def _apart(event: Event) -> list[Event]:
    if not event.text:
        return [event]
    frames = [frame + b"\n\n" for frame in event.frame.split(b"\n\n")[:-1]]
    chunks = [orjson.loads(frame.removeprefix(b"data: ")) for frame in frames]
    assert len(frames) == event.pieces
    assert event.text == "".join(text for chunk in chunks for text in _contents(chunk))
    return [
        event._replace(chunk=chunk, frame=frame, text="", pieces=1) for chunk, frame in zip(chunks, frames, strict=True)
    ]


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
    if wire.startswith("openai"):  # in the lines of the other wire a carriage return is white space
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines = data.split(b"\n")
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


def told(wire: str, texts: Sequence[str], *, more: Mapping[str, Any] | None = None) -> list[bytes]:
    """The answer with these texts, event by event, as a good server sends it. ``more`` stands in all of OpenAI's chunks."""
    said: list[dict[str, Any]] = []
    if wire.startswith("ollama"):
        for text in [*texts, ""]:
            native: dict[str, Any] = {"model": "m", "created_at": "2026-11-22T10:00:00.1Z"}
            if wire == "ollama chat":
                native["message"] = {"role": "assistant", "content": text}
            else:
                native["response"] = text
            said.append({**native, "done": False})
        said[-1] |= {"done": True, "done_reason": "stop", "eval_count": 3}
        return [orjson.dumps(one) + b"\n" for one in said]
    head = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", **(more or {})}
    for text in texts:
        part: dict[str, Any] = {"text": text} if wire == "openai text" else {"delta": {"content": text}}
        said.append({**head, "choices": [{"index": 0, **part, "logprobs": None, "finish_reason": None}]})
    last: dict[str, Any] = {"text": ""} if wire == "openai text" else {"delta": {}}
    said.append({**head, "choices": [{"index": 0, **last, "logprobs": None, "finish_reason": "stop"}]})
    said.append({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}})
    return [*(b"data: " + orjson.dumps(one) + b"\n\n" for one in said), b"data: [DONE]\n\n"]


def pieces_of(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def is_subsequence(part: Sequence[str], whole: Sequence[str]) -> bool:
    left = iter(whole)
    return all(any(one == other for other in left) for one in part)


quotes = st.sampled_from(
    ['"', "\\", '","', '"}', ',"b', 'c"', '"}}],"x":"', "\u2028", "\n", "\x00", "[DONE]", '{"error":1}']
)
texts = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6) | quotes, max_size=10)
cuts = st.lists(st.integers(0, 1500), max_size=12)


names = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["x", "chatcmpl-1", "chatcmpl-17", "created", "1", 'a"b', "m", ""]) | st.text(max_size=3),
        "created": st.sampled_from([1, 17, 0, -1, 1_700_000_000, None, "1", 1.5]),
    }
)
extras = st.sampled_from([{}, {"usage": None}, {"system_fingerprint": "fp"}, {"service_tier": None, "usage": None}])


@both_forms
@pytest.mark.parametrize("wire", WIRES)
@given(texts=texts, cuts=cuts, crlf=st.booleans(), more=extras)
def test_an_answer_is_the_same_however_it_is_split(
    wire: str, form: str, texts: list[str], cuts: list[int], crlf: bool, more: Mapping[str, Any]
) -> None:
    data = b"".join(told(wire, texts, more=more))
    if crlf and wire.startswith("openai"):
        data = data.replace(b"\n", b"\r\n")
    whole, split = Hearing(wire, [data]), Hearing(wire, pieces_of(data, cuts))
    assert whole.ended_well
    assert split.ended_well
    assert split.answer == whole.answer
    assert "".join(split.texts) == "".join(whole.texts) == "".join(texts)
    short = Hearing(wire, pieces_of(data, cuts), short=True)
    assert short.ended_well
    assert short.sent == split.sent


@both_forms
@given(texts=texts, cuts=cuts, more=extras, names=st.lists(names, min_size=2, max_size=2), short=st.booleans())
def test_what_is_remembered_of_one_answer_changes_nothing_of_the_next(
    form: str, texts: list[str], cuts: list[int], more: Mapping[str, Any], names: list[dict[str, Any]], short: bool
) -> None:
    before, data = (b"".join(told("openai chat", texts, more={**more, **one})) for one in names)
    moulds = Moulds()
    Hearing("openai chat", [before], moulds=moulds)
    remembering = Hearing("openai chat", pieces_of(data, cuts), moulds=moulds, short=short)
    forgetful = Hearing("openai chat", pieces_of(data, cuts), quick=False)
    assert remembering.ended_well
    assert remembering.sent == forgetful.sent


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
    assert "".join(texts).startswith("".join(heard.texts))


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
    heard, slow = Hearing(wire, pieces_of(stream, cuts)), Hearing(wire, [stream], quick=False)
    assert is_subsequence(slow.texts, tolerant(wire, stream))
    assert "".join(heard.texts) == "".join(slow.texts)
    assert heard.ended_well == slow.ended_well
    assert (heard.failed and heard.failed.failure) == (slow.failed and slow.failed.failure)
    assert heard.answer == slow.answer
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


@pytest.mark.parametrize("wire", ["openai chat", "ollama chat"])
def test_two_broken_chunks_do_not_make_a_whole_one(wire: str) -> None:
    events = told(wire, ["a", "b", "c", "d", "FIRST", "SECOND", "e"])
    events[4] = events[4].replace(b'"FIRST"', b'"x","y')
    events[5] = events[5].replace(b'"SECOND"', b'z"')
    heard = Hearing(wire, [b"".join(events)])
    assert heard.texts == ["a", "b", "c", "d", "e"]
    assert heard.ended_well
    for dialect in DIALECTS:
        check_written(heard, dialect=dialect)

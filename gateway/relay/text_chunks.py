"""The chunk that nearly every chunk of a stream is: one more piece of text, and nothing else that was not said before."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from gateway.relay.event import Event, EventKind
from gateway.relay.names import Names

_TEXT: Final = re.compile(rb'"delta":\s*\{\s*"content":\s*("(?:[^"\\]|\\.)*")\s*\}')
_OPENS: Final = b'"delta":{"content":'
_WINDOW_BYTES: Final = 8 * 1024
"""How far texts are looked for at once."""


class TextChunks:
    """Makes such chunks for one answer. Only the text is read and nothing is written anew: it goes from upstream's JSON into the
    caller's as it is. ``head`` is what stands in every chunk; ``choice`` what stands in its one choice beside the delta.
    ``framing`` off leaves chunk and frames of events out, for a caller who does not stream: the text is all there is to say."""

    __slots__ = ("_after", "_before", "_between", "_choice", "_framing", "_head")

    def __init__(self, *, head: Mapping[str, object], choice: Mapping[str, object], framing: bool = True) -> None:
        self._head = head
        self._choice = choice
        self._framing = framing
        self._before = b""

    def event(self, tokens: Sequence[bytes]) -> Event | None:
        """The chunks for texts that stand in upstream's JSON as ``tokens``, as one event; ``None`` if one of them is no text, or
        an empty one."""
        text = text_in(tokens)
        if not text:
            return None
        if not self._framing:
            return Event(EventKind.CONTENT, None, b"", False, text, len(tokens))
        return Event(EventKind.CONTENT, self._chunk(text), self._framed(tokens), False, text, len(tokens))

    def frames(self, tokens: Sequence[bytes]) -> bytes:
        """The frame alone of each chunk, one after the other; empty where ``event`` gives ``None``."""
        return self._framed(tokens) if text_in(tokens) else b""

    def _chunk(self, text: str) -> dict[str, object]:
        return {**self._head, "choices": [{"index": 0, "delta": {"content": text}, **self._choice}]}

    def _framed(self, tokens: Sequence[bytes]) -> bytes:
        if not self._before:
            whole = orjson.dumps(self._chunk(""))
            place = whole.rindex(_OPENS) + len(_OPENS)
            self._before = b"data: " + whole[:place]
            self._after = whole[place + len(b'""') :] + b"\n\n"
            self._between = self._after + self._before
        return self._before + self._between.join(tokens) + self._after


class Mould:
    """Where the text stands in the chunks of one server, which are alike but for it: it can be found without reading the rest."""

    __slots__ = ("_after", "_before", "_between", "_closes", "_ending", "_joins", "_opens")

    def __init__(self, *, before: bytes, after: bytes) -> None:
        self._before = before
        self._after = after
        self._opens = b"data: " + before
        self._closes = after + b"\n\n"
        self._joins = self._closes + self._opens
        self._ending = before[-len(_OPENS) :]
        self._between = len(self._joins) - len(self._ending)

    @staticmethod
    def of(data: bytes, *, chunk: Mapping[str, object], choice: Mapping[str, object]) -> "Mould | None":
        """The mould of the chunk whose JSON is ``data`` and whose one choice is ``choice``; ``None`` where it cannot be told."""
        found = _TEXT.search(data)
        if found is None:
            return None
        before, after = data[: found.start(1)], data[found.end(1) :]
        try:
            empty = orjson.loads(before + b'""' + after)
        except orjson.JSONDecodeError:
            return None
        return Mould(before=before, after=after) if empty == {**chunk, "choices": [_emptied(choice)]} else None

    def cut(self, data: bytes, at: int) -> tuple[list[bytes], int]:
        """The JSON of the texts in the SSE events from ``at`` on that are of this mould, and the place after them. What is cut
        out may be more than a text: see ``TextChunks.event``. No text holds what stands between them, a line end."""
        if not data.startswith(self._opens, at):
            return [], at
        begin = at + len(self._opens)
        over = data.find(b"\n\n", begin) + 2
        end = over - len(self._closes)
        if end < begin or not data.startswith(self._after, end):
            return [], at
        if over < len(data):
            # What is short is looked for faster, so each is told by the end of what comes before its text.
            _, *others, last = data[at : at + _WINDOW_BYTES].split(self._ending)
            tokens = [one[: -self._between] for one in others]
            tokens.append(last[: last.find(self._closes)])
            place = at + len(tokens) * len(self._joins) + sum(map(len, tokens))
            if data[at:place] == self._opens + self._joins.join(tokens) + self._closes:
                return tokens, place
        return [data[begin:end]], over

    def renewed(self, known: Names, new: Names) -> "Mould | None":
        """The mould of an answer that goes by ``new`` names where this one's goes by ``known`` ones; ``None`` unless each of them
        stands in it once, before the text."""
        before = known.renewed(self._before, new)
        if before is None or known.id_token in self._after or known.time_token in self._after:
            return None
        return Mould(before=before, after=self._after)


def text_in(tokens: Sequence[bytes]) -> str:
    """The text that stands in these tokens, one after the other; empty if one of them is no text, or an empty one."""
    try:
        if len(tokens) == 1:
            token = tokens[0]
            text = orjson.loads(token) if token[:1] == b'"' == token[-1:] else None
            return text if type(text) is str else ""
        # No text can hold the line ends between them, so that none can reach from one token into the next.
        joined = b",\n".join(tokens)
        texts: list[str] = orjson.loads(b"[" + joined + b"]")
    except orjson.JSONDecodeError:
        return ""
    # White space around a text is still JSON, and would come between the lines of the caller's stream.
    tight = joined[:1] == b'"' == joined[-1:] and joined.count(b'",\n"') == len(tokens) - 1
    return "".join(texts) if tight and len(texts) == len(tokens) and all(texts) else ""


def _emptied(choice: Mapping[str, object]) -> dict[str, object]:
    return {**choice, "delta": {"content": ""}}

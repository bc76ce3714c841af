"""The chunk that nearly every chunk of a stream is: one more piece of text, and nothing else that was not said before."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from gateway.relay.event import Event, EventKind

_TEXT: Final = re.compile(rb'"delta":\s*\{\s*"content":\s*("(?:[^"\\]|\\.)*")\s*\}')
_OPENS: Final = b'"delta":{"content":'


class TextChunks:
    """Makes such chunks for one answer. Only the text is read and nothing is written anew: it goes from upstream's JSON into the
    caller's as it is. ``head`` is what stands in every chunk; ``choice`` what stands in its one choice beside the delta."""

    __slots__ = ("_after", "_before", "_between", "_choice", "_head")

    def __init__(self, *, head: Mapping[str, object], choice: Mapping[str, object]) -> None:
        self._head = dict(head)
        self._choice = dict(choice)
        whole = orjson.dumps({**self._head, "choices": [{"index": 0, "delta": {"content": ""}, **self._choice}]})
        place = whole.rindex(_OPENS) + len(_OPENS)
        self._before = b"data: " + whole[:place]
        self._after = whole[place + len(b'""') :] + b"\n\n"
        self._between = self._after + self._before

    def event(self, tokens: Sequence[bytes]) -> Event | None:
        """The chunks for texts that stand in upstream's JSON as ``tokens``, as one event; ``None`` if one of them is no text, or
        an empty one."""
        if not all(token.startswith(b'"') and token.endswith(b'"') for token in tokens):
            # White space around a text is still JSON, and would come between the lines of the caller's stream.
            return None
        try:
            # No text can hold the line ends between them, so that none can reach from one token into the next.
            texts = orjson.loads(b"[" + b",\n".join(tokens) + b"]")
        except orjson.JSONDecodeError:
            return None
        if len(texts) != len(tokens) or not all(type(text) is str and text for text in texts):
            return None
        text = texts[0] if len(texts) == 1 else "".join(texts)
        chunk = {**self._head, "choices": [{"index": 0, "delta": {"content": text}, **self._choice}]}
        frames = self._before + self._between.join(tokens) + self._after
        return Event(EventKind.CONTENT, chunk, frames, False, text, len(tokens))


class Mould:
    """Where the text stands in the chunks of one server, which are alike but for it: it can be found without reading the rest."""

    __slots__ = ("_after", "_before", "_least")

    def __init__(self, *, before: bytes, after: bytes) -> None:
        self._before = before
        self._after = after
        self._least = len(before) + len(after)

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

    def cut(self, data: bytes) -> bytes | None:
        """The JSON of the text in ``data``, if it is of this mould. What is cut out may be more than a text: see
        ``TextChunks.event``."""
        if len(data) < self._least or not data.startswith(self._before) or not data.endswith(self._after):
            return None
        return data[len(self._before) : -len(self._after)]


def _emptied(choice: Mapping[str, object]) -> dict[str, object]:
    return {**choice, "delta": {"content": ""}}

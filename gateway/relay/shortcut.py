"""The way of plain text past the task that reads an answer: from what upstream's socket brought straight to the caller's."""

from collections.abc import Callable

from gateway.relay.batch import Reader, Splitter

Take = Callable[[bytes], bool]
"""Sends frames at once; false, with nothing sent, where that would have to wait."""
Hear = Callable[[str], bool]
"""Takes in a text; false where it is too early for that."""


class Shortcut:
    """Open while the task that reads one answer has nothing to do but wait: to wake it for every chunk of a stream would cost
    several times what the chunk does. Whatever is not simply more text goes the long way, and wakes it."""

    __slots__ = ("_hear", "_take")

    def __init__(self) -> None:
        self._hear: Hear | None = None
        self._take: Take | None = None

    def to(self, take: Take | None) -> "Shortcut":
        """``with`` this, ``take`` has the text while the block runs, in the frames of the chat wire."""
        self._take = take
        return self

    def ears(self, hear: Hear) -> "Shortcut":
        """``with`` this, ``hear`` has the text while the block runs, for a caller who does not stream."""
        self._hear = hear
        return self

    def __enter__(self) -> None:
        """It is open from ``to`` or ``ears`` on."""

    def __exit__(self, *_: object) -> None:
        self._take = self._hear = None

    def past(self, splitter: Splitter, reader: Reader) -> Callable[[bytes], bool]:
        """What to offer all bytes to as they come: true if that was all there is to do with them."""

        def passed(data: bytes) -> bool:
            if not splitter.at_start:
                return False
            if self._take is not None:
                frames = reader.frames(data)
                return frames != b"" and self._take(frames)
            if self._hear is not None:
                event, end = reader.begin(data, 0)
                return event is not None and end == len(data) and self._hear(event.text)
            return False

        return passed

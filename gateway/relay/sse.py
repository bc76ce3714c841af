"""Server-sent events: an incremental parser and an encoder."""

from collections.abc import Mapping
from typing import Final

import orjson

from gateway.relay.lines import MAX_LINE_BYTES, LineBuffer, LineTooLong

DONE: Final = b"data: [DONE]\n\n"


class SseParser:
    """Bytes in any pieces → the data of each event, in order.

    Line ends may be LF, CRLF or CR, also mixed and also split between two pieces; comments and fields other than ``data`` are
    skipped; the data lines of one event are joined with ``\\n``.
    """

    __slots__ = ("_after_cr", "_data", "_data_bytes", "_first", "_limit_bytes", "_lines", "at_start")

    def __init__(self, *, limit_bytes: int = MAX_LINE_BYTES) -> None:
        self._lines = LineBuffer(limit_bytes=limit_bytes)
        self._limit_bytes = limit_bytes
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._after_cr = False
        self._first = True
        self.at_start = True
        """See ``Splitter``."""

    def feed(self, data: bytes) -> list[bytes]:
        """The events that ``data`` completes. Raises ``LineTooLong``."""
        if not data:
            return []
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
        self._after_cr = False
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        events = self._take(self._lines.feed(data))
        self.at_start = self._lines.at_start and not (self._data or self._after_cr)
        return events

    def first(self, data: bytes, at: int) -> tuple[bytes, int] | None:
        """See ``Splitter.first``. What nearly every read brings: events of one line each."""
        if not data.startswith(b"data: ", at):
            return None
        end = data.find(b"\n\n", at, at + self._limit_bytes)
        event = data[at + 6 : end]
        if end < 0 or b"\n" in event or b"\r" in event:
            return None
        self._first = False
        return event, end + 2

    def finish(self) -> list[bytes]:
        """What is left when the connection ends without the blank line that closes an event."""
        if self.at_start:
            return []
        return self._take([self._lines.rest(), b""])

    def _take(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        if self._first and lines:
            self._first = False
            lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
        for line in lines:
            if not line:
                if self._data:
                    events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                    self._data = []
                    self._data_bytes = 0
            elif line.startswith(b"data:"):
                value = line[6:] if line.startswith(b"data: ") else line[5:]
                self._data_bytes += len(value)
                if self._data_bytes > self._limit_bytes:
                    raise LineTooLong(f"an event of more than {self._limit_bytes} bytes")
                self._data.append(value)
            elif line == b"data":
                self._data.append(b"")
        return events


def frame(chunk: Mapping[str, object]) -> bytes:
    """One event that carries ``chunk`` as JSON."""
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def raw_frame(data: bytes) -> bytes:
    """One event that carries ``data`` as it is; a line end in it starts another data line."""
    if b"\n" in data:
        data = data.replace(b"\n", b"\ndata: ")
    return b"data: " + data + b"\n\n"

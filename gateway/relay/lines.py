"""Lines out of bytes that arrive in any pieces."""

from typing import Final

MAX_LINE_BYTES: Final = 32 * 1024 * 1024


class LineTooLong(ValueError):
    """A server sent more than ``MAX_LINE_BYTES`` without a line end."""


class LineBuffer:
    """Collects bytes and gives out whole lines, without their ``\\n``."""

    __slots__ = ("_held_bytes", "_limit_bytes", "_parts", "at_start")

    def __init__(self, *, limit_bytes: int = MAX_LINE_BYTES) -> None:
        self._parts: list[bytes] = []
        self._held_bytes = 0
        self._limit_bytes = limit_bytes
        self.at_start = True
        """See ``Splitter``: the last line has not begun."""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that ``data`` completes. Raises ``LineTooLong``."""
        if b"\n" not in data:
            self._hold(data)
            return []
        lines = data.split(b"\n")
        if self._parts:
            lines[0] = b"".join([*self._parts, lines[0]])
        self._parts = []
        self._held_bytes = 0
        self.at_start = True
        self._hold(lines.pop())
        return lines

    def first(self, data: bytes, at: int) -> tuple[bytes, int] | None:
        """See ``Splitter.first``."""
        end = data.find(b"\n", at)
        return None if end < 0 else (data[at:end], end + 1)

    def rest(self) -> bytes:
        """What came after the last line end; the buffer is empty afterwards."""
        rest = b"".join(self._parts)
        self._parts = []
        self.at_start = True
        self._held_bytes = 0
        return rest

    def _hold(self, data: bytes) -> None:
        if not data:
            return
        self._held_bytes += len(data)
        if self._held_bytes > self._limit_bytes:
            raise LineTooLong(f"a line of more than {self._limit_bytes} bytes")
        self._parts.append(data)
        self.at_start = False

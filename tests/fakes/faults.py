"""Faults that a fake server can be told to show, and the requests they hit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal


class FaultKind(StrEnum):
    STATUS = "status"
    """Answer ``status`` with ``body`` at once."""
    RESET = "reset"
    """RST on the socket: before headers (``after_chunks`` None), after headers (0), after n chunks."""
    CUT = "cut"
    """Close the socket (FIN) at the same places, the body left unfinished."""
    HANG = "hang"
    """Never answer: no headers, the connection stays open."""
    STALL = "stall"
    """Send headers and ``after_chunks`` chunks, then nothing more; the connection stays open."""
    EOF = "eof"
    """End the body properly after ``after_chunks`` chunks, without the final ones."""
    ERROR = "error"
    """Status 200, ``after_chunks`` chunks, then an error in the stream's own shape (``body`` is its message), then the end."""
    GARBAGE = "garbage"
    """After ``after_chunks`` chunks one chunk of ``body``, unframed bytes that no parser takes; then the stream goes on."""
    SLOW = "slow"
    """Wait ``gap_s`` before headers and before every chunk."""
    RAW = "raw"
    """Write ``pieces`` on the socket as they are, head and all, with ``gap_s`` between them; then ``refrain`` again and again
    for ever, if there is one; then do what ``ending`` says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. Build it with the functions below; give it to ``FakeServer.fail``."""

    kind: FaultKind
    status: int = 500
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    after_chunks: int | None = None
    gap_s: float = 0.0
    pieces: tuple[bytes, ...] = ()
    refrain: bytes = b""
    ending: Literal["close", "reset", "hold"] = "close"


def status(code: int, body: str = "", **headers: str) -> Fault:
    """Answer ``code`` with ``body``. Header names in keywords: ``retry_after="3"`` is ``Retry-After: 3``."""
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}
    return Fault(kind=FaultKind.STATUS, status=code, body=body, headers=named)


def reset(*, after_chunks: int | None = None) -> Fault:
    return Fault(kind=FaultKind.RESET, after_chunks=after_chunks)


def cut(*, after_chunks: int | None = None) -> Fault:
    return Fault(kind=FaultKind.CUT, after_chunks=after_chunks)


def hang() -> Fault:
    return Fault(kind=FaultKind.HANG)


def stall(*, after_chunks: int = 0) -> Fault:
    return Fault(kind=FaultKind.STALL, after_chunks=after_chunks)


def eof(*, after_chunks: int = 0) -> Fault:
    return Fault(kind=FaultKind.EOF, after_chunks=after_chunks)


def error(message: str, *, after_chunks: int = 0) -> Fault:
    return Fault(kind=FaultKind.ERROR, body=message, after_chunks=after_chunks)


def garbage(text: str = '{"broken":', *, after_chunks: int = 0) -> Fault:
    return Fault(kind=FaultKind.GARBAGE, body=text, after_chunks=after_chunks)


def slow(gap_s: float) -> Fault:
    return Fault(kind=FaultKind.SLOW, gap_s=gap_s)


def raw(
    *pieces: bytes, gap_s: float = 0.0, refrain: bytes = b"", ending: Literal["close", "reset", "hold"] = "close"
) -> Fault:
    """Bytes that no HTTP library would write. ``head`` makes a usual beginning."""
    return Fault(kind=FaultKind.RAW, pieces=pieces, gap_s=gap_s, refrain=refrain, ending=ending)


def head(*, content_type: str, status: str = "200 OK", length: int | None = None, coded: bool = False) -> bytes:
    """The head of a raw answer. Its body is ``length`` bytes, or chunks (``coded``), or whatever comes before the connection is
    closed."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}"]
    if coded:
        lines.append("Transfer-Encoding: chunked")
    elif length is not None:
        lines.append(f"Content-Length: {length}")
    else:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode()


def coded(data: bytes) -> bytes:
    """``data`` as one chunk of a chunked body; empty data is its end."""
    return b"%x\r\n%s\r\n" % (len(data), data)


@dataclass(slots=True, kw_only=True)
class ArmedFault:
    """A fault and what it hits: an exact path and an exact model name as sent ("" is any), ``times`` more (None is always)."""

    fault: Fault
    route: str = ""
    model: str = ""
    times: int | None = None

    def hits(self, *, route: str, model: str) -> bool:
        return self.times != 0 and self.route in ("", route) and self.model in ("", model)

"""Rows of the fault matrix about HTTP itself: lengths, chunks of the transfer, heads, connections kept open."""

from dataclasses import replace
from typing import Final

from contract import fault_endings as ends
from contract.fault_cells import SHORT, SHORT_GAP, Row
from contract.fault_wire import PIECES, Wire
from fakes import faults
from fakes.faults import Fault
from gateway.domain.model import Lane


def split(data: bytes) -> tuple[bytes, ...]:
    return tuple(data[at : at + 7] for at in range(0, len(data), 7))


def begun(wire: Wire) -> bytes:
    """Two pieces of text, and whatever comes before them."""
    return wire.opened() + wire.said(*PIECES[:2])


def chunked(wire: Wire, *, ending: bytes) -> bytes:
    """A complete answer in a chunked body, one transfer chunk per line, up to its end."""
    body = b"".join(faults.coded(line) for line in wire.whole().splitlines(keepends=True))
    return faults.head(content_type=wire.content_type, coded=True) + body + ending


def stray(wire: Wire) -> Fault:
    """A complete answer, and another one that nobody asked for right behind it on the same connection."""
    answers = [wire.whole(), wire.opened() + wire.said("stray") + wire.ended()]
    sent = [faults.head(content_type=wire.content_type, length=len(one)) + one for one in answers]
    return faults.raw(b"".join(sent), ending="hold")


FRAMING: Final = (
    Row(
        name="fewer bytes than announced",
        fault=lambda wire: wire.raw(begun(wire), length=100_000),
        ending=ends.CUT,
    ),
    Row(
        name="more bytes than announced",
        fault=lambda wire: wire.raw(
            begun(wire),
            wire.said(*PIECES[2:]) + wire.ended(),
            length=len(begun(wire)),
            gap_s=0.05,
        ),
        ending=ends.CUT,
    ),
    Row(
        name="more bytes than announced, in one read",
        fault=lambda wire: faults.raw(faults.head(content_type=wire.content_type, length=9) + wire.whole()),
        ending=ends.TRUNCATED,
        unlike={Lane.LITELLM: ends.ODD},
    ),
    Row(
        name="all of it, and fewer bytes than announced",
        fault=lambda wire: wire.raw(wire.whole(), length=100_000),
        ending=ends.ANSWERED,
    ),
    Row(
        name="nonsense between chunks of the transfer",
        fault=lambda wire: faults.raw(
            faults.head(content_type=wire.content_type, coded=True),
            faults.coded(begun(wire)),
            b"zz\r\nnonsense\r\n",
            gap_s=0.05,
        ),
        deadlines=SHORT_GAP,
        ending=ends.CUT,
        unlike={Lane.LITELLM: ends.STALL},  # its HTTP client says nothing of it
    ),
    Row(
        name="nothing but a few bytes at a time",
        fault=lambda wire: faults.raw(*split(chunked(wire, ending=faults.coded(b"")))),
        ending=ends.ANSWERED,
    ),
    Row(
        name="extensions and trailers",
        fault=lambda wire: faults.raw(chunked(wire, ending=b"0;last=yes\r\nX-Checksum: 5\r\n\r\n")),
        ending=ends.ANSWERED,
    ),
    Row(
        name="all of it, and no last chunk of the transfer",
        fault=lambda wire: faults.raw(chunked(wire, ending=b"")),
        ending=ends.ANSWERED,
    ),
    Row(
        name="HTTP/1.0",
        fault=lambda wire: faults.raw(
            faults.head(content_type=wire.content_type).replace(b"HTTP/1.1", b"HTTP/1.0") + wire.whole()
        ),
        ending=ends.ANSWERED,
    ),
    Row(
        name="early hints before the answer",
        fault=lambda wire: faults.raw(
            b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n",
            faults.head(content_type=wire.content_type) + wire.whole(),
        ),
        ending=ends.ANSWERED,
    ),
    Row(
        name="half a head",
        fault=lambda _: faults.raw(b"HTTP/1.1 200 OK\r\nContent-Ty"),
        ending=ends.TRANSPORT,
    ),
    Row(
        name="a head without end",
        fault=lambda _: faults.raw(b"HTTP/1.1 200 OK\r\nX-Long: ", refrain=b"x" * 65_536),
        deadlines=SHORT,
        ending=ends.TRANSPORT,
        unlike={Lane.LITELLM: ends.ODD},
    ),
    Row(
        name="a length below zero",
        fault=lambda wire: wire.raw(wire.whole(), length=-5),
        ending=ends.TRANSPORT,
        unlike={Lane.LITELLM: ends.ODD},
    ),
    Row(
        name="204",
        fault=lambda _: faults.status(204),
        ending=ends.UPSTREAM_ERROR,
        unlike={Lane.LITELLM: ends.TRUNCATED},
    ),
    Row(
        name="an answer that nobody asked for behind an earlier one",
        fault=stray,
        times=1,
        asked_before=True,
        ending=ends.ANSWERED,
    ),
    Row(
        name="closed while idle",
        idle_first=True,
        ending=ends.ANSWERED,
    ),
    Row(
        name="reset as the next request arrives",
        fault=lambda _: faults.reset(),
        times=1,
        idle_first=True,
        hangs_up=False,
        ending=replace(ends.TRANSPORT, alone=1, heals="alone"),
        unlike={Lane.OPENAI: replace(ends.ANSWERED, resent=1)},
    ),
)

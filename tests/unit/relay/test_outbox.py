"""Writes kept until the end of a turn of the event loop: in order, and not for those who have gone."""

import asyncio
from typing import cast

from gateway.relay.outbox import Outbox


class Wire:
    """What was written, and whether it is closing."""

    def __init__(self, log: list[tuple["Wire", bytes]]) -> None:
        self._log = log
        self.closing = False

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        self._log.append((self, data))


def transport(wire: Wire) -> asyncio.WriteTransport:
    return cast(asyncio.WriteTransport, wire)


async def test_what_is_posted_in_one_turn_goes_out_together_in_order() -> None:
    log: list[tuple[Wire, bytes]] = []
    one, other = Wire(log), Wire(log)
    outbox = Outbox(asyncio.get_running_loop())
    for wire, data in ((one, b"1"), (other, b"2"), (one, b"3")):
        outbox.post(transport(wire), data)
    assert log == []
    await asyncio.sleep(0)
    assert log == [(one, b"1"), (other, b"2"), (one, b"3")]
    outbox.post(transport(other), b"4")
    await asyncio.sleep(0)
    assert log[3:] == [(other, b"4")]


async def test_what_cannot_wait_for_the_end_of_the_turn_is_written_now_and_once() -> None:
    log: list[tuple[Wire, bytes]] = []
    wire = Wire(log)
    outbox = Outbox(asyncio.get_running_loop())
    outbox.post(transport(wire), b"1")
    outbox.deliver()
    assert log == [(wire, b"1")]
    await asyncio.sleep(0)
    assert log == [(wire, b"1")]


async def test_a_connection_that_is_closing_is_not_written_to() -> None:
    log: list[tuple[Wire, bytes]] = []
    gone, there = Wire(log), Wire(log)
    outbox = Outbox(asyncio.get_running_loop())
    outbox.post(transport(gone), b"1")
    outbox.post(transport(there), b"2")
    gone.closing = True
    await asyncio.sleep(0)
    assert log == [(there, b"2")]

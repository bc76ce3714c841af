"""Writes that are made together: what several requests have to say in one turn of the event loop."""

import asyncio
from typing import Final

FEW: Final = 3
"""With no more requests than this under way, each is better off when it writes at once."""


class Outbox:
    """Keeps writes until the end of the present turn. Whoever they are for has gone to sleep since the last one, and to wake it
    costs as much as the write: made one after the other, the first wakes it and the others find it awake. Belongs to one event
    loop."""

    __slots__ = ("_kept", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._kept: list[tuple[asyncio.WriteTransport, bytes]] = []

    def serves(self, loop: asyncio.AbstractEventLoop) -> bool:
        return self._loop is loop

    def post(self, transport: asyncio.WriteTransport, data: bytes) -> None:
        """Write this at the end of the turn, after what was posted before."""
        if not self._kept:
            self._loop.call_soon(self.deliver)
        self._kept.append((transport, data))

    def deliver(self) -> None:
        """Make all writes now."""
        kept, self._kept = self._kept, []
        for transport, data in kept:
            if not transport.is_closing():
                transport.write(data)

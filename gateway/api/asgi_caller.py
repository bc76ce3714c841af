"""The server's side of one request where the server has nothing but ASGI's messages."""

import asyncio
from collections.abc import Callable
from typing import Final

from starlette.types import Receive

QUICK_S: Final = 0.05
"""What is answered sooner is not worth watching for the caller's leave."""


class AsgiCaller:
    """Stands in for a ``Caller``: nothing can be done at once, and that the caller has left only who asks is told. Belongs to the
    task it is made in."""

    alarm: None = None

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.loop = asyncio.get_running_loop()
        self.gone = False
        self._later: asyncio.TimerHandle | None = None
        self._watch: asyncio.Task[None] | None = None

    def whole_body(self, *, limit_bytes: int) -> bytes | None:
        """See ``Caller``. It has to be waited for."""
        return None

    def when_gone(self, left: Callable[[], object] | None) -> None:
        """See ``Caller``. Nobody else may receive meanwhile."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if left is not None:
            self._later = self.loop.call_later(QUICK_S, self._look_out, left)

    def reply(self, body: bytes, *, head: bytes) -> bool:
        """See ``Caller``. Never at once."""
        return False

    def offer(self, frames: bytes) -> bool:
        """See ``Outlet``. Never at once."""
        return False

    def _look_out(self, left: Callable[[], object]) -> None:
        self._watch = self.loop.create_task(self._disconnected(left))

    async def _disconnected(self, left: Callable[[], object]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        left()

"""The listening side of the gateway's process: the address, the event loop, and the server that stops cleanly."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from gateway.errors import AddressTaken
from gateway.runtime.swap import Switchboard

_log = logging.getLogger(__name__)

GRACE_S: Final = 30
"""How long requests may go on after the signal to stop."""
BACKLOG: Final = 2048
KEEPALIVE_S: Final = 75


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where there is one; ``None`` takes the standard loop."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def bind(host: str, port: int) -> socket.socket:
    """Take the address before anything else is done, so that a second gateway fails at once. Raises ``AddressTaken``."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as exc:
        reason = os.strerror(exc.errno) if exc.errno and exc.errno > 0 else str(exc)
        raise AddressTaken(host=host, port=port, reason=reason) from exc


class Server(uvicorn.Server):
    """Says when it listens, and ends with exit code 0 when it is asked to stop."""

    def __init__(self, app: ASGIApp, *, switchboard: Switchboard) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=GRACE_S,
                timeout_keep_alive=KEEPALIVE_S,
                backlog=BACKLOG,
                ws="none",
            )
        )
        self.listening = asyncio.Event()
        self._switchboard = switchboard

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        in_flight = self._switchboard.live.in_flight if self._switchboard.started else 0
        again = ", cutting off the rest" if self.should_exit else ""
        _log.info(f"stopping{again}", extra={"signal": signal.Signals(sig).name, "in_flight": in_flight})
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        taken = []
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError):  # Windows has no such handlers on its loop
                loop.add_signal_handler(number, self.handle_exit, number, None)
                taken.append(number)
        try:
            yield
        finally:
            for number in taken:
                loop.remove_signal_handler(number)

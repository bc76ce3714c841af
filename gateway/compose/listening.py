"""The listening side of the gateway's process: the address, the event loop, and the server that stops cleanly."""

import asyncio
import errno
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

from gateway.api.http_protocol import bounded_protocol
from gateway.errors import AddressTaken
from gateway.runtime.swap import Switchboard

_log = logging.getLogger(__name__)

GRACE_S: Final = 30
"""How long requests may go on after the signal to stop, unless the operator says otherwise."""
CUT_S: Final = 1.0
"""How long requests that are cut off then may take to say so and to let go of what they hold."""
MAX_CONNECTIONS: Final = 8192
OTHER_FILES: Final = 256
"""What is open besides connections: logs, the journal, the engine's pipes."""
BACKLOG: Final = 2048
KEEPALIVE_S: Final = 75


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where there is one; ``None`` takes the standard loop."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def make_room(connections: int) -> None:
    """Let this process open as many files as it takes to hold so many connections with one to upstream for each; as many as the
    system lets it where that is fewer. What a shell hands down is often 1,024, or 256."""
    try:
        import resource
    except ImportError:
        return  # Windows counts no sockets
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * connections + OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # some systems have a lower limit of their own, and do not tell
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def leave_no_core() -> None:
    """Have the system write no image of this process's memory, which holds keys, when it crashes."""
    try:
        import resource
    except ImportError:
        return  # Windows writes none by itself
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def bind(host: str, port: int) -> socket.socket:
    """Take the address before anything else is done, so that a second gateway fails at once. Raises ``AddressTaken``."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as exc:
        raise AddressTaken(host=host, port=port, reason=_refusal(exc), hint=_way_out(exc)) from exc


def _is_unknown_name(error: OSError) -> bool:
    # ``create_server`` raises a plain error from within that of the resolver.
    return isinstance(error.__context__, socket.gaierror)


def _refusal(error: OSError) -> str:
    if _is_unknown_name(error):
        return "this name leads to no address"
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)


def _way_out(error: OSError) -> str:
    if _is_unknown_name(error) or error.errno == errno.EADDRNOTAVAIL:
        return "--host is an address of this machine, or 0.0.0.0 for all of them"
    if isinstance(error, PermissionError):
        return "ports under 1024 are the administrator's on most systems; choose another --port"
    return "stop what listens there, or choose another --port"


class Server(uvicorn.Server):
    """Says when it listens, and ends with exit code 0 when it is asked to stop: requests under way may go on for ``grace_s``
    seconds, or until it is asked again."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        switchboard: Switchboard,
        grace_s: int = GRACE_S,
        max_connections: int = MAX_CONNECTIONS,
        certificate: tuple[str, str] | None = None,
    ) -> None:
        """``certificate``: the files of the certificate and of its key (empty: the same file) to speak TLS with."""
        tls_cert, tls_key = certificate or (None, None)
        super().__init__(
            uvicorn.Config(
                app,
                http=bounded_protocol(max_connections=max_connections),
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=grace_s,
                timeout_keep_alive=KEEPALIVE_S,
                backlog=BACKLOG,
                ws="none",
                interface="asgi3",
                ssl_certfile=tls_cert,
                ssl_keyfile=tls_key or None,
            )
        )
        self.listening = asyncio.Event()
        self._switchboard = switchboard

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        left = {task for task in self.server_state.tasks if not task.done()}
        if not left:
            return
        _log.warning("requests cut off", extra={"count": len(left)})
        for task in left:
            # Cancelled already where the time was up, and not where a second signal came; twice would be once too often.
            if not task.cancelling():
                task.cancel()
        await asyncio.wait(left, timeout=CUT_S)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        in_flight = self._switchboard.live.in_flight if self._switchboard.started else 0
        again = ", cutting off the rest" if self.should_exit else ""
        _log.info(f"stopping{again}", extra={"signal": signal.Signals(sig).name, "in_flight": in_flight})
        # uvicorn's own takes a second SIGINT for impatience, but not a second SIGTERM.
        self.force_exit = self.should_exit
        self.should_exit = True

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

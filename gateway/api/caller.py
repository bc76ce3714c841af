"""One request on a connection and its answer: in ASGI's messages, and past them."""

import asyncio
import logging
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final, Protocol

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from gateway.api.early import Unforeseen, early_error
from gateway.api.reply import lines_of
from gateway.relay.outbox import FEW, Outbox
from gateway.relay.patience import Alarm

_log = logging.getLogger(__name__)

CALLER: Final = "rolegate.caller"
"""Under this name, among the extensions of a request's scope, stands its ``Caller``."""
_OVER: Final[Mapping[str, Any]] = {}


class Connection(Protocol):
    """What a request needs of the connection it came on."""

    transport: asyncio.Transport
    flow: FlowControl
    loop: asyncio.AbstractEventLoop
    alarm: Alarm
    outbox: Outbox | None
    tasks: set[asyncio.Task[None]]

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]: ...

    def on_response_complete(self) -> None: ...


class Caller(RequestResponseCycle):
    """The server's side of one request. What ASGI's messages do is uvicorn's; what needs no waiting is done at once. Implements
    ``Outlet``."""

    # What uvicorn sets anew for every request, and what most of them leave as it is.
    access_log = False
    disconnected = False
    response_started = False
    response_complete = False
    more_body = True
    chunked_encoding: bool | None = None
    expected_content_length = 0
    body: Any = b""
    gone = False
    """The caller went away while somebody wanted to know."""
    _left: Callable[[], object] | None = None
    _event: asyncio.Event | None = None

    def __init__(  # the class above wants much that only its other methods need
        self, connection: Connection, *, scope: MutableMapping[str, Any], keep_alive: bool, expects_100: bool
    ) -> None:
        self.scope: Any = scope
        self.transport = connection.transport
        self.flow = connection.flow
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = expects_100
        self._connection = connection

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The one that the server runs in."""
        return self._connection.loop

    @property
    def alarm(self) -> Alarm:
        """The connection's."""
        return self._connection.alarm

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:  # type: ignore[override]  # read only
        return self._connection.default_headers

    @property
    def on_response(self) -> Callable[..., None]:  # type: ignore[override]  # read only
        return self._connection.on_response_complete

    @property
    def message_event(self) -> asyncio.Event:  # type: ignore[override]  # made when somebody waits for it
        event = self._event
        if event is None:
            event = self._event = asyncio.Event()
            if self.body or not self.more_body or self.disconnected or self.response_complete:
                event.set()
        return event

    @property
    def answered(self) -> bool:
        """The answer has been sent to its end."""
        return self.response_complete

    def whole_body(self, *, limit_bytes: int) -> bytes | None:
        """The whole body of the request, once, if all of it has come and it is not longer than that."""
        if self.more_body or self.disconnected or len(self.body) > limit_bytes:
            return None
        body, self.body = self.body, b""
        return bytes(body)

    def when_gone(self, left: Callable[[], object] | None) -> None:
        """Call ``left`` when the caller goes away before the answer has ended; ``None``: no longer."""
        self._left = left
        if left is None or self.response_complete:
            return
        if self.disconnected:
            self.gone = True
            left()
        # The server stops reading when one request comes on the heels of another: nobody would see the caller leave.
        self.flow.resume_reading()

    def reply(self, body: bytes, *, head: bytes) -> bool:
        """Send a whole JSON answer, status 200; false, with nothing sent, where that would have to wait. ``head`` are more lines
        of its head, each with its end."""
        if self.response_started or self.disconnected or self.flow.write_paused:
            return False
        self._answer(
            body, status=200, head=b"content-type: application/json\r\ncontent-length: %d\r\n%b" % (len(body), head)
        )
        return True

    def offer(self, frames: bytes) -> bool:
        if not self.chunked_encoding or self.response_complete or self.disconnected or self.flow.write_paused:
            return False
        self.transport.write(b"%x\r\n%b\r\n" % (len(frames), frames))
        return True

    def hear(self, piece: bytes) -> None:
        """For the connection: the next piece of the body."""
        body = self.body
        if not body:
            self.body = piece
        elif type(body) is bytes:
            self.body = bytearray(body) + piece
        else:
            body += piece
        if len(self.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        self._stir()

    def heard(self) -> None:
        """For the connection: that was all of the body."""
        self.more_body = False
        self._stir()

    def lost(self) -> None:
        """For the connection: it is gone."""
        if not self.response_complete:
            self.disconnected = True
            self._stir()
            if self._left is not None:
                self.gone = True
                self._left()

    def over(self, task: "asyncio.Task[None]") -> None:
        """For the connection: the application is done with it."""
        self._connection.tasks.discard(task)
        # The scope knows of its caller: one would keep the other.
        scope, self.scope = self.scope, _OVER
        failed = None if task.cancelled() else task.exception()
        if failed is not None:
            _log.error("unexpected error", exc_info=failed, extra={"path": scope["path"]})
        if self.response_complete or self.disconnected:
            return
        if failed is not None and not self.response_started:
            excuse = early_error(Unforeseen(), scope=scope)
            body = b"" if scope["method"] == "HEAD" else bytes(excuse.body)
            self._answer(body, status=excuse.status_code, head=lines_of(excuse.raw_headers))
        else:
            # What has no end must not look as if it had one.
            self.transport.close()

    def _answer(self, body: bytes, *, status: int, head: bytes) -> None:
        connection = self._connection
        others = connection.default_headers
        answer = b"%b%b%b%b%b" % (
            STATUS_LINE[status],
            lines_of(others) if others else b"",
            head,
            b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n",
            body,
        )
        self.response_started = self.response_complete = True
        outbox = connection.outbox
        if outbox is not None and self.keep_alive and len(connection.tasks) > FEW:
            outbox.post(self.transport, answer)
        else:
            self.transport.write(answer)
        self._stir()
        if not self.keep_alive:
            self.transport.close()
        connection.on_response_complete()

    def _stir(self) -> None:
        if self._event is not None:
            self._event.set()

"""The server's side of a connection, with limits: how long the head of a request may be and may take, and how many connections
there are."""

import asyncio
from collections.abc import Callable, MutableMapping, Sized
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from gateway.api.errors import error_body
from gateway.api.reply import BODY_S, Headers
from gateway.errors import BadRequest, HeadTooLarge, RequestTooSlow, RolegateError, TooManyConnections
from gateway.relay.outbox import FEW, Outbox
from gateway.relay.patience import Alarm

MAX_HEAD_BYTES: Final = 64 * 1024
HEAD_S: Final = 20.0
"""How long the head of a request may take from its first byte, and a new connection before that."""
CALLER: Final = "rolegate.caller"
"""Under this name, among the extensions of a request's scope, stands its ``Caller``."""
LINGER_S: Final = 1.0
"""How long a caller who is sent away may take to read why."""
_REASONS: Final = {
    400: b"Bad Request",
    408: b"Request Timeout",
    431: b"Request Header Fields Too Large",
    503: b"Service Unavailable",
}


def bounded_protocol(*, max_connections: int, head_s: float = HEAD_S, body_s: float = BODY_S) -> type[asyncio.Protocol]:
    """The protocol of a server that has at most ``max_connections`` at once; whoever comes then is told so and sent away. So is
    whoever takes longer than ``head_s`` for a head; what is still sent of a body that nobody reads any more is heard for
    ``body_s``."""

    class BoundedProtocol(_BoundedProtocol):
        limit = max_connections
        head_within_s = head_s
        body_within_s = body_s

    return BoundedProtocol


class Caller:
    """The server's side of one request, past ASGI's messages: what needs no waiting is done at once. Implements ``Outlet``."""

    __slots__ = ("_crowd", "_cycle", "_left", "_outbox", "alarm", "gone", "loop")

    def __init__(
        self,
        cycle: RequestResponseCycle,
        *,
        loop: asyncio.AbstractEventLoop,
        crowd: Sized = (),
        outbox: Outbox | None = None,
        alarm: Alarm | None = None,
    ) -> None:
        """``crowd`` has an entry for every request under way; while it is large, whole answers go out by ``outbox``."""
        self._cycle = cycle
        self._crowd = crowd
        self._outbox = outbox
        self.loop = loop
        """The one that the server runs in."""
        self.alarm = alarm
        """The connection's."""
        self.gone = False
        """The caller went away while somebody wanted to know."""
        self._left: Callable[[], object] | None = None

    @property
    def answered(self) -> bool:
        """The answer has been sent to its end."""
        return self._cycle.response_complete

    def body(self, *, limit_bytes: int) -> bytes | None:
        """The whole body of the request, once, if all of it has come and it is not longer than that."""
        cycle = self._cycle
        if cycle.more_body or cycle.disconnected or len(cycle.body) > limit_bytes:
            return None
        body, cycle.body = bytes(cycle.body), bytearray()
        return body

    def when_gone(self, left: Callable[[], object] | None) -> None:
        """Call ``left`` when the caller goes away before the answer has ended; ``None``: no longer."""
        self._left = left
        cycle = self._cycle
        if left is None or cycle.response_complete:
            return
        if cycle.disconnected:
            self.gone = True
            left()
        # The server stops reading when one request comes on the heels of another: nobody would see the caller leave.
        cycle.flow.resume_reading()

    def lost(self) -> None:
        """For the connection: it is gone."""
        cycle = self._cycle
        if not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
            if self._left is not None:
                self.gone = True
                self._left()

    def reply(self, body: bytes, *, headers: Headers) -> bool:
        """Send a whole JSON answer, status 200; false, with nothing sent, where that would have to wait."""
        cycle = self._cycle
        if cycle.response_started or cycle.disconnected or cycle.flow.write_paused:
            return False
        parts = [STATUS_LINE[200], b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body)]
        parts += [b"%b: %b\r\n" % header for header in (*cycle.default_headers, *headers)]
        parts.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
        parts.append(body)
        cycle.response_started = cycle.response_complete = True
        cycle.chunked_encoding = cycle.waiting_for_100_continue = False
        if self._outbox is not None and cycle.keep_alive and len(self._crowd) > FEW:
            self._outbox.post(cycle.transport, b"".join(parts))
        else:
            cycle.transport.write(b"".join(parts))
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()
        return True

    def offer(self, frames: bytes) -> bool:
        cycle = self._cycle
        if not cycle.chunked_encoding or cycle.response_complete or cycle.disconnected or cycle.flow.write_paused:
            return False
        cycle.transport.write(b"%x\r\n%b\r\n" % (len(frames), frames))
        return True


class _BoundedProtocol(HttpToolsProtocol):
    limit = 0
    head_within_s = HEAD_S
    body_within_s = BODY_S
    outbox: Outbox | None = None
    """One for all connections of a server, in its event loop."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._at_hand_bytes = 0
        self._in_head = True
        self._refused = False
        self._overdue: asyncio.TimerHandle | None = None
        """Runs while the server waits for the rest of something that should have come whole."""
        self._idle_from_s: float | None = None
        self._under_way: list[Caller] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._alarm = Alarm(self.loop, lasting=True)
        if self.outbox is None or not self.outbox.serves(self.loop):
            type(self).outbox = Outbox(self.loop)
        if len(self.connections) > self.limit:
            self._refuse(TooManyConnections(limit=self.limit))
        else:
            self._overdue = self.loop.call_later(self.head_within_s, self._close_if_overdue)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._at_hand_bytes = len(data)
        super().data_received(data)
        if self._in_head:
            # The parser hands a header over once it is whole: one without an end is only seen here.
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self._refused:
                self._refuse(HeadTooLarge(limit_bytes=MAX_HEAD_BYTES))
            elif self._overdue is None and not self._refused:
                self._overdue = self.loop.call_later(self.head_within_s, self._close_if_overdue)

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._overdue is not None:
            self._in_time()
        if self._head_bytes + self._at_hand_bytes > MAX_HEAD_BYTES and self._headers_bytes() > MAX_HEAD_BYTES:
            self._refuse(HeadTooLarge(limit_bytes=MAX_HEAD_BYTES))
            return
        super().on_headers_complete()
        if self._under_way and self._under_way[-1].answered:
            self._under_way = [one for one in self._under_way if not one.answered]
        if self.cycle is not None:
            caller = Caller(self.cycle, loop=self.loop, crowd=self.tasks, outbox=self.outbox, alarm=self._alarm)
            self._under_way.append(caller)
            cast(MutableMapping[str, object], self.scope)["extensions"] = {CALLER: caller}

    def _headers_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def connection_lost(self, exc: Exception | None) -> None:
        # uvicorn tells only the last of several requests that were sent at once.
        for one in self._under_way:
            one.lost()
        self._alarm.close()
        self._in_time()
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None

    def on_response_complete(self) -> None:
        """As in the class above, with one timer for all the pauses of a connection instead of one for each."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.cycle.more_body and self._overdue is None:
            self._overdue = self.loop.call_later(self.body_within_s, self._close_if_overdue)
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_from_s = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_for_silence(self.timeout_keep_alive)

    def _unset_keepalive_if_required(self) -> None:
        self._idle_from_s = None

    def _look_for_silence(self, in_s: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(in_s, self._close_if_silent)

    def _close_if_silent(self) -> None:
        self.timeout_keep_alive_task = None
        if self._idle_from_s is None:
            if not self._in_head and self.cycle.response_complete:
                # Bytes that begin nothing, such as empty lines, are no sign of life.
                self._idle_from_s = self.loop.time()
                self._look_for_silence(self.timeout_keep_alive)
            return
        left_s = self._idle_from_s + self.timeout_keep_alive - self.loop.time()
        if left_s > 0:
            self._look_for_silence(left_s)
        else:
            self.timeout_keep_alive_handler()

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._refused:
            # The class above forgets to where the answer was faster than the body.
            self.cycle.more_body = False
            if self._overdue is not None:
                self._in_time()
            super().on_message_complete()

    def _in_time(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None

    def _close_if_overdue(self) -> None:
        """What was waited for has not come: a head, of which some was there or nothing, or the rest of a body."""
        self._overdue = None
        if self._refused:
            return
        if self._in_head and self._head_bytes:
            self._refuse(RequestTooSlow(f"the head of the request did not arrive within {self.head_within_s:g} s"))
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        if not self._refused:
            self._refuse(BadRequest("this is not a valid HTTP request"))

    def shutdown(self) -> None:
        self._send_posted()
        super().shutdown()

    def _send_posted(self) -> None:
        """What has been answered is on its way before the connection is closed, or anything else is said."""
        if self.outbox is not None:
            self.outbox.deliver()

    def _refuse(self, error: RolegateError) -> None:
        self._refused = True
        self._send_posted()
        if any(not one.answered for one in self._under_way):
            # An answer is under way: words in the middle of it would be taken for part of it.
            self.transport.close()
            return
        body = error_body(error)
        status = error.http_status
        head = (
            b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            % (
                status,
                _REASONS[status],
                len(body),
            )
        )
        self.transport.write(head + body)
        # Closed with something of the caller's unread, the connection is reset, and the answer may be lost with it.
        if self.transport.can_write_eof():  # not so under TLS
            self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)

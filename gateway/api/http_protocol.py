"""The server's side of a connection, with limits: how long the head of a request may be and may take, and how many connections
there are."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, NamedTuple, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.api.caller import CALLER, Caller
from gateway.api.errors import error_body
from gateway.api.reply import BODY_S
from gateway.errors import BadRequest, HeadTooLarge, RequestTooSlow, RolegateError, TooManyConnections
from gateway.relay.outbox import Outbox
from gateway.relay.patience import Alarm

MAX_HEAD_BYTES: Final = 64 * 1024
HEAD_S: Final = 20.0
"""How long the head of a request may take from its first byte, and a new connection before that."""
MAX_KNOWN_URL_BYTES: Final = 256
"""Longer ones are not remembered: callers choose them."""
LINGER_S: Final = 1.0
"""How long a caller who is sent away may take to read why."""
_name = itemgetter(0)
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


class _Target(NamedTuple):
    path: str
    raw_path: bytes
    query: bytes


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
        self._waiting: deque[Caller] = deque()
        self._serve = cast("Callable[[Any, Any, Any], Coroutine[None, None, None]]", self.app)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self.alarm = Alarm(self.loop, lasting=True)
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

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """What the server says in every answer; some of it changes with time."""
        return self.server_state.default_headers

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        self.url = b""
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """As in the class above, without what is the same for every request."""
        self._in_head = False
        if self._overdue is not None:
            self._in_time()
        if self._head_bytes + self._at_hand_bytes > MAX_HEAD_BYTES and self._headers_bytes() > MAX_HEAD_BYTES:
            self._refuse(HeadTooLarge(limit_bytes=MAX_HEAD_BYTES))
            return
        parser, url = self.parser, self.url
        target = _known_target(url) if len(url) <= MAX_KNOWN_URL_BYTES else _target(url)
        version = parser.get_http_version()
        extensions: dict[str, object] = {}
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "method": parser.get_method().decode("ascii"),
            "root_path": self.root_path,
            "path": target.path,
            "raw_path": target.raw_path,
            "query_string": target.query,
            "headers": self.headers,
            "state": self.app_state.copy(),
            "extensions": extensions,
        }
        before: RequestResponseCycle | None = self.cycle
        caller = self._caller = Caller(
            self,
            scope=scope,
            keep_alive=parser.should_keep_alive() and version != "1.0",
            expects_100=b"expect" in map(_name, self.headers) and _expects_100(self.headers),
        )
        extensions[CALLER] = self.cycle = caller
        if before is None or before.response_complete:
            self._under_way = [caller]
            self._start(caller)
        else:
            # Answers go out in the order of their requests.
            self._under_way.append(caller)
            self.flow.pause_reading()
            self._waiting.append(caller)

    def _start(self, caller: Caller) -> None:
        task = self.loop.create_task(self._serve(caller.scope, caller.receive, caller.send))
        self.tasks.add(task)
        task.add_done_callback(caller.over)

    def _headers_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def connection_lost(self, exc: Exception | None) -> None:
        # uvicorn tells only the last of several requests that were sent at once.
        for one in self._under_way:
            one.lost()
        self.alarm.close()
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
        if self._waiting:
            self._start(self._waiting.popleft())
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
        caller = self._caller
        if not (self._refused or caller.response_complete):
            caller.hear(body)

    def on_message_complete(self) -> None:
        if not self._refused:
            if self._overdue is not None:
                self._in_time()
            self._caller.heard()

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


def _expects_100(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(name == b"expect" and value.lower() == b"100-continue" for name, value in headers)


def _target(url: bytes) -> _Target:
    """The parts of what a request line asks for. Raises ``HttpParserError``."""
    parsed = httptools.parse_url(url)
    path = parsed.path.decode("ascii")
    return _Target(unquote(path) if "%" in path else path, parsed.path, parsed.query or b"")


_known_target = lru_cache(maxsize=256)(_target)

"""The server's side of a connection, with limits: how long the head of a request may be, and how many connections there are."""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.api.errors import error_body
from gateway.errors import BadRequest, HeadTooLarge, RolegateError, TooManyConnections

MAX_HEAD_BYTES: Final = 64 * 1024
LINGER_S: Final = 1.0
"""How long a caller who is sent away may take to read why."""
_REASONS: Final = {400: b"Bad Request", 431: b"Request Header Fields Too Large", 503: b"Service Unavailable"}


def bounded_protocol(*, max_connections: int) -> type[asyncio.Protocol]:
    """The protocol of a server that has at most ``max_connections`` at once; whoever comes then is told so and sent away."""

    class BoundedProtocol(_BoundedProtocol):
        limit = max_connections

    return BoundedProtocol


class _BoundedProtocol(HttpToolsProtocol):
    limit = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._at_hand_bytes = 0
        self._in_head = True
        self._refused = False
        self._under_way: list[RequestResponseCycle] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        if len(self.connections) > self.limit:
            self._refuse(TooManyConnections(limit=self.limit))

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

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._head_bytes + self._at_hand_bytes > MAX_HEAD_BYTES and self._headers_bytes() > MAX_HEAD_BYTES:
            self._refuse(HeadTooLarge(limit_bytes=MAX_HEAD_BYTES))
            return
        super().on_headers_complete()
        if self._under_way and self._under_way[-1].response_complete:
            self._under_way = [one for one in self._under_way if not one.response_complete]
        if self.cycle is not None:
            self._under_way.append(self.cycle)

    def _headers_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def connection_lost(self, exc: Exception | None) -> None:
        # uvicorn tells only the last of several requests that were sent at once.
        for one in self._under_way:
            if not one.response_complete:
                one.disconnected = True
                one.message_event.set()
        super().connection_lost(exc)

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._refused:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        if not self._refused:
            self._refuse(BadRequest("this is not a valid HTTP request"))

    def _refuse(self, error: RolegateError) -> None:
        self._refused = True
        if any(not one.response_complete for one in self._under_way):
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
        self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)

"""One HTTP/1.1 connection to a server, one exchange after the other.

The relay asks little of HTTP (a POST with a JSON body, an answer that is read as it comes) and asks it for every request: a
general client costs several times what all the rest of the gateway does. The parser is httptools', the transport asyncio's.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple, cast

import httptools

from gateway.relay.outbox import Outbox

MAX_HEAD_BYTES: Final = 64 * 1024
HIGH_WATER_BYTES: Final = 256 * 1024
"""What may wait to be read before the server is made to wait."""


class Head(NamedTuple):
    """The head of an answer. ``headers`` have lower-case names; of one that is repeated the last counts. ``content_type`` is the
    media type, in lower case, without parameters; what HTTP assumes where there is none."""

    headers: Mapping[str, str]
    content_type: str


class NotHttp(OSError):
    """The server sent what is no HTTP answer."""


class HttpResponse:
    """An answer whose head is there."""

    __slots__ = (
        "_connection",
        "_held_bytes",
        "_past",
        "_pieces",
        "complete",
        "content_type",
        "headers",
        "reusable",
        "status",
    )

    def __init__(self, connection: "HttpConnection", *, status: int, head: "Head") -> None:
        self._connection = connection
        self._pieces: list[bytes] = []
        self._held_bytes = 0
        self._past: Callable[[bytes], bool] | None = None
        self.status = status
        self.headers = head.headers
        self.content_type = head.content_type
        self.complete = False
        """The body has come to its end; part of it may be unread."""
        self.reusable = False
        """The connection may serve again."""

    @property
    def has_more(self) -> bool:
        """Something of the body has come and is unread."""
        return bool(self._pieces)

    async def readany(self, *, past: Callable[[bytes], bool] | None = None) -> bytes:
        """What has come since the last call, or what comes next; nothing once the body is over. What comes while this waits is
        offered to ``past`` first, which must not raise: it is only what ``past`` did not take that ends the wait.

        Raises ``OSError`` when the connection fails before that.
        """
        while not self._pieces:
            if self.complete:
                return b""
            self._past = past
            try:
                await self._connection.more()
            finally:
                self._past = None
        pieces, self._pieces = self._pieces, []
        if self._held_bytes > HIGH_WATER_BYTES:
            self._connection.resume()
        self._held_bytes = 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self, *, keep: bool) -> None:
        """Done with it. The connection is kept if that is asked for and the answer came to its end, and cut otherwise."""
        self._connection.done(keep=keep and self.complete and self.reusable)

    def settle(self) -> bool:
        """For the connection: after all that came in one read. False when there is nothing for the reader to do."""
        pieces = self._pieces
        if pieces and self._past is not None:
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            if self._past(data):
                pieces.clear()
                self._held_bytes = 0
            else:
                # The task has been woken: from here on it is its turn.
                self._past = None
        return bool(pieces) or self.complete

    def feed(self, piece: bytes) -> None:
        """For the connection: the next piece of the body."""
        self._pieces.append(piece)
        self._held_bytes += len(piece)
        if self._held_bytes > HIGH_WATER_BYTES:
            self._connection.pause()


class HttpConnection(asyncio.Protocol):
    """``finished`` is called when an exchange is over, ``lost`` when the connection is."""

    def __init__(
        self, *, finished: Callable[["HttpConnection"], None], lost: Callable[["HttpConnection"], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._finished = finished
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        # The parser calls these for every header, and for every chunk of the transfer, of which a read may bring one for each
        # word.
        self.on_header = self._headers.__setitem__
        self.on_body = self._body.append
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._response: HttpResponse | None = None
        self._error: OSError | None = None
        self._head_bytes = 0
        self._busy = False
        self._paused = False
        self.used = 0
        """How many exchanges it has had."""
        self.idle_since_s = 0.0

    @property
    def open(self) -> bool:
        return self._error is None

    @property
    def response(self) -> HttpResponse | None:
        """The answer of the present exchange, once its head is there."""
        return self._response

    async def ask(self, *parts: bytes, outbox: Outbox | None = None) -> HttpResponse:
        """Send a request, with what else there is in ``outbox``, and wait for the head of its answer. Raises ``OSError``. The
        connection is cut when it does not come."""
        if self._error is not None:
            raise self._error
        assert self._transport is not None  # noqa: S101  (a connection is handed out once it is made)
        self._busy = True
        self._response = None
        self._headers.clear()
        self._head_bytes = 0
        self.used += 1
        if outbox is None:
            self._transport.write(b"".join(parts))
        else:
            outbox.post(self._transport, b"".join(parts))
        try:
            while (response := self.response) is None:
                await self.more()
        except BaseException:
            self.cut()
            raise
        return response

    def more(self) -> asyncio.Future[None]:
        """Await it until something has come. Raises ``OSError`` when nothing more will."""
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        return self._waiter

    def done(self, *, keep: bool) -> None:
        """The exchange is over."""
        if not self._busy:
            return
        self._busy = False
        if keep and self._error is None:
            self.resume()
            self._finished(self)
        else:
            self.cut()

    def cut(self) -> None:
        """Close it now, whatever is under way."""
        if self._error is None:
            self._error = ConnectionAbortedError("the connection was cut")
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        if not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._paused and self._transport is not None and self._error is None:
            self._paused = False
            self._transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Streams are what it is asked for; uvloop's are no subclass of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        before_head = self._response is None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(NotHttp("the server wants to change the protocol"))
        except httptools.HttpParserError as exc:
            self._fail(NotHttp(f"the answer is not valid HTTP ({exc})"))
        if self._body:
            self._hand_over()
        if before_head and self._response is None:
            # The parser hands a header over once it is whole: one without an end is only seen here.
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._fail(NotHttp(f"the head of the answer has more than {MAX_HEAD_BYTES} bytes"))
        if not self._busy:
            # Nothing was asked: whatever this is, the next answer cannot be told from it.
            self.cut()
        response = self._response
        if before_head or response is None or response.settle() or self._error is not None:
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        response = self._response
        framed = response is None or not {"content-length", "transfer-encoding"}.isdisjoint(response.headers)
        if response is not None and not framed and exc is None:
            response.complete = True
        if self._error is None:
            self._error = exc if isinstance(exc, OSError) else ConnectionResetError("the server closed the connection")
        self._wake()
        self._lost(self)

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            self._headers.clear()
        elif self._busy and self._response is None:
            self._response = HttpResponse(self, status=status, head=_head(tuple(self._headers.items())))
        elif self._response is not None:
            # A second answer to one request: what comes next could not be told from it.
            self._response.reusable = False

    def on_message_complete(self) -> None:
        self._hand_over()
        response = self._response
        if response is not None and not response.complete:
            response.complete = True
            response.reusable = self._parser.should_keep_alive()

    def _hand_over(self) -> None:
        """What the parser has found of the body belongs to the answer, unless nobody asked for it."""
        body, response = self._body, self._response
        if not body:
            return
        if response is not None and not response.complete:
            response.feed(body[0] if len(body) == 1 else b"".join(body))
        body.clear()

    def _fail(self, error: OSError) -> None:
        if self._error is None:
            self._error = error
        if self._transport is not None:
            self._transport.abort()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


@lru_cache(maxsize=64)
def _head(headers: tuple[tuple[bytes, bytes], ...]) -> Head:
    """Most answers of a server have the same head for a second."""
    told = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
    given = told.get("content-type", "application/octet-stream")
    return Head(MappingProxyType(told), given.partition(";")[0].strip().lower())

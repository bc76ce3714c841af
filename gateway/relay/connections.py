"""The relay's HTTP connections, and what their failures mean."""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

import orjson

from gateway.domain.address import names_ollamas_cloud
from gateway.domain.failure import FailureClass
from gateway.domain.ports import Clock
from gateway.domain.secret import ODD_KEY, Secret
from gateway.errors import UpstreamFailed
from gateway.reach import Forbidden, permitted_addresses
from gateway.relay.classify import classify, retry_after
from gateway.relay.http_connection import HttpConnection, HttpResponse, NotHttp
from gateway.relay.lane import FailedAfterResend
from gateway.relay.outbox import FEW, Outbox

KEEPALIVE_S: Final = 4.0
"""Idle connections are dropped before the common servers drop them (5 s), so a request never meets one just closed."""
DRAIN_S: Final = 0.25
STALE_S: Final = 0.5
"""A kept connection that fails this soon, before any byte of an answer, had been closed by the server all along."""
MAX_ERROR_BYTES: Final = 64 * 1024
ERROR_BODY_S: Final = 5.0
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
_NO_MORE_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE})
_KNOWN_URLS: Final = 256
"""How many addresses are remembered taken apart; there are as many as providers, unless an engine moves."""

_PATH_CHARACTERS: Final = "%/:?#[]@!$&'()*+,;=~"
"""What stays as it is in a path: all that has a meaning there, and what is escaped already."""


class Origin(NamedTuple):
    """Where a connection goes to."""

    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """An address taken apart. ``lines`` are the request's first lines after the method."""

    origin: Origin
    lines: bytes


class Connections:
    """One pool for all HTTP lanes. No proxies from the environment, no redirects, no cookies, no limit of its own. Belongs to
    the event loop that it is first used in. ``for_clouds``: connections end at public addresses only, or on this
    machine where the address says so itself, whatever a name leads to."""

    def __init__(self, *, clock: Clock, for_clouds: bool = False) -> None:
        self._clock = clock
        self._for_clouds = for_clouds
        self._targets: dict[str, _Target] = {}
        self._idle: dict[Origin, list[HttpConnection]] = {}
        self._origins: dict[HttpConnection, Origin] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._tls: ssl.SSLContext | None = None
        self._outbox: Outbox | None = None

    def post(
        self,
        url: str,
        *,
        body: Mapping[str, object],
        connect_s: float,
        key: Secret | None = None,
        closes_unsaid: bool = False,
    ) -> "Asking":
        """A POST: ``async with connections.post(…) as response`` has an answer that has begun; the connection is cut at the end
        unless the answer was read to its end.

        ``closes_unsaid`` is for servers that close a connection after an answer without saying so (llama.cpp after every
        stream): a request that meets such a connection is sent once more on a new one. Raises ``UpstreamFailed`` when no
        answer begins, or when the connection fails inside the block; ``FailedAfterResend`` for any failure after a second
        sending.
        """
        data = orjson.dumps(body)
        head = b"POST %bContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n" % (
            self._target(url).lines,
            len(data),
            _authorization(key),
        )
        return Asking(self, url, parts=(head, data), connect_s=connect_s, closes_unsaid=closes_unsaid)

    def get(self, url: str, *, connect_s: float, key: Secret | None = None) -> "Asking":
        """A GET, on the same terms."""
        head = b"GET %b%b\r\n" % (self._target(url).lines, _authorization(key))
        return Asking(self, url, parts=(head,), connect_s=connect_s, closes_unsaid=False)

    async def refusal(
        self,
        response: HttpResponse,
        *,
        keyed: bool,
        key: Secret | None = None,
        account: bool = False,
        loading: bool = False,
    ) -> UpstreamFailed:
        """What an error answer means. ``keyed``, ``key``, ``account`` and ``loading`` are those of ``classify``."""
        return classify(
            status=response.status,
            body=await read_body(response, limit_bytes=MAX_ERROR_BYTES, within_s=ERROR_BODY_S),
            keyed=keyed,
            key=key,
            account=account,
            retry_after_s=retry_after(response.headers.get("retry-after"), now_s=self._clock.time()),
            loading=loading,
        )

    def for_clouds(self) -> "Connections":
        """Another pool like this one, for clouds."""
        return Connections(clock=self._clock, for_clouds=True)

    @property
    def outbox(self) -> Outbox | None:
        """Where requests wait for each other, while there are many; ``None`` while there are few."""
        if len(self._origins) - sum(map(len, self._idle.values())) <= FEW:
            return None
        if self._outbox is None:
            self._outbox = Outbox(asyncio.get_running_loop())
        return self._outbox

    @property
    def now_s(self) -> float:
        """The time on a clock that never goes back, in seconds."""
        return self._clock.monotonic()

    def kept(self, url: str) -> HttpConnection | None:
        """An idle connection to the server of ``url``, if there is one."""
        idle = self._idle.get(self._target(url).origin)
        while idle:
            connection = idle.pop()
            if connection.open and self._clock.monotonic() - connection.idle_since_s < KEEPALIVE_S:
                return connection
            connection.cut()
        return None

    async def connect(self, url: str, *, connect_s: float) -> HttpConnection:
        """A new connection to the server of ``url``. Raises ``OSError``, ``TimeoutError`` after ``connect_s``."""
        origin = self._target(url).origin
        async with asyncio.timeout(connect_s):
            if self._for_clouds or names_ollamas_cloud(origin.host):
                connection = await self._cloud_connection(origin)
            else:
                connection = await self._connection(origin, host=origin.host)
        if connection.open:
            self._origins[connection] = origin
        return connection

    async def _cloud_connection(self, origin: Origin) -> HttpConnection:
        """To the first address of the host that answers. It is the address found good that is connected to, not the name again,
        which may lead elsewhere by then."""
        refused: OSError | None = None
        for address in await permitted_addresses(origin.host, port=origin.port, tls=origin.tls):
            try:
                return await self._connection(origin, host=address)
            except OSError as error:
                refused = error
        raise refused or Forbidden(f"{origin.host} has no address")

    async def _connection(self, origin: Origin, *, host: str) -> HttpConnection:
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: HttpConnection(finished=self._keep, lost=self._forget),
            host,
            origin.port,
            ssl=self._context() if origin.tls else None,
            server_hostname=origin.host if origin.tls else None,
        )
        return connection

    async def close(self) -> None:
        """Cut every connection. The pool opens again when it is used again."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        self._outbox = None
        self._idle.clear()
        for connection in tuple(self._origins):
            connection.cut()
        # The transports are closed by the loop in its next round.
        await asyncio.sleep(0)

    def _keep(self, connection: HttpConnection) -> None:
        connection.idle_since_s = self._clock.monotonic()
        self._idle.setdefault(self._origins[connection], []).append(connection)
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(KEEPALIVE_S, self._drop_idle)

    def _forget(self, connection: HttpConnection) -> None:
        origin = self._origins.pop(connection, None)
        idle = self._idle.get(origin) if origin is not None else None
        if idle and connection in idle:
            idle.remove(connection)

    def _drop_idle(self) -> None:
        self._sweep = None
        limit_s = self._clock.monotonic() - KEEPALIVE_S
        for idle in self._idle.values():
            for connection in [one for one in idle if one.idle_since_s <= limit_s]:
                idle.remove(connection)
                connection.cut()
        if any(self._idle.values()):
            self._sweep = asyncio.get_running_loop().call_later(KEEPALIVE_S, self._drop_idle)

    def _target(self, url: str) -> _Target:
        known = self._targets.get(url)
        if known is None:
            if len(self._targets) >= _KNOWN_URLS:
                self._targets.clear()
            known = self._targets[url] = _taken_apart(url)
        return known

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls


class Asking:
    """One request: ``async with`` sends it and gives its answer."""

    __slots__ = ("_closes_unsaid", "_connect_s", "_connections", "_first_s", "_parts", "_response", "_url")

    def __init__(
        self,
        connections: Connections,
        url: str,
        *,
        parts: tuple[bytes, ...],
        connect_s: float,
        closes_unsaid: bool,
    ) -> None:
        self._connections = connections
        self._url = url
        self._parts = parts
        self._connect_s = connect_s
        self._closes_unsaid = closes_unsaid
        self._first_s: float | None = None
        self._response: HttpResponse | None = None

    async def __aenter__(self) -> HttpResponse:
        try:
            kept = self._connections.kept(self._url)
            if kept is not None:
                begun_s = self._connections.now_s
                try:
                    response = self._response = await kept.ask(*self._parts, outbox=self._connections.outbox)
                    return response
                except OSError:
                    spent_s = self._connections.now_s - begun_s
                    if not self._closes_unsaid or spent_s >= STALE_S:
                        raise
                    self._first_s = spent_s
            connection = await self._connections.connect(self._url, connect_s=self._connect_s)
            response = self._response = await connection.ask(*self._parts)
        except (OSError, TimeoutError, UnicodeError) as exc:
            raise self._counted(transport_failure(exc, begun=False, server=self._server)) from exc
        return response

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._response is not None:
            # After a failure the server may be about to close it: better a new one than a request lost on that.
            self._response.close(keep=error is None)
        if isinstance(error, UpstreamFailed):
            counted = self._counted(error)
            if counted is not error:
                raise counted from error
        elif isinstance(error, OSError | TimeoutError):
            raise self._counted(transport_failure(error, begun=True, server=self._server)) from error

    def _counted(self, failed: UpstreamFailed) -> UpstreamFailed:
        return failed if self._first_s is None else FailedAfterResend(failed, first_s=self._first_s)

    @property
    def _server(self) -> str:
        return str(_taken_apart(self._url).origin)


def _taken_apart(url: str) -> _Target:
    parts = urlsplit(url)
    tls = parts.scheme == "https"
    name = parts.hostname or ""
    origin = Origin(
        host=name if name.isascii() else name.encode("idna").decode("ascii"),
        port=parts.port or (443 if tls else 80),
        tls=tls,
    )
    path = quote(parts.path or "/", safe=_PATH_CHARACTERS)
    if parts.query:
        path = f"{path}?{quote(parts.query, safe=_PATH_CHARACTERS)}"
    host = str(origin) if parts.port is not None else str(origin).removesuffix(f":{origin.port}")
    lines = f"{path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: rolegate\r\nAccept: */*\r\nAccept-Encoding: identity\r\n"
    return _Target(origin=origin, lines=lines.encode("ascii"))


def _authorization(key: Secret | None) -> bytes:
    """Raises ``UpstreamFailed`` for a key that is no header's value: it would be another header, or none."""
    if not key:
        return b""
    if not key.fits_a_header:
        raise UpstreamFailed(ODD_KEY, failure=FailureClass.AUTH)
    return f"Authorization: Bearer {key.reveal()}\r\n".encode("ascii")


async def read_whole(response: HttpResponse) -> bytes:
    """The whole body. Raises ``UpstreamFailed`` when it is longer than ``MAX_ANSWER_BYTES``, ``OSError`` when it breaks off."""
    body = bytearray()
    while piece := await response.readany():
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            message = f"upstream sent an answer of more than {MAX_ANSWER_BYTES} bytes"
            raise UpstreamFailed(message, failure=FailureClass.UPSTREAM_ERROR)
    return bytes(body)


async def read_body(response: HttpResponse, *, limit_bytes: int, within_s: float) -> bytes:
    """The body, in however many pieces it comes. Where it is longer than ``limit_bytes``, takes longer than ``within_s`` or
    breaks off, what has come of it by then."""
    body = bytearray()
    try:
        async with asyncio.timeout(within_s):
            while len(body) < limit_bytes and (piece := await response.readany()):
                body += piece
    except (TimeoutError, OSError):
        pass
    return bytes(body[:limit_bytes])


async def drain(response: HttpResponse) -> None:
    """Read the end of a body whose last word has been heard, so that the connection can serve again; give up soon."""
    if response.complete:
        return
    try:
        async with asyncio.timeout(DRAIN_S):
            while await response.readany():
                pass
    except (TimeoutError, OSError):
        return


def transport_failure(exc: Exception, *, begun: bool, server: str) -> UpstreamFailed:
    """What a failed connection means. ``begun`` says that upstream had already begun to answer."""
    if begun:
        return UpstreamFailed(f"the answer was cut short: {_why(exc)}", failure=FailureClass.TRUNCATED)
    if isinstance(exc, TimeoutError):
        return UpstreamFailed("no connection within the connect deadline", failure=FailureClass.TIMEOUT)
    if isinstance(exc, OSError) and exc.errno in _NO_MORE_FILES:
        message = f"the gateway has no file handle left for a connection to {server}"
        return UpstreamFailed(message, failure=FailureClass.SATURATED)
    if isinstance(exc, ConnectionResetError | ConnectionAbortedError | BrokenPipeError | NotHttp):
        return UpstreamFailed(f"no answer: {_why(exc)}", failure=FailureClass.TRANSPORT)
    return UpstreamFailed(f"no connection: {server}: {_why(exc)}", failure=FailureClass.TRANSPORT)


def _why(exc: Exception) -> str:
    # The event loop words its own errors; the system's words for the same number are the ones people know.
    number = exc.errno if isinstance(exc, OSError) else None
    if isinstance(number, int) and number > 0 and not isinstance(exc, ssl.SSLError):
        return os.strerror(number).lower()
    if isinstance(exc, socket.gaierror):
        return f"the name is not known ({exc.strerror})"
    if isinstance(exc, UnicodeError):
        return "the name is none that can be looked up"
    return str(exc) or type(exc).__name__

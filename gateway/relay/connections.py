"""The relay's HTTP connections, and what their failures mean."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Final

import aiohttp
import orjson

from gateway.domain.failure import FailureClass
from gateway.domain.ports import Clock
from gateway.domain.secret import Secret
from gateway.errors import UpstreamFailed
from gateway.relay.classify import classify, retry_after
from gateway.relay.lane import FailedAfterResend

KEEPALIVE_S: Final = 4.0
"""Idle connections are dropped before the common servers drop them (5 s), so a request never meets one just closed."""
DRAIN_S: Final = 0.25
STALE_S: Final = 0.5
"""A kept connection that fails this soon, before any byte of an answer, had been closed by the server all along."""
MAX_ERROR_BYTES: Final = 64 * 1024
ERROR_BODY_S: Final = 5.0


class Connections:
    """One pool for all HTTP lanes, opened on first use inside the running event loop. No proxies from the environment, no
    redirects, no cookies, no limit of its own."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._kept: aiohttp.ClientSession | None = None
        self._fresh: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def post(
        self,
        url: str,
        *,
        body: Mapping[str, object],
        connect_s: float,
        key: Secret | None = None,
        closes_unsaid: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A POST whose answer has begun; the connection is closed at the end unless the answer was read to its end.

        ``closes_unsaid`` is for servers that close a connection after an answer without saying so (llama.cpp after every
        stream): a request that meets such a connection is sent once more on a new one. Raises ``UpstreamFailed`` when no
        answer begins, or when the connection fails inside the block; ``FailedAfterResend`` for any failure after a second
        sending.
        """
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", **_authorization(key)}
        data = orjson.dumps(body)
        async with self._request(
            "POST", url, data=data, headers=headers, connect_s=connect_s, closes_unsaid=closes_unsaid
        ) as answer:
            yield answer

    @asynccontextmanager
    async def get(
        self, url: str, *, connect_s: float, key: Secret | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A GET, on the same terms."""
        async with self._request(
            "GET", url, data=None, headers=_authorization(key), connect_s=connect_s, closes_unsaid=False
        ) as answer:
            yield answer

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        url: str,
        *,
        data: bytes | None,
        headers: Mapping[str, str],
        connect_s: float,
        closes_unsaid: bool,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        timeout = aiohttp.ClientTimeout(total=None, connect=connect_s, sock_connect=connect_s)

        async def send(session: aiohttp.ClientSession, use: _Use) -> aiohttp.ClientResponse:
            return await session.request(
                method,
                url,
                data=data,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
                trace_request_ctx=use,
            )

        use = _Use(begun_s=self._clock.monotonic())
        response: aiohttp.ClientResponse | None = None
        first_s: float | None = None
        try:
            try:
                response = await send(self._keeping(), use)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                spent_s = self._clock.monotonic() - use.begun_s
                if not (closes_unsaid and use.kept and spent_s < STALE_S):
                    raise
                first_s = spent_s
                response = await send(self._opening(), use)
            yield response
        except UpstreamFailed as failed:
            if first_s is None:
                raise
            raise FailedAfterResend(failed, first_s=first_s) from failed
        except (aiohttp.ClientError, OSError, TimeoutError) as exc:
            failure = transport_failure(exc, begun=response is not None)
            raise failure if first_s is None else FailedAfterResend(failure, first_s=first_s) from exc
        finally:
            if response is not None:
                response.close()

    async def refusal(
        self,
        response: aiohttp.ClientResponse,
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
            retry_after_s=retry_after(response.headers.get("Retry-After"), now_s=self._clock.time()),
            loading=loading,
        )

    async def close(self) -> None:
        """Close every connection. The pool opens again when it is used again."""
        sessions = (self._kept, self._fresh)
        self._kept = self._fresh = None
        for session in sessions:
            if session is not None:
                await session.close()

    def _keeping(self) -> aiohttp.ClientSession:
        if self._kept is None:
            self._kept = _session(aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S))
        return self._kept

    def _opening(self) -> aiohttp.ClientSession:
        if self._fresh is None:
            self._fresh = _session(aiohttp.TCPConnector(limit=0, force_close=True))
        return self._fresh


@dataclass(slots=True, kw_only=True)
class _Use:
    """What became of one request's connection: ``kept`` says that it had served before."""

    begun_s: float
    kept: bool = False


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    traces = aiohttp.TraceConfig()
    traces.on_connection_reuseconn.append(_note_kept)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "rolegate"},
        trust_env=False,
        read_bufsize=1 << 18,
        trace_configs=[traces],
    )


async def _note_kept(
    _: aiohttp.ClientSession, context: SimpleNamespace, __: aiohttp.TraceConnectionReuseconnParams
) -> None:
    context.trace_request_ctx.kept = True


def _authorization(key: Secret | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {key.reveal()}"} if key else {}


async def read_body(response: aiohttp.ClientResponse, *, limit_bytes: int, within_s: float) -> bytes:
    """The body, in however many pieces it comes. Where it is longer than ``limit_bytes``, takes longer than ``within_s`` or
    breaks off, what has come of it by then."""
    body = bytearray()
    try:
        async with asyncio.timeout(within_s):
            while len(body) < limit_bytes and (piece := await response.content.read(limit_bytes - len(body))):
                body += piece
    except (TimeoutError, aiohttp.ClientError, OSError):
        return bytes(body)
    return bytes(body)


async def drain(response: aiohttp.ClientResponse) -> None:
    """Read the end of a body whose last word has been heard, so that the connection can serve again; give up soon."""
    try:
        async with asyncio.timeout(DRAIN_S):
            while await response.content.readany():
                pass
    except (TimeoutError, aiohttp.ClientError, OSError):
        return


def transport_failure(exc: Exception, *, begun: bool) -> UpstreamFailed:
    """What a failed connection means. ``begun`` says that upstream had already begun to answer."""
    if begun:
        return UpstreamFailed(f"the answer was cut short: {_why(exc)}", failure=FailureClass.TRUNCATED)
    if isinstance(exc, TimeoutError):
        return UpstreamFailed("no connection within the connect deadline", failure=FailureClass.TIMEOUT)
    return UpstreamFailed(f"no connection: {_why(exc)}", failure=FailureClass.TRANSPORT)


def _why(exc: Exception) -> str:
    if isinstance(exc, aiohttp.ClientConnectorError):
        # The event loop words its own errors; the system's words for the same number are the ones people know.
        cause = exc.os_error
        reason = os.strerror(cause.errno) if isinstance(cause.errno, int) and cause.errno > 0 else str(cause)
        return f"{exc.host}:{exc.port}: {reason.lower()}"
    return str(exc) or type(exc).__name__

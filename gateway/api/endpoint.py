"""The data plane's endpoint: one request from its bytes to the answer, whole or streamed, in any dialect."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Final

from starlette.types import Receive, Scope, Send

from gateway.api.dialect import Asked, Dialect
from gateway.api.errors import error_headers, error_status
from gateway.api.exchange import CLOUD_HEADERS, Exchange, left_the_machine, stays
from gateway.api.http_protocol import CALLER, Caller
from gateway.api.reply import CallerGone, Headers, raw_headers, read_body, send_body
from gateway.domain.ports import Journal
from gateway.errors import GatewayStopping, RequestFailed, RolegateError
from gateway.relay.answer import Outlet, StreamingAnswer
from gateway.relay.embedding_request import EmbeddingRequest
from gateway.relay.patience import Patience
from gateway.relay.relay import Relay
from gateway.relay.route import Route
from gateway.runtime.swap import Switchboard

GOODBYE_S: Final = 0.5
"""How long the last words may take when the gateway stops."""
QUICK_S: Final = 0.05
"""What is answered sooner is not worth watching for the caller's leave."""
_SSE_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class Endpoint:
    """The ASGI endpoint of one dialect. Watches for the caller's disconnect all the while, so that upstream is closed at once."""

    def __init__(
        self,
        dialect: Dialect,
        *,
        relay: Relay,
        switchboard: Switchboard,
        body_limit_bytes: int,
        journal: Journal | None = None,
    ) -> None:
        self._dialect = dialect
        self._relay = relay
        self._switchboard = switchboard
        self._body_limit_bytes = body_limit_bytes
        self._journal = journal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, endpoint=self._dialect.name, journal=self._journal)
        caller: Caller | None = scope.get("extensions", {}).get(CALLER)
        patience = Patience() if caller is None else Patience(loop=caller.loop, alarm=caller.alarm)
        try:
            body = caller.body(limit_bytes=self._body_limit_bytes) if caller is not None else None
            if not body:
                body = await read_body(receive, limit_bytes=self._body_limit_bytes, patience=patience)
            asked = self._asked(body, exchange=exchange)
            exchange.stream = asked.inquiry.stream
            exchange.visitor.must_use(asked.inquiry.model)
            at_home = stays(scope)
            with self._switchboard.admit() as generation:
                exchange.generation = generation.number
                name = asked.inquiry.model
                exchange.is_role = name in generation.roles
                exchange.role = name if exchange.is_role else ""
                route = generation.route(name)
                if at_home:
                    route = route.staying
                exchange.role = name
                work = self._answer(asked, route=route, exchange=exchange, patience=patience, send=send, caller=caller)
                await (work if caller is not None else until_gone(work, receive=receive))
        except CallerGone:
            exchange.gone()
        except asyncio.CancelledError:
            await self._say_goodbye(exchange, send=send)
            raise
        except RolegateError as error:
            told = exchange.visitor.told(error)
            await send_error(told, dialect=self._dialect, exchange=exchange, send=send)
        finally:
            patience.close()

    def _asked(self, body: bytes, *, exchange: Exchange) -> Asked:
        try:
            return self._dialect.asked(body)
        except RolegateError:
            if self._switchboard.started:
                exchange.name_role(body, roles=self._switchboard.live.roles)
            raise

    async def _say_goodbye(self, exchange: Exchange, *, send: Send) -> None:
        """The gateway is stopping: no answer may look whole that is not."""
        error = GatewayStopping()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                if not exchange.begun:
                    await send_error(error, dialect=self._dialect, exchange=exchange, send=send)
                elif isinstance(exchange.answer, StreamingAnswer):
                    last_words = exchange.answer.cut_off(error)
                    await send({"type": "http.response.body", "body": last_words, "more_body": True})
                    exchange.answered()

    async def _answer(
        self,
        asked: Asked,
        *,
        route: Route,
        exchange: Exchange,
        patience: Patience,
        send: Send,
        caller: Caller | None,
    ) -> None:
        """It is cancelled at once when the caller disconnects (then ``CallerGone``)."""
        if caller is not None:
            caller.when_gone(patience.task.cancel)
        inquiry, request_id = asked.inquiry, exchange.request_id
        try:
            if asked.wire is not None:
                answer = await self._relay.answer(
                    inquiry=inquiry,
                    wire=asked.wire,
                    route=route,
                    request_id=request_id,
                    patience=patience,
                    abandoned=exchange.abandoned,
                )
            else:
                assert isinstance(inquiry, EmbeddingRequest)  # noqa: S101  (what has no wire is one)
                answer = await self._relay.embed(
                    request=inquiry, route=route, request_id=request_id, abandoned=exchange.abandoned
                )
            exchange.answer = answer
            headers = exchange.answer_headers(answer)
            exchange.begun = True
            if isinstance(answer, StreamingAnswer):
                await _send_stream(answer, headers=headers, send=send, outlet=caller)
            elif caller is None or not caller.reply(answer.body, headers=headers):
                await send_body(send, status=200, body=answer.body, headers=headers)
            exchange.answered()
        except asyncio.CancelledError:
            if caller is not None and caller.gone:
                patience.task.uncancel()
                raise CallerGone from None
            raise
        finally:
            if caller is not None:
                caller.when_gone(None)


async def _send_stream(answer: StreamingAnswer, *, headers: Headers, send: Send, outlet: Outlet | None) -> None:
    """Pass frames on as they come. A broken answer is not ended: the server then cuts the connection, which no client takes for
    a clean end."""

    async def write(frames: bytes) -> None:
        await send({"type": "http.response.body", "body": frames, "more_body": True})

    try:
        await send({"type": "http.response.start", "status": 200, "headers": [*_SSE_HEADERS, *headers]})
        await answer.deliver(write, outlet=outlet)
    finally:
        await answer.aclose()
    if not (answer.failed or answer.stopped):
        await send({"type": "http.response.body", "body": b""})


async def send_error(error: RolegateError, *, dialect: Dialect, exchange: Exchange, send: Send) -> None:
    """Answer with an error in the dialect's own shape."""
    status = error_status(error)
    headers = [*raw_headers(error_headers(error)), *exchange.headers()]
    if isinstance(error, RequestFailed):
        headers += raw_headers({"x-rolegate-attempts": str(len(error.attempts))})
        if left_the_machine(error.attempts):
            headers += CLOUD_HEADERS
    await send_body(send, status=status, body=dialect.error(error, request_id=exchange.request_id), headers=headers)
    exchange.refused(error, status=status)


async def until_gone(work: Coroutine[object, object, None], *, receive: Receive) -> None:
    """Do the work; it is cancelled at once when the caller disconnects (then ``CallerGone``), of which a server that has nothing
    but ASGI's messages tells only who asks."""
    worker = asyncio.current_task()
    assert worker is not None  # noqa: S101  (code that awaits runs in a task)
    gone = False

    def left(_: asyncio.Task[None]) -> None:
        nonlocal gone
        gone = True
        worker.cancel()

    watch: asyncio.Task[None] | None = None

    def look_out() -> None:
        nonlocal watch
        watch = asyncio.ensure_future(_disconnected(receive))
        watch.add_done_callback(left)

    later = asyncio.get_running_loop().call_later(QUICK_S, look_out)
    try:
        await work
    except asyncio.CancelledError:
        if gone:
            worker.uncancel()
            raise CallerGone from None
        raise
    finally:
        later.cancel()
        if watch is not None:
            watch.remove_done_callback(left)
            watch.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

"""The data plane's endpoint: one request from its bytes to the answer, whole or streamed, in any dialect."""

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping
from types import MappingProxyType
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from gateway.api.asgi_caller import AsgiCaller
from gateway.api.caller import CALLER, Caller
from gateway.api.dialect import Asked, Dialect
from gateway.api.errors import error_headers, error_status
from gateway.api.exchange import CLOUD_HEADERS, Exchange, left_the_machine
from gateway.api.reply import CallerGone, Headers, headers_in, raw_headers, read_body, send_body
from gateway.domain.ports import Journal
from gateway.errors import GatewayStopping, RequestFailed, RolegateError
from gateway.relay.answer import Answer, Outlet, StreamingAnswer
from gateway.relay.embedding_request import EmbeddingRequest
from gateway.relay.patience import Patience
from gateway.relay.relay import Relay
from gateway.relay.route import Route
from gateway.runtime.generation import Generation
from gateway.runtime.swap import Switchboard

GOODBYE_S: Final = 0.5
"""How long the last words may take when the gateway stops."""
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
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
        caller: Caller | AsgiCaller = scope.get("extensions", _NOTHING).get(CALLER) or AsgiCaller(receive)
        patience = Patience(loop=caller.loop, alarm=caller.alarm)
        try:
            body = caller.whole_body(limit_bytes=self._body_limit_bytes)
            if not body:
                body = await read_body(receive, limit_bytes=self._body_limit_bytes, patience=patience)
            asked = self._asked(body, exchange=exchange)
            at_home = exchange.stays()
            with self._switchboard.admit() as generation:
                route = self._route(asked.inquiry.model, generation=generation, exchange=exchange)
                # From here on this task is cancelled at once when the caller disconnects.
                caller.when_gone(patience.task.cancel)
                answering = self._answer(
                    asked, route=route.staying if at_home else route, exchange=exchange, patience=patience
                )
                answer = exchange.answer = await answering
                head = exchange.answer_head(answer)
                exchange.begun = True
                if isinstance(answer, StreamingAnswer):
                    await _send_stream(answer, headers=headers_in(head), send=send, outlet=caller)
                elif not caller.reply(answer.body, head=head):
                    await send_body(send, status=200, body=answer.body, headers=headers_in(head))
                exchange.answered()
        except CallerGone:
            exchange.gone()
        except asyncio.CancelledError:
            if not caller.gone:
                caller.when_gone(None)
                await self._say_goodbye(exchange, send=send)
                raise
            patience.task.uncancel()
            exchange.gone()
        except RolegateError as error:
            caller.when_gone(None)
            told = exchange.visitor.told(error)
            await send_error(told, dialect=self._dialect, exchange=exchange, send=send)
        finally:
            caller.when_gone(None)
            patience.close()

    def _asked(self, body: bytes, *, exchange: Exchange) -> Asked:
        try:
            asked = self._dialect.asked(body)
        except RolegateError:
            if self._switchboard.started:
                exchange.name_role(body, roles=self._switchboard.live.roles)
            raise
        exchange.stream = asked.inquiry.stream
        exchange.visitor.must_use(asked.inquiry.model)
        return asked

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

    @staticmethod
    def _route(name: str, *, generation: Generation, exchange: Exchange) -> Route:
        """Where the request may go. Raises ``UnknownRole``."""
        exchange.generation = generation.number
        exchange.is_role = name in generation.roles
        exchange.role = name if exchange.is_role else ""
        route = generation.route(name)
        exchange.role = name
        return route

    def _answer(
        self, asked: Asked, *, route: Route, exchange: Exchange, patience: Patience
    ) -> Coroutine[object, None, Answer | StreamingAnswer]:
        inquiry = asked.inquiry
        if asked.wire is not None:
            return self._relay.answer(
                inquiry=inquiry,
                wire=asked.wire,
                route=route,
                request_id=exchange.request_id,
                patience=patience,
                abandoned=exchange.abandoned,
            )
        assert isinstance(inquiry, EmbeddingRequest)  # noqa: S101  (what has no wire is one)
        return self._relay.embed(
            request=inquiry, route=route, request_id=exchange.request_id, abandoned=exchange.abandoned
        )


async def _send_stream(answer: StreamingAnswer, *, headers: Headers, send: Send, outlet: Outlet) -> None:
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

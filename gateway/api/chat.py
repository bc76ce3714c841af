"""``POST /v1/chat/completions``: one request from its bytes to the answer, whole or streamed."""

import asyncio
import contextlib
import logging
import re
import time
import uuid
from collections.abc import Coroutine
from typing import Final

from starlette.types import Receive, Scope, Send

from gateway.api.errors import error_body, error_headers, error_status
from gateway.api.reply import CallerGone, Headers, raw_headers, read_body, send_body
from gateway.errors import RequestFailed, RolegateError
from gateway.relay.relay import Answer, Relay, StreamingAnswer
from gateway.relay.request import ChatRequest
from gateway.relay.route import Route
from gateway.runtime.swap import Switchboard

_log = logging.getLogger(__name__)
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9_.:-]{1,128}")
_SSE_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class ChatCompletions:
    """The ASGI endpoint. Watches for the caller's disconnect all the while, so that upstream is closed at once."""

    def __init__(self, *, relay: Relay, switchboard: Switchboard, body_limit_bytes: int) -> None:
        self._relay = relay
        self._switchboard = switchboard
        self._body_limit_bytes = body_limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = _Exchange(scope)
        try:
            request = ChatRequest.parse(await read_body(receive, limit_bytes=self._body_limit_bytes))
            with self._switchboard.admit() as generation:
                exchange.generation = generation.number
                route = generation.route(request.model)
                exchange.role = request.model if request.model in generation.roles else ""
                work = self._answer(request, route=route, exchange=exchange, send=send)
                await _until_gone(work, receive=receive)
        except CallerGone:
            exchange.log(499)
        except RolegateError as error:
            await _send_error(error, exchange=exchange, send=send)

    async def _answer(self, request: ChatRequest, *, route: Route, exchange: "_Exchange", send: Send) -> None:
        answer = await self._relay.chat(request=request, route=route, request_id=exchange.request_id)
        headers = exchange.answer_headers(answer)
        if isinstance(answer, Answer):
            await send_body(send, status=200, body=answer.body, headers=headers)
        elif not await _send_stream(answer, headers=headers, send=send):
            exchange.log(200, answer, reason="the caller stopped reading")
            return
        exchange.log(200, answer)


async def _send_stream(answer: StreamingAnswer, *, headers: Headers, send: Send) -> bool:
    """Pass frames on as they come; false when the caller stopped reading until the total deadline was over.

    A broken answer is not ended: the server then cuts the connection, which no client takes for a clean end.
    """
    async with contextlib.aclosing(answer):
        try:
            await send({"type": "http.response.start", "status": 200, "headers": [*_SSE_HEADERS, *headers]})
            async for frame in answer.frames:
                # Upstream is held open for the caller, so the total deadline holds for its reading too.
                async with asyncio.timeout(answer.left_s):
                    await send({"type": "http.response.body", "body": frame, "more_body": True})
        except TimeoutError:
            return False
    if not answer.failed:
        await send({"type": "http.response.body", "body": b""})
    return True


async def _send_error(error: RolegateError, *, exchange: "_Exchange", send: Send) -> None:
    status = error_status(error)
    headers = {**error_headers(error), **exchange.plain_headers()}
    if isinstance(error, RequestFailed):
        headers["x-rolegate-attempts"] = str(len(error.attempts))
    await send_body(send, status=status, body=error_body(error), headers=raw_headers(headers))
    exchange.log(status, reason=error.message)


async def _until_gone(work_to_do: Coroutine[object, object, None], *, receive: Receive) -> None:
    """Run the work; cancel it at once when the caller disconnects (then ``CallerGone``)."""
    work = asyncio.ensure_future(work_to_do)
    watch = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait((work, watch), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
            return
        raise CallerGone
    finally:
        for task in (work, watch):
            task.cancel()
        await asyncio.gather(work, watch, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class _Exchange:
    """One request and its answer, as the headers and the log tell of it."""

    def __init__(self, scope: Scope) -> None:
        self._started = time.perf_counter()
        self.request_id = _request_id(scope)
        self._traced = any(name == b"x-rolegate-trace" and value == b"1" for name, value in scope["headers"])
        self.generation: int | None = None
        self.role = ""

    def plain_headers(self) -> dict[str, str]:
        headers = {"x-request-id": self.request_id}
        if self.generation is not None:
            headers["x-rolegate-generation"] = str(self.generation)
        if self.role:
            headers["x-rolegate-role"] = self.role
        return headers

    def answer_headers(self, answer: Answer | StreamingAnswer) -> Headers:
        overhead_s = time.perf_counter() - self._started - answer.upstream_s
        headers = {
            **self.plain_headers(),
            "x-rolegate-model": str(answer.deployment.ref),
            "x-rolegate-attempts": str(len(answer.attempts)),
            "x-rolegate-overhead-ms": f"{max(overhead_s, 0.0) * 1000:.2f}",
        }
        if answer.fallback_reason:
            headers["x-rolegate-fallback-reason"] = answer.fallback_reason
        if answer.deployment.cloud:
            headers["x-rolegate-cloud"] = "true"
        if self._traced and isinstance(answer, Answer):
            steps = (f"{one.model}={one.failure or 'ok'};ms={one.ms:.1f}" for one in answer.attempts)
            headers["x-rolegate-trace"] = ", ".join(steps)
        return raw_headers(headers)

    def log(self, status: int, answer: Answer | StreamingAnswer | None = None, *, reason: str = "") -> None:
        facts: dict[str, object] = {"status": status, "request_id": self.request_id}
        if self.role:
            facts["role"] = self.role
        if answer is not None:
            facts["model"] = str(answer.deployment.ref)
            facts["attempts"] = len(answer.attempts)
            if answer.fallback_reason:
                facts["fallback"] = answer.fallback_reason
        if isinstance(answer, StreamingAnswer) and answer.error is not None:
            facts["broke_off"] = answer.error.message
        facts["ms"] = round((time.perf_counter() - self._started) * 1000, 1)
        if reason:
            facts["reason"] = reason
        _log.log(logging.WARNING if status >= 500 or "broke_off" in facts else logging.INFO, "chat", extra=facts)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value, "ascii")
    return uuid.uuid4().hex

"""What the fake servers have in common: a real TCP listener that records, counts, fails on demand and can be stopped and
started again on its port."""

import asyncio
import itertools
import json
import socket
import struct
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from fakes.faults import ArmedFault, Fault, FaultKind

MAX_BODY_BYTES = 256 << 20
_MAX_UNSENT_BYTES = 1 << 20


@dataclass(slots=True, kw_only=True, eq=False)
class Recorded:
    """One request as the server saw it. ``outcome``: ``running``, ``done`` or ``disconnected`` (the client went away)."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    status: int | None = None
    outcome: str = "running"
    chunks: int = 0
    json: Any = None
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def model(self) -> str:
        name = self.json.get("model") if isinstance(self.json, dict) else None
        return name if isinstance(name, str) else ""


RECORD = web.RequestKey("record", Recorded)
FAULT = web.RequestKey("fault", Fault)


class WireError(Exception):
    """A refusal, before or in the middle of an answer. ``payload`` is the JSON body."""

    def __init__(self, status: int, message: str, **more: object) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.payload: dict[str, object] = {"error": message, **more}


_PLAIN = {404: "404 page not found", 405: "405 method not allowed"}


def compact(payload: object) -> bytes:
    """JSON without spaces, non-ASCII as it is."""
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()


def compact_json(payload: object, *, status: int = 200) -> web.Response:
    return web.Response(body=compact(payload), status=status, content_type="application/json", charset="utf-8")


class FakeServer(ABC):
    """Base of the fakes. ``async with fake:`` (or ``with fake.in_thread():`` where the test has no event loop).

    * ``fake.url``, ``fake.port``; the port is kept when the server is stopped and started again.
    * ``fake.requests``: every request, oldest first; ``fake.requests_to("/api/chat")``; ``fake.last`` is the newest.
    * ``fake.connections``: open TCP connections; ``fake.active``: requests being answered.
    * ``fake.fail(faults.status(503), route="/api/chat", model="x", times=1)``; ``fake.heal()`` removes all faults.
    * ``await fake.until(lambda: fake.active == 0)`` waits for a state of the fake without polling in the test.
    * ``await fake.hang_up()`` closes every connection, as a server does with one that was idle for too long.
    * ``await fake.stop()`` aborts every connection and refuses new ones; ``await fake.start()`` listens again.

    Over HTTP, for a fake in another process: ``GET /__fake__/state``, ``POST /__fake__/faults`` with ``{"kind", "status",
    "body", "headers", "after_chunks", "gap_s", "route", "model", "times"}``, ``DELETE /__fake__/faults``.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host = host
        self.port = port
        self.requests: list[Recorded] = []
        self.faults: list[ArmedFault] = []
        self._runner: web.AppRunner | None = None
        self._stopping = asyncio.Event()
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def last(self) -> Recorded:
        return self.requests[-1]

    @property
    def active(self) -> int:
        return sum(one.outcome == "running" for one in self.requests)

    @property
    def connections(self) -> int:
        server = self._runner.server if self._runner else None
        return len(server.connections) if server else 0

    def requests_to(self, path: str) -> list[Recorded]:
        return [one for one in self.requests if one.path == path]

    def fail(self, fault: Fault, *, route: str = "", model: str = "", times: int | None = None) -> None:
        """Show ``fault`` to requests for ``route`` and ``model`` ("" is any), ``times`` times (None: until ``heal``)."""
        self.faults.append(ArmedFault(fault=fault, route=route, model=model, times=times))

    def heal(self) -> None:
        self.faults.clear()

    @abstractmethod
    def routes(self) -> list[web.RouteDef]:
        """What a subclass serves."""

    def refusal(self, error: WireError, *, path: str) -> web.Response:
        """How a subclass words an error."""
        return compact_json(error.payload, status=error.status)

    async def start(self) -> Self:
        self._stopping = asyncio.Event()
        app = web.Application(middlewares=[self._record], client_max_size=MAX_BODY_BYTES)
        control = [
            web.get("/__fake__/state", self._control_state),
            web.post("/__fake__/faults", self._control_fail),
            web.delete("/__fake__/faults", self._control_heal),
        ]
        app.add_routes([*self.routes(), *control])
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.05, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port)
        await site.start()
        if self.port == 0:
            self.port = self._runner.addresses[0][1]
        return self

    async def stop(self) -> None:
        runner, self._runner = self._runner, None
        if runner is None:
            return
        for site in list(runner.sites):
            await site.stop()
        self._stopping.set()
        for handler in runner.server.connections if runner.server else ():
            if handler.transport is not None:
                _abort(handler.transport)
        await runner.cleanup()

    async def hang_up(self) -> None:
        """Close every connection and wait until they are."""
        for handler in self._runner.server.connections if self._runner and self._runner.server else ():
            if handler.transport is not None:
                handler.transport.close()
        while self.connections:  # noqa: ASYNC110  (aiohttp's list of connections has no event)
            await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def serve_forever(self) -> None:
        """Say where the server listens, on stdout, and serve until cancelled."""
        async with self:
            sys.stdout.write(f"listening on {self.url}\n")
            sys.stdout.flush()
            await asyncio.Event().wait()

    @contextmanager
    def in_thread(self) -> Iterator[Self]:
        """Serve from a thread with its own event loop, for tests without one. The state may be read from outside."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name=type(self).__name__)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self.start(), loop).result(10)
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self.stop(), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)
            loop.close()

    def changed(self) -> None:
        """Wake those who wait in ``until``; called at every change of state."""
        for predicate, future in list(self._waiters):
            if not future.done() and predicate():
                future.set_result(None)

    async def until(self, predicate: Callable[[], bool], *, within_s: float = 10.0) -> None:
        """Return when ``predicate()`` holds; it is asked again at every change of the fake's state."""
        if predicate():
            return
        waiter = (predicate, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(within_s):
                await waiter[1]
        finally:
            self._waiters.remove(waiter)

    async def answer_json(self, request: web.Request, payload: object, *, status: int = 200) -> web.StreamResponse:
        """A JSON answer with its Content-Length; mid-body faults break it half way."""
        body = compact(payload)
        fault = request.get(FAULT)
        if fault is None or fault.kind is FaultKind.SLOW:
            return web.Response(body=body, status=status, content_type="application/json", charset="utf-8")
        if fault.kind is FaultKind.STALL and fault.after_chunks == 0:
            await self.wait_for_stop()
        if fault.kind is FaultKind.ERROR:
            return self.refusal(WireError(500, fault.body), path=request.path)
        if fault.kind is FaultKind.GARBAGE:
            return web.Response(text=fault.body, status=status, content_type="application/json")
        response = web.StreamResponse(status=status, headers={"Content-Type": "application/json"})
        response.content_length = len(body)
        await _prepare(response, request)
        if fault.after_chunks:
            await response.write(body[: len(body) // 2])
        return await self._break_off(request, response, fault)

    async def answer_stream(
        self,
        request: web.Request,
        chunks: AsyncIterator[bytes],
        *,
        content_type: str,
        error_chunk: Callable[[WireError], bytes],
    ) -> web.StreamResponse:
        """Headers go out with the first chunk, so an error before it still has a status; one after it becomes a chunk."""
        try:
            return await self._send_chunks(request, chunks, content_type=content_type, error_chunk=error_chunk)
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()

    async def _send_chunks(
        self,
        request: web.Request,
        chunks: AsyncIterator[bytes],
        *,
        content_type: str,
        error_chunk: Callable[[WireError], bytes],
    ) -> web.StreamResponse:
        fault = request.get(FAULT)
        record = request[RECORD]
        limit = fault.after_chunks if fault is not None else None
        response = web.StreamResponse(headers={"Content-Type": content_type})
        response.enable_chunked_encoding()
        pending = await anext(chunks, None)
        await _prepare(response, request)
        record.status = 200
        while True:
            if fault is not None and limit == record.chunks:
                limit = None
                if fault.kind is FaultKind.GARBAGE:
                    await response.write(fault.body.encode() + b"\n\n")
                elif fault.kind is FaultKind.ERROR:
                    pending = error_chunk(WireError(500, fault.body))
                    await response.write(pending)
                    pending = None
                else:
                    return await self._break_off(request, response, fault)
            if pending is None:
                break
            if fault is not None and fault.kind is FaultKind.SLOW:
                await asyncio.sleep(fault.gap_s)
            await response.write(pending)
            record.chunks += 1
            self.changed()
            try:
                pending = await anext(chunks, None)
            except WireError as error:
                await response.write(error_chunk(error))
                break
        await response.write_eof()
        return response

    async def wait_for_stop(self) -> None:
        """For ever, as far as a client can tell."""
        await self._stopping.wait()
        raise ConnectionResetError("the fake was stopped")

    async def _break_off(self, request: web.Request, response: web.StreamResponse, fault: Fault) -> web.StreamResponse:
        if fault.kind is FaultKind.STALL:
            await self.wait_for_stop()
        if fault.kind is FaultKind.EOF and response.content_length is None:
            await response.write_eof()
        elif request.transport is not None:
            _abort(request.transport) if fault.kind is FaultKind.RESET else request.transport.close()
        return response

    async def _write_raw(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client went away")
        for piece in itertools.chain(fault.pieces, itertools.repeat(fault.refrain) if fault.refrain else ()):
            if transport.is_closing():
                raise ConnectionResetError("the client went away")
            transport.write(piece)
            request[RECORD].chunks += 1
            self.changed()
            await asyncio.sleep(fault.gap_s)
            while transport.get_write_buffer_size() > _MAX_UNSENT_BYTES:
                if transport.is_closing():
                    raise ConnectionResetError("the client went away")
                await asyncio.sleep(0.001)
        if fault.ending == "hold":
            await self.wait_for_stop()
        _abort(transport) if fault.ending == "reset" else transport.close()
        return web.Response()

    @web.middleware
    async def _record(self, request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
        if request.path.startswith("/__fake__/"):
            return await handler(request)  # type: ignore[no-any-return]
        record = Recorded(
            method=request.method,
            path=request.path,
            query=request.query_string,
            headers=request.headers.copy(),
            body=b"",
        )
        self.requests.append(record)
        request[RECORD] = record
        try:
            record.body = await request.read()
            try:
                record.json = json.loads(record.body) if record.body else None
            except ValueError:
                record.json = None
            self.changed()
            response = await self._apply_fault(request, record, handler)
            record.status, record.outcome = response.status, "done"
        except WireError as error:
            response = self.refusal(error, path=request.path)
            record.status, record.outcome = error.status, "done"
        except (asyncio.CancelledError, ConnectionError):
            record.outcome = "disconnected"
            raise
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as error:
            response = web.Response(text=_PLAIN[error.status], status=error.status)
            record.status, record.outcome = error.status, "done"
        finally:
            if record.outcome == "running":
                record.outcome = "failed"
            record.finished.set()
            self.changed()
        return response

    async def _apply_fault(
        self, request: web.Request, record: Recorded, handler: Callable[[web.Request], Any]
    ) -> web.StreamResponse:
        fault = self._take_fault(record)
        if fault is not None:
            request[FAULT] = fault
            if fault.kind is FaultKind.STATUS:
                headers = {"Content-Type": "application/json", **fault.headers}
                return web.Response(body=fault.body.encode(), status=fault.status, headers=headers)
            if fault.kind is FaultKind.HANG:
                await self.wait_for_stop()
            if fault.kind is FaultKind.SLOW:
                await asyncio.sleep(fault.gap_s)
            if fault.kind is FaultKind.RAW:
                return await self._write_raw(request, fault)
            if fault.kind in (FaultKind.RESET, FaultKind.CUT) and fault.after_chunks is None:
                return await self._break_off(request, web.Response(), fault)
        return await handler(request)  # type: ignore[no-any-return]

    def _take_fault(self, record: Recorded) -> Fault | None:
        for armed in self.faults:
            if armed.hits(route=record.path, model=record.model):
                if armed.times is not None:
                    armed.times -= 1
                return armed.fault
        return None

    async def _control_state(self, _: web.Request) -> web.Response:
        seen = [
            {"method": one.method, "path": one.path, "json": one.json, "status": one.status, "outcome": one.outcome}
            for one in self.requests
        ]
        return web.json_response({"requests": seen, "active": self.active, "connections": self.connections})

    async def _control_fail(self, request: web.Request) -> web.Response:
        wish: dict[str, Any] = await request.json()
        aim = {name: wish.pop(name) for name in ("route", "model", "times") if name in wish}
        self.fail(Fault(**{**wish, "kind": FaultKind(wish["kind"])}), **aim)
        return web.json_response({"faults": len(self.faults)})

    async def _control_heal(self, _: web.Request) -> web.Response:
        self.heal()
        return web.json_response({"faults": 0})


async def _prepare(response: web.StreamResponse, request: web.Request) -> None:
    """Put the headers on the wire now; aiohttp alone would hold them back until the first byte of the body."""
    writer = await response.prepare(request)
    if writer is not None:
        writer.send_headers()


def _abort(transport: asyncio.BaseTransport) -> None:
    """Close with RST."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()

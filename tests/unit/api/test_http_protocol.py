"""Limits on the head of a request and on connections, kept before any route is reached."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from gateway.api.http_protocol import MAX_HEAD_BYTES, bounded_protocol

HELLO = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def served(*, max_connections: int = 100) -> AsyncIterator[int]:
    config = uvicorn.Config(
        app,
        http=bounded_protocol(max_connections=max_connections),
        lifespan="off",
        log_config=None,
        ws="none",
        port=0,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]  # of older versions
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        await server.shutdown()


async def told(port: int, data: bytes) -> tuple[int, bytes]:
    """The status and the body of the answer to ``data``, read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    whole = await reader.read()
    writer.close()
    head, _, body = whole.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * (MAX_HEAD_BYTES + 1) + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * (2 * MAX_HEAD_BYTES),
        b"GET /" + b"a" * (2 * MAX_HEAD_BYTES),
    ],
    ids=["complete", "without an end", "a path without an end"],
)
async def test_a_head_over_the_limit_is_refused_in_the_common_shape(data: bytes) -> None:
    async with served() as port:
        status, body = await told(port, data)
    assert status == 431
    error = orjson.loads(body)["error"]
    assert error["code"] == "headers_too_large"
    assert error["message"] == "the head of the request is over the limit of 65,536 bytes"


async def test_what_is_no_http_is_refused_in_the_common_shape() -> None:
    async with served() as port:
        status, body = await told(port, b"\x16\x03\x01 hello\r\n\r\n")
    assert status == 400
    assert orjson.loads(body)["error"]["message"] == "this is not a valid HTTP request"


async def test_a_head_near_the_limit_is_answered() -> None:
    data = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: " + b"a" * (MAX_HEAD_BYTES - 200) + b"\r\n\r\n"
    async with served() as port:
        assert (await told(port, data))[1] == b"ok"


async def test_one_connection_too_many_is_told_so_and_the_others_go_on() -> None:
    async with served(max_connections=1) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HELLO)
        assert (await reader.readuntil(b"ok")).endswith(b"ok")
        status, body = await told(port, b"")
        assert status == 503
        assert orjson.loads(body)["error"]["code"] == "too_many_connections"
        writer.write(HELLO)
        assert (await reader.readuntil(b"ok")).endswith(b"ok")
        writer.close()

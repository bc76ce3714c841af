"""Reading from upstream, in whatever pieces it comes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from gateway.domain.failure import FailureClass
from gateway.relay.connections import Connections, read_body
from gateway.relay.http_connection import HttpResponse
from relay_builders import SystemClock

HEAD = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


class Hesitant:
    """Answers with the first half of a body, and with the rest once ``more`` is set."""

    def __init__(self, body: bytes) -> None:
        self.half = len(body) // 2
        self.more = asyncio.Event()
        self._body = body

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD % len(self._body) + self._body[: self.half])
        await self.more.wait()
        with contextlib.suppress(ConnectionError):
            writer.write(self._body[self.half :])
            await writer.drain()
            writer.close()
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def half_an_answer(hesitant: Hesitant, connections: Connections) -> AsyncIterator[HttpResponse]:
    """The answer, of which the first half has come."""
    server = await asyncio.start_server(hesitant.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server:
        try:
            async with connections.get(url, connect_s=2.0) as response:
                yield response
        finally:
            hesitant.more.set()
            await connections.close()


async def test_an_error_that_comes_in_two_pieces_is_read_to_its_end() -> None:
    hesitant = Hesitant(b'{"error":"registry.ollama.ai/library/x:latest does not support tools"}')
    connections = Connections(clock=SystemClock())
    async with half_an_answer(hesitant, connections) as response:
        reading = asyncio.create_task(connections.refusal(response, keyed=False))
        await asyncio.sleep(0)
        hesitant.more.set()
        failed = await reading
    assert failed.failure is FailureClass.CAPABILITY
    assert failed.message == "registry.ollama.ai/library/x:latest does not support tools"


@pytest.mark.parametrize(("limit_bytes", "within_s"), [(10, 10.0), (1000, 0.05)])
async def test_of_a_body_too_long_or_too_slow_what_has_come_is_kept(limit_bytes: int, within_s: float) -> None:
    async with half_an_answer(Hesitant(b"0123456789" * 2), Connections(clock=SystemClock())) as response:
        assert await read_body(response, limit_bytes=limit_bytes, within_s=within_s) == b"0123456789"

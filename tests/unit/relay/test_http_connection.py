"""HTTP answers as servers write them, well and badly, over real connections."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from core_builders import ManualClock
from gateway.errors import UpstreamFailed
from gateway.relay.connections import Connections, read_whole
from gateway.relay.http_connection import HIGH_WATER_BYTES, MAX_HEAD_BYTES

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
Serve = Callable[["Visit"], Coroutine[Any, Any, None]]


class Visit:
    """One connection that a client made. ``asked`` reads its next request's head; ``b""`` is the end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def asked(self) -> bytes:
        try:
            return await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""

    async def left(self) -> None:
        """Wait until the client has closed the connection."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            return

    def write(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)


class Site:
    """A server that does on every connection what a test says."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self.visits: list[Visit] = []
        self.over = 0
        self._changed = asyncio.Event()
        self.clock = ManualClock()
        self.connections = Connections(clock=self.clock)
        self.url = ""

    async def visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        one = Visit(reader, writer)
        self.visits.append(one)
        self._changed.set()
        try:
            await self._serve(one)
        except (ConnectionError, asyncio.CancelledError):
            return
        finally:
            writer.close()
            self.over += 1
            self._changed.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    async def get(self) -> tuple[int, bytes]:
        async with self.connections.get(self.url, connect_s=2) as response:
            return response.status, await read_whole(response)


@asynccontextmanager
async def a_site(serve: Serve, *, host: str = "127.0.0.1", **listening: Any) -> AsyncIterator[Site]:
    site = Site(serve)
    server = await asyncio.start_server(site.visit, host, 0, **listening)
    shown = f"[{host}]" if ":" in host else host
    site.url = f"{'https' if listening.get('ssl') else 'http'}://{shown}:{server.sockets[0].getsockname()[1]}/x"
    try:
        yield site
    finally:
        await site.connections.close()
        server.close()
        await server.wait_closed()
        await site.until(lambda: site.over == len(site.visits))


def saying(*pieces: bytes, apart: bool = False) -> Serve:
    """Answer every request with these bytes; then close if the answer's end is the connection's."""

    async def serve(visit: Visit) -> None:
        while await visit.asked():
            for piece in pieces:
                visit.write(piece)
                if apart:
                    await visit.writer.drain()
                    await asyncio.sleep(0)
            if b"Content-Length" not in pieces[0] and b"chunked" not in b"".join(pieces):
                return

    return serve


CODED = OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n \r\n5\r\nworld\r\n0\r\n\r\n"
WHOLE = [
    pytest.param(OK + b"Content-Length: 11\r\n\r\nhello world", id="content-length"),
    pytest.param(CODED, id="chunked"),
    pytest.param(CODED.replace(b"0\r\n\r\n", b"0\r\nContent-Type: x/y\r\nX: z\r\n\r\n"), id="chunked with trailers"),
    pytest.param(OK + b"\r\nhello world", id="until close"),
    pytest.param(OK.replace(b"1.1", b"1.0") + b"\r\nhello world", id="1.0"),
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 11\r\n\r\nhello world", id="1xx before it"),
    pytest.param(
        b"HTTP/1.1 103 Early Hints\r\nContent-Type: a/b\r\n\r\n" * 2 + OK + b"Content-Length: 11\r\n\r\nhello world",
        id="two hints before it",
    ),
]


@pytest.mark.parametrize("data", WHOLE)
async def test_a_body_is_read_whatever_marks_its_end(data: bytes) -> None:
    async with a_site(saying(data)) as site, site.connections.get(site.url, connect_s=2) as response:
        assert await read_whole(response) == b"hello world"
        assert response.content_type == "text/plain"


@pytest.mark.parametrize("data", WHOLE)
async def test_a_body_is_read_in_whatever_pieces_it_comes(data: bytes) -> None:
    for size in (1, 2, 3, 7, 16):
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        marked = [b"", *pieces] if b"Content-Length" in data or b"chunked" in data else pieces

        async def serve(visit: Visit, pieces: list[bytes] = marked) -> None:
            await visit.asked()
            for piece in pieces:
                visit.write(piece)
                await visit.writer.drain()
                await asyncio.sleep(0)

        async with a_site(serve) as site:
            assert await site.get() == (200, b"hello world")


async def test_an_answer_without_a_body_is_whole_at_once() -> None:
    async with a_site(saying(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")) as site:
        assert await site.get() == (204, b"")
        assert await site.get() == (204, b"")
        assert len(site.visits) == 1


async def test_a_connection_serves_again_and_is_dropped_when_it_was_idle_too_long() -> None:
    async with a_site(saying(OK + b"Content-Length: 2\r\n\r\nhi")) as site:
        for _ in range(5):
            await site.get()
        assert len(site.visits) == 1
        site.clock.now_s += 4.1
        await site.get()
        assert len(site.visits) == 2
        await site.until(lambda: site.over == 1)


@pytest.mark.parametrize(
    "data",
    [
        OK + b"Content-Length: 2\r\nConnection: close\r\n\r\nhi",
        OK.replace(b"1.1", b"1.0") + b"Content-Length: 2\r\n\r\nhi",
    ],
)
async def test_a_connection_that_the_server_will_not_keep_is_not_used_again(data: bytes) -> None:
    async with a_site(saying(data)) as site:
        await site.get()
        await site.get()
        assert len(site.visits) == 2


async def test_an_idle_connection_that_the_server_closed_is_not_used_again() -> None:
    async def once(visit: Visit) -> None:
        await visit.asked()
        visit.write(OK + b"Content-Length: 2\r\n\r\nhi")

    async with a_site(once) as site:
        for number in range(1, 4):
            assert await site.get() == (200, b"hi")
            await site.until(lambda number=number: site.over == number)  # type: ignore[misc]
            async with asyncio.timeout(5):
                while site.connections.kept(site.url) is not None:  # noqa: ASYNC110  (the loop has to hear of it)
                    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("closes_unsaid", "spent_s", "again"), [(True, 0.49, True), (True, 0.5, False), (False, 0.1, False)]
)
async def test_a_kept_connection_that_fails_is_replaced_where_it_had_been_closed_all_along(
    closes_unsaid: bool, spent_s: float, again: bool
) -> None:
    async def serve(visit: Visit) -> None:
        if not await visit.asked():
            return
        visit.write(OK + b"Content-Length: 2\r\n\r\nhi")
        if await visit.asked():
            site.clock.now_s += spent_s

    async with a_site(serve) as site:
        body: dict[str, object] = {}
        for number in range(2):
            asking = site.connections.post(site.url, body=body, connect_s=2, closes_unsaid=closes_unsaid)
            if number and not again:
                with pytest.raises(UpstreamFailed) as failed:
                    await asking.__aenter__()
                assert failed.value.failure == "transport"
            else:
                async with asking as response:
                    assert await read_whole(response) == b"hi"
        assert len(site.visits) == 1 + again


@pytest.mark.parametrize("more", [b"garbage", OK + b"Content-Length: 3\r\n\r\nbad", b"\r\n\r\n!"])
async def test_what_comes_unasked_on_an_idle_connection_ends_it(more: bytes) -> None:
    go_on = asyncio.Event()

    async def serve(visit: Visit) -> None:
        await visit.asked()
        visit.write(OK + b"Content-Length: 2\r\n\r\nhi")
        await go_on.wait()
        visit.write(more)
        await visit.left()

    async with a_site(serve) as site:
        await site.get()
        go_on.set()
        await site.until(lambda: site.over == 1)
        assert await site.get() == (200, b"hi")
        assert len(site.visits) == 2


async def test_a_second_answer_right_behind_the_first_is_no_part_of_it_nor_of_the_next() -> None:
    async with a_site(saying(OK + b"Content-Length: 2\r\n\r\nhi" + OK + b"Content-Length: 3\r\n\r\nbad")) as site:
        for number in range(1, 4):
            assert await site.get() == (200, b"hi")
            assert len(site.visits) == number


GARBAGE = [
    pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", id="another protocol"),
    pytest.param(b"\x16\x03\x01\x02\x00\x01\x00", id="TLS"),
    pytest.param(b"HTTP/1.1 abc OK\r\n\r\n", id="a status that is none"),
    pytest.param(OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", id="two lengths"),
    pytest.param(OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="both framings"),
    pytest.param(OK + b"Content-Length: x\r\n\r\nhello", id="a length that is none"),
    pytest.param(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", id="upgrade"),
]


@pytest.mark.parametrize("data", GARBAGE)
async def test_what_is_no_http_answer_is_a_failed_transport(data: bytes) -> None:
    async def serve(visit: Visit) -> None:
        await visit.asked()
        visit.write(data)
        await visit.left()

    async with a_site(serve) as site:
        with pytest.raises(
            UpstreamFailed, match=r"^no answer: the (answer is not valid HTTP \(|server wants to)"
        ) as caught:
            await site.get()
        assert caught.value.failure == "transport"


@pytest.mark.parametrize(
    "head",
    [
        OK + b"X-Long: " + b"a" * (2 * MAX_HEAD_BYTES),
        OK + b"".join(b"X-%d: y\r\n" % number for number in range(20_000)),
        b"HTTP/1.1 200 " + b"K" * (2 * MAX_HEAD_BYTES),
    ],
    ids=["one header", "many headers", "the first line"],
)
async def test_a_head_without_an_end_is_not_read_for_ever(head: bytes) -> None:
    async def serve(visit: Visit) -> None:
        await visit.asked()
        visit.write(head)
        await visit.left()

    async with a_site(serve) as site:
        with pytest.raises(UpstreamFailed) as caught:
            await site.get()
    assert caught.value.message == f"no answer: the head of the answer has more than {MAX_HEAD_BYTES} bytes"


@pytest.mark.parametrize(
    ("data", "failure"),
    [
        (b"", "transport"),
        (b"HTTP/1.1 2", "transport"),
        (OK + b"Content-Length: 20\r\n\r\nhello", "truncated"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "truncated"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nnothing\r\n", "truncated"),
    ],
)
async def test_an_answer_that_breaks_off_is_told_from_one_that_never_came(data: bytes, failure: str) -> None:
    async def serve(visit: Visit) -> None:
        await visit.asked()
        visit.write(data)

    async with a_site(serve) as site:
        with pytest.raises(UpstreamFailed) as caught:
            await site.get()
    assert caught.value.failure == failure


async def test_a_server_is_made_to_wait_for_a_reader_that_is_slow() -> None:
    total_bytes = 64 * HIGH_WATER_BYTES
    sent = 0

    async def serve(visit: Visit) -> None:
        nonlocal sent
        await visit.asked()
        visit.write(OK + b"Content-Length: %d\r\n\r\n" % total_bytes)
        piece = b"x" * 65536
        while sent < total_bytes:
            visit.write(piece)
            await visit.writer.drain()
            sent += len(piece)

    async with a_site(serve) as site, site.connections.get(site.url, connect_s=2) as response:
        held_before = -1
        while held_before != sent:
            held_before = sent
            for _ in range(200):
                await asyncio.sleep(0)
        assert response._held_bytes <= 3 * HIGH_WATER_BYTES
        assert sent < total_bytes
        most, read = 0, 0
        while piece := await response.readany():
            most, read = max(most, len(piece)), read + len(piece)
        assert (read, sent) == (total_bytes, total_bytes)
        assert most <= 3 * HIGH_WATER_BYTES


async def test_a_server_on_ipv6_is_asked_under_its_name_in_brackets() -> None:
    heads: list[bytes] = []

    async def serve(visit: Visit) -> None:
        heads.append(await visit.asked())
        visit.write(OK + b"Content-Length: 2\r\n\r\nhi")

    async with a_site(serve, host="::1") as site:
        assert await site.get() == (200, b"hi")
        port = site.url.split("]:")[1].removesuffix("/x")
    assert f"\r\nHost: [::1]:{port}\r\n".encode() in heads[0]

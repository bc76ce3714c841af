"""Text that goes past the task: what is taken, what is left to it, and that nothing is lost between the two."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import orjson

from core_builders import ManualClock
from gateway.relay.connections import Connections
from gateway.relay.http_connection import HttpResponse
from gateway.relay.openai_wire import ChunkReader
from gateway.relay.shortcut import Shortcut
from gateway.relay.sse import SseParser

HEAD = {"id": "up-1", "object": "chat.completion.chunk", "created": 7, "model": "m"}
SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def event(delta: dict[str, str], *, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + orjson.dumps({**HEAD, "choices": [choice]}) + b"\n\n"


class Way:
    """A shortcut behind a reader that knows what text looks like here."""

    def __init__(self) -> None:
        self.shortcut = Shortcut()
        self.splitter = SseParser()
        self.reader = ChunkReader(answer_id="ours", created=1, model="m", keyed=False)
        self.past = self.shortcut.past(self.splitter, self.reader)
        self.sent = b""
        self.free = True
        for one in (event({"role": "assistant", "content": ""}), event({"content": "a"})):
            self.reader.read(one.removeprefix(b"data: ").rstrip())

    def take(self, frames: bytes) -> bool:
        if self.free:
            self.sent += frames
        return self.free


def test_text_is_sent_as_it_came() -> None:
    way = Way()
    data = event({"content": "b"}) + event({"content": "c"})
    with way.shortcut.to(way.take):
        assert way.past(data)
    assert way.sent == data


def test_what_is_not_simply_text_or_not_whole_is_left() -> None:
    way = Way()
    text = event({"content": "b"})
    with way.shortcut.to(way.take):
        for data in (
            event({}, finish="stop"),
            event({"reasoning_content": "b"}),
            text + event({}, finish="stop"),
            text + text[:-1],
            text[:-2],
            b": a comment\n\n" + text,
            text.replace(b'"b"', b"7"),
            text.replace(b'"b"', b'""'),
            text.replace(b'"b"', b'"b","role":"user"'),
            text.replace(b"\n", b"\r\n"),
            b"data: [DONE]\n\n",
        ):
            assert not way.past(data), data
    assert way.sent == b""


def test_nothing_is_taken_while_a_piece_is_still_to_be_completed() -> None:
    way = Way()
    text = event({"content": "b"})
    way.splitter.feed(text[:9])
    with way.shortcut.to(way.take):
        assert not way.past(text)


def test_a_closed_shortcut_and_one_without_a_taker_take_nothing() -> None:
    way = Way()
    assert not way.past(event({"content": "b"}))
    with way.shortcut.to(None):
        assert not way.past(event({"content": "b"}))
    with way.shortcut.to(way.take):
        pass
    assert not way.past(event({"content": "b"}))


def test_a_taker_that_would_have_to_wait_leaves_the_text() -> None:
    way = Way()
    way.free = False
    with way.shortcut.to(way.take):
        assert not way.past(event({"content": "b"}))
    assert way.sent == b""


@asynccontextmanager
async def an_answer(*, heard: Sequence[bytes]) -> AsyncIterator[tuple[HttpResponse, asyncio.StreamWriter]]:
    """An answer whose head is there; write to its body with the writer. ``heard`` is what comes with the head."""
    writers: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(SSE + b"".join(map(chunked, heard)))
        writers.put_nowait(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connections = Connections(clock=ManualClock())
    try:
        async with connections.get(f"http://127.0.0.1:{port}/", connect_s=5) as response:
            writer = await writers.get()
            yield response, writer
            writer.close()
    finally:
        await connections.close()
        server.close()
        await server.wait_closed()


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def test_what_was_taken_on_its_way_does_not_wake_the_reader_and_the_rest_comes_in_order() -> None:
    taken = asyncio.Event()
    seen: list[bytes] = []

    def past(data: bytes) -> bool:
        seen.append(data)
        taken.set()
        return data.startswith(b"take")

    async with asyncio.timeout(10), an_answer(heard=()) as (response, writer):
        reading = asyncio.create_task(response.readany(past=past))
        await asyncio.sleep(0)
        for data in (b"take 1", b"take 2"):
            taken.clear()
            writer.write(chunked(data))
            await taken.wait()
        assert not reading.done()
        writer.write(chunked(b"leave 3"))
        assert await reading == b"leave 3"
        writer.write(chunked(b"take 4"))
        assert await response.readany() == b"take 4"
    assert seen == [b"take 1", b"take 2", b"leave 3"]


async def test_what_had_come_before_is_read_and_not_offered() -> None:
    async with asyncio.timeout(10), an_answer(heard=[b"before"]) as (response, _):
        assert await response.readany(past=lambda _: True) == b"before"

"""An OpenAI-wire server that holds thousands of slow streams, and a client as plain: both far lighter than any library's."""

import asyncio
import json
import re
from collections.abc import Callable
from typing import Final, Self, cast

MODELS: Final = b'{"object":"list","data":[{"id":"slow","object":"model","owned_by":"lab"}]}'
_LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def _event(delta: dict[str, object], *, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "slow", "choices": [choice]}
    data = b"data: " + json.dumps(chunk).encode() + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(data), data)


HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
FIRST: Final = _event({"role": "assistant", "content": ""})
PIECE: Final = _event({"content": "tick "})
LAST: Final = _event({}, finish="stop") + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


class SlowUpstream:
    """``async with SlowUpstream() as upstream:`` answers every chat with ``pieces`` chunks, ``gap_s`` apart; with ``silent`` it
    sends nothing at all, and with ``cut_every`` every so many-th answer is cut off after its first chunk. ``streams`` are the
    answers under way, ``begun`` all there ever were, ``told`` all chunks, ``connections`` the open ones."""

    def __init__(self, *, pieces: int = 5, gap_s: float = 1.0) -> None:
        self.pieces = pieces
        self.gap_s = gap_s
        self.silent = False
        self.cut_every = 0
        self.streams = 0
        self.begun = 0
        self.told = 0
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    @property
    def base_url(self) -> str:
        if self._server is None:
            raise RuntimeError("the upstream is not running")
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Conversation(self), "127.0.0.1", 0, backlog=4096)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()

    async def until(self, holds: Callable[[], bool], *, within_s: float = 60.0) -> None:
        """Return when ``holds()``; it is asked at every change."""
        if holds():
            return
        waiter = (holds, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(within_s):
                await waiter[1]
        finally:
            self._waiters.remove(waiter)

    def changed(self) -> None:
        for holds, future in list(self._waiters):
            if not future.done() and holds():
                future.set_result(None)


class _Conversation(asyncio.Protocol):
    """One connection: reads requests one after the other, answers each with a timer."""

    def __init__(self, server: SlowUpstream) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._read = b""
        self._left = 0
        self._timer: asyncio.TimerHandle | None = None
        self._streaming = False
        self._cut = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass of it
        self._server.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections -= 1
        if self._timer is not None:
            self._timer.cancel()
        self._over()
        self._server.changed()

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, blank, rest = self._read.partition(b"\r\n\r\n")
        if not blank:
            return
        length = _LENGTH.search(head)
        if len(rest) < (int(length.group(1)) if length else 0):
            return
        self._read = b""
        if head.startswith(b"GET"):
            self._write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
            self._write(b"Content-Length: %d\r\n\r\n%s" % (len(MODELS), MODELS))
            return
        self._server.streams += 1
        self._server.begun += 1
        self._streaming = True
        self._left = self._server.pieces
        self._cut = self._server.cut_every > 0 and self._server.begun % self._server.cut_every == 0
        if not self._server.silent:
            self._write(HEAD + FIRST)
            self._tick()
        self._server.changed()

    def _tick(self) -> None:
        if self._cut and self._left < self._server.pieces and self._transport is not None:
            self._transport.abort()
        elif self._left:
            self._left -= 1
            self._write(PIECE)
            self._server.told += 1
            if self._server.told % 100 == 0:
                self._server.changed()
            self._timer = asyncio.get_running_loop().call_later(self._server.gap_s, self._tick)
        else:
            self._write(LAST)
            self._over()
            self._server.changed()

    def _over(self) -> None:
        if self._streaming:
            self._streaming = False
            self._server.streams -= 1

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


class Caller(asyncio.Protocol):
    """One request to the gateway, on a connection of its own. ``answer`` is all that came; ``over`` is done when it ended."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._transport: asyncio.Transport | None = None
        self.answer = bytearray()
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def call(cls, port: int, body: dict[str, object], *, path: str = "/v1/chat/completions") -> "Caller":
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nConnection: close\r\n"
        request = head.encode() + b"Content-Length: %d\r\n\r\n%s" % (len(data), data)
        _, caller = await asyncio.get_running_loop().create_connection(lambda: cls(request), "127.0.0.1", port)
        return caller

    @property
    def status(self) -> int:
        return int(self.answer[9:12] or b"0")

    @property
    def whole(self) -> bool:
        """A stream that came to its end."""
        return self.status == 200 and b"data: [DONE]\n\n" in self.answer and self.answer.endswith(b"0\r\n\r\n")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass of it
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.answer += data

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.over.set_result(None)

    def leave(self) -> None:
        """Vanish, as a client does that is killed."""
        if self._transport is not None:
            self._transport.abort()


def a_chat(*, stream: bool = True) -> dict[str, object]:
    return {"model": "planner", "stream": stream, "messages": [{"role": "user", "content": "Say tick."}]}

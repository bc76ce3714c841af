"""HTTP itself, spoilt on either side: a server that sends what it likes, and callers who send what is no request."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import a_model, a_provider, a_role
from gateway.api.app import build_app
from gateway.compose.listening import Server, loop_factory
from gateway.domain.model import ProviderKind
from gateway.errors import UpstreamFailed
from gateway.relay.connections import Connections, read_whole
from gateway.runtime.swap import Switchboard
from live_builders import SteeredSource, a_configuration, a_controller, until
from relay_builders import SystemClock, a_relay
from slow_upstream import SlowUpstream, a_chat

both_forms = pytest.mark.parametrize("form", ["short", pytest.param("long", marks=pytest.mark.soak)])


class SaysAnything:
    """A server that answers each connection with ``pieces``, whatever it was asked, and then closes it."""

    def __init__(self) -> None:
        self.pieces: Sequence[bytes] = ()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1/chat/completions"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(2)
            for piece in self.pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[asyncio.Runner, SaysAnything]]:
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        says = SaysAnything()
        runner.run(says.start())
        yield runner, says
        runner.run(says.stop())


async def asked(url: str) -> tuple[int, bytes]:
    """Status and body of one answer. Raises ``UpstreamFailed``."""
    connections = Connections(clock=SystemClock())
    try:
        async with asyncio.timeout(30), connections.post(url, body={}, connect_s=5.0) as response:
            return response.status, await read_whole(response)
    finally:
        await connections.close()


@dataclass(frozen=True, kw_only=True)
class Framed:
    """A valid answer: its bytes, its body, and whether its end is the connection's."""

    data: bytes
    body: bytes
    open_ended: bool


@st.composite
def answers(draw: st.DrawFn) -> Framed:
    chunks = draw(st.lists(st.binary(min_size=1, max_size=30), max_size=4))
    body = b"".join(chunks)
    head = b"HTTP/1.1 %d OK\r\nServer: x\r\nContent-Type: text/event-stream\r\n" % draw(
        st.sampled_from([200, 400, 500])
    )
    if draw(st.booleans()):
        head = b"HTTP/1.1 100 Continue\r\n\r\n" + head
    how = draw(st.sampled_from(["length", "chunked", "close"]))
    if how == "length":
        return Framed(data=head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body), body=body, open_ended=False)
    if how == "chunked":
        coded = b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in chunks) + b"0\r\n\r\n"
        return Framed(data=head + b"Transfer-Encoding: chunked\r\n\r\n" + coded, body=body, open_ended=False)
    return Framed(data=head + b"Connection: close\r\n\r\n" + body, body=body, open_ended=True)


cuts = st.lists(st.integers(0, 300), max_size=8)


def pieces_of(data: bytes, where: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(data)) for cut in where), len(data)]
    return [piece for start, end in pairwise(edges) if (piece := data[start:end])]


@both_forms
@given(answer=answers(), where=cuts)
def test_an_answer_in_pieces_is_the_answer(
    server: tuple[asyncio.Runner, SaysAnything], form: str, answer: Framed, where: list[int]
) -> None:
    runner, says = server
    says.pieces = pieces_of(answer.data, where)
    assert runner.run(asked(says.url))[1] == answer.body


@both_forms
@given(answer=answers(), at=st.integers(1, 300))
def test_an_answer_without_its_end_is_no_answer(
    server: tuple[asyncio.Runner, SaysAnything], form: str, answer: Framed, at: int
) -> None:
    runner, says = server
    cut = answer.data[: max(0, len(answer.data) - at)]
    says.pieces = [cut]
    if answer.open_ended and b"\r\n\r\n" in cut.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n"):
        assert answer.body.startswith(runner.run(asked(says.url))[1])
        return
    with pytest.raises(UpstreamFailed):
        runner.run(asked(says.url))


@both_forms
@given(answer=answers(), places=st.lists(st.tuples(st.integers(0, 250), st.binary(max_size=4)), min_size=1, max_size=4))
def test_bytes_that_are_no_answer_are_upstreams_failure(
    server: tuple[asyncio.Runner, SaysAnything], form: str, answer: Framed, places: list[tuple[int, bytes]]
) -> None:
    runner, says = server
    data = answer.data
    for at, put in places:
        data = data[:at] + put + data[at + 1 :]
    says.pieces = pieces_of(data, [len(data) // 2])
    with contextlib.suppress(UpstreamFailed):
        assert runner.run(asked(says.url))[0] >= 200


@both_forms
@given(data=st.binary(max_size=200))
def test_noise_is_upstreams_failure(server: tuple[asyncio.Runner, SaysAnything], form: str, data: bytes) -> None:
    runner, says = server
    says.pieces = [data]
    with pytest.raises(UpstreamFailed):
        runner.run(asked(says.url))


CHAT: Final = orjson.dumps(a_chat(stream=False))
GOOD: Final = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
    % (len(CHAT), CHAT)
)
STREAM: Final = orjson.dumps(a_chat())
GOOD_STREAM: Final = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n%s" % (
    len(STREAM),
    STREAM,
)
GOOD_CHUNKED: Final = (
    b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'4\r\n{"a"\r\n3\r\n:1}\r\n0\r\n\r\n'
)
GOOD_GET: Final = b"GET /v1/models?x=1 HTTP/1.1\r\nHost: 127.0.0.1:4000\r\nConnection: keep-alive\r\n\r\n"


class QuietServer(Server):
    """The gateway's server, but for its hold on the process's signals."""

    def capture_signals(self) -> Any:
        return contextlib.nullcontext()


class Worst(logging.Handler):
    """The worst thing that was logged."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@dataclass(frozen=True, kw_only=True)
class Port:
    """The gateway at a port of this process."""

    runner: asyncio.Runner
    server: Server
    number: int
    worst: Worst


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    worst = Worst()
    logging.getLogger().addHandler(worst)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        stack = AsyncExitStack()
        try:
            yield runner.run(_listening(stack, runner=runner, folder=tmp_path_factory.mktemp("port"), worst=worst))
        finally:
            runner.run(stack.aclose())
            logging.getLogger().removeHandler(worst)


async def _listening(stack: AsyncExitStack, *, runner: asyncio.Runner, folder: Path, worst: Worst) -> Port:
    runner.get_loop().set_exception_handler(lambda _, context: worst.lines.append(repr(context)))
    upstream = await stack.enter_async_context(SlowUpstream(pieces=3, gap_s=0.001))
    provider = a_provider("lab", kind=ProviderKind.OPENAI, url=upstream.base_url)
    source = SteeredSource(a_model("lab:slow", kind=ProviderKind.OPENAI), provider=provider)
    switchboard = Switchboard()
    controller = a_controller(a_configuration(folder, a_role()), [source], switchboard=switchboard)
    relay = await stack.enter_async_context(a_relay(urls={"lab": upstream.base_url}))
    await controller.start()
    app = build_app(
        relay=relay, controller=controller, switchboard=switchboard, body_limit_bytes=1 << 20, loopback_only=True
    )
    server = QuietServer(app, switchboard=switchboard)
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    await server.listening.wait()

    async def stop() -> None:
        server.should_exit = True
        await serving
        await switchboard.close()

    stack.push_async_callback(stop)
    return Port(runner=runner, server=server, number=listener.getsockname()[1], worst=worst)


async def sent(port: Port, pieces: Sequence[bytes], *, patience_s: float = 0.05) -> bytes:
    """What the gateway says to these bytes, until it hangs up or has said nothing for ``patience_s``; then the caller leaves."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
    heard = b""
    with contextlib.suppress(ConnectionError, TimeoutError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        while more := await asyncio.wait_for(reader.read(65_536), timeout=patience_s):
            heard += more
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return heard


async def check_port(port: Port, pieces: Sequence[bytes]) -> None:
    port.worst.lines.clear()
    heard = await sent(port, pieces)
    assert b"Internal Server Error" not in heard
    assert b"HTTP/1.1 500" not in heard
    assert heard == b"" or heard.startswith(b"HTTP/1.1 ")
    await until(lambda: not port.server.server_state.tasks and not port.server.server_state.connections)
    again = await sent(port, [GOOD.replace(b"Host", b"Connection: close\r\nHost")], patience_s=30)
    assert again.startswith(b"HTTP/1.1 200 "), again
    assert port.worst.lines == []


@st.composite
def requests(draw: st.DrawFn) -> list[bytes]:
    """Requests one after the other, spoilt in a few places, in pieces."""
    data = b"".join(
        draw(st.lists(st.sampled_from([GOOD, GOOD_STREAM, GOOD_CHUNKED, GOOD_GET]), min_size=1, max_size=3))
    )
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 3)))
        data = (
            data[:at]
            + draw(st.binary(max_size=4) | st.sampled_from([b"\r\n", b"\x00", b": ", b"0\r\n\r\n"]))
            + data[end:]
        )
    return pieces_of(data, draw(cuts))


@both_forms
@given(pieces=st.one_of(requests(), requests(), st.binary(max_size=100).map(lambda data: [data])))
def test_no_bytes_at_its_port_disturb_the_gateway(port: Port, form: str, pieces: list[bytes]) -> None:
    port.runner.run(check_port(port, pieces))


@pytest.mark.parametrize(
    "pieces",
    [
        [GOOD_STREAM, b"\x00\x00\x00 garbage\r\n\r\n"],
        [GOOD_STREAM[:-5]],
        [b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999\r\n\r\n{}"],
        [b"GET /nowhere?\xff HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"],
        [b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n"],
        [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
        [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
        [GOOD_GET * 40],
    ],
)
def test_odd_callers_disturb_nobody(port: Port, pieces: list[bytes]) -> None:
    port.runner.run(check_port(port, pieces))

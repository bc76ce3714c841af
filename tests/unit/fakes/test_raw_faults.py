"""The fakes write what no HTTP library would, byte for byte, and close connections at will."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from fakes import faults
from fakes.ollama import FakeOllama
from fakes.upstream import FakeUpstream

ASK = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
async def fake() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as server:
        yield server


@pytest.fixture
async def line(fake: FakeUpstream) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """An open connection with the question sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", fake.port)
    yield reader, writer
    writer.close()


Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def test_raw_pieces_are_all_that_is_written(fake: FakeUpstream, line: Line) -> None:
    fake.fail(faults.raw(b"SSH-2.0", b"-fake\r\n", gap_s=0.01))
    line[1].write(ASK)
    assert await line[0].read() == b"SSH-2.0-fake\r\n"
    assert fake.last.outcome == "done"


async def test_a_raw_answer_may_end_in_a_reset(fake: FakeUpstream, line: Line) -> None:
    fake.fail(faults.raw(b"HTTP/1.1 200 OK\r\n", gap_s=0.01, ending="reset"))
    line[1].write(ASK)
    with pytest.raises(ConnectionResetError):
        await line[0].read()


async def test_a_refrain_goes_on_until_the_client_leaves(fake: FakeUpstream, line: Line) -> None:
    fake.fail(faults.raw(b"once ", refrain=b"again ", gap_s=0.001))
    line[1].write(ASK)
    assert await line[0].readexactly(23) == b"once again again again "
    line[1].close()
    await fake.until(lambda: fake.last.outcome == "disconnected")


async def test_a_raw_answer_that_is_held_stays_open_until_the_client_leaves(fake: FakeUpstream, line: Line) -> None:
    fake.fail(faults.raw(b"x", ending="hold"))
    line[1].write(ASK)
    assert await line[0].readexactly(1) == b"x"
    assert fake.last.outcome == "running"
    line[1].close()
    await fake.until(lambda: fake.last.outcome == "disconnected")


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        pytest.param({"length": 5}, b"hello", id="length"),
        pytest.param({"coded": True}, faults.coded(b"hel") + faults.coded(b"lo") + faults.coded(b""), id="chunks"),
        pytest.param({}, b"hello", id="until closed"),
    ],
)
async def test_a_head_and_its_body_make_an_answer(fake: FakeUpstream, shape: dict[str, object], body: bytes) -> None:
    fake.fail(faults.raw(faults.head(content_type="text/plain", **shape) + body))  # type: ignore[arg-type]  # rows of two types
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{fake.base_url}/chat/completions", json={})
    assert (answer.status_code, answer.headers["content-type"], answer.text) == (200, "text/plain", "hello")


async def test_hanging_up_closes_what_was_kept_open_and_goes_on_listening(fake: FakeUpstream) -> None:
    async with httpx.AsyncClient(base_url=fake.url, trust_env=False) as client:
        assert (await client.get("/health")).status_code == 200
        assert fake.connections == 1
        await fake.hang_up()
        assert fake.connections == 0
        assert (await client.get("/health")).status_code == 200


async def test_a_stream_that_broke_off_gives_its_runner_back() -> None:
    async with FakeOllama(models=["llama3.1:8b"]) as ollama, httpx.AsyncClient(trust_env=False) as client:
        ollama.fail(faults.cut(after_chunks=1), times=1)
        asked = {"model": "llama3.1:8b", "messages": [{"role": "user", "content": "hi"}]}
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post(f"{ollama.url}/api/chat", json=asked)
        await ollama.until(lambda: all(one.users == 0 for one in ollama.runners.by_blob.values()))
        assert (await client.post(f"{ollama.url}/api/chat", json=asked)).status_code == 200

"""Stopping: what is under way may finish, what comes anew is refused, and nothing stays behind."""

import asyncio
import signal
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path

import httpx

from gateway_process import GatewayProcess
from slow_upstream import Caller, SlowUpstream, a_chat


@asynccontextmanager
async def serving(
    folder: Path, upstream: SlowUpstream, *, gateway: Mapping[str, object] | None = None
) -> AsyncIterator[GatewayProcess]:
    config = {
        "role_mappings": {"planner": {}},
        "local_providers": {"lab": {"kind": "openai", "url": upstream.base_url}},
        "gateway": dict(gateway or {}),
    }
    async with GatewayProcess(folder, config) as process:
        yield process


async def said(caller: Caller, text: bytes) -> None:
    """Wait until the answer holds ``text``."""
    async with asyncio.timeout(30):
        while text not in caller.answer:  # noqa: ASYNC110  (bytes that arrive have no event)
            await asyncio.sleep(0.01)


def journal(state_folder: Path) -> list[tuple[int, str]]:
    """Status and failure of every request in the journal file, oldest first."""
    with closing(sqlite3.connect(state_folder / "journal.sqlite")) as connection:
        return connection.execute("SELECT status, failure FROM requests ORDER BY rowid").fetchall()


async def refuses(port: int) -> bool:
    """Whether nothing listens at ``port`` any more."""
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                return True
            writer.close()
            await asyncio.sleep(0.02)


async def test_streams_under_way_finish_after_the_signal_and_new_connections_are_refused(tmp_path: Path) -> None:
    async with SlowUpstream(pieces=8, gap_s=0.25) as upstream, serving(tmp_path, upstream) as gateway:
        callers = [await Caller.call(gateway.port, a_chat()) for _ in range(5)]
        gathering = await Caller.call(gateway.port, a_chat(stream=False))
        await upstream.until(lambda: upstream.begun == 6)
        ending = asyncio.create_task(gateway.end(signal.SIGTERM))
        assert await refuses(gateway.port)
        await asyncio.gather(gathering.over, *(caller.over for caller in callers))
        assert all(caller.whole for caller in callers)
        assert gathering.status == 200
        assert gathering.answer.count(b"tick ") == 8
        assert await ending == 0
        assert "stopping signal=SIGTERM in_flight=6" in gateway.log()
        assert "Traceback" not in gateway.log()
        assert journal(gateway.state_folder) == [(200, "")] * 6


async def test_what_outlives_the_grace_is_told_so_and_has_no_clean_end(tmp_path: Path) -> None:
    async with (
        SlowUpstream(pieces=1000, gap_s=0.05) as upstream,
        serving(tmp_path, upstream, gateway={"shutdown_grace_s": 1}) as gateway,
    ):
        caller = await Caller.call(gateway.port, a_chat())
        await said(caller, b"tick ")
        gathering = await Caller.call(gateway.port, a_chat(stream=False))
        await upstream.until(lambda: upstream.streams == 2)
        assert await gateway.end(signal.SIGTERM) == 0
        await asyncio.gather(caller.over, gathering.over)
        assert b"[DONE]" not in caller.answer
        assert not caller.answer.endswith(b"0\r\n\r\n")
        last = bytes(caller.answer).split(b"\n\n")[-2]
        assert b'"code":"stopping"' in last
        assert gathering.status == 503
        assert b'"code":"stopping"' in gathering.answer
        assert "requests cut off count=2" in gateway.log()
        assert "Traceback" not in gateway.log()
        await upstream.until(lambda: upstream.streams == 0)
        assert sorted(journal(gateway.state_folder)) == [(200, "stopping"), (503, "stopping")]


async def test_a_second_signal_cuts_what_is_under_way(tmp_path: Path) -> None:
    async with (
        SlowUpstream(pieces=1000, gap_s=0.05) as upstream,
        serving(tmp_path, upstream, gateway={"shutdown_grace_s": 600}) as gateway,
    ):
        caller = await Caller.call(gateway.port, a_chat())
        await said(caller, b"tick ")
        ending = asyncio.create_task(gateway.end(signal.SIGINT))
        assert await refuses(gateway.port)
        assert await gateway.end(signal.SIGTERM) == 0
        assert await ending == 0
        await caller.over
        assert b"[DONE]" not in caller.answer
        assert "stopping, cutting off the rest signal=SIGTERM in_flight=1" in gateway.log()


async def test_without_grace_it_stops_at_once(tmp_path: Path) -> None:
    async with (
        SlowUpstream(pieces=1000, gap_s=0.05) as upstream,
        serving(tmp_path, upstream, gateway={"shutdown_grace_s": 0}) as gateway,
    ):
        caller = await Caller.call(gateway.port, a_chat())
        await said(caller, b"tick ")
        assert await gateway.end(signal.SIGTERM) == 0
        await caller.over


async def test_after_a_kill_in_mid_stream_the_next_gateway_starts_and_knows_the_journal(tmp_path: Path) -> None:
    async with SlowUpstream(pieces=1, gap_s=0.0) as upstream:
        async with serving(tmp_path, upstream) as gateway:
            first = await Caller.call(gateway.port, a_chat())
            await first.over
            async with httpx.AsyncClient(trust_env=False) as client:
                told = (await client.get(f"{gateway.url}/admin/v1/requests")).json()["requests"]
            assert [one["status"] for one in told] == [200]
            upstream.pieces, upstream.gap_s = 1000, 0.05
            caller = await Caller.call(gateway.port, a_chat())
            await said(caller, b"tick ")
            assert await gateway.end(signal.SIGKILL) == -signal.SIGKILL
            await upstream.until(lambda: upstream.streams == 0)
        upstream.pieces, upstream.gap_s = 1, 0.0
        async with serving(tmp_path, upstream) as gateway:
            again = await Caller.call(gateway.port, a_chat())
            await again.over
            assert again.whole
            assert await gateway.end() == 0
            assert journal(gateway.state_folder) == [(200, "")] * 2

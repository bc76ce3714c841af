"""Many callers for a long time: what they use is given back, and what they do not use does not grow."""

import asyncio
import contextlib
import gc
import random
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from builders import a_model, a_provider, a_role
from fakes.ollama import FakeOllama
from gateway.api.app import build_app
from gateway.compose.listening import Server
from gateway.domain.model import ProviderKind
from gateway.relay.admission import Admission
from gateway.relay.breaker import Breakers
from gateway.runtime.swap import Switchboard
from gateway_process import GatewayProcess
from live_builders import SteeredSource, a_configuration, a_controller, until
from relay_builders import a_relay
from slow_upstream import Caller, SlowUpstream, a_chat

resource = pytest.importorskip("resource", reason="this system has no such limits")

MANY = 1000
FREED_S = 1.0
"""How soon upstream is let go of when a caller vanishes."""
ROOM = 1.05
"""What is flat may still breathe."""


@pytest.fixture(autouse=True)
def many_files() -> Iterator[None]:
    """Room for a connection on either side of every caller."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8 * MANY
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"this system lets a process open {hard} files; the test needs {wanted}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@asynccontextmanager
async def serving(folder: Path, providers: Mapping[str, object]) -> AsyncIterator[GatewayProcess]:
    config = {"role_mappings": {"planner": {}}, "local_providers": dict(providers)}
    async with GatewayProcess(folder, config) as process:
        yield process


def lab(upstream: SlowUpstream, **more: object) -> dict[str, object]:
    return {"lab": {"kind": "openai", "url": upstream.base_url, **more}}


async def in_flight(gateway: GatewayProcess) -> int:
    async with httpx.AsyncClient(trust_env=False) as client:
        status = (await client.get(f"{gateway.url}/admin/v1/status")).json()
    count: int = status["generation"]["in_flight"]
    return count


async def in_flight_is(gateway: GatewayProcess, count: int, *, within_s: float = 20.0) -> None:
    """Wait until so many requests are under way."""
    async with asyncio.timeout(within_s):
        while await in_flight(gateway) != count:  # noqa: ASYNC110  (another process's state has no event)
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("pieces", [7, pytest.param(30, marks=pytest.mark.soak)])
async def test_a_thousand_slow_streams_stay_up_in_flat_memory(tmp_path: Path, pieces: int) -> None:
    async with SlowUpstream(pieces=pieces, gap_s=1.0) as upstream, serving(tmp_path, lab(upstream)) as gateway:
        process = psutil.Process(gateway.pid)
        files = process.num_fds()
        callers = [await Caller.call(gateway.port, a_chat()) for _ in range(MANY)]
        await upstream.until(lambda: upstream.told >= 3 * MANY)
        assert upstream.streams == MANY
        early_bytes = process.memory_info().rss
        await upstream.until(lambda: upstream.told >= (pieces - 1) * MANY)
        assert upstream.streams == MANY
        assert process.memory_info().rss < ROOM * early_bytes
        await asyncio.gather(*(caller.over for caller in callers))
        assert all(caller.whole for caller in callers)
        await in_flight_is(gateway, 0)
        assert process.num_fds() <= files + upstream.connections + 10


@pytest.mark.parametrize("phase", ["in mid-stream", "while gathering", "before the first word", "in the queue"])
async def test_a_caller_that_vanishes_frees_upstream_at_once(tmp_path: Path, phase: str) -> None:
    queued = phase == "in the queue"
    async with (
        SlowUpstream(pieces=10_000, gap_s=0.02) as upstream,
        serving(tmp_path, lab(upstream, **({"max_parallel": 1} if queued else {}))) as gateway,
    ):
        upstream.silent = phase == "before the first word"
        first = await Caller.call(gateway.port, a_chat())
        await upstream.until(lambda: upstream.streams == 1)
        second = await Caller.call(gateway.port, a_chat(stream=phase != "while gathering"))
        if queued:
            await in_flight_is(gateway, 2)
        else:
            await upstream.until(lambda: upstream.streams == 2)
        if phase == "in mid-stream":
            await upstream.until(lambda: upstream.told >= 200)
        second.leave()
        if queued:
            await in_flight_is(gateway, 1, within_s=FREED_S)
            assert upstream.begun == 1
        else:
            await upstream.until(lambda: upstream.streams == 1, within_s=FREED_S)
        first.leave()
        await upstream.until(lambda: upstream.streams == 0, within_s=FREED_S)
        await in_flight_is(gateway, 0)


async def test_a_caller_that_vanishes_while_a_model_loads_is_forgotten_and_the_load_goes_on(tmp_path: Path) -> None:
    async with (
        FakeOllama(models=["llama3.1:8b"]) as ollama,
        serving(tmp_path, {"ollama": {"kind": "ollama", "url": ollama.url}}) as gateway,
    ):
        ollama.runners.gate.clear()
        callers = [await Caller.call(gateway.port, a_chat()) for _ in range(5)]
        await ollama.until(lambda: bool(ollama.runners.loads))
        for caller in callers:
            caller.leave()
        await in_flight_is(gateway, 0, within_s=FREED_S)
        ollama.runners.gate.set()
        await ollama.until(lambda: "llama3.1:8b" in ollama.loaded and ollama.active == 0)
        assert len(ollama.runners.loads) == 1
        assert not ollama.requests_to("/api/chat")


async def comes_and_goes(port: int, dice: random.Random) -> bytes:
    """One caller, who stays to the end or not. What was heard."""
    caller = await Caller.call(port, a_chat(stream=dice.random() < 0.6))
    if dice.random() < 0.6:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(caller.over), timeout=dice.random() * 0.08)
        caller.leave()
    async with asyncio.timeout(60):
        await caller.over
    return bytes(caller.answer)


async def crowd(port: int, *, count: int, dice: random.Random, at_once: int = 60) -> list[bytes]:
    """``count`` callers, so many at once."""
    left = iter(range(count))

    async def one_after_the_other() -> list[bytes]:
        return [await comes_and_goes(port, dice) for _ in left]

    heard = await asyncio.gather(*(one_after_the_other() for _ in range(at_once)))
    return [answer for answers in heard for answer in answers]


@pytest.mark.parametrize("count", [1500, pytest.param(10_000, marks=pytest.mark.soak)])
async def test_callers_who_leave_at_any_time_leave_neither_memory_nor_sockets_behind(
    tmp_path: Path, count: int
) -> None:
    async with (
        SlowUpstream(pieces=4, gap_s=0.01) as upstream,
        serving(tmp_path, lab(upstream, max_parallel=40)) as gateway,
    ):
        process = psutil.Process(gateway.pid)
        dice = random.Random(4711)
        files = process.num_fds()
        await crowd(gateway.port, count=count // 2, dice=dice)
        half_bytes = process.memory_info().rss
        answers = await crowd(gateway.port, count=count - count // 2, dice=dice)
        assert any(b"data: [DONE]" in answer for answer in answers)
        await in_flight_is(gateway, 0)
        assert upstream.streams == 0
        assert process.memory_info().rss < ROOM * half_bytes
        assert process.num_fds() <= files + upstream.connections + 10
        assert "Traceback" not in gateway.log()
        last = await Caller.call(gateway.port, a_chat())
        await last.over
        assert last.whole


class QuietServer(Server):
    """The gateway's server, but for its hold on the process's signals."""

    def capture_signals(self) -> Any:
        return contextlib.nullcontext()


@pytest.mark.parametrize("count", [600, pytest.param(10_000, marks=pytest.mark.soak)])
async def test_callers_who_leave_at_any_time_leave_no_task_and_no_count_behind(tmp_path: Path, count: int) -> None:
    switchboard, breakers = Switchboard(), Breakers()
    async with SlowUpstream(pieces=3, gap_s=0.005) as upstream:
        upstream.cut_every = 9
        provider = a_provider("lab", kind=ProviderKind.OPENAI, url=upstream.base_url, max_parallel=20)
        source = SteeredSource(a_model("lab:slow", kind=ProviderKind.OPENAI), provider=provider)
        controller = a_controller(a_configuration(tmp_path, a_role()), [source], switchboard=switchboard)
        before = asyncio.all_tasks()
        async with a_relay(urls={"lab": upstream.base_url}, breakers=breakers) as relay:
            await controller.start()
            app = build_app(
                relay=relay,
                controller=controller,
                switchboard=switchboard,
                body_limit_bytes=1 << 20,
                loopback_only=True,
            )
            server = QuietServer(app, switchboard=switchboard)
            with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
                serving = asyncio.create_task(server.serve(sockets=[listener]))
                await server.listening.wait()
                quiet = asyncio.all_tasks()
                await crowd(listener.getsockname()[1], count=count, dice=random.Random(42))
                await until(lambda: not server.server_state.tasks and not server.server_state.connections)
                await until(lambda: asyncio.all_tasks() <= quiet)
                admission: Admission = relay._admission
                assert admission.counts("lab") == (0, 0)
                assert switchboard.live.in_flight == 0
                assert not any(one.trial for one in breakers._by_key.values())
                await until(lambda: upstream.streams == 0)
                server.should_exit = True
                await serving
        await switchboard.close()
        await until(lambda: asyncio.all_tasks() <= before)
        gc.collect()
        await until(lambda: upstream.connections == 0)


async def test_a_gateway_out_of_files_refuses_and_recovers(tmp_path: Path) -> None:
    async with SlowUpstream(pieces=10_000, gap_s=0.05) as upstream, serving(tmp_path, lab(upstream)) as gateway:
        process = psutil.Process(gateway.pid)
        if not hasattr(process, "rlimit"):
            pytest.skip("this system does not let a process's limits be changed from outside")
        process.rlimit(psutil.RLIMIT_NOFILE, (process.num_fds() + 40, process.rlimit(psutil.RLIMIT_NOFILE)[1]))
        callers = [await Caller.call(gateway.port, a_chat()) for _ in range(100)]
        await asyncio.wait([caller.over for caller in callers[60:]])
        assert 0 < upstream.streams < 40
        refused = [caller for caller in callers if caller.over.done()]
        assert {caller.status for caller in refused} <= {0, 429, 502, 503}
        for caller in callers:
            caller.leave()
        await upstream.until(lambda: upstream.streams == 0)
        await in_flight_is(gateway, 0)
        upstream.pieces = 1
        last = await Caller.call(gateway.port, a_chat())
        await last.over
        assert last.whole
        assert "Traceback" not in gateway.log()


async def test_a_low_limit_on_files_is_raised_as_far_as_the_system_lets_it(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    async with SlowUpstream() as upstream, serving(tmp_path, lab(upstream)) as gateway:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        process = psutil.Process(gateway.pid)
        if hasattr(process, "rlimit"):
            assert process.rlimit(psutil.RLIMIT_NOFILE)[0] >= 2 * MANY

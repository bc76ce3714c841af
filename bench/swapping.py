"""Swaps: 20 roles of 5 deployments each, from the edit of a file to the moved pointer, and what the event loop suffers of it."""

import asyncio
import gc
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Final

from bench.measure import Result, measured
from gateway.compose.backends import Backends
from gateway.compose.listening import loop_factory
from gateway.compose.parts import Parts, SystemClock
from gateway.compose.watching import Watch
from gateway.compose.workspace import Options, Workspace
from gateway.config.environ import Environment
from gateway.resources import HostProbe
from gateway.runtime.controller import Controller
from gateway.runtime.effects import Effects
from gateway.runtime.swap import Switchboard
from gateway.telemetry.generations import GenerationFile

ROLES, DEPLOYMENTS, RUNS = 20, 5, 9
TICK_S: Final = 0.001
GC_THRESHOLD: Final = 20_000
"""As the gateway has it."""


def results() -> Iterator[Result]:
    what = f"{ROLES} roles x {DEPLOYMENTS} deployments"
    for lane, about in (("openai", "relayed"), ("litellm", "a new LiteLLM router")):
        with tempfile.TemporaryDirectory() as name, asyncio.Runner(loop_factory=loop_factory()) as runner:
            swaps_ms, stalls_ms = runner.run(_measure(Path(name), lane=lane))
        yield measured(
            swaps_ms, name=f"swap, {lane}", what=f"{what}, {about}: edit to pointer", unit="ms", at_most=1000
        )
        yield measured(
            stalls_ms, name=f"stall, {lane}", what=f"{what}, {about}: longest event loop stall", unit="ms", at_most=50
        )


async def _measure(folder: Path, *, lane: str) -> tuple[list[float], list[float]]:
    """Milliseconds of each swap, and of the longest stall in each."""
    _write(folder, 0, lane=lane)
    environment = Environment(variables={"HOME": str(folder), "CLOUDY_API_KEY": "sk-made-up-0123456789"})
    workspace = Workspace(options=Options(config_dir=folder), environment=environment)
    parts = await asyncio.to_thread(workspace.parts)
    switchboard = Switchboard()
    watch = Watch(folder=folder, state_folder=workspace.state_folder)
    controller = _controller(workspace, parts=parts, switchboard=switchboard)
    await controller.start()
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    following = asyncio.create_task(_follow(watch, controller))
    swaps_ms, stalls_ms = [], []
    for number in range(-1, RUNS):
        # The system begins to tell of changes a moment after it is asked to.
        await asyncio.sleep(0.5)
        ticker = _Ticker()
        before = switchboard.live.number
        started_s = time.perf_counter()
        _write(folder, number + 2, lane=lane)
        while switchboard.live.number == before:
            await ticker.tick()
        if number >= 0:
            swaps_ms.append((time.perf_counter() - started_s) * 1000)
            stalls_ms.append(ticker.longest_s * 1000)
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following
    await controller.close()
    await switchboard.close()
    await parts.close()
    gc.unfreeze()
    return swaps_ms, stalls_ms


class _Ticker:
    """Asks to be woken after ``TICK_S`` again and again, and notes how late that was at worst."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    async def tick(self) -> None:
        before_s = time.perf_counter()
        await asyncio.sleep(TICK_S)
        self.longest_s = max(self.longest_s, time.perf_counter() - before_s - TICK_S)


def _controller(workspace: Workspace, *, parts: Parts, switchboard: Switchboard) -> Controller:
    return Controller(
        configuration=workspace.configuration(),
        registry=parts.registry,
        probe=HostProbe(),
        switchboard=switchboard,
        effects=Effects(
            seen=lambda _: None,
            render=workspace.render_plan,
            build_backend=Backends(keys=parts.keys).build,
            read=workspace.read_again,
            persist=workspace.choose,
            facts=parts.registry_for,
            adopted=parts.follow,
        ),
        clock=SystemClock(),
        log=GenerationFile(path=workspace.state_folder / "generations.sqlite"),
    )


async def _follow(watch: Watch, controller: Controller) -> None:
    async with aclosing(watch.edits()) as edits:
        async for cause in edits:
            await controller.edited(cause=cause)


def _write(folder: Path, number: int, *, lane: str) -> None:
    """Every role has other models each time."""
    models = ROLES * DEPLOYMENTS
    names = [f"model-{(number * 7 + place) % models}" for place in range(models)]
    content = {
        "role_mappings": {
            f"role{role}": {
                "cloud_fallback": [f"cloudy:{name}" for name in names[role * DEPLOYMENTS : (role + 1) * DEPLOYMENTS]]
            }
            for role in range(ROLES)
        },
        "cloud_providers": {
            "cloudy": {
                "api_endpoint": "http://127.0.0.1:9/v1",
                "litellm_provider": "openai",
                "lane": lane,
                "models": {name: {} for name in names},
            }
        },
        "gateway": {"hot_swap": True},
    }
    beside = folder / ".models.json.new"
    beside.write_text(json.dumps(content), encoding="utf-8")
    beside.replace(folder / "models.json")

"""Hundreds of swaps in one process: nothing that was made for an old generation is left."""

import asyncio
import gc
import json
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import psutil
import pytest

from gateway.backend.library import load_library
from gateway.compose.backends import Backends
from gateway.compose.parts import Parts
from gateway.compose.workspace import Options, Workspace
from gateway.runtime.controller import Controller
from gateway.runtime.effects import Effects
from gateway.runtime.swap import Switchboard
from gateway.telemetry.generations import GenerationFile
from live_builders import SteadyMachine, until
from relay_builders import SystemClock

LISTS = (
    "callbacks",
    "success_callback",
    "failure_callback",
    "input_callback",
    "service_callback",
    "_async_success_callback",
    "_async_failure_callback",
)
ROOM = 1.05
"""What is flat may still breathe."""


SAME: Final = 3
"""So many swaps in a row have the same deployments on the litellm lane."""


def write(folder: Path, number: int) -> None:
    """A role of relayed models, other ones each time, and three of two models on the litellm lane, others after ``SAME`` swaps;
    the provider's address changes now and then too."""
    names = [f"model-{(number // SAME + place) % 9}" for place in range(4)]
    models: dict[str, object] = {f"model-{one}": {} for one in range(9)}
    cloudy = {"api_endpoint": f"http://127.0.0.1:{9 + number // 30 % 3}/v1", "litellm_provider": "openai"}
    content = {
        "role_mappings": {
            "writer": {"cloud_fallback": [f"relayed:model-{number % 9}"]},
            **{
                role: {"cloud_fallback": [f"cloudy:{names[place]}", f"cloudy:{names[place + 1]}"]}
                for place, role in enumerate(("planner", "critic", "executor"))
            },
        },
        "cloud_providers": {
            "cloudy": {**cloudy, "models": models},
            "relayed": {**cloudy, "lane": "openai", "models": models},
        },
        "gateway": {"hot_swap": True},
    }
    (folder / "models.json").write_text(json.dumps(content), encoding="utf-8")


@asynccontextmanager
async def living(
    folder: Path, parts: Parts, workspace: Workspace, *, backends: Backends
) -> AsyncIterator[tuple[Controller, Switchboard]]:
    switchboard = Switchboard()
    controller = Controller(
        configuration=workspace.configuration(),
        registry=parts.registry,
        probe=SteadyMachine(),
        switchboard=switchboard,
        effects=Effects(
            seen=lambda _: None,
            render=workspace.render_plan,
            build_backend=backends.build,
            read=workspace.read_again,
            persist=workspace.choose,
            facts=parts.registry_for,
            adopted=parts.follow,
        ),
        clock=SystemClock(),
        log=GenerationFile(path=folder / "generations.sqlite"),
    )
    await controller.start()
    yield controller, switchboard
    await controller.close()
    await switchboard.close()


def footprint() -> dict[str, int]:
    module = load_library().module
    lists = {name: len(getattr(module, name)) for name in LISTS}
    return {**lists, "model_cost": len(module.model_cost)}


@pytest.mark.litellm_facts
@pytest.mark.parametrize("swaps", [300, pytest.param(1000, marks=pytest.mark.soak)], ids=["short", "long"])
async def test_swaps_leave_nothing_behind(tmp_path: Path, swaps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    load_library()
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    for name in ("CLOUDY", "RELAYED"):
        monkeypatch.setenv(f"{name}_API_KEY", "sk-made-up-0123456789")
    # The usual pool takes its time to have all of its threads.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max_workers=2))
    write(tmp_path, 0)
    workspace = Workspace.open(Options(config_dir=tmp_path))
    parts = await asyncio.to_thread(workspace.parts)
    process = psutil.Process()
    empty = footprint()
    backends = Backends(keys=parts.keys)
    async with living(tmp_path, parts, workspace, backends=backends) as (controller, switchboard):
        await swap_many(controller, switchboard, tmp_path, first=1, count=60)
        tables, tasks = footprint(), len(asyncio.all_tasks())
        threads, files, memory = threading.active_count(), process.num_fds(), process.memory_info().rss
        await swap_many(controller, switchboard, tmp_path, first=61, count=swaps)
        assert switchboard.live.number == 1 + 60 + swaps
        assert backends._shared is not None
        assert backends._shared.built == 1 + (60 + swaps) // SAME
        assert footprint() == tables
        assert len(asyncio.all_tasks()) == tasks
        assert threading.active_count() <= threads
        assert process.num_fds() <= files
        assert process.memory_info().rss < memory * ROOM
    await parts.close()
    gc.collect()
    assert footprint() == empty


async def swap_many(controller: Controller, switchboard: Switchboard, folder: Path, *, first: int, count: int) -> None:
    for number in range(first, first + count):
        write(folder, number)
        with switchboard.admit() as held:
            swap = await controller.reload(cause=f"edit {number}")
            assert swap.swapped
            assert held.backend is not None
            assert held.number == swap.generation - 1
        await held.discarded.wait()
    await until(lambda: len(switchboard._discards) == 0)
    gc.collect()

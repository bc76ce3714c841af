"""What swaps do to models in memory: nothing that is needed goes, and no load is begun twice or waited for by everybody."""

import asyncio
from pathlib import Path

import pytest

from builders import a_model, a_provider
from gateway.domain.role import Policy
from gateway.errors import UpstreamFailed
from gateway.registry.registry import Registry
from gateway.runtime.canary import Vetoed
from live_builders import SteeredSource, until
from world_builders import a_world, prefers, two

LETS_GO = Policy(preload="never", unload="after_idle")


def loaded(*names: str) -> SteeredSource:
    return SteeredSource(*(a_model(f"ollama:{name}:1b", resident_context=8_192) for name in names))


async def test_whoever_goes_back_waits_neither_for_a_preload_under_way_nor_for_one_of_its_own(tmp_path: Path) -> None:
    async with a_world(tmp_path, prefers("a"), policy=Policy(preload="before")) as world:
        world.loads_end.clear()
        world.edit(prefers("b"))
        first = asyncio.create_task(world.controller.reload(cause="models.json changed"))
        await until(lambda: world.said == ["load ollama:b:1b with 8192 under 1"])
        assert (world.controller.under_way, world.live.number) == ("models.json changed", 1)
        second = await world.controller.rollback()
        assert ((await first).generation, second.generation) == (2, 3)
        assert world.models() == ["ollama:a:1b"]
        assert world.controller.under_way == ""


async def test_whoever_asks_for_something_else_does_not_wait_for_a_preload(tmp_path: Path) -> None:
    source = SteeredSource(*loaded("a").models, a_model("ollama:b:1b"))
    async with a_world(tmp_path, prefers("a"), source=source, policy=Policy(preload="before")) as world:
        world.loads_end.clear()
        world.edit(prefers("b"))
        first = asyncio.create_task(world.controller.reload())
        await until(lambda: world.said == ["load ollama:b:1b with 8192 under 1"])
        world.edit(prefers("a"))
        second = await world.controller.reload()
        assert ((await first).generation, second.generation) == (2, 3)


async def test_a_load_that_the_next_plan_wants_too_is_not_begun_anew(tmp_path: Path) -> None:
    policy = Policy(preload="after")
    async with a_world(tmp_path, prefers("a"), policy=policy) as world:
        world.loads_end.clear()
        for seed in range(3):
            world.edit(prefers("b", parameters={"seed": seed}))
            await world.controller.reload()
            await until(lambda: bool(world.said))
        assert world.said == ["load ollama:b:1b with 8192 under 2"]
        world.edit(prefers("a"))
        await world.controller.reload()
        await until(lambda: world.said[1:] == ["load ollama:a:1b with 8192 under 5"])


async def test_what_a_plan_to_come_needs_is_not_let_go_of_while_it_is_made_ready(tmp_path: Path) -> None:
    source = SteeredSource(*loaded("a", "b").models, a_model("ollama:c:1b"))
    async with a_world(tmp_path, prefers("a"), source=source, policy=LETS_GO) as world:
        with world.switchboard.admit() as first:
            world.edit(prefers("b"))
            await world.controller.reload()
            world.loads_end.clear()
            world.edit(prefers("c", role="critic"), prefers("a"), policy=Policy(preload="before", unload="after_idle"))
            asking = asyncio.create_task(world.controller.reload())
            await until(lambda: world.said == ["load ollama:c:1b with 8192 under 2"])
        await until(first.discarded.is_set)
        for _ in range(10):
            await asyncio.sleep(0)
        world.loads_end.set()
        assert (await asking).generation == 3
        await until(lambda: world.said[1:] == ["unload ollama:b:1b under 3"])


async def test_what_was_kept_for_a_plan_that_failed_is_let_go_of_after_all(tmp_path: Path) -> None:
    source = SteeredSource(*loaded("a", "b").models, a_model("ollama:c:1b"))
    async with a_world(tmp_path, prefers("a"), source=source, policy=LETS_GO) as world:
        with world.switchboard.admit() as first:
            world.edit(prefers("b"))
            await world.controller.reload()
            world.loads_end.clear()
            wary = Policy(preload="before", unload="after_idle", canary="generate")
            world.edit(prefers("c", role="critic"), prefers("a"), policy=wary)
            asking = asyncio.create_task(world.controller.reload())
            await until(lambda: world.said == ["load ollama:c:1b with 8192 under 2"])
        await until(first.discarded.is_set)
        world.canary_trouble = UpstreamFailed("out of memory", failure="load_failed")
        world.loads_end.set()
        with pytest.raises(Vetoed):
            await asking
        await until(lambda: world.said[2:] == ["unload ollama:a:1b under 2"])


async def test_models_are_loaded_and_let_go_of_where_they_are(tmp_path: Path) -> None:
    policy = Policy(preload="after", unload="after_idle")
    old = SteeredSource(*two().models, provider=a_provider(url="http://127.0.0.1:7"))
    async with a_world(tmp_path, prefers("a"), source=old, policy=policy) as world:
        new = SteeredSource(*two().models, provider=a_provider(url="http://127.0.0.1:8"))
        world.other_registry = Registry([new])
        world.edit(prefers("a"))
        await world.controller.reload()
        await until(lambda: len(world.said) == 2)
        done = sorted(zip(world.said, world.places, strict=True))
        assert done == [
            ("load ollama:a:1b with 8192 under 2", "http://127.0.0.1:8"),
            ("unload ollama:a:1b under 2", "http://127.0.0.1:7"),
        ]

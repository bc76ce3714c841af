"""With hot-swap on, edits, requests to swap, models that come and go and a machine that changes lead to the same reconcile."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builders import a_cloud, a_machine, a_model, a_provider, a_role
from gateway.domain.model import ProviderKind
from gateway.domain.role import Policy
from gateway.errors import GatewayStarting, HotSwapDisabled, Problem, RolegateError, UnknownName, UpstreamFailed
from gateway.file_errors import ConfigInvalid, TemplateInvalid
from gateway.registry.registry import Registry
from gateway.runtime.canary import Vetoed
from gateway.runtime.generation import GenerationState
from gateway.runtime.pending import Pending
from gateway.runtime.swap import Swap
from live_builders import SteeredSource, a_configuration, until
from world_builders import World, a_world, prefers, two

BROKEN = ConfigInvalid([Problem(file="models.json", line=3, found="nonsense", allowed="sense")])


async def test_an_edit_that_changes_nothing_for_clients_is_no_swap(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        first = world.live
        swap = await world.controller.reload()
        assert (swap.swapped, swap.generation, swap.changed_roles) == (False, 1, ())
        assert swap.digest == first.selection.plan.digest
        assert world.live is first
        assert [one.cause for one in world.notes.kept] == ["start"]


async def test_an_edit_swaps_and_the_old_generation_drains(tmp_path: Path) -> None:
    async with a_world(tmp_path, prefers("a"), prefers("b", role="critic")) as world:
        world.edit(prefers("b"), prefers("b", role="critic"))
        with world.switchboard.admit() as held:
            swap = await world.controller.reload(cause="models.json changed")
            assert (swap.swapped, swap.generation, swap.changed_roles) == (True, 2, ("planner",))
            assert (held.number, held.state) == (1, GenerationState.DRAINING)
        assert held.state is GenerationState.DISCARDED
        assert (world.live.cause, world.models()) == ("models.json changed", ["ollama:b:1b"])
        record = world.controller.recent[0]
        assert record == world.notes.kept[-1]
        assert (record.number, record.outcome, record.changed_roles) == (2, "adopted", ("planner",))
        assert (record.digest, record.error) == (swap.digest, "")


async def test_roles_that_come_and_go_are_changed_roles(tmp_path: Path) -> None:
    async with a_world(tmp_path, prefers("a"), prefers("b", role="critic")) as world:
        world.edit(prefers("a"), prefers("b", role="writer"))
        assert (await world.controller.reload()).changed_roles == ("critic", "writer")


async def test_the_cause_of_a_reload_is_what_changed_on_disk_if_anything_did(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        for number, noticed, cause in ((2, "models.json changed", "models.json changed"), (3, "", "asked to reload")):
            world.noticed = noticed
            world.edit(prefers("b") if number == 2 else prefers("a"))
            await world.controller.reload()
            assert (world.live.number, world.live.cause) == (number, cause)


async def test_what_is_wrong_with_an_edit_is_raised_told_once_and_remembered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_world(tmp_path) as world:
        sound, world.disk[""] = world.disk[""], BROKEN
        for _ in range(3):
            with pytest.raises(ConfigInvalid) as raised:
                await world.controller.reload(cause="models.json changed")
            assert raised.value is BROKEN
        assert world.live.number == 1
        assert world.controller.last_error == str(BROKEN)
        assert world.pending() == Pending(profile=None, problems=BROKEN.problems)
        assert [one.getMessage() for one in caplog.records if one.levelname == "ERROR"] == [
            "the new plan was not adopted"
        ]
        assert [(one.outcome, one.number, one.error) for one in world.notes.kept] == [
            ("adopted", 1, ""),
            ("failed", 1, str(BROKEN)),
        ]
        world.disk[""] = sound
        await world.controller.reload()
        assert not world.controller.last_error
        assert world.pending() is None


async def test_whatever_goes_wrong_with_an_edit_nothing_is_raised_at_the_watch(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_world(tmp_path) as world:
        for trouble in (BROKEN, KeyError("surprise")):
            world.disk[""] = trouble
            await world.controller.edited(cause="models.json changed")
        assert world.controller.last_error == "'surprise'"
        assert world.live.number == 1


async def test_an_edit_that_could_not_be_stored_is_the_last_error_until_one_comes_through(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_world(tmp_path) as world:
        world.controller.not_stored(RolegateError("the disk is full"), cause="profile a was to be written over HTTP")
        assert world.controller.last_error == "the disk is full"
        assert "an edit could not be stored" in caplog.messages
        await world.controller.reload()
        assert not world.controller.last_error


async def test_before_the_first_plan_there_is_nothing_to_swap(tmp_path: Path) -> None:
    world = World(source=two(), disk={"": a_configuration(tmp_path, prefers("a"), hot_swap=True)})
    with pytest.raises(GatewayStarting):
        await world.controller.reload()
    assert world.noticings == 0


async def test_with_hot_swap_off_nothing_swaps_and_the_way_to_enable_it_is_told(tmp_path: Path) -> None:
    async with a_world(tmp_path, hot_swap=False) as world:
        asked: list[Callable[[], Any]] = [
            world.controller.reload,
            lambda: world.controller.swap("coding"),
            world.controller.rollback,
        ]
        for ask in asked:
            with pytest.raises(HotSwapDisabled) as raised:
                await ask()
            assert str(raised.value) == "hot-swap is off: this gateway keeps the plan it was started with"
            assert raised.value.hint == "start it with --hot-swap, or set gateway.hot_swap to true and restart it"
            assert (raised.value.code, raised.value.http_status) == ("hot_swap_disabled", 409)


async def test_with_hot_swap_off_an_edit_is_weighed_and_not_taken_up(tmp_path: Path) -> None:
    async with a_world(tmp_path, hot_swap=False) as world:
        world.edit(prefers("b"))
        await world.controller.edited(cause="models.json changed")
        assert world.pending() == Pending(profile=None, changed_roles=("planner",))
        world.disk[""] = BROKEN
        await world.controller.edited(cause="models.json changed")
        assert world.pending() == Pending(profile=None, problems=BROKEN.problems)
        assert world.controller.last_error == str(BROKEN)
        world.disk[""] = world.controller.configuration
        await world.controller.edited(cause="models.json changed")
        assert not world.controller.last_error
        assert world.pending() is None
        assert world.live.number == 1


async def test_a_swap_to_a_profile_makes_it_the_active_one(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.disk["coding"] = a_configuration(tmp_path, prefers("b"), hot_swap=True)
        swap = await world.controller.swap("coding")
        assert (swap.generation, swap.changed_roles) == (2, ("planner",))
        assert (world.persisted, world.controller.configuration.profile) == (["coding"], "coding")
        assert world.live.cause == "profile coding"
        assert (await world.controller.swap(None)).generation == 3
        assert (world.persisted, world.controller.configuration.profile) == (["coding", None], None)


async def test_a_profile_that_changes_nothing_is_the_active_one_all_the_same(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.disk["same"] = world.disk[""]
        assert not (await world.controller.swap("same")).swapped
        assert (world.persisted, world.controller.configuration.profile) == (["same"], "same")


async def test_a_swap_that_cannot_be_kept_does_not_happen(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.disk["coding"] = a_configuration(tmp_path, prefers("b"), hot_swap=True)
        world.persist_trouble = RolegateError("the disk is full")
        with pytest.raises(RolegateError, match="the disk is full"):
            await world.controller.swap("coding")
        assert (world.live.number, world.controller.configuration.profile) == (1, None)
        assert world.controller.last_error == "the disk is full"


async def test_a_caller_that_leaves_does_not_end_the_swap_it_asked_for(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.edit(prefers("b"))
        asking = asyncio.create_task(world.controller.reload())
        await asyncio.sleep(0)
        asking.cancel()
        await until(lambda: world.live.number == 2)


async def test_swaps_asked_for_at_once_come_one_after_the_other(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        for number in range(5):
            roles = prefers("a") if number % 2 else prefers("b")
            world.disk[f"p{number}"] = a_configuration(tmp_path, roles, hot_swap=True)
        swaps: list[Swap] = await asyncio.gather(*(world.controller.swap(f"p{number}") for number in range(5)))
        assert [swap.generation for swap in swaps] == [2, 3, 4, 5, 6]
        assert world.controller.configuration.profile == "p4"


async def test_a_model_that_is_deleted_leaves_the_plan_at_the_next_look_and_comes_back(tmp_path: Path) -> None:
    async with a_world(tmp_path, watched=True) as world:
        world.source.models = [a_model("ollama:b:1b")]
        await until(lambda: world.live.number == 2)
        assert (world.live.cause, world.models()) == ("ollama:a:1b is gone", ["ollama:b:1b"])
        world.source.models = two().models
        await until(lambda: world.live.number == 3)
        assert (world.live.cause, world.models()) == ("ollama:a:1b came", ["ollama:a:1b", "ollama:b:1b"])


async def test_a_look_that_somebody_else_asked_for_is_followed_too(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.source.models = [a_model("ollama:b:1b")]
        await world.controller.look()
        watching = asyncio.create_task(world.controller.watch())
        await until(lambda: world.live.number == 2)
        watching.cancel()


async def test_news_are_followed_without_the_pause_that_is_made_after_a_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.runtime.controller.PAUSE_S", 3_600.0)
    async with a_world(tmp_path, watched=True, looks_every_s=3_600.0) as world:
        for number, models in ((2, [a_model("ollama:b:1b")]), (3, two().models), (4, [a_model("ollama:a:1b")])):
            world.source.models = models
            await world.controller.look()
            await until(lambda number=number: world.live.number == number)  # type: ignore[misc]


async def test_a_model_that_no_role_uses_swaps_nothing_and_can_be_asked_for(tmp_path: Path) -> None:
    async with a_world(tmp_path, watched=True) as world:
        assert "ollama:new:1b" not in world.live.references
        world.source.models = [*two().models, a_model("ollama:new:1b")]
        await until(lambda: "ollama:new:1b" in world.live.references)
        assert world.live.number == 1


async def test_a_host_is_asked_twice_before_its_models_leave_the_plan(tmp_path: Path) -> None:
    async with a_world(tmp_path, watched=True) as world:
        asked, world.source.up = world.source.asked, False
        await until(lambda: world.live.number == 2)
        assert world.source.asked >= asked + 2
        assert (world.live.cause, world.models()) == ("ollama does not answer", [])
        world.source.up = True
        await until(lambda: world.live.number == 3)
        assert world.live.cause == "ollama answers"


async def test_an_edit_while_a_host_is_busy_for_a_moment_keeps_its_models(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.edit(prefers("b", "a"))
        world.source.up = False
        discover = world.source.discover

        async def busy_once() -> Any:
            answer = await discover()
            world.source.up = True
            return answer

        world.source.discover = busy_once  # type: ignore[method-assign]  # a host that recovers between two looks
        await world.controller.reload()
        assert world.models() == ["ollama:b:1b", "ollama:a:1b"]


async def test_what_is_loaded_and_how_fast_models_are_swaps_nothing(tmp_path: Path) -> None:
    async with a_world(tmp_path, a_role(), watched=True) as world:
        world.source.models = [a_model("ollama:a:1b"), a_model("ollama:b:1b", resident_context=8_192, speed=90.0)]
        asked = world.source.asked
        await until(lambda: world.source.asked > asked + 3)
        assert world.live.number == 1


async def test_free_memory_that_swings_swaps_nothing_and_a_lasting_loss_does(tmp_path: Path) -> None:
    async with a_world(tmp_path, watched=True) as world:
        for swing in range(3):
            world.machine.resources = a_machine(available_gb=3.0 if swing % 2 else 64.0, total_gb=64.0)
            asked, world.machine.now_s = world.source.asked, world.machine.now_s + 40.0
            await until(lambda asked=asked: world.source.asked > asked + 2)  # type: ignore[misc]
        assert world.live.number == 1
        world.machine.resources = a_machine(available_gb=3.0, total_gb=64.0)
        asked = world.source.asked
        await until(lambda: world.source.asked > asked + 2)
        assert world.live.number == 1
        world.machine.now_s += 60.0
        await until(lambda: world.live.number == 2)
        assert world.live.cause == "memory that models may have went from 64.00 GB to 3.00 GB"
        assert world.models() == []


async def test_a_swap_without_the_canarys_consent_does_not_happen(tmp_path: Path) -> None:
    policy = Policy(canary="generate", preload="never")
    async with a_world(tmp_path, prefers("a"), policy=policy) as world:
        world.edit(prefers("a", "b"))
        world.canary_trouble = UpstreamFailed("out of memory", failure="load_failed")
        with pytest.raises(Vetoed) as raised:
            await world.controller.reload()
        assert str(raised.value) == "ollama:b:1b for planner did not generate a token: out of memory"
        assert world.said == ["token of ollama:b:1b for planner"]
        assert world.live.number == 1
        assert world.notes.kept[-1].outcome == "vetoed"
        assert world.pending() == Pending(profile=None, changed_roles=("planner",))
        world.canary_trouble = None
        assert (await world.controller.reload()).generation == 2
        assert world.pending() is None


async def test_a_canary_tries_what_a_provider_has_that_is_reached_elsewhere_now(tmp_path: Path) -> None:
    policy = Policy(canary="generate", preload="never")
    async with a_world(tmp_path, prefers("a"), policy=policy) as world:
        for max_parallel, url, said in (
            (3, "http://127.0.0.1:11434", []),
            (3, "http://127.0.0.1:7", ["token of ollama:a:1b for planner"]),
        ):
            provider = a_provider(url=url, max_parallel=max_parallel)
            world.other_registry = Registry([SteeredSource(*two().models, provider=provider)])
            assert (await world.controller.reload()).swapped
            assert world.said == said


async def test_a_backend_made_for_a_swap_that_fails_is_closed(tmp_path: Path) -> None:
    source = SteeredSource(a_model("openai:m", kind=ProviderKind.CLOUD), provider=a_cloud())
    async with a_world(tmp_path, a_role(cloud=["openai:m"]), source=source) as world:
        world.edit(a_role(cloud=["openai:m"], parameters={"temperature": 0.5}))
        world.disk["coding"] = world.disk[""]
        world.persist_trouble = RolegateError("the disk is full")
        with pytest.raises(RolegateError):
            await world.controller.swap("coding")
        assert [backend.closed for backend in world.recorder.backends] == [0, 1]


async def test_the_first_models_are_preloaded_before_the_pointer_moves_or_after(tmp_path: Path) -> None:
    async with a_world(tmp_path, prefers("a"), policy=Policy(preload="before")) as world:
        world.edit(prefers("b", "a"))
        await world.controller.reload()
        assert world.said == ["load ollama:b:1b with 8192 under 1"]
        world.edit(prefers("a", "b"), policy=Policy(preload="after"))
        await world.controller.reload()
        await until(lambda: world.said[1:] == ["load ollama:a:1b with 8192 under 3"])


async def test_models_that_no_role_needs_any_more_are_let_go_of_when_the_old_generation_is_idle(
    tmp_path: Path,
) -> None:
    source = SteeredSource(*(a_model(f"ollama:{name}:1b", resident_context=8_192) for name in ("a", "b", "c")))
    policy = Policy(preload="never", unload="after_idle")
    async with a_world(tmp_path, prefers("a", "b"), policy=policy, source=source) as world:
        world.edit(prefers("b"))
        with world.switchboard.admit():
            await world.controller.reload()
            await asyncio.sleep(0)
            assert world.said == []
        await until(lambda: world.said == ["unload ollama:a:1b under 2"])


async def test_a_model_that_an_older_generation_still_answers_with_is_not_let_go_of(tmp_path: Path) -> None:
    source = SteeredSource(*(a_model(f"ollama:{name}:1b", resident_context=8_192) for name in ("a", "b")))
    policy = Policy(preload="never", unload="after_idle")
    async with a_world(tmp_path, prefers("a", parameters={"seed": 1}), policy=policy, source=source) as world:
        with world.switchboard.admit() as first:
            world.edit(prefers("a", parameters={"seed": 2}))
            await world.controller.reload()
            with world.switchboard.admit() as second:
                world.edit(prefers("b"))
                await world.controller.reload()
                assert world.switchboard.draining == (first, second)
            await until(second.discarded.is_set)
            await asyncio.sleep(0)
            assert world.said == []
        await until(lambda: world.said == ["unload ollama:a:1b under 3"])


async def test_another_address_of_a_provider_is_a_swap_though_the_plan_is_the_same(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.edit(prefers("a", "b"))
        moved = SteeredSource(*two().models, provider=a_provider(url="http://127.0.0.1:7"))
        world.other_registry = Registry([moved])
        swap = await world.controller.reload()
        assert (swap.swapped, swap.changed_roles) == (True, ("planner",))
        assert world.live.route("planner").providers["ollama"].url == "http://127.0.0.1:7"
        assert world.controller.registry is world.other_registry


async def test_another_word_on_a_hosts_memory_that_changes_no_plan_is_no_swap(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        provider = replace(a_provider(), on_this_host=not a_provider().on_this_host, memory_bytes=64 << 30)
        world.other_registry = Registry([SteeredSource(*two().models, provider=provider)])
        world.edit(prefers("a", "b"))
        swap = await world.controller.reload()
        assert (swap.swapped, swap.changed_roles) == (False, ())
        assert world.live.discovery.providers[0].provider == provider


async def test_an_edit_that_could_not_be_taken_up_is_tried_again_at_the_next_look(tmp_path: Path) -> None:
    policy = Policy(canary="generate", preload="never")
    async with a_world(tmp_path, prefers("a"), policy=policy, watched=True) as world:
        world.canary_trouble = UpstreamFailed("busy for a moment", failure="load_failed")
        world.edit(prefers("b"))
        await world.controller.edited(cause="models.json changed")
        assert (world.live.number, world.pending()) == (1, Pending(profile=None, changed_roles=("planner",)))
        asked = world.source.asked
        await until(lambda: world.source.asked > asked + 4)
        assert [one.outcome for one in world.notes.kept] == ["adopted", "vetoed"]
        world.canary_trouble = None
        await until(lambda: world.live.number == 2)
        assert (world.live.cause, world.models()) == ("models.json changed", ["ollama:b:1b"])
        await until(lambda: (world.controller.last_error, world.pending()) == ("", None))


async def test_an_edit_that_came_with_a_swap_that_failed_is_taken_up_all_the_same(tmp_path: Path) -> None:
    async with a_world(tmp_path, prefers("a"), watched=True) as world:
        world.disk["broken"] = BROKEN
        world.edit(prefers("b"))
        world.noticed = "models.json changed"
        with pytest.raises(ConfigInvalid):
            await world.controller.swap("broken")
        world.noticed = ""
        await until(lambda: world.live.number == 2)
        assert (world.live.cause, world.models()) == ("models.json changed", ["ollama:b:1b"])


async def test_whatever_keeps_an_edit_from_being_taken_up_it_is_pending(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.disk[""] = UnknownName(kind="profile", name="gone", known=[])
        await world.controller.edited(cause="another profile was made the active one")
        assert world.controller.last_error == 'there is no profile "gone"; known: none'
        assert world.pending() == Pending(profile=None)


async def test_asking_for_a_profile_that_there_is_not_leaves_no_error_behind(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.disk["gone"] = UnknownName(kind="profile", name="gone", known=[])
        with pytest.raises(UnknownName):
            await world.controller.swap("gone")
        assert (world.controller.last_error, world.pending()) == ("", None)


async def test_an_edit_has_its_cause_from_whoever_hears_of_it_first(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.edit(prefers("b"))
        reloading, late = world.controller.reload(), world.controller.edited(cause="user_profiles/a.json changed")
        await asyncio.gather(reloading, late)
        assert (world.live.number, world.live.cause) == (2, "user_profiles/a.json changed")
        assert [one.cause for one in world.notes.kept] == ["start", "user_profiles/a.json changed"]


async def test_a_host_that_was_there_before_is_said_to_answer_again(tmp_path: Path) -> None:
    async with a_world(tmp_path, watched=True) as world:
        world.source.up = False
        await until(lambda: world.live.number == 2)
        world.edit(prefers("b"))
        await world.controller.reload()
        world.source.up = True
        await until(lambda: world.models() == ["ollama:b:1b"])
        assert world.live.cause == "ollama answered again"


async def test_templates_that_were_edited_are_taken_up_when_the_files_are_read_again(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.edit(prefers("a", "b"))
        world.recorder.template = {"num_retries": 3}
        swap = await world.controller.reload()
        assert (swap.swapped, swap.generation) == (False, 1)
        assert world.live.router_config == {"model_list": [], "num_retries": 3}
        assert world.recorder.kept == [{"model_list": []}, {"model_list": [], "num_retries": 3}]
        world.recorder.trouble = TemplateInvalid([Problem(file="router.yaml", found="nonsense", allowed="sense")])
        world.edit(prefers("a", "b"))
        with pytest.raises(TemplateInvalid):
            await world.controller.reload()
        assert world.pending() == Pending(
            profile=None, problems=(Problem(file="router.yaml", found="nonsense", allowed="sense"),)
        )


async def test_templates_that_were_edited_make_a_new_router_where_there_is_one(tmp_path: Path) -> None:
    source = SteeredSource(a_model("openai:m", kind=ProviderKind.CLOUD), provider=a_cloud())
    async with a_world(tmp_path, a_role(cloud=["openai:m"]), source=source) as world:
        world.edit(a_role(cloud=["openai:m"]))
        world.recorder.template = {"num_retries": 3}
        assert (await world.controller.reload()).generation == 2
        assert len(world.recorder.backends) == 2

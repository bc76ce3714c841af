"""Going back to what served before the last edit that made a difference, and what the files say then."""

import asyncio
from pathlib import Path

import pytest

from builders import a_model
from gateway.domain.role import Policy
from gateway.errors import BadRequest, Problem, RolegateError, UnknownName
from gateway.file_errors import ConfigInvalid
from gateway.runtime.pending import Pending
from live_builders import a_configuration, until
from world_builders import a_world, prefers, two


async def test_rolling_back_goes_to_the_configuration_before_and_forth_again(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.disk["coding"] = a_configuration(tmp_path, prefers("b"), hot_swap=True)
        await world.controller.swap("coding")
        swap = await world.controller.rollback()
        assert (swap.generation, world.models()) == (3, ["ollama:a:1b", "ollama:b:1b"])
        assert (world.persisted, world.live.cause) == (["coding", None], "rollback")
        assert world.pending() is None
        assert swap.note == "generation 2 (profile coding) is undone"
        swap = await world.controller.rollback()
        assert (world.models(), world.persisted) == (["ollama:b:1b"], ["coding", None, "coding"])
        assert swap.note == "generation 3 (rollback) is undone"


async def test_a_rollback_lasts_until_the_next_edit_and_says_that_the_files_keep_theirs(tmp_path: Path) -> None:
    async with a_world(tmp_path, watched=True) as world:
        world.edit(prefers("b"))
        await world.controller.reload(cause="models.json changed")
        swap = await world.controller.rollback()
        assert world.persisted == []
        assert swap.note == (
            "generation 2 (models.json changed) is undone; the files keep the edit: the next one, a reload or a restart takes "
            "it up again"
        )
        await until(lambda: world.pending() == Pending(profile=None, changed_roles=("planner",)))
        await world.controller.edited(cause="models.json changed")
        assert (world.live.number, world.models()) == (4, ["ollama:b:1b"])


async def test_files_that_cannot_be_used_any_more_do_not_keep_a_rollback_from_going_through(tmp_path: Path) -> None:
    broken = ConfigInvalid([Problem(file="models.json", line=3, found="nonsense", allowed="sense")])
    async with a_world(tmp_path) as world:
        world.edit(prefers("b"))
        await world.controller.reload(cause="models.json changed")
        world.disk[""] = broken
        swap = await world.controller.rollback()
        assert swap.note == "generation 2 (models.json changed) is undone; the files cannot be used as they are"
        assert world.pending() == Pending(profile=None, problems=broken.problems)


async def test_a_rollback_answers_before_what_the_files_keep_is_weighed(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.edit(prefers("b"))
        await world.controller.reload()
        looked = world.source.asked
        await world.controller.rollback()
        assert world.source.asked == looked + 1
        assert world.pending() == Pending(profile=None)


async def test_what_the_watch_has_still_to_say_of_an_edit_does_not_undo_its_rollback(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.edit(prefers("b"))
        await world.controller.reload(cause="profile a was written over HTTP")
        noticings = world.noticings
        rolling, late = world.controller.rollback(), world.controller.edited(cause="user_profiles/a.json changed")
        await asyncio.gather(rolling, late)
        assert world.noticings == noticings + 1
        assert (world.live.number, world.models()) == (3, ["ollama:a:1b", "ollama:b:1b"])


async def test_a_model_that_came_meanwhile_is_not_what_is_gone_back_over(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.disk["coding"] = a_configuration(tmp_path, prefers("new", "b"), hot_swap=True)
        await world.controller.swap("coding")
        world.source.models = [*two().models, a_model("ollama:new:1b")]
        world.disk[""] = world.disk["coding"]
        await world.controller.reload()
        assert (world.live.number, world.models()) == (3, ["ollama:new:1b", "ollama:b:1b"])
        await world.controller.rollback()
        assert (world.models(), world.controller.configuration.profile) == (["ollama:a:1b", "ollama:b:1b"], None)


async def test_an_edit_that_changed_nothing_when_a_model_came_is_not_gone_back_over(tmp_path: Path) -> None:
    async with a_world(tmp_path, prefers("a", "new")) as world:
        world.edit(prefers("b", "new"))
        await world.controller.reload(cause="models.json changed")
        world.source.models = [*two().models, a_model("ollama:new:1b")]
        world.edit(prefers("b", "new"), policy=Policy(preload="never", memory_margin=0.2))
        assert (await world.controller.reload()).swapped
        swap = await world.controller.rollback()
        assert swap.note.startswith("generation 2 (models.json changed) is undone; ")
        assert world.models() == ["ollama:a:1b", "ollama:new:1b"]


async def test_settings_that_change_no_plan_are_taken_up_without_a_generation_to_go_back_to(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.edit(prefers("b"))
        await world.controller.reload()
        for margin in (0.11, 0.12, 0.13):
            policy = Policy(preload="never", memory_margin=margin)
            world.edit(prefers("b"), policy=policy)
            swap = await world.controller.reload()
            assert (swap.swapped, swap.generation) == (False, 2)
            assert world.controller.configuration.policy == policy
        assert [one.number for one in world.notes.kept] == [1, 2]
        await world.controller.rollback()
        assert world.models() == ["ollama:a:1b", "ollama:b:1b"]


async def test_where_going_back_makes_no_difference_any_more_that_is_said(tmp_path: Path) -> None:
    async with a_world(tmp_path, prefers("new", "b")) as world:
        world.source.models = [*two().models, a_model("ollama:new:1b")]
        await world.controller.reload()
        world.edit(prefers("b"))
        await world.controller.reload(cause="models.json changed")
        world.source.models = two().models
        swap = await world.controller.rollback()
        assert not swap.swapped
        assert swap.note.startswith("nothing would be otherwise without generation 3 (models.json changed); ")


async def test_a_profile_that_was_deleted_is_not_gone_back_to_and_leaves_no_error_behind(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        for name, model in (("mine", "b"), ("other", "a")):
            world.disk[name] = a_configuration(tmp_path, prefers(model), hot_swap=True)
            await world.controller.swap(name)
        world.persist_trouble = UnknownName(kind="profile", name="mine", known=["other"])
        with pytest.raises(BadRequest) as raised:
            await world.controller.rollback()
        assert str(raised.value) == 'the profile that served before, "mine", is not there any more'
        assert raised.value.hint == "`rolegate profiles use` chooses another"
        assert (world.controller.last_error, world.live.number) == ("", 3)


async def test_a_rollback_that_cannot_be_kept_is_the_last_error(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.disk["coding"] = a_configuration(tmp_path, prefers("b"), hot_swap=True)
        await world.controller.swap("coding")
        world.persist_trouble = RolegateError("the disk is full")
        with pytest.raises(RolegateError, match="the disk is full"):
            await world.controller.rollback()
        assert (world.controller.last_error, world.live.number) == ("the disk is full", 2)


async def test_an_edit_that_came_with_a_rollback_that_failed_is_taken_up_all_the_same(tmp_path: Path) -> None:
    async with a_world(tmp_path, watched=True) as world:
        world.disk["coding"] = a_configuration(tmp_path, prefers("b"), hot_swap=True)
        await world.controller.swap("coding")
        world.disk["coding"] = a_configuration(tmp_path, prefers("b", "a"), hot_swap=True)
        world.noticed, world.persist_trouble = "user_profiles/coding.json changed", RolegateError("the disk is full")
        with pytest.raises(RolegateError, match="the disk is full"):
            await world.controller.rollback()
        await until(lambda: world.live.number == 3)
        assert (world.live.cause, world.models()) == (
            "user_profiles/coding.json changed",
            ["ollama:b:1b", "ollama:a:1b"],
        )


async def test_there_may_be_nothing_to_go_back_to(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        with pytest.raises(BadRequest) as raised:
            await world.controller.rollback()
        assert str(raised.value) == "there is no generation to go back to"
        assert raised.value.hint == (
            "no edit has changed what this process serves, and what one before it served is not kept; "
            "`rolegate profiles use` chooses another profile"
        )

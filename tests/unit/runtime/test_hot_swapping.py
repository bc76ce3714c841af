"""With hot-swap on, edits, requests to swap, models that come and go and a machine that changes lead to the same reconcile."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from builders import a_cloud, a_machine, a_model, a_provider, a_role
from gateway.config.settings import Configuration
from gateway.domain.generation_record import GenerationRecord
from gateway.domain.model import Model, ProviderKind
from gateway.domain.plan import Deployment
from gateway.domain.resources import Resources
from gateway.domain.role import Policy, Role
from gateway.errors import (
    BadRequest,
    ConfigInvalid,
    GatewayStarting,
    HotSwapDisabled,
    Problem,
    RolegateError,
    UpstreamFailed,
)
from gateway.registry.registry import Registry
from gateway.runtime.canary import Vetoed
from gateway.runtime.controller import Controller
from gateway.runtime.generation import Generation, GenerationState
from gateway.runtime.pending import Pending
from gateway.runtime.swap import Swap, Switchboard
from live_builders import Recorder, SteeredSource, a_configuration, until

BROKEN = ConfigInvalid([Problem(file="models.json", line=3, found="nonsense", allowed="sense")])


class Machine:
    """A probe and a clock that a test sets."""

    def __init__(self) -> None:
        self.resources = a_machine(available_gb=64.0, total_gb=64.0)
        self.now_s = 1000.0

    def sample(self) -> Resources:
        return self.resources

    def monotonic(self) -> float:
        return self.now_s

    def time(self) -> float:
        return self.now_s


@dataclass(kw_only=True)
class Notes:
    """A log of generations in memory."""

    kept: list[GenerationRecord] = field(default_factory=list)

    def record(self, one: GenerationRecord) -> None:
        self.kept.append(one)

    def recent(self, limit: int) -> Sequence[GenerationRecord]:
        return self.kept[: -limit - 1 : -1]


@dataclass(kw_only=True)
class World:
    """A controller with everything around it in a test's hands. ``disk`` is what reading finds, by profile."""

    source: SteeredSource
    disk: dict[str, Configuration | Exception]
    recorder: Recorder = field(default_factory=Recorder)
    machine: Machine = field(default_factory=Machine)
    notes: Notes = field(default_factory=Notes)
    switchboard: Switchboard = field(default_factory=Switchboard)
    persisted: list[str | None] = field(default_factory=list)
    persist_trouble: RolegateError | None = None
    canary_trouble: RolegateError | None = None
    other_registry: Registry | None = None
    said: list[str] = field(default_factory=list)
    looks_every_s: float = 0.01
    noticed: str = ""
    noticings: int = 0
    controller: Controller = field(init=False)

    def __post_init__(self) -> None:
        effects = replace(
            self.recorder.effects(),
            noticed=self.notice,
            read=self.read,
            persist=self.persist,
            facts=lambda _: self.other_registry,
            generate=self.generate,
            load=self.load,
            unload=self.unload,
        )
        self.controller = Controller(
            configuration=self.read(""),
            registry=Registry([self.source]),
            probe=self.machine,
            switchboard=self.switchboard,
            effects=effects,
            clock=self.machine,
            log=self.notes,
            await_s=self.looks_every_s,
            refresh_s=self.looks_every_s,
        )

    def read(self, profile: str | None) -> Configuration:
        found = self.disk[profile or ""]
        if isinstance(found, Exception):
            raise found
        return replace(found, profile=profile or None)

    def notice(self) -> str:
        self.noticings += 1
        return self.noticed

    def persist(self, profile: str | None) -> None:
        if self.persist_trouble is not None:
            raise self.persist_trouble
        self.persisted.append(profile)

    async def generate(self, generation: Generation, *, role: str, deployment: Deployment) -> None:
        self.said.append(f"token of {deployment.ref} for {role}")
        if self.canary_trouble is not None:
            raise self.canary_trouble

    async def load(
        self, model: Model, *, context_tokens: int | None, keep_alive: str | int | None, within_s: float
    ) -> None:
        self.said.append(f"load {model.ref} with {context_tokens} under {self.live.number}")

    async def unload(self, model: Model) -> None:
        self.said.append(f"unload {model.ref} under {self.live.number}")

    @property
    def live(self) -> Generation:
        return self.switchboard.live

    def pending(self) -> Pending | None:
        return self.controller.pending

    def models(self, role: str = "planner") -> list[str]:
        return [str(one.ref) for one in self.live.roles[role].deployments]

    def edit(self, *roles: Role, policy: Policy | None = None) -> None:
        before = self.disk[""]
        assert isinstance(before, Configuration)
        self.disk[""] = replace(before, roles={role.name: role for role in roles}, policy=policy or before.policy)


def two() -> SteeredSource:
    return SteeredSource(a_model("ollama:a:1b"), a_model("ollama:b:1b"))


def prefers(*names: str, role: str = "planner", **more: Any) -> Role:
    return a_role(role, preferred=[f"ollama:{name}:1b" for name in names], discover=False, **more)


@asynccontextmanager
async def a_world(
    folder: Path,
    *roles: Role,
    source: SteeredSource | None = None,
    policy: Policy | None = None,
    hot_swap: bool = True,
    watched: bool = False,
    looks_every_s: float = 0.01,
) -> AsyncIterator[World]:
    configuration = a_configuration(folder, *(roles or [prefers("a", "b")]), hot_swap=hot_swap)
    disk: dict[str, Configuration | Exception] = {"": replace(configuration, policy=policy or Policy(preload="never"))}
    world = World(source=source or two(), disk=disk, looks_every_s=looks_every_s)
    await world.controller.start()
    watching = asyncio.create_task(world.controller.watch()) if watched else None
    yield world
    if watching is not None:
        watching.cancel()
    await world.controller.close()
    await world.switchboard.close()


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


async def test_rolling_back_goes_to_the_configuration_before_and_forth_again(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.disk["coding"] = a_configuration(tmp_path, prefers("b"), hot_swap=True)
        await world.controller.swap("coding")
        swap = await world.controller.rollback()
        assert (swap.generation, world.models()) == (3, ["ollama:a:1b", "ollama:b:1b"])
        assert (world.persisted, world.live.cause) == (["coding", None], "rollback")
        assert world.pending() is None
        await world.controller.rollback()
        assert (world.models(), world.persisted) == (["ollama:b:1b"], ["coding", None, "coding"])


async def test_a_rollback_lasts_until_the_next_edit(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.edit(prefers("b"))
        await world.controller.reload()
        await world.controller.rollback()
        assert world.persisted == []
        assert world.pending() == Pending(profile=None, changed_roles=("planner",))
        await world.controller.edited(cause="models.json changed")
        assert (world.live.number, world.models()) == (4, ["ollama:b:1b"])


async def test_there_may_be_nothing_to_go_back_to(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        with pytest.raises(BadRequest) as raised:
            await world.controller.rollback()
        assert str(raised.value) == "there is no generation to go back to"


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

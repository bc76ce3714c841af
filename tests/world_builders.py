"""A controller with hot-swap on, over a world that is in a test's hands."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from builders import a_machine, a_model, a_role
from gateway.config.settings import Configuration
from gateway.domain.generation_record import GenerationRecord
from gateway.domain.model import Model, Provider
from gateway.domain.plan import Deployment
from gateway.domain.resources import Resources
from gateway.domain.role import Policy, Role
from gateway.errors import RolegateError
from gateway.registry.registry import Registry
from gateway.runtime.controller import Controller
from gateway.runtime.generation import Generation
from gateway.runtime.pending import Pending
from gateway.runtime.swap import Switchboard
from live_builders import Recorder, SteeredSource, a_configuration


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
    places: list[str | None] = field(default_factory=list)
    loads_end: asyncio.Event = field(default_factory=asyncio.Event)
    looks_every_s: float = 0.01
    noticed: str = ""
    noticings: int = 0
    controller: Controller = field(init=False)

    def __post_init__(self) -> None:
        self.loads_end.set()
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
        name = profile if profile is not None else self.persisted[-1] if self.persisted else None
        found = self.disk[name or ""]
        if isinstance(found, Exception):
            raise found
        return replace(found, profile=name or None)

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
        self,
        model: Model,
        *,
        provider: Provider,
        context_tokens: int | None,
        keep_alive: str | int | None,
        within_s: float,
    ) -> None:
        self.said.append(f"load {model.ref} with {context_tokens} under {self.live.number}")
        self.places.append(provider.url)
        await self.loads_end.wait()

    async def unload(self, model: Model, *, provider: Provider) -> bool:
        self.said.append(f"unload {model.ref} under {self.live.number}")
        self.places.append(provider.url)
        return True

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

"""Models loaded, unloaded and removed, as the plan has it: for the live gateway's admin routes and for the commands."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.domain.candidates import Directory
from gateway.domain.keeping import Held, LoadReport, UnloadReport, held_as
from gateway.domain.model import Model
from gateway.domain.nearest import nearest_name
from gateway.domain.plan import Plan
from gateway.domain.ports import Discovery, ModelKeeper
from gateway.errors import ModelInUse, ProviderFailed, UnknownName, Unsupported
from gateway.runtime.residency import load_context, load_deadline_s, roles_of

UNLOAD_S: Final = 30.0
"""How long an unload is waited for: a server needs some seconds, and as long as requests in flight do."""


class World(Protocol):
    """What there is, and what is planned for it."""

    @property
    def plan(self) -> Plan: ...

    async def discovery(self, *, fresh: bool) -> Discovery:
        """What was discovered last, or what a look finds now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptModel:
    """One model with what its server holds of it now, and the roles it serves."""

    model: Model
    held: Held | None
    roles: tuple[str, ...]


def _unheard(_: Model) -> None:
    """Nobody wants to know."""


class Keeping:
    """Does to models what is asked by reference. ``keepers`` are those of the providers that can, by name.

    ``about_to_load`` and ``let_go`` hear of a model before it is loaded and after it is unloaded or removed.

    Every call raises ``UnknownName`` for a reference that leads to no model, ``Unsupported`` where the provider has no such
    thing, and ``ProviderFailed`` with what the provider said.
    """

    def __init__(
        self,
        *,
        keepers: Mapping[str, ModelKeeper],
        world: World,
        unload_s: float = UNLOAD_S,
        about_to_load: Callable[[Model], None] = _unheard,
        let_go: Callable[[Model], None] = _unheard,
    ) -> None:
        self._about_to_load = about_to_load
        self._let_go = let_go
        self._keepers = keepers
        self._world = world
        self._unload_s = unload_s

    async def find(self, reference: str) -> Model:
        """The model of ``reference``, or of a bare name: on the first Ollama provider that has it, else on whatever one provider
        has it. What was discovered last need not know it yet."""
        model = _named(Directory(await self._world.discovery(fresh=False)), reference)
        if model is not None:
            return model
        directory = Directory(await self._world.discovery(fresh=True))
        model = _named(directory, reference)
        if model is not None:
            return model
        known = [str(one.ref) for one in directory.models]
        raise UnknownName(kind="model", name=reference, known=known, nearest=nearest_name(reference, known))

    async def load(self, reference: str, *, keep_alive: str | int | None = None) -> LoadReport:
        """Load a model as the plan has it, and wait until it is in memory."""
        model = await self.find(reference)
        keeper = await self._keeper(model, "loaded")
        plan = self._world.plan
        self._about_to_load(model)
        return await keeper.load(
            model,
            context_tokens=load_context(model, plan=plan),
            keep_alive=keep_alive,
            within_s=load_deadline_s(model, plan=plan),
        )

    async def unload(self, reference: str) -> UnloadReport:
        """Let go of a model."""
        model = await self.find(reference)
        keeper = await self._keeper(model, "unloaded")
        try:
            return await keeper.unload(model, within_s=self._unload_s)
        finally:
            self._let_go(model)

    async def remove(self, reference: str, *, force: bool) -> Model:
        """Delete a model. Raises ``ModelInUse`` when roles of the plan have it, unless ``force``."""
        model = await self.find(reference)
        keeper = await self._keeper(model, "removed")
        roles = roles_of(model, plan=self._world.plan)
        if roles and not force:
            raise ModelInUse(model=str(model.ref), roles=roles)
        await keeper.remove(model)
        self._let_go(model)
        await self._world.discovery(fresh=True)
        return model

    async def listing(self) -> tuple[KeptModel, ...]:
        """Every model, by reference. Servers are asked what they hold; what one does not tell is as discovery last saw it."""
        discovery = await self._world.discovery(fresh=False)
        up = [state.provider.name for state in discovery.providers if state.up and state.provider.name in self._keepers]
        answers = await asyncio.gather(*(self._held(name) for name in up))
        held = dict(zip(up, answers, strict=True))
        plan = self._world.plan
        return tuple(
            KeptModel(model=model, held=_held_now(model, held), roles=roles_of(model, plan=plan))
            for model in Directory(discovery).models
        )

    async def _held(self, provider: str) -> tuple[Held, ...] | None:
        try:
            return tuple(await self._keepers[provider].held())
        except ProviderFailed:
            return None

    async def _keeper(self, model: Model, done: str) -> ModelKeeper:
        keeper = self._keepers.get(model.ref.provider)
        if keeper is not None:
            return keeper
        discovery = await self._world.discovery(fresh=False)
        kind = next(one.provider.kind for one in discovery.providers if one.provider.name == model.ref.provider)
        raise Unsupported(
            f"{model.ref} cannot be {done}: {model.ref.provider} is of kind {kind.value}, which has no such thing"
        )


def _named(directory: Directory, reference: str) -> Model | None:
    found = directory.find(reference)
    if found is None:
        same_name = [one for one in directory.models if reference == one.ref.name]
        found = same_name[0] if len(same_name) == 1 else None
    return found


def _held_now(model: Model, held: Mapping[str, tuple[Held, ...] | None]) -> Held | None:
    told = held.get(model.ref.provider)
    if told is not None:
        return held_as(model, told)
    return None if model.resident is None else Held(name=model.ref.name, residency=model.resident)

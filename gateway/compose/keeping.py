"""Pulling, loading, unloading and removing models: keepers, engine and plan joined, for the commands and the live gateway."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.compose.address import running_gateway
from gateway.compose.asking import ask_gateway, model_path
from gateway.compose.parts import Parts
from gateway.compose.workspace import Survey, Workspace
from gateway.domain.keeping import PullStep
from gateway.domain.model import Model, Provider, ProviderKind, parse_reference
from gateway.domain.plan import Plan
from gateway.domain.ports import Discovery, ModelKeeper, ResourceProbe
from gateway.embedded.files import known_model
from gateway.embedded.pull import PullProgress
from gateway.errors import GatewayUnreachable, RolegateError, UnknownName, Unsupported
from gateway.registry.embedded_keeping import EmbeddedKeeper
from gateway.registry.ollama_keeping import OllamaKeeper
from gateway.relay.ollama_wire import load_options
from gateway.runtime.controller import Controller
from gateway.runtime.keeping import UNLOAD_S, Keeping
from gateway.runtime.keeping_data import load_data, removed_data, resources_data, unload_data
from gateway.runtime.swap import Switchboard


def keepers(parts: Parts, *, providers: Mapping[str, Provider] | None = None) -> Mapping[str, ModelKeeper]:
    """A keeper for each provider whose models can be kept, by name; of the live configuration's unless others are given."""
    found: dict[str, ModelKeeper] = {}
    for provider in (parts.providers if providers is None else providers).values():
        if provider.kind is ProviderKind.OLLAMA:
            found[provider.name] = OllamaKeeper(provider=provider, load_options=load_options, keys=parts.keys)
        elif provider.kind is ProviderKind.EMBEDDED and parts.engine is not None:
            found[provider.name] = EmbeddedKeeper(provider=provider, engine=parts.engine, shelf=parts.engine)
    return found


class LiveWorld:
    """What the live gateway discovered, and its live plan. Implements ``World``."""

    def __init__(self, *, controller: Controller, switchboard: Switchboard) -> None:
        self._controller = controller
        self._switchboard = switchboard

    @property
    def plan(self) -> Plan:
        """Raises ``GatewayStarting`` before the first one is live."""
        return self._switchboard.live.selection.plan

    async def discovery(self, *, fresh: bool) -> Discovery:
        known = None if fresh else self._controller.registry.last
        return known if known is not None else await self._controller.look()


def live_keeping(
    *,
    parts: Parts,
    controller: Controller,
    switchboard: Switchboard,
    known: Mapping[str, ModelKeeper] | None = None,
    unload_s: float = UNLOAD_S,
    let_go: Callable[[Model], None] = lambda _: None,
) -> Keeping:
    """What the admin routes of a live gateway do to models. ``known`` are the keepers as they follow the configuration, those of
    now if there are none that do; ``let_go`` hears of models that are no longer in memory."""
    world = LiveWorld(controller=controller, switchboard=switchboard)
    return Keeping(
        keepers=keepers(parts) if known is None else known,
        world=world,
        unload_s=unload_s,
        about_to_load=parts.registry.corrections.forget_loads,
        let_go=let_go,
    )


def live_resources(
    *, parts: Parts, probe: ResourceProbe, controller: Controller, switchboard: Switchboard
) -> Callable[[], Mapping[str, object]]:
    """What `/admin/v1/resources` answers with, read anew at each call; blocks for as long as the probe does."""

    def read() -> Mapping[str, object]:
        policy = controller.configuration.policy
        planned = switchboard.live.discovery
        return resources_data(probe.sample(), discovery=controller.registry.last or planned, policy=policy)

    return read


@dataclass(frozen=True, slots=True, kw_only=True)
class _SurveyedWorld:
    """What a survey found, and the plan it would make. Implements ``World``."""

    survey: Survey

    @property
    def plan(self) -> Plan:
        return self.survey.selection.plan

    async def discovery(self, *, fresh: bool) -> Discovery:
        return self.survey.discovery


@dataclass(frozen=True, slots=True, kw_only=True)
class PullTarget:
    """Where a model to pull is to go, and its name there."""

    provider: Provider
    name: str

    def __str__(self) -> str:
        return f"{self.provider.name}:{self.name}"


class ModelDesk:
    """The model commands of one workspace. What they answer has the shape of the admin routes' answers.

    A running gateway is asked, so that it knows what is done; without one, the methods that end in ``here`` do it themselves,
    on what a survey found.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    async def missing_gateway(self) -> GatewayUnreachable | None:
        """``None`` when a gateway answers where this workspace's listens, else why none does. Whatever else listens there is no
        gateway, and is sent nothing that changes anything."""
        try:
            await running_gateway(self._workspace)
        except GatewayUnreachable as unreachable:
            return unreachable
        return None

    async def ask_to_load(self, reference: str, *, keep_alive: str | int | None) -> dict[str, Any]:
        """Raises ``GatewayUnreachable`` when no gateway answers, ``GatewaySaid`` for what it refuses or fails at."""
        body = None if keep_alive is None else {"keep_alive": keep_alive}
        return await self._ask("POST", model_path(reference, "load"), body=body)

    async def ask_to_unload(self, reference: str) -> dict[str, Any]:
        """As ``ask_to_load``."""
        return await self._ask("POST", model_path(reference, "unload"))

    async def ask_to_remove(self, reference: str, *, force: bool) -> dict[str, Any]:
        """As ``ask_to_load``."""
        return await self._ask("DELETE", model_path(reference) + ("?force=1" if force else ""))

    async def load_here(
        self, reference: str, *, keep_alive: str | int | None, survey: Survey, without: GatewayUnreachable
    ) -> dict[str, Any]:
        """``without`` says why the gateway was not asked; it is raised, with the reason, for a model of the embedded engine."""
        async with self._keeping(survey) as keeping:
            _must_not_be_embedded(await keeping.find(reference), survey=survey, without=without)
            return load_data(await keeping.load(reference, keep_alive=keep_alive))

    async def unload_here(self, reference: str, *, survey: Survey, without: GatewayUnreachable) -> dict[str, Any]:
        """As ``load_here``."""
        async with self._keeping(survey) as keeping:
            _must_not_be_embedded(await keeping.find(reference), survey=survey, without=without)
            return unload_data(await keeping.unload(reference))

    async def remove_here(self, reference: str, *, force: bool, survey: Survey) -> dict[str, Any]:
        """Raises ``ModelInUse`` for a model that roles of the would-be plan have, unless ``force``."""
        async with self._keeping(survey) as keeping:
            return removed_data(await keeping.remove(reference, force=force))

    def pull_target(self, reference: str) -> PullTarget:
        """Where ``reference`` is pulled to: as it says; a bare name to the embedded engine if that can fetch it, else to the
        first Ollama provider. Raises ``Unsupported`` for a provider that cannot pull, ``UnknownName`` where there is none."""
        providers = {one.name: one for one in self._workspace.configuration().providers}
        named = parse_reference(reference, providers=providers)
        if named.provider:
            provider = providers[named.provider]
            if provider.kind not in (ProviderKind.OLLAMA, ProviderKind.EMBEDDED):
                raise Unsupported(
                    f"{reference} cannot be pulled: {provider.name} is of kind {provider.kind.value}",
                    hint="models are pulled by Ollama providers and the embedded engine",
                )
            return PullTarget(provider=provider, name=named.name)
        engine = _first(providers.values(), ProviderKind.EMBEDDED)
        if engine is not None and known_model(named.name) is not None:
            return PullTarget(provider=engine, name=named.name)
        target = _first(providers.values(), ProviderKind.OLLAMA) or engine
        if target is None:
            raise UnknownName(kind="provider to pull with", name=reference, known=())
        return PullTarget(provider=target, name=named.name)

    def pull_file(self, target: PullTarget, *, progress: Callable[[PullProgress], None]) -> Path:
        """Fetch a model of the embedded engine; blocks. Raises as ``Workspace.pull`` does."""
        return self._workspace.pull(str(target), progress=progress)

    async def pull(self, target: PullTarget, *, progress: Callable[[PullStep], None]) -> None:
        """Have an Ollama provider fetch a model. Raises as ``OllamaKeeper.pull`` does. A running gateway that has hot-swap on is
        told, and need not wait until it looks again."""
        keys = await asyncio.to_thread(self._workspace.opened_keys)
        keeper = OllamaKeeper(provider=target.provider, load_options=load_options, keys=keys)
        await keeper.pull(target.name, progress=progress)
        with suppress(RolegateError):
            await self._ask("POST", "/admin/v1/reload")

    async def _ask(self, method: str, path: str, *, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        found = await running_gateway(self._workspace)
        return await ask_gateway(found.url, method, path, body=body, credentials=found.credentials)

    @asynccontextmanager
    async def _keeping(self, survey: Survey) -> AsyncIterator[Keeping]:
        parts = await asyncio.to_thread(self._workspace.parts)
        try:
            yield Keeping(keepers=keepers(parts), world=_SurveyedWorld(survey=survey))
        finally:
            await parts.close()


def _first(providers: Iterable[Provider], kind: ProviderKind) -> Provider | None:
    return next((one for one in providers if one.kind is kind), None)


def _must_not_be_embedded(model: Model, *, survey: Survey, without: GatewayUnreachable) -> None:
    kinds = {state.provider.name: state.provider.kind for state in survey.discovery.providers}
    if kinds[model.ref.provider] is ProviderKind.EMBEDDED:
        reason = f"{without.reason}; {model.ref} lives inside the gateway"
        raise GatewayUnreachable(url=without.url, reason=reason) from without

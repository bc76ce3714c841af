"""Reconciles facts and settings to a live plan: discover, select, stop if nothing changed, render, build, move the pointer."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.config.settings import Configuration
from gateway.domain.model import Lane
from gateway.domain.plan import Plan
from gateway.domain.ports import Clock, CompletionBackend, Discovery, ResourceProbe
from gateway.domain.selection import select
from gateway.errors import RolegateError
from gateway.registry.registry import Registry
from gateway.runtime.generation import Generation
from gateway.runtime.swap import Switchboard

_log = logging.getLogger(__name__)

REFRESH_S: Final = 30.0
"""How often the registry looks again."""
AWAIT_S: Final = 3.0
"""How often it looks again while a provider that did not answer at start-up is awaited."""


class RouterConfigWriter(Protocol):
    def __call__(self, plan: Plan, discovery: Discovery) -> Mapping[str, object]:
        """Render the plan and keep it as ``router.yaml``; returns what was rendered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What the controller does to the world, joined in ``compose``. ``check`` raises when discovery and configuration contradict
    each other; ``seen`` hears of every discovery; ``build_backend`` blocks: it imports LiteLLM."""

    check: Callable[[Discovery], None]
    seen: Callable[[Discovery], None]
    render: RouterConfigWriter
    build_backend: Callable[[Mapping[str, object]], CompletionBackend]


class Controller:
    """Owns the way from facts to the live generation. One reconcile at a time; a failed one leaves the old state serving."""

    def __init__(
        self,
        *,
        configuration: Configuration,
        registry: Registry,
        probe: ResourceProbe,
        switchboard: Switchboard,
        effects: Effects,
        clock: Clock,
        refresh_s: float = REFRESH_S,
        await_s: float = AWAIT_S,
    ) -> None:
        self._refresh_s = refresh_s
        self._await_s = await_s
        self._configuration = configuration
        self._registry = registry
        self._probe = probe
        self._switchboard = switchboard
        self._effects = effects
        self._clock = clock
        self._awaited: frozenset[str] = frozenset()
        self._probed = False
        self._last_error = ""
        self._number = 0

    @property
    def configuration(self) -> Configuration:
        return self._configuration

    @property
    def awaited(self) -> frozenset[str]:
        """The providers that did not answer at the start and have not since."""
        return self._awaited

    @property
    def last_error(self) -> str:
        """Why the last reconcile failed; empty when it did not."""
        return self._last_error

    @property
    def ready(self) -> bool:
        """True once a plan is live and the first deployment of each role that has one answered discovery."""
        if not self._probed and self._switchboard.started:
            self._probed = not self.unanswered()
        return self._probed

    def unanswered(self) -> tuple[str, ...]:
        """The roles whose first deployment has not answered discovery."""
        discovery = self._registry.last
        up = {model.ref for model in discovery.models if model.provider_up} if discovery else set()
        roles = self._switchboard.live.roles.items()
        return tuple(name for name, plan in roles if plan.deployments and plan.deployments[0].ref not in up)

    def providers(self) -> list[dict[str, object]]:
        """Every provider as discovery last saw it."""
        discovery = self._registry.last
        if discovery is None:
            return []
        counts = Counter(model.ref.provider for model in discovery.models)
        return [
            {
                "name": state.provider.name,
                "kind": state.provider.kind.value,
                "up": state.up,
                "error": state.error,
                "version": state.version,
                "models": counts[state.provider.name],
            }
            for state in discovery.providers
        ]

    async def start(self) -> Generation:
        """Make the first plan live, and note which providers are still awaited."""
        discovery = await self.look()
        self._awaited = frozenset(
            state.provider.name for state in discovery.providers if not state.up and state.provider.url is not None
        )
        return await self._adopt(discovery, cause="start")

    async def watch(self) -> None:
        """Look again from time to time, until cancelled. Selection belongs to the start; it is made again only for a provider
        that did not answer then, when it answers for the first time."""
        while True:
            await asyncio.sleep(self._await_s if self._awaited else self._refresh_s)
            discovery = await self.look()
            arrived = {state.provider.name for state in discovery.providers if state.up} & self._awaited
            if not arrived:
                continue
            with suppress(RolegateError):
                await self._adopt(discovery, cause=f"{', '.join(sorted(arrived))} answered for the first time")
                self._awaited -= arrived

    async def look(self) -> Discovery:
        """Ask all providers now, without changing the plan."""
        discovery = await self._registry.refresh()
        self._effects.seen(discovery)
        return discovery

    async def _adopt(self, discovery: Discovery, *, cause: str) -> Generation:
        try:
            return await self._reconcile(discovery, cause=cause)
        except RolegateError as error:
            self._last_error = str(error)
            _log.error("the new plan was not adopted", extra={"cause": cause, "reason": str(error)})
            raise

    async def _reconcile(self, discovery: Discovery, *, cause: str) -> Generation:
        self._effects.check(discovery)
        resources = self._probe.sample()
        selection = select(
            roles=self._configuration.roles,
            discovery=discovery,
            resources=resources,
            policy=self._configuration.policy,
        )
        if self._switchboard.started and self._switchboard.live.selection.plan.digest == selection.plan.digest:
            return self._switchboard.live
        rendered = await asyncio.to_thread(self._effects.render, selection.plan, discovery)
        backend = None
        if needs_litellm(selection.plan):
            backend = await asyncio.to_thread(self._effects.build_backend, rendered)
        self._number += 1
        generation = Generation(
            number=self._number,
            cause=cause,
            created_s=self._clock.time(),
            selection=selection,
            discovery=discovery,
            resources=resources,
            policy=self._configuration.policy,
            router_config=rendered,
            backend=backend,
            expose_models=self._configuration.gateway.expose_models,
        )
        self._switchboard.install(generation)
        self._last_error = ""
        _log.info(
            "plan is live",
            extra={"generation": generation.number, "cause": cause, "digest": selection.plan.digest[:12]},
        )
        return generation


def needs_litellm(plan: Plan) -> bool:
    """LiteLLM is imported only for a plan with a deployment on its lane: the import is slow and stalls the loop."""
    return any(one.lane is Lane.LITELLM for role in plan.roles.values() for one in role.deployments)

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
from gateway.domain.plan import Deployment, Plan
from gateway.domain.ports import Clock, CompletionBackend, Discovery, ResourceProbe
from gateway.domain.resources import Resources
from gateway.domain.selection import Selection, select
from gateway.errors import RolegateError, UpstreamFailed
from gateway.registry.registry import Registry
from gateway.relay.needs import Needs
from gateway.runtime.generation import Generation
from gateway.runtime.learning import Learning
from gateway.runtime.swap import Switchboard

_log = logging.getLogger(__name__)

REFRESH_S: Final = 30.0
"""How often the registry looks again."""
AWAIT_S: Final = 3.0
"""How often it looks again while a provider that did not answer at start-up is awaited."""


PAUSE_S: Final = 1.0
"""The least time between two looks, whatever asks for them."""


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
        self._learning = Learning(registry.corrections)
        self._awaited: frozenset[str] = frozenset()
        self._wake = asyncio.Event()
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
                "has_key": state.provider.has_key if state.provider.cloud else None,
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
            state.provider.name
            for state in discovery.providers
            if state.provider.url is not None and not (state.up and state.complete)
        )
        return await self._adopt(discovery, cause="start")

    async def watch(self) -> None:
        """Look again from time to time, until cancelled.

        Selection belongs to the start. It is made again for what was not known then: a provider that answers, or has described
        its models, for the first time, a model that refused what a role demands or failed to load, and a role that nothing
        could serve and something can now.
        """
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._await_s if self._awaited else self._refresh_s):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self._look_again()
            except RolegateError as error:
                self._last_error = str(error)
            except Exception as error:  # noqa: BLE001  (whatever one look met, the next one has to come)
                self._last_error = str(error) or type(error).__name__
                _log.exception("looking again failed")
            else:
                self._last_error = ""
            # A model that is listed and not served would otherwise have us look at every request for it.
            await asyncio.sleep(min(PAUSE_S, self._await_s))

    def attempt_failed(self, deployment: Deployment, failed: UpstreamFailed, *, needs: Needs) -> None:
        """Implements the relay's ``Observer``: what a failure says of the model is worth a look at once."""
        if self._learning.note(deployment, failed, needs=needs):
            self._wake.set()

    async def look(self) -> Discovery:
        """Ask all providers now, without changing the plan."""
        before = self._registry.last
        discovery = await self._registry.refresh()
        _tell_changes(before, discovery)
        self._effects.seen(discovery)
        return discovery

    async def _look_again(self) -> None:
        last, policy = self._registry.last, self._configuration.policy
        self._learning.weigh_loads(last, sample=self._probe.sample, policy=policy)
        discovery = await self.look()
        learned = self._learning.causes(roles=self._configuration.roles.values())
        arrived = self._awaited & {state.provider.name for state in discovery.providers if state.up and state.complete}
        if arrived:
            await self._adopt(discovery, cause=f"{', '.join(sorted(arrived))} answered for the first time")
            self._awaited -= arrived
            self._learning.settled()
            return
        if learned:
            await self._adopt(discovery, cause=learned)
            self._learning.settled()
            return
        unserved = set(self._switchboard.live.selection.plan.degraded)
        if not unserved:
            return
        served = unserved - set(self._select(discovery, self._probe.sample()).plan.degraded)
        if served:
            await self._adopt(discovery, cause=f"{', '.join(sorted(served))} can be served now")

    def _select(self, discovery: Discovery, resources: Resources) -> Selection:
        return select(
            roles=self._configuration.roles,
            discovery=discovery,
            resources=resources,
            policy=self._configuration.policy,
        )

    async def _adopt(self, discovery: Discovery, *, cause: str) -> Generation:
        try:
            return await self._reconcile(discovery, cause=cause)
        except RolegateError as error:
            self._last_error = str(error)
            if self._switchboard.started:
                _log.error("the new plan was not adopted", extra={"cause": cause, "reason": str(error)})
            raise

    async def _reconcile(self, discovery: Discovery, *, cause: str) -> Generation:
        self._effects.check(discovery)
        resources = self._probe.sample()
        selection = self._select(discovery, resources)
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
            sample=self._probe.sample,
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


def _tell_changes(before: Discovery | None, now: Discovery) -> None:
    """One log line for every provider that went or came."""
    known = {state.provider.name: state.up for state in before.providers} if before else {}
    for state in now.providers:
        was_up = known.get(state.provider.name)
        if was_up and not state.up:
            _log.warning(
                "provider does not answer any more", extra={"provider": state.provider.name, "reason": state.error}
            )
        elif was_up is False and state.up:
            _log.info("provider answers", extra={"provider": state.provider.name})


def needs_litellm(plan: Plan) -> bool:
    """LiteLLM is imported only for a plan with a deployment on its lane: the import is slow and stalls the loop."""
    return any(one.lane is Lane.LITELLM for role in plan.roles.values() for one in role.deployments)

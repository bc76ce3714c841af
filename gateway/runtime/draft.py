"""A plan that may go live, with the world it was made for, and how it differs from the one that is."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from gateway.config.settings import Configuration
from gateway.domain.model import Model, ModelRef, Provider
from gateway.domain.plan import Deployment, RolePlan
from gateway.domain.ports import Discovery
from gateway.domain.resources import Resources
from gateway.domain.selection import Selection, select
from gateway.registry.registry import Registry

_SAID: Final = 3
"""How many changes a cause names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What was decided, and from what. ``registry`` is the one that serves this configuration."""

    configuration: Configuration
    registry: Registry
    discovery: Discovery
    resources: Resources
    selection: Selection

    @property
    def digest(self) -> str:
        return self.selection.plan.digest

    @property
    def providers(self) -> tuple[Provider, ...]:
        """Those of the discovery, without the memory that the plan was made for: the plan says what came of it."""
        return tuple(
            replace(state.provider, on_this_host=False, memory_bytes=None, vram_bytes=None)
            for state in self.discovery.providers
        )

    def serves_like(self, other: "Draft") -> bool:
        """Whether no client could notice a swap from one to the other: the same plan, of models that can do the same, on
        providers that are reached alike."""
        return (
            self.digest == other.digest
            and self.providers == other.providers
            and not changed_roles(other, self)
            and self.configuration.gateway.expose_models == other.configuration.gateway.expose_models
        )


def drafted(*, configuration: Configuration, registry: Registry, discovery: Discovery, resources: Resources) -> Draft:
    """Decide. Pure, and slow with thousands of models."""
    selection = select(roles=configuration.roles, discovery=discovery, resources=resources, policy=configuration.policy)
    selection.plan.digest  # noqa: B018  (worked out here, where it may take its time)
    return Draft(
        configuration=configuration,
        registry=registry,
        discovery=discovery,
        resources=resources,
        selection=selection,
    )


def changed_roles(before: Draft | None, now: Draft) -> tuple[str, ...]:
    """The roles that are served differently, that are new, and that are gone; sorted."""
    if before is None:
        return tuple(sorted(now.selection.plan.roles))
    old, new = before.selection.plan.roles, now.selection.plan.roles
    reached = _by_name(before.providers), _by_name(now.providers)
    return tuple(
        sorted(
            name
            for name in {*old, *new}
            if name not in old or name not in new or _served(old[name], reached[0]) != _served(new[name], reached[1])
        )
    )


def changed_deployments(before: Draft | None, now: Draft) -> tuple[tuple[str, Deployment], ...]:
    """What no role was served by as it is now, with a role each."""
    old = {identity for identity, _, _ in _identified(before)} if before is not None else set()
    new = {identity: (name, one) for identity, name, one in reversed(list(_identified(now)))}
    return tuple(new[identity] for identity in reversed(list(new)) if identity not in old)


def news(before: Discovery, now: Discovery) -> str:
    """What a look found changed that selection may go by, in a few words; empty when nothing is. What is in memory, and how fast
    models were, changes all the time and is no news."""
    states = {state.provider.name: state for state in before.providers}
    said = []
    for state in now.providers:
        known = states.get(state.provider.name)
        if known is None or known.up != state.up:
            said.append(f"{state.provider.name} {'answers' if state.up else 'does not answer'}")
        elif known.complete != state.complete:
            said.append(f"{state.provider.name} has described {'all' if state.complete else 'not all'} its models")
    away = {state.provider.name for state in (*before.providers, *now.providers) if not state.up}
    old, new = _facts(before.models), _facts(now.models)
    for ref in sorted({*old, *new}, key=str):
        if old.get(ref) == new.get(ref):
            continue
        if ref not in new:
            said.append(f"{ref} is gone")
        elif ref not in old:
            said.append(f"{ref} came")
        elif ref.provider not in away:
            said.append(f"{ref} changed")
    more = f" and {len(said) - _SAID} more" if len(said) > _SAID else ""
    return ", ".join(said[:_SAID]) + more


def _facts(models: Iterable[Model]) -> Mapping[ModelRef, Model]:
    return {model.ref: replace(model, resident=None, speed_tokens_s=None) for model in models}


def _by_name(providers: Iterable[Provider]) -> Mapping[str, Provider]:
    return {provider.name: provider for provider in providers}


def _served(role: RolePlan, providers: Mapping[str, Provider]) -> object:
    """All that requests are answered by: what is reckoned of memory is not among it."""
    reached = [
        (
            one.ref,
            one.lane,
            one.context_tokens,
            one.cloud,
            one.via,
            one.features,
            one.unknown_features,
            providers[one.ref.provider],
        )
        for one in role.deployments
    ]
    return reached, role.task, dict(role.parameters), role.deadlines, role.manner


def _identified(draft: Draft) -> Iterable[tuple[object, str, Deployment]]:
    """Every deployment with what makes it another one, and its role."""
    providers = _by_name(draft.providers)
    for name, role in sorted(draft.selection.plan.roles.items()):
        for one in role.deployments:
            yield (one.ref, one.lane, one.context_tokens, providers[one.ref.provider].identity), name, one

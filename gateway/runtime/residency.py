"""Which models a plan uses, and how it wants them loaded: what loading, removing and swaps go by."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.domain.fit import capacities, context_for, memory_need, resident_at, takes_no_memory_of_ours
from gateway.domain.model import Model, ModelRef, Provider, ProviderKind
from gateway.domain.plan import Deployment, Plan
from gateway.domain.ports import Discovery
from gateway.domain.resources import Resources
from gateway.domain.role import DEFAULT_CONTEXT_TOKENS, Policy
from gateway.relay.deadlines import LOCAL

LOAD_S: Final = LOCAL.load_s or 300.0
"""How long a load may take where no role says otherwise."""


def roles_of(model: Model, *, plan: Plan) -> tuple[str, ...]:
    """The roles with a deployment of ``model`` under this very name, sorted."""
    return tuple(
        sorted(name for name, role in plan.roles.items() if any(one.ref == model.ref for one in role.deployments))
    )


def load_context(model: Model, *, plan: Plan) -> int | None:
    """The context in tokens to load ``model`` with: the plan's for these weights, under whatever name the plan has them; of
    weights in no role, the default need, at most what they were trained for. ``None`` leaves it to the server."""
    planned = [one for role in plan.roles.values() for one in role.deployments if _same_weights(one, model)]
    return planned[0].context_tokens if planned else context_for(model, need_tokens=DEFAULT_CONTEXT_TOKENS)


def load_deadline_s(model: Model, *, plan: Plan) -> float:
    """How long a load of ``model`` may take: as long as the most patient role that uses it allows."""
    patience = [plan.roles[name].deadlines.load_s for name in roles_of(model, plan=plan)]
    return max((LOAD_S if one is None else one for one in patience), default=LOAD_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preload:
    """A model to bring into memory on ``provider``, and how."""

    model: Model
    provider: Provider
    context_tokens: int | None
    within_s: float
    keep_alive: str | int | None = None

    @property
    def load(self) -> object:
        """What makes it another load where it is different."""
        return _place(self.model, self.provider, {}), self.context_tokens, self.keep_alive


def to_preload(
    plan: Plan, *, serving: Sequence[Plan], discovery: Discovery, resources: Resources, policy: Policy
) -> tuple[Preload, ...]:
    """The first model of each role, where it is not loaded as planned, role by role as long as there is room: beside what is
    loaded and used by ``plan`` or by a plan of ``serving``, and what is to be preloaded before it. Where nobody knows the room
    or the need, only what has the host to itself. Pure."""
    providers = {state.provider.name: state.provider for state in discovery.providers}
    models = {model.ref: model for model in discovery.models}
    holds = capacities(providers=providers.values(), models=discovery.models, resources=resources, policy=policy)
    taken = _Taken(models.values(), providers=providers, used=_used((plan, *serving), discovery))
    found: dict[ModelRef, Preload] = {}
    for name in sorted(plan.roles):
        role = plan.roles[name]
        model = models.get(role.deployments[0].ref) if role.deployments else None
        if model is None or not model.provider_up or model.weights_ref in found:
            continue
        provider, context = providers[model.ref.provider], role.deployments[0].context_tokens
        if takes_no_memory_of_ours(model, provider):
            continue
        need_tokens = context or context_for(model, need_tokens=DEFAULT_CONTEXT_TOKENS)
        if resident_at(model, context_tokens=need_tokens):
            continue
        need = memory_need(model, context_tokens=need_tokens).total_bytes
        if taken.has_room(model, need_bytes=need, usable_bytes=holds[provider.name].usable_bytes):
            taken.add(model, need_bytes=need)
            keeps_always = provider.kind is ProviderKind.EMBEDDED
            found[model.weights_ref] = Preload(
                model=model,
                provider=provider,
                context_tokens=context,
                within_s=load_deadline_s(model, plan=plan),
                keep_alive=None if keeps_always else role.manner.keep_alive,
            )
    return tuple(found.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A plan, with the world that its references are of."""

    plan: Plan
    discovery: Discovery


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A model that a plan used, on the provider that it was on then."""

    model: Model
    provider: Provider


def leftovers(use: Use) -> tuple[Leftover, ...]:
    """The models of a plan that take memory somewhere, by reference. Pure."""
    providers = {state.provider.name: state.provider for state in use.discovery.providers}
    refs = {one.ref for role in use.plan.roles.values() for one in role.deployments}
    found = [
        Leftover(model=model, provider=providers[model.ref.provider])
        for model in sorted(use.discovery.models, key=lambda one: str(one.ref))
        if model.ref in refs
    ]
    return tuple(one for one in found if not takes_no_memory_of_ours(one.model, one.provider))


def to_unload(left: Iterable[Leftover], *, serving: Sequence[Use], discovery: Discovery) -> tuple[Leftover, ...]:
    """Those that nothing of ``serving`` uses at their place any more, one for all names of the same weights: the loaded ones
    where ``discovery``, the latest look, tells, and all where it knows nothing of the place. Pure."""
    names = _weights_by_place(discovery)
    hosts = {_host(state.provider) for state in discovery.providers}
    loaded = {place for place, model in _placed(discovery, names) if model.resident is not None}
    used = {_place(one.model, one.provider, names) for use in serving for one in leftovers(use)}
    found: dict[_Place, Leftover] = {}
    for one in left:
        place = _place(one.model, one.provider, names)
        if place not in used and (place in loaded or _host(one.provider) not in hosts):
            found.setdefault(place, one)
    return tuple(found.values())


_Host = tuple[ProviderKind, str | None]
_Place = tuple[_Host, str]
"""Where weights are: a provider's own name does not matter, two may lead to one host."""


def _host(provider: Provider) -> _Host:
    return provider.kind, provider.url


def _place(model: Model, provider: Provider, names: Mapping[_Place, str]) -> _Place:
    host = _host(provider)
    return host, names.get((host, model.ref.name), model.weights_ref.name)


def _weights_by_place(discovery: Discovery) -> Mapping[_Place, str]:
    """What all names of the same weights are called together, by host and name: names may have come since an older look."""
    providers = {state.provider.name: state.provider for state in discovery.providers}
    return {
        (_host(providers[model.ref.provider]), model.ref.name): model.weights_ref.name for model in discovery.models
    }


def _placed(discovery: Discovery, names: Mapping[_Place, str]) -> Iterable[tuple[_Place, Model]]:
    providers = {state.provider.name: state.provider for state in discovery.providers}
    for model in discovery.models:
        yield _place(model, providers[model.ref.provider], names), model


class _Taken:
    """The memory that loaded models in use and those to be loaded take, by host: this one, and that of each provider
    elsewhere."""

    def __init__(self, models: Collection[Model], *, providers: dict[str, Provider], used: frozenset[ModelRef]) -> None:
        self._hosts = {name: "" if one.on_this_host else name for name, one in providers.items()}
        self._by_host: dict[str, dict[ModelRef, int | None]] = {}
        for model in models:
            if model.resident is not None and model.weights_ref in used:
                self._of(model)[model.weights_ref] = model.resident.size_bytes

    def has_room(self, model: Model, *, need_bytes: int | None, usable_bytes: int | None) -> bool:
        others = [size for ref, size in self._of(model).items() if ref != model.weights_ref]
        if not others:
            return need_bytes is None or usable_bytes is None or need_bytes <= usable_bytes
        known = [size for size in others if size is not None]
        if need_bytes is None or usable_bytes is None or len(known) < len(others):
            return False
        return sum(known) + need_bytes <= usable_bytes

    def add(self, model: Model, *, need_bytes: int | None) -> None:
        self._of(model)[model.weights_ref] = need_bytes

    def _of(self, model: Model) -> dict[ModelRef, int | None]:
        return self._by_host.setdefault(self._hosts[model.ref.provider], {})


def _used(plans: Sequence[Plan], discovery: Discovery) -> frozenset[ModelRef]:
    """The weights that the roles of these plans have, at whatever place."""
    refs = {one.ref for plan in plans for role in plan.roles.values() for one in role.deployments}
    return frozenset(model.weights_ref for model in discovery.models if model.ref in refs)


def _same_weights(deployment: Deployment, model: Model) -> bool:
    ref = deployment.ref
    return ref.provider == model.ref.provider and (ref.name == model.ref.name or ref.name in model.aliases)

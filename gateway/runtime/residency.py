"""Which models a plan uses, and how it wants them loaded: what loading, removing and swaps go by."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.domain.fit import capacities, context_for, memory_need, resident_at, takes_no_memory_of_ours
from gateway.domain.model import Model, ModelRef, Provider
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
    """A model to bring into memory, and how."""

    model: Model
    context_tokens: int | None
    within_s: float
    keep_alive: str | int | None = None


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
            deadline_s = load_deadline_s(model, plan=plan)
            found[model.weights_ref] = Preload(
                model=model, context_tokens=context, within_s=deadline_s, keep_alive=role.manner.keep_alive
            )
    return tuple(found.values())


def to_unload(before: Plan, *, serving: Sequence[Plan], discovery: Discovery) -> tuple[Model, ...]:
    """The models that are loaded, that ``before`` used and that no plan of ``serving`` does, by reference. Pure."""
    providers = {state.provider.name: state.provider for state in discovery.providers}
    left = _used((before,), discovery) - _used(serving, discovery)
    loaded = [
        model
        for model in sorted(discovery.models, key=lambda one: str(one.ref))
        if model.resident is not None
        and model.weights_ref in left
        and not takes_no_memory_of_ours(model, providers[model.ref.provider])
    ]
    return tuple({model.weights_ref: model for model in reversed(loaded)}.values())[::-1]


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

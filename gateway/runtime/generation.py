"""One live instance of a plan. A request holds the generation it was admitted under until it is done."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import Enum
from types import MappingProxyType
from typing import Final

from gateway.domain.candidates import Directory
from gateway.domain.model import Lane, Model, ModelRef, Provider
from gateway.domain.nearest import nearest_name
from gateway.domain.plan import RolePlan, Via
from gateway.domain.ports import CompletionBackend, Discovery
from gateway.domain.resources import Resources
from gateway.domain.role import Policy, Role
from gateway.domain.selection import Selection, select
from gateway.domain.trace import RoleTrace, TraceEntry, Verdict
from gateway.errors import ByRoleOnly, NoModelForRole, UnknownRole
from gateway.relay.route import Route

MAX_REASONS: Final = 5
"""How many candidates a refusal accounts for, beside those kept out for want of consent or a key; `rolegate explain` has all."""

_WITHHELD: Final = frozenset({Verdict.NO_API_KEY, Verdict.CLOUD_NOT_ALLOWED})


class GenerationState(Enum):
    """Where a generation is in its life; it only ever moves down this list."""

    LIVE = "new requests are admitted under it"
    DRAINING = "a newer one is live; requests admitted under it finish"
    DISCARDED = "nothing uses it, and what it held is released"


class Generation:
    """A selection with what it takes to serve it.

    ``number`` counts from 1; ``cause`` says why it was made; ``created_s`` is epoch seconds. ``backend`` is ``None`` unless the
    plan has deployments on the litellm lane; ``discarded`` is set once nothing uses it any more; ``sample`` reads the machine
    now, for models that are asked for directly.
    """

    def __init__(
        self,
        *,
        number: int,
        cause: str,
        created_s: float,
        selection: Selection,
        discovery: Discovery,
        sample: Callable[[], Resources],
        policy: Policy,
        router_config: Mapping[str, object],
        backend: CompletionBackend | None,
        expose_models: bool,
    ) -> None:
        self.number = number
        self.cause = cause
        self.created_s = created_s
        self.selection = selection
        self.discovery = discovery
        self.router_config = router_config
        self.backend = backend
        self.state = GenerationState.LIVE
        self.discarded = asyncio.Event()
        self.in_flight = 0
        self._sample = sample
        self._policy = policy
        self._expose_models = expose_models
        self._providers: Mapping[str, Provider] = MappingProxyType(
            {state.provider.name: state.provider for state in discovery.providers}
        )
        self._routes: dict[str, Route] = {}
        self._reasons: dict[str, tuple[str, ...]] = {}
        self._kept_out: dict[str, tuple[tuple[str, str], ...]] = {}
        self._directory = Directory(discovery)

    @property
    def roles(self) -> Mapping[str, RolePlan]:
        return self.selection.plan.roles

    @property
    def references(self) -> tuple[str, ...]:
        """The model references that may be asked for, sorted: models of providers that answer, but for those on the litellm lane
        and in the cloud, which are reached through the roles that name them. None when references are not exposed."""
        models = self._directory.models if self._expose_models else ()
        return tuple(str(model.ref) for model in models if model.provider_up and not _by_role_only(model))

    def see(self, discovery: Discovery, *, policy: Policy) -> None:
        """A later look, or other settings, which left the plan as it is: what may be asked for by reference follows them."""
        self.discovery = discovery
        self._policy = policy
        self._directory = Directory(discovery)
        for name in [name for name in self._routes if name not in self.roles]:
            del self._routes[name]

    def trace(self, role: str) -> RoleTrace:
        return self.selection.trace(role)

    def route(self, name: str) -> Route:
        """How requests for ``name`` (a role, or an exposed model reference) travel.

        Raises ``UnknownRole``, ``ByRoleOnly`` for a reference that is nobody's to ask for, or ``NoModelForRole`` when nothing can
        serve it.
        """
        known = self._routes.get(name)
        if known is not None:
            return known
        plan = self.roles.get(name)
        if plan is None:
            plan = self._direct(name)
        elif not plan.deployments:
            raise NoModelForRole(role=name, reasons=self._why_none(name))
        route = Route(
            plan=plan,
            providers=self._providers,
            generation=self.number,
            backend=self.backend,
            withheld=lambda: self._withheld(name),
        )
        self._routes[name] = route
        return route

    def _why_none(self, role: str) -> tuple[str, ...]:
        """What ruled out the first candidates of a role without deployments; worked out once."""
        if role not in self._reasons:
            entries = self.trace(role).entries
            told = [*entries[:MAX_REASONS], *(one for one in entries[MAX_REASONS:] if _is_withheld(one))]
            reasons = [f"{one.model}: {one.reason}" for one in told]
            if len(entries) > len(told):
                reasons.append(f"and {len(entries) - len(told)} more")
            self._reasons[role] = tuple(reasons)
        return self._reasons[role]

    def _withheld(self, role: str) -> tuple[tuple[str, str], ...]:
        """The named cloud models of a role that are not in its plan for want of consent or a key; worked out once."""
        if role not in self._kept_out:
            entries = self.trace(role).entries if role in self.roles else ()
            self._kept_out[role] = tuple((one.model, one.reason) for one in entries if _is_withheld(one))
        return self._kept_out[role]

    def canonical(self, name: str) -> str | None:
        """The name under which ``/v1/models`` lists what ``name`` asks for: a role, or a model reference."""
        if name in self.roles:
            return name
        model = self._directory.find(name)
        return None if model is None or str(model.ref) not in self.references else str(model.ref)

    def _direct(self, name: str) -> RolePlan:
        model = self._directory.find(name) if self._expose_models else None
        if model is None:
            listed = sorted(self.roles)
            raise UnknownRole(name=name, roles=listed, nearest=nearest_name(name, [*listed, *self.references]))
        if _by_role_only(model):
            what = "in the cloud" if model.cloud else "on the litellm lane"
            having = [
                role for role, plan in self.roles.items() if any(one.ref == model.ref for one in plan.deployments)
            ]
            raise ByRoleOnly(name=name, what=what, roles=sorted(having))
        selection = select(
            roles={name: Role(name=name, preferred=(str(model.ref),), discover=False)},
            discovery=self.discovery,
            resources=self._sample(),
            policy=replace(self._policy, system_default=()),
        )
        plan = selection.plan.roles[name]
        if not plan.deployments:
            first = selection.trace(name).entries[0]
            raise NoModelForRole(role=name, reasons=[f"{first.verdict.value}: {first.reason}"], reference=True)
        planned = self._planned_contexts.get(model.weights_ref)
        if planned is None:
            return plan
        return replace(plan, deployments=tuple(replace(one, context_tokens=planned) for one in plan.deployments))

    @property
    def _planned_contexts(self) -> dict[ModelRef, int | None]:
        """All names of the same weights have one load profile: a direct request uses the one that the roles agreed on."""
        deployments = (one for plan in self.roles.values() for one in plan.deployments)
        found = ((self._directory.find(str(one.ref)), one.context_tokens) for one in deployments)
        return {model.weights_ref: context for model, context in found if model is not None}


def _by_role_only(model: Model) -> bool:
    """Consent to the cloud is given by roles: a caller does not give it by naming a model."""
    return model.cloud or model.lane is Lane.LITELLM


def _is_withheld(entry: TraceEntry) -> bool:
    """Is it a cloud model that the operator named, and that only consent or a key keeps out?"""
    return entry.verdict in _WITHHELD and entry.via not in {None, Via.DISCOVERED}

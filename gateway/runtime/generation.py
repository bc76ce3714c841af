"""One live instance of a plan. A request holds the generation it was admitted under until it is done."""

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from types import MappingProxyType

from gateway.domain.candidates import Directory
from gateway.domain.model import Lane, ModelRef, Provider
from gateway.domain.nearest import nearest_name
from gateway.domain.plan import RolePlan
from gateway.domain.ports import CompletionBackend, Discovery
from gateway.domain.resources import Resources
from gateway.domain.role import Policy, Role
from gateway.domain.selection import Selection, select
from gateway.domain.trace import RoleTrace
from gateway.errors import NoModelForRole, UnknownRole
from gateway.relay.route import Route


class GenerationState(Enum):
    """Where a generation is in its life; it only ever moves down this list."""

    LIVE = "new requests are admitted under it"
    DRAINING = "a newer one is live; requests admitted under it finish"
    DISCARDED = "nothing uses it, and what it held is released"


class Generation:
    """A selection with what it takes to serve it. ``number`` counts from 1; ``cause`` says why it was made; ``created_s`` is
    epoch seconds. ``backend`` is ``None`` unless the plan has deployments on the litellm lane."""

    def __init__(
        self,
        *,
        number: int,
        cause: str,
        created_s: float,
        selection: Selection,
        discovery: Discovery,
        resources: Resources,
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
        self.in_flight = 0
        self._resources = resources
        self._policy = policy
        self._expose_models = expose_models
        self._providers: Mapping[str, Provider] = MappingProxyType(
            {state.provider.name: state.provider for state in discovery.providers}
        )
        self._routes: dict[str, Route] = {}
        self._directory = Directory(discovery)

    @property
    def roles(self) -> Mapping[str, RolePlan]:
        return self.selection.plan.roles

    @property
    def references(self) -> tuple[str, ...]:
        """The model references that may be asked for, sorted: models of providers that answer, but for those on the litellm lane,
        which are reached through the roles that name them. None when references are not exposed."""
        models = self._directory.models if self._expose_models else ()
        return tuple(str(model.ref) for model in models if model.provider_up and model.lane is not Lane.LITELLM)

    def trace(self, role: str) -> RoleTrace:
        return self.selection.trace(role)

    def route(self, name: str) -> Route:
        """How requests for ``name`` (a role, or an exposed model reference) travel.

        Raises ``UnknownRole``, or ``NoModelForRole`` when nothing can serve it.
        """
        known = self._routes.get(name)
        if known is not None:
            return known
        plan = self.roles.get(name)
        if plan is None:
            plan = self._direct(name)
        elif not plan.deployments:
            entries = self.trace(name).entries
            raise NoModelForRole(role=name, reasons=[f"{one.model}: {one.reason}" for one in entries])
        route = Route(plan=plan, providers=self._providers, generation=self.number, backend=self.backend)
        self._routes[name] = route
        return route

    def _direct(self, name: str) -> RolePlan:
        model = self._directory.find(name) if self._expose_models else None
        if model is None:
            listed = sorted(self.roles)
            raise UnknownRole(name=name, roles=listed, nearest=nearest_name(name, [*listed, *self.references]))
        if model.lane is Lane.LITELLM:
            raise NoModelForRole(role=name, reasons=["models on the litellm lane answer for roles that name them only"])
        selection = select(
            roles={name: Role(name=name, preferred=(str(model.ref),), discover=False)},
            discovery=self.discovery,
            resources=self._resources,
            policy=replace(self._policy, system_default=()),
        )
        plan = selection.plan.roles[name]
        if not plan.deployments:
            first = selection.trace(name).entries[0]
            raise NoModelForRole(role=name, reasons=[f"{first.verdict.value}: {first.reason}"])
        return replace(
            plan,
            deployments=tuple(
                replace(one, context_tokens=self._planned_contexts.get(one.ref, one.context_tokens))
                for one in plan.deployments
            ),
        )

    @property
    def _planned_contexts(self) -> dict[ModelRef, int | None]:
        """Every model has one load profile: a direct request uses the one that the roles agreed on."""
        return {one.ref: one.context_tokens for plan in self.roles.values() for one in plan.deployments}

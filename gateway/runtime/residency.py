"""Which models a plan uses, and how it wants them loaded: what loading and removing go by."""

from typing import Final

from gateway.domain.fit import context_for
from gateway.domain.model import Model
from gateway.domain.plan import Deployment, Plan
from gateway.domain.role import DEFAULT_CONTEXT_TOKENS
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


def _same_weights(deployment: Deployment, model: Model) -> bool:
    ref = deployment.ref
    return ref.provider == model.ref.provider and (ref.name == model.ref.name or ref.name in model.aliases)

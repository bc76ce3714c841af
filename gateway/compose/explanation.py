"""What is asked on top of a role, and how the answer is told."""

from collections.abc import Sequence
from dataclasses import replace

from gateway.domain.plan import RolePlan
from gateway.domain.report import candidate_data, deployment_data
from gateway.domain.role import Role
from gateway.domain.trace import RoleTrace


def asking_more(role: Role, *, features: Sequence[str], context_tokens: int | None) -> Role:
    """The role with more required of whoever serves it. ``features`` are capability fields."""
    needs = role.requirements
    least = max(needs.context_min_tokens or 0, context_tokens or 0) or None
    return replace(role, requirements=replace(needs, features=needs.features.union(features), context_min_tokens=least))


def explanation_data(served: RolePlan, trace: RoleTrace) -> dict[str, object]:
    """An explanation as plain data, in the shape that the command and the route answer with."""
    return {
        "role": served.role,
        "task": served.task.value,
        "deployments": [deployment_data(one) for one in served.deployments],
        "candidates": [candidate_data(one) for one in trace.entries],
    }

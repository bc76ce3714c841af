"""A plan and its trace as plain data, in the one shape that commands and routes answer with."""

from collections.abc import Mapping

from gateway.domain.plan import Deployment
from gateway.domain.selection import Selection
from gateway.domain.trace import TraceEntry


def deployment_data(one: Deployment) -> dict[str, object]:
    """``context`` in tokens, ``memory_bytes`` the whole need at that context; ``None`` is unknown."""
    return {
        "model": str(one.ref),
        "lane": one.lane.value,
        "order": one.order,
        "context": one.context_tokens,
        "memory_bytes": one.memory_bytes,
        "cloud": one.cloud,
    }


def trace_data(one: TraceEntry) -> dict[str, object]:
    return {"model": one.model, "verdict": one.verdict.value, "reason": one.reason, "score": one.score}


def candidate_data(one: TraceEntry) -> dict[str, object]:
    """A trace entry with all that is known of it, for an explanation."""
    return {
        **trace_data(one),
        "via": one.via.value if one.via else None,
        "order": one.order,
        "numbers": dict(one.numbers),
        "warnings": list(one.warnings),
    }


def plan_data(selection: Selection, *, profile: str | None) -> dict[str, object]:
    """``{"digest", "profile", "roles": {role: {"deployments", "trace"}}}``."""
    roles: Mapping[str, object] = {
        name: {
            "deployments": [deployment_data(one) for one in plan.deployments],
            "trace": [trace_data(one) for one in selection.trace(name).entries],
        }
        for name, plan in selection.plan.roles.items()
    }
    return {"digest": selection.plan.digest, "profile": profile, "roles": dict(roles)}

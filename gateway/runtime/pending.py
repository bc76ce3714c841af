"""What the configuration on disk asks for and the live gateway does not do yet."""

from dataclasses import dataclass, fields

from gateway.config.settings import Configuration, GatewaySettings
from gateway.errors import Problem

FOLLOWED: frozenset[str] = frozenset({"expose_models"})
"""The settings of the server that a swap takes up; all others hold from its start to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """``problems`` keep the files as they are from being used; without any, ``changed_roles`` are those that would be served
    differently under ``profile``, which hot-swap being off keeps from happening, or the last error, and ``restart`` names the
    settings that only a restart takes up, hot-swap or not."""

    profile: str | None
    changed_roles: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


def pending_data(pending: Pending | None) -> dict[str, object] | None:
    """It as plain data, in the shape that commands and routes answer with."""
    if pending is None:
        return None
    return {
        "profile": pending.profile,
        "changed_roles": list(pending.changed_roles),
        "restart": list(pending.restart),
        "problems": [str(problem) for problem in pending.problems],
    }


def restart_settings(started: Configuration, now: Configuration) -> tuple[str, ...]:
    """The settings in which ``now`` differs from what the process was started with, and that it cannot take up: those of the
    server but for ``FOLLOWED``, and the models of the embedded engine, which is one process from start to end. Pure."""
    changed = [
        f"gateway.{one.name}"
        for one in fields(GatewaySettings)
        if one.name not in FOLLOWED and getattr(started.gateway, one.name) != getattr(now.gateway, one.name)
    ]
    if started.embedded_models != now.embedded_models:
        changed.append("local_providers (models of the embedded engine)")
    return tuple(changed)

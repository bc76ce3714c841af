"""What the configuration on disk asks for and the live gateway does not do yet."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from gateway.config.settings import Configuration, GatewaySettings
from gateway.errors import Problem

FOLLOWED: frozenset[str] = frozenset({"expose_models"})
"""The settings of the server that a swap takes up; all others hold from its start to its end, and so do these where nothing
swaps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """``problems`` keep the files as they are from being used; without any, ``changed_roles`` are those that would be served
    differently under ``profile``, which hot-swap being off keeps from happening, or the last error, or a rollback, and
    ``restart`` names the settings that only a restart takes up, hot-swap or not. ``files`` say something else than what serves,
    where that is known; their names are relative to the configuration folder, if they are in it."""

    profile: str | None
    changed_roles: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    files: tuple[str, ...] = ()


def pending_data(pending: Pending | None) -> dict[str, object] | None:
    """It as plain data, in the shape that commands and routes answer with."""
    if pending is None:
        return None
    return {
        "profile": pending.profile,
        "changed_roles": list(pending.changed_roles),
        "restart": list(pending.restart),
        "problems": [str(problem) for problem in pending.problems],
        "files": list(pending.files),
    }


def restart_settings(started: Configuration, now: Configuration, *, hot_swap: bool) -> tuple[str, ...]:
    """The settings in which ``now`` differs from what the process was started with, and that it cannot take up: those of the
    server but for ``FOLLOWED``, and the models of the embedded engine, which is one process from start to end. Pure."""
    followed = FOLLOWED if hot_swap else frozenset()
    changed = [
        f"gateway.{one.name}"
        for one in fields(GatewaySettings)
        if one.name not in followed and getattr(started.gateway, one.name) != getattr(now.gateway, one.name)
    ]
    if started.embedded_models != now.embedded_models:
        changed.append("local_providers (models of the embedded engine)")
    return tuple(changed)


def says_the_same(one: Configuration, other: Configuration) -> bool:
    """Whether nothing that serves could tell them apart, wherever they have it from. Pure."""
    return all(
        getattr(one, name) == getattr(other, name)
        for name in (
            "profile",
            "roles",
            "providers",
            "policy",
            "gateway",
            "declared",
            "cloud_models",
            "embedded_models",
        )
    )


def differing_files(live: Configuration, now: Configuration) -> tuple[str, ...]:
    """Where ``now`` has it from that it says something else than what is live, and where that was which it does not say any
    more; sorted. Pure."""
    old, new = _leaves(live), _leaves(now)
    paths = [path for path in {**old, **new} if path not in old or path not in new or old[path][0] != new[path][0]]
    found = {(new.get(path) or old[path])[1] for path in paths}
    return tuple(sorted(found))


def _leaves(configuration: Configuration) -> Mapping[tuple[str | int, ...], tuple[object, str]]:
    """Every value, with the file that it comes from."""
    return {
        tuple(path): (value, _short(source.file, folder=configuration.folder))
        for path, value, source in configuration.provenance.leaves()
    }


def _short(file: str, *, folder: Path) -> str:
    path = Path(file)
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else file

"""The plan: for every role, the ordered deployments. A frozen value with a digest."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType

from gateway.domain.model import Lane, ModelRef
from gateway.domain.role import Deadlines, Manner, Task


class Via(StrEnum):
    """Which step of selection brought a deployment in."""

    PREFERRED = "preferred"
    DISCOVERED = "discovered"
    CLOUD = "cloud"
    SYSTEM_DEFAULT = "system_default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One model at one place in one role's order (from 1). ``context_tokens`` is the joint load profile's; ``None`` leaves it
    to the provider. ``memory_bytes`` is the whole need at that context. ``features`` are the capability fields known to be
    true, ``unknown_features`` those nobody knows of: what a request may ask is decided against both."""

    ref: ModelRef
    lane: Lane
    order: int
    cloud: bool
    via: Via
    context_tokens: int | None = None
    memory_bytes: int | None = None
    features: frozenset[str] = frozenset()
    unknown_features: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class RolePlan:
    """How one role is served. ``parameters`` are the role's request defaults."""

    role: str
    task: Task
    deployments: tuple[Deployment, ...] = ()
    deadlines: Deadlines = field(default_factory=Deadlines)
    manner: Manner = field(default_factory=Manner)
    parameters: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All roles, by name. Equal digests mean that nothing a client could notice differs."""

    roles: Mapping[str, RolePlan]

    @cached_property
    def digest(self) -> str:
        """sha256 (hex) of the canonical JSON of role → model, lane, order, context, parameters, deadlines, and manner where it
        is not the default."""
        content = {
            name: {
                "deployments": [
                    {"model": str(one.ref), "lane": one.lane.value, "order": one.order, "context": one.context_tokens}
                    for one in role.deployments
                ],
                "parameters": dict(role.parameters),
                "deadlines": asdict(role.deadlines),
                **({} if role.manner == Manner() else {"manner": asdict(role.manner)}),
            }
            for name, role in self.roles.items()
        }
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def degraded(self) -> tuple[str, ...]:
        """The roles that nothing can serve, by name."""
        return tuple(sorted(name for name, role in self.roles.items() if not role.deployments))

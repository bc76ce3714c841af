"""What a judgement looks at and what it comes to: the world, one candidate before one role, and the verdict."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from gateway.domain.candidates import Directory
from gateway.domain.fit import Capacity, MemoryNeed, context_for, memory_need
from gateway.domain.model import Model, ModelRef
from gateway.domain.plan import Via
from gateway.domain.resources import Resources
from gateway.domain.role import Policy, Role, Task
from gateway.domain.trace import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a judgement may look at. Memory needs are worked out once per model and context."""

    directory: Directory
    capacities: Mapping[str, Capacity]
    resources: Resources
    policy: Policy
    _needs: dict[tuple[ModelRef, int], MemoryNeed] = field(default_factory=dict, compare=False, repr=False)

    def need(self, model: Model, *, context_tokens: int) -> MemoryNeed:
        """What ``model`` takes at this context."""
        key = (model.ref, context_tokens)
        known = self._needs.get(key)
        if known is None:
            known = self._needs[key] = memory_need(model, context_tokens=context_tokens)
        return known


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One candidate with a model, before one role."""

    model: Model
    role: Role
    task: Task
    via: Via | None
    named: bool
    world: World

    @property
    def provider_name(self) -> str:
        return self.model.ref.provider


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict with its sentence and numbers. ``memory_bytes`` is the need at the role's own context."""

    verdict: Verdict
    reason: str
    numbers: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class Notes:
    """What the checks gather on the way to a verdict; the memory need is worked out once for all of them."""

    warnings: list[str] = field(default_factory=list)
    numbers: dict[str, object] = field(default_factory=dict)
    excused: list[str] = field(default_factory=list)
    _need: MemoryNeed | None = None

    def need(self, case: Case) -> MemoryNeed:
        if self._need is None:
            context = context_for(case.model, need_tokens=case.role.requirements.context_need_tokens)
            self._need = case.world.need(case.model, context_tokens=context)
            self.warnings.extend(self._need.notes)
        return self._need

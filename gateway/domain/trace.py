"""The trace: why a plan is what it is. One entry per candidate, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from gateway.domain.plan import Via


class Verdict(StrEnum):
    """The judgement on one candidate, in the order in which they are looked for; the first that applies is the verdict."""

    NOT_INSTALLED = "not_installed"
    PROVIDER_DOWN = "provider_down"
    NOT_CHAT_CAPABLE = "not_chat_capable"
    REQUIREMENT_NOT_MET = "requirement_not_met"
    CONTEXT_TOO_SMALL = "context_too_small"
    OVER_MEMORY_LIMIT = "over_memory_limit"
    DOES_NOT_FIT_NOW = "does_not_fit_now"
    TOO_HOT = "too_hot"
    CLOUD_NOT_ALLOWED = "cloud_not_allowed"
    NO_API_KEY = "no_api_key"
    EXCLUDED = "excluded"
    OK = "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceEntry:
    """One candidate's verdict. ``reason`` is a sentence with the numbers; ``numbers`` the same as data (bytes, tokens,
    scores). ``score`` is the ranking value (weighted theta; ``None`` where nothing is known). ``model`` is the full reference,
    or the name as written where no provider has it."""

    model: str
    verdict: Verdict
    reason: str
    via: Via | None = None
    order: int | None = None
    score: float | None = None
    numbers: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleTrace:
    role: str
    entries: tuple[TraceEntry, ...]

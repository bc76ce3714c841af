"""Roles: what an operator asks of the models that answer under one name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal

DEFAULT_CONTEXT_TOKENS: Final = 8_192
DEFAULT_MAX_DEPLOYMENTS: Final = 8


class Task(StrEnum):
    CHAT = "chat"
    EMBEDDING = "embedding"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """What a model must meet to serve a role.

    ``scores`` maps abilities to the least score; ``features`` are the capability fields that must be true
    (``supports_tools``, …). ``memory_max_bytes`` bounds the whole memory the model takes at the role's context.
    """

    scores: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    features: frozenset[str] = frozenset()
    context_min_tokens: int | None = None
    memory_max_bytes: int | None = None

    @property
    def context_need_tokens(self) -> int:
        """The context a model is loaded with for this role alone, before the trained context caps it."""
        return self.context_min_tokens or DEFAULT_CONTEXT_TOKENS


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Seconds; ``None`` takes the default of the deployment's kind (local or cloud)."""

    connect_s: float | None = None
    load_s: float | None = None
    first_token_s: float | None = None
    gap_s: float | None = None
    total_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldBack:
    """How much of a streamed answer is kept back before its first part is sent, so that a failure until then moves on unseen:
    until it has so many characters, or its first text is so many seconds old. ``None`` sets no such bound; nothing is kept
    back where both are ``None``."""

    characters: int | None = None
    text_age_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a role's requests are served. ``stream_failure``: whether another deployment goes on with an answer that broke off.
    ``cold_start``: whether a model that is not loaded is waited for, or one that is answers while it loads. ``keep_alive``: how
    long Ollama keeps the model in memory after an answer, as it takes it; ``None`` leaves it to the server."""

    stream_failure: Literal["terminate", "continue"] = "terminate"
    cold_start: Literal["wait", "avoid"] = "wait"
    hold_back: HoldBack = field(default_factory=HoldBack)
    keep_alive: str | int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One virtual model name. ``preferred`` and ``cloud_fallback`` are references as written, in the operator's order.

    ``task`` is ``None`` when the operator did not say; ``weights`` keys are the abilities, ``speed`` and ``cost``; empty
    means the default weights. ``parameters`` are request defaults that a client may override.
    """

    name: str
    preferred: tuple[str, ...] = ()
    cloud_fallback: tuple[str, ...] = ()
    requirements: Requirements = field(default_factory=Requirements)
    weights: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    task: Task | None = None
    discover: bool = True
    allow_cloud: bool = True
    max_deployments: int = DEFAULT_MAX_DEPLOYMENTS
    deadlines: Deadlines = field(default_factory=Deadlines)
    manner: Manner = field(default_factory=Manner)
    parameters: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Selection settings that hold for all roles.

    ``cloud_fallback`` enables cloud models at all. ``system_default`` are references tried last. ``memory_margin`` is the
    part of total memory kept free (never less than ``MIN_MARGIN_BYTES``). A machine is too hot from ``hot_c`` on; with hot-swap
    on it stays so until it was at most ``cool_c`` for ``dwell_s``, which is also how long other changes of it have to last.
    ``canary`` is how a swap tries new deployments, ``preload`` and ``unload`` what it does to models' memory. ``co_residency``
    is carried for the decisions that use it.
    """

    cloud_fallback: bool = True
    system_default: tuple[str, ...] = ()
    memory_margin: float = 0.1
    co_residency: Literal["report"] = "report"
    hot_c: float = 85.0
    cool_c: float = 75.0
    dwell_s: float = 60.0
    canary: Literal["metadata", "generate"] = "metadata"
    preload: Literal["before", "after", "never"] = "after"
    unload: Literal["after_idle", "never"] = "never"

"""What a failure teaches about a model: a feature that it does not have after all, or memory that it takes more of."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from gateway.domain.capabilities import FEATURE_FIELDS, Fact, ModelCapabilities, Origin, feature_fact

RAISE: Final = 1.25
"""By how much the memory of a model is raised when a load of it failed."""

FEATURE_NAMES: Final = MappingProxyType(
    {
        "supports_tools": "tools",
        "supports_vision": "images",
        "supports_audio": "audio",
        "supports_json_schema": "a JSON schema",
        "supports_insert": "a suffix",
        "supports_thinking": "thinking",
    }
)
"""The features that a request can make use of, in the words for people."""

_FEATURE_WORDS: Final[Mapping[str, re.Pattern[str]]] = MappingProxyType(
    {
        "supports_tools": re.compile(r"\btools?\b|function|tool_", re.IGNORECASE),
        "supports_vision": re.compile(r"image|vision|multi-?modal", re.IGNORECASE),
        "supports_audio": re.compile(r"audio|speech|sound|multi-?modal", re.IGNORECASE),
        "supports_json_schema": re.compile(r"schema|structured output|response.?format|grammar", re.IGNORECASE),
        "supports_insert": re.compile(r"\binsert|suffix|infill|fill.in.the.middle", re.IGNORECASE),
        "supports_thinking": re.compile(r"think|reasoning", re.IGNORECASE),
    }
)
_OBJECT: Final = re.compile(r"support(?:s|ed|ing)?\b:?\s+(\S.*)", re.IGNORECASE)
"""What stands behind "support": in front of it may be a model's name, which says nothing."""
_NO_FEATURE: Final = re.compile(r"^(chat|generat|completion|embed)", re.IGNORECASE)
_MEMORY_WORDS: Final = re.compile(r"memory|alloc|\bv?ram\b|\boom\b|cuda|killed", re.IGNORECASE)
_SAID: Final = re.compile(r"requires more (?:system )?memory \((\d+(?:\.\d+)?) ?([KMGT])(i?)B\)", re.IGNORECASE)
_POWERS: Final = "KMGT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Upstream's words when it refused a feature, and when that was, in seconds since the epoch."""

    words: str
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedLoad:
    """A load that failed: at which context, in tokens, upstream's words and when, in seconds since the epoch. From this context
    on the model counts as taking at least ``floor_bytes``."""

    context_tokens: int
    floor_bytes: int
    words: str
    at_s: float


def refused_feature(words: str, *, asked: Collection[str]) -> str | None:
    """The feature that upstream refused with ``words``; ``asked`` are those that the request made use of.

    It is the one of them that the words name; where they name none, the only one that was asked for. ``None`` is nothing to
    learn from: the words mean something else, or more than one.
    """
    behind = _OBJECT.search(words)
    if behind is not None and _NO_FEATURE.search(behind[1]):
        return None
    named = _named(behind[1]) if behind is not None else frozenset()
    named = named or _named(words)
    meant = named.intersection(asked) if named else frozenset(asked)
    return next(iter(meant)) if len(meant) == 1 else None


def _named(words: str) -> frozenset[str]:
    return frozenset(feature for feature, pattern in _FEATURE_WORDS.items() if pattern.search(words))


def with_synonyms(feature: str) -> tuple[str, ...]:
    """All capability fields that mean this feature."""
    return (feature, "supports_function_calling") if feature == "supports_tools" else (feature,)


def raised_floor(*, words: str, need_bytes: int | None, available_bytes: int | None) -> int | None:
    """What a model takes at least, after a load of it failed with ``words``: more than was believed, by ``RAISE``.

    Where the words speak of memory it is more than was available as well, and not less than upstream's own figure.
    ``need_bytes`` is what was believed, ``available_bytes`` what its host had then; ``None`` is unknown. ``None`` is returned
    where nothing is known that could be raised.
    """
    floors = [] if need_bytes is None else [round(need_bytes * RAISE)]
    if _MEMORY_WORDS.search(words):
        if available_bytes is not None:
            floors.append(available_bytes + 1)
        said = _SAID.search(words)
        if said is not None:
            base = 1024 if said[3] else 1000
            floors.append(round(float(said[1]) * base ** (_POWERS.index(said[2].upper()) + 1)))
    return max(floors, default=None)


def without_refused(
    capabilities: ModelCapabilities, *, refused: Mapping[str, Refusal]
) -> tuple[ModelCapabilities, tuple[str, ...]]:
    """The capabilities without the features that the server refused, which is measured to be so; and a warning for each that
    something else said of."""
    known: dict[str, Any] = {}
    warnings: list[str] = []
    for name in FEATURE_FIELDS:
        refusal = refused.get(name)
        if refusal is None:
            continue
        claim = feature_fact(capabilities, name)
        known[name] = Fact(value=False, origin=Origin.MEASURED, source=f"refused when it was asked: {refusal.words}")
        if name != "supports_function_calling" and (claim is None or claim.value):
            said = "not known" if claim is None else f"{claim.origin} true"
            warnings.append(f"{name} is {said}, but the server refused it ({refusal.words}); false is used")
    return (replace(capabilities, **known) if known else capabilities), tuple(warnings)

"""What is known of a model: every field a fact with its origin, or ``None`` when nothing is known."""

from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")


class Origin(StrEnum):
    """Where a fact comes from, most trusted first."""

    DECLARED = "declared"
    MEASURED = "measured"
    REPORTED = "reported"
    CATALOG = "catalog"
    ESTIMATED = "estimated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact(Generic[T]):
    """One known value. ``confidence`` is 0 to 1; ``tier`` (A to D) and ``source`` say how it is known."""

    value: T
    origin: Origin
    confidence: float = 1.0
    tier: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCapabilities:
    """The capability fields of one model. Scores are 0 to 1; ``*_gb`` are 10^9 bytes, as people write them."""

    context_length: Fact[int] | None = None
    quantization_level: Fact[str] | None = None
    model_size: Fact[float] | None = None
    """Total parameters, in 10^9."""
    memory_gb_estimate: Fact[float] | None = None
    reasoning_strength: Fact[float] | None = None
    coding_strength: Fact[float] | None = None
    creativity: Fact[float] | None = None
    multilingual_score: Fact[float] | None = None
    tool_calling: Fact[float] | None = None
    supports_function_calling: Fact[bool] | None = None
    supports_vision: Fact[bool] | None = None
    supports_tools: Fact[bool] | None = None
    supports_thinking: Fact[bool] | None = None
    supports_audio: Fact[bool] | None = None
    """Takes sound as input."""
    supports_json_schema: Fact[bool] | None = None
    """Keeps its answer to a JSON schema that the request gives."""
    supports_insert: Fact[bool] | None = None
    """Fills in the middle: takes what follows the answer (``suffix``) too."""
    supports_prefill: Fact[bool] | None = None
    """Goes on with a final assistant message instead of answering it."""
    min_memory_gb: Fact[float] | None = None
    recommended_memory_gb: Fact[float] | None = None
    thermal_sensitivity: Fact[float] | None = None
    """0 (runs cool) to 1 (heats the machine as much as anything it can run)."""
    model_source: Fact[str] | None = None
    requires_api_key: Fact[bool] | None = None


ABILITIES: Final = ("reasoning_strength", "coding_strength", "creativity", "multilingual_score", "tool_calling")
"""The five abilities that have a score; the keys that requirements and weights may name."""

FEATURE_FIELDS: Final = (
    "supports_function_calling",
    "supports_vision",
    "supports_tools",
    "supports_thinking",
    "supports_audio",
    "supports_json_schema",
    "supports_insert",
    "supports_prefill",
)

CAPABILITY_FIELDS: Final = tuple(field.name for field in fields(ModelCapabilities))

NOTHING_KNOWN: Final = ModelCapabilities()


def ability_fact(capabilities: ModelCapabilities, ability: str) -> Fact[float] | None:
    """What is known of one of the five ``ABILITIES``. Raises ``ValueError`` for any other name."""
    if ability not in ABILITIES:
        raise ValueError(f"{ability!r} is not an ability; the abilities are: {', '.join(ABILITIES)}")
    fact: Fact[float] | None = getattr(capabilities, ability)
    return fact


def feature_fact(capabilities: ModelCapabilities, feature: str) -> Fact[bool] | None:
    """What is known of one of the ``FEATURE_FIELDS``. Raises ``ValueError`` for any other name."""
    if feature not in FEATURE_FIELDS:
        raise ValueError(f"{feature!r} is not a feature; the features are: {', '.join(FEATURE_FIELDS)}")
    fact: Fact[bool] | None = getattr(capabilities, feature)
    return fact


def combine(
    *,
    declared: ModelCapabilities = NOTHING_KNOWN,
    measured: ModelCapabilities = NOTHING_KNOWN,
    reported: ModelCapabilities = NOTHING_KNOWN,
    catalog: ModelCapabilities = NOTHING_KNOWN,
    estimated: ModelCapabilities = NOTHING_KNOWN,
) -> tuple[ModelCapabilities, tuple[str, ...]]:
    """One set of capabilities from five sources, the most trusted first, field by field; and warnings, one sentence each.

    A declaration wins, except over a physical fact found to be worse: more memory measured than declared, a smaller context
    measured or reported, a feature that the server refused or does not report. ``supports_tools`` and
    ``supports_function_calling`` mean the same: within a source, one fills the other.
    """
    layers = tuple(_with_synonyms(layer) for layer in (declared, measured, reported, catalog, estimated))
    found = {
        name: next((fact for layer in layers if (fact := getattr(layer, name)) is not None), None)
        for name in CAPABILITY_FIELDS
    }
    warnings: list[str] = []
    for name, (fact, warning) in _worse_facts(declared=layers[0], measured=layers[1], reported=layers[2]).items():
        found[name] = fact
        if getattr(declared, name) is not None:
            warnings.append(warning)
    return ModelCapabilities(**found), tuple(warnings)


def _with_synonyms(layer: ModelCapabilities) -> ModelCapabilities:
    if layer.supports_tools is None:
        return replace(layer, supports_tools=layer.supports_function_calling)
    if layer.supports_function_calling is None:
        return replace(layer, supports_function_calling=layer.supports_tools)
    return layer


def _worse_facts(
    *, declared: ModelCapabilities, measured: ModelCapabilities, reported: ModelCapabilities
) -> dict[str, tuple[Fact[Any], str]]:
    """The fields whose declaration is overruled: field → (the fact that holds, a warning)."""
    worse: dict[str, tuple[Fact[Any], str]] = {}
    memory, taken = declared.memory_gb_estimate, measured.memory_gb_estimate
    if memory is not None and taken is not None and taken.value > memory.value:
        warning = (
            f"memory_gb_estimate is declared as {memory.value:g} GB, but {taken.value:g} GB was measured;"
            f" {taken.value:g} GB is used"
        )
        worse["memory_gb_estimate"] = (taken, warning)
    context = declared.context_length
    found = [fact for layer in (measured, reported) if (fact := layer.context_length) is not None]
    if context is not None and found:
        least = min(found, key=lambda fact: fact.value)
        if least.value < context.value:
            warning = (
                f"context_length is declared as {context.value}, but the model takes {least.value} tokens"
                f" ({least.origin}); {least.value} is used"
            )
            worse["context_length"] = (least, warning)
    for name in FEATURE_FIELDS:
        claim = feature_fact(declared, name)
        answer = feature_fact(measured, name) or feature_fact(reported, name)
        if claim is not None and claim.value and answer is not None and not answer.value:
            how = "the server refused it" if answer.origin is Origin.MEASURED else "the server does not report it"
            worse[name] = (answer, f"{name} is declared true, but {how}; false is used")
    return worse

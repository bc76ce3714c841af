"""What published benchmarks say of a model: five abilities, at the quantisation it is installed in."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Self

from gateway.catalog.entries import Ability, Entry, read_entries
from gateway.catalog.matching import Kinship, Match, Matcher, size_of
from gateway.catalog.names import ModelIdentity, names_an_embedding_model, take_apart
from gateway.catalog.quantization import Quantizations
from gateway.catalog.tables import rows
from gateway.domain.capabilities import ABILITIES, Fact, ModelCapabilities, Origin
from gateway.domain.metadata import ENCODERS
from gateway.domain.scoring import quantization_loss, score_of, with_quantization_loss

THINKING_GAIN: Final[Mapping[str, float]] = MappingProxyType(
    {"reasoning_strength": 0.45, "coding_strength": 0.31, "creativity": 0.28}
)
"""What thinking adds to theta on the same weights, for models that were only measured without it."""

IMPUTED_FACTOR: Final = 0.8
"""Tier C keeps this part of the confidence its spread would give; so does a fine-tune of a known base."""

LOW_QUANTIZATION_SPREAD: Final = 1.5
"""At three bits and below the standard error grows by this factor."""

LEAST_CONFIDENCE: Final = 0.05
SIBLING_CONFIDENCE: Final = 0.3
SIZE_AND_YEAR_CONFIDENCE: Final = 0.25
SIZE_CONFIDENCE: Final = 0.15

_SIBLING_SLOPE: Final = 0.74
_LATEST_YEAR: Final = 2026.5
_LEAST_SIZE_B: Final = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Basis:
    """Abilities before quantisation, and what they rest on."""

    abilities: Mapping[str, Ability]
    origin: Origin
    source: str
    size_b: float | None
    active_b: float | None = None
    native_mxfp4: bool = False


class ScoreTable:
    """The shipped scores, and the formulas for models they do not hold."""

    __slots__ = ("_matcher", "_quantizations", "_years")

    def __init__(self, *, matcher: Matcher, quantizations: Quantizations, years: Mapping[str, float]) -> None:
        self._matcher = matcher
        self._quantizations = quantizations
        self._years = dict(years)

    @classmethod
    def load(cls) -> Self:
        """Read the packaged tables. Raises ``RolegateError`` when one is missing."""
        index = read_entries(scores=rows("capability_scores.csv"), families=rows("families.csv"))
        return cls(
            matcher=Matcher(index=index),
            quantizations=Quantizations.load(),
            years={row["architecture"]: float(row["year"]) for row in rows("architecture_years.csv")},
        )

    def capabilities(self, identity: ModelIdentity) -> ModelCapabilities:
        """The five abilities of a model, its quantisation's loss taken off; nothing for embedding models and unknown sizes.

        A model of the table: origin ``catalog``, its tier; a fine-tune of one: tier C. Otherwise origin ``estimated``, tier
        D, confidence at most 0.3: from a sibling of another size, from size and year, or from size alone.
        """
        if _embeds(identity):
            return ModelCapabilities()
        basis = self._basis(identity)
        if basis is None:
            return ModelCapabilities()
        facts = {name: self._fact(ability, basis=basis, identity=identity) for name, ability in basis.abilities.items()}
        return ModelCapabilities(
            reasoning_strength=facts["reasoning_strength"],
            coding_strength=facts["coding_strength"],
            creativity=facts["creativity"],
            multilingual_score=facts["multilingual_score"],
            tool_calling=facts["tool_calling"],
        )

    def _basis(self, identity: ModelIdentity) -> _Basis | None:
        thinking = identity.thinking
        if thinking is None:
            thinking = take_apart(identity.name).thinking is True
        match = self._matcher.find(identity)
        if match is not None:
            return _basis_of_match(match, thinking=thinking)
        size_b = size_of(identity)
        if size_b is None:
            return None
        return self._basis_of_size(identity, size_b=max(size_b, _LEAST_SIZE_B), thinking=thinking)

    def _basis_of_size(self, identity: ModelIdentity, *, size_b: float, thinking: bool) -> _Basis:
        year = identity.year or self._years.get((identity.architecture or "").lower())
        if year is None:
            theta = -1.01 + 0.71 * math.log10(size_b) - 0.54
            confidence, source = SIZE_CONFIDENCE, f"estimated from its size, {size_b:.3g} B"
        else:
            theta = -1.33 + 0.67 * math.log10(size_b) + 0.54 * (min(year, _LATEST_YEAR) - 2025.0) + 0.32 * thinking
            confidence, source = (
                SIZE_AND_YEAR_CONFIDENCE,
                f"estimated from its size, {size_b:.3g} B, and year, {int(year)}",
            )
        ability = Ability(theta=theta, confidence=confidence, tier="D")
        return _Basis(
            abilities=dict.fromkeys(ABILITIES, ability), origin=Origin.ESTIMATED, source=source, size_b=size_b
        )

    def _fact(self, ability: Ability, *, basis: _Basis, identity: ModelIdentity) -> Fact[float]:
        theta, confidence, source = ability.theta, ability.confidence, basis.source
        quantization = identity.quantization or ""
        loss_at_8b = self._quantizations.loss_at_8b(quantization, native=basis.native_mxfp4) if quantization else None
        if loss_at_8b is not None and basis.size_b:
            loss = quantization_loss(loss_at_8b=loss_at_8b, total_b=basis.size_b, active_b=basis.active_b)
            theta = with_quantization_loss(theta, loss=loss)
            source += f", at {quantization}"
        if quantization and self._quantizations.low(quantization):
            confidence = _spread(confidence, tier=ability.tier)
        return Fact(value=score_of(theta), origin=basis.origin, confidence=confidence, tier=ability.tier, source=source)


def _embeds(identity: ModelIdentity) -> bool:
    if (identity.architecture or "").lower() in ENCODERS:
        return True
    return any(names_an_embedding_model(text) for text in (identity.name, identity.basename or ""))


def _basis_of_match(match: Match, *, thinking: bool) -> _Basis:
    entry = match.entry
    abilities, mode = _mode(entry, thinking=thinking)
    size_b = match.size_b or entry.size_b
    if match.kinship is Kinship.SIBLING and match.size_b and entry.size_b:
        shift = _SIBLING_SLOPE * math.log10(max(match.size_b, _LEAST_SIZE_B) / entry.size_b)
        return _Basis(
            abilities=_each(
                abilities,
                lambda one: Ability(
                    theta=one.theta + shift, confidence=min(SIBLING_CONFIDENCE, one.confidence), tier="D"
                ),
            ),
            origin=Origin.ESTIMATED,
            source=f"estimated from its sibling {entry.key}{mode}",
            size_b=size_b,
        )
    source = f"capability scores, {entry.key}{mode}"
    if match.kinship is Kinship.FINE_TUNE:
        abilities = _each(
            abilities,
            lambda one: Ability(theta=one.theta, confidence=one.confidence * IMPUTED_FACTOR, tier="C"),
        )
        source = f"capability scores of its base, {entry.key}{mode}"
    return _Basis(
        abilities=abilities,
        origin=Origin.CATALOG,
        source=source,
        size_b=size_b,
        active_b=entry.active_b,
        native_mxfp4=entry.native_mxfp4,
    )


def _mode(entry: Entry, *, thinking: bool) -> tuple[Mapping[str, Ability], str]:
    """The abilities in the mode asked for. A model measured in one mode only is taken as it was measured, except that
    thinking adds its usual gain, at tier C, to what was measured without it."""
    measured = entry.modes.get(thinking)
    if measured is not None:
        return measured, " thinking" if thinking else ""
    if not thinking:
        return entry.modes[True], " thinking"
    return (
        {
            name: Ability(
                theta=one.theta + THINKING_GAIN.get(name, 0.0), confidence=one.confidence * IMPUTED_FACTOR, tier="C"
            )
            for name, one in entry.modes[False].items()
        },
        " with the usual gain of thinking",
    )


def _each(abilities: Mapping[str, Ability], change: Callable[[Ability], Ability]) -> Mapping[str, Ability]:
    return {name: change(one) for name, one in abilities.items()}


def _spread(confidence: float, *, tier: str) -> float:
    """The confidence when the standard error is ``LOW_QUANTIZATION_SPREAD`` times as wide.

    Confidence is 1 less the standard error in units of the widest that is still of use, times ``IMPUTED_FACTOR`` at tier C.
    At tier D it is no function of an error and is divided.
    """
    if tier == "D":
        return confidence / LOW_QUANTIZATION_SPREAD
    factor = IMPUTED_FACTOR if tier == "C" else 1.0
    return max(factor * (1.0 - LOW_QUANTIZATION_SPREAD * (1.0 - confidence / factor)), LEAST_CONFIDENCE)

"""Scores, the latent ability behind them, and how candidates are ranked.

A score (0 to 1, what people read and write) is a logistic view of theta, the latent ability: 0 is the mean of the models that
were fitted, 1 about one standard deviation. Requirements speak scores; ranking adds up thetas, because scores crowd together
near 1. Every scale here is fixed: no value depends on which other candidates there are.
"""

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from gateway.domain.capabilities import ABILITIES, ModelCapabilities, ability_fact

SCORE_OFFSET: Final = 2.58
"""Added to theta before the logistic: Mistral 7B then scores 0.70 in reasoning."""

TIE_WIDTH: Final = 0.17
"""Models whose thetas differ by less than this cannot be told apart on held-out benchmarks."""

SPECIALITY_WEIGHT: Final = 0.5
"""What a model's offset from its own mean ability counts, beside the ability itself."""

DEFAULT_ABILITY: Final = "reasoning_strength"

LOSS_SLOPE: Final = 1.2
"""Slope of the logistic scale on which a quantisation loss is a plain factor."""
MAX_LOSS: Final = 0.6

SPEED_EFFICIENCY: Final = 0.6
"""The part of the memory bandwidth that token generation reaches: 0.45 to 0.8 in llama.cpp's published figures."""

UNKNOWN_SPEED_TOKENS_S: Final = 1.0
UNKNOWN_COST_USD_PER_MTOK: Final = 100.0
"""Where speed or cost weighs and is not known, the candidate ranks as a slow or dear one; nothing reports these as facts."""

_SCORE_MARGIN: Final = 1e-3
_LEAST_SPEED_TOKENS_S: Final = 2.0**-10


def score_of(theta: float) -> float:
    """The score, 0 to 1, of a latent ability."""
    return 1.0 / (1.0 + math.exp(-(theta + SCORE_OFFSET)))


def theta_of(score: float) -> float:
    """The latent ability of a score. Scores within 0.001 of 0 or 1 count as 0.001 and 0.999, so that the result is finite."""
    inside = min(max(score, _SCORE_MARGIN), 1.0 - _SCORE_MARGIN)
    return math.log(inside / (1.0 - inside)) - SCORE_OFFSET


def rounded_score(score: float) -> float:
    """A score as requirements see it: two decimals."""
    return round(score, 2)


def meets(*, score: float, least: float) -> bool:
    """Whether a score is at least what a requirement asks, both at two decimals."""
    return rounded_score(score) >= rounded_score(least)


def quantization_loss(*, loss_at_8b: float, total_b: float, active_b: float | None = None) -> float:
    """The relative loss of a model of ``total_b`` (10^9 parameters), given the loss at 8 B: smaller models lose more.

    ``active_b`` is given for a mixture of experts, whose size here is the geometric mean of both. At most 0.6.
    """
    size_b = math.sqrt(total_b * active_b) if active_b else total_b
    return min(MAX_LOSS, loss_at_8b * math.sqrt(8.0 / size_b))


def with_quantization_loss(theta: float, *, loss: float) -> float:
    """The latent ability left after a relative ``loss``, 0 (none) to below 1."""
    if loss <= 0.0:
        return theta
    kept = (1.0 - loss) / (1.0 + math.exp(-LOSS_SLOPE * theta))
    return math.log(kept / (1.0 - kept)) / LOSS_SLOPE


def default_weights(required: Iterable[str]) -> Mapping[str, float]:
    """The weights of a role that sets none: the abilities its requirements name, equally; reasoning when they name none."""
    named = frozenset(required)
    return MappingProxyType({ability: 1.0 for ability in ABILITIES if ability in named} or {DEFAULT_ABILITY: 1.0})


def ability_terms(capabilities: ModelCapabilities) -> Mapping[str, float]:
    """What each known ability of a model adds to a ranking, in units of theta.

    The term is the ability's theta plus ``SPECIALITY_WEIGHT`` times its offset from the mean of the model's known thetas:
    abilities overlap so much that thetas alone would send every role to the biggest model.
    """
    thetas = {
        ability: theta_of(fact.value)
        for ability in ABILITIES
        if (fact := ability_fact(capabilities, ability)) is not None
    }
    mean = sum(thetas.values()) / len(thetas) if thetas else 0.0
    return MappingProxyType({name: theta + SPECIALITY_WEIGHT * (theta - mean) for name, theta in thetas.items()})


def speed_term(speed_tokens_s: float | None) -> float:
    """What speed adds to a ranking: log2 of tokens/s; an unknown one counts as slow."""
    speed = UNKNOWN_SPEED_TOKENS_S if speed_tokens_s is None else speed_tokens_s
    return math.log2(max(speed, _LEAST_SPEED_TOKENS_S))


def cost_term(cost_usd_per_mtok: float | None) -> float:
    """What cost takes off a ranking: log2 of 1 + USD per 10^6 tokens; an unknown one counts as dear."""
    cost = UNKNOWN_COST_USD_PER_MTOK if cost_usd_per_mtok is None else cost_usd_per_mtok
    return -math.log2(1.0 + cost)


def ranking_value(*, terms: Mapping[str, float], weights: Iterable[tuple[str, float]]) -> float | None:
    """The weighted mean of a model's terms, in units of theta. ``terms`` holds ``ability_terms`` and, where they weigh,
    ``speed`` and ``cost``. ``None`` when a term that weighs is missing, or nothing weighs."""
    total = 0.0
    weight_sum = 0.0
    for name, weight in weights:
        if weight > 0.0:
            term = terms.get(name)
            if term is None:
                return None
            total += weight * term
            weight_sum += weight
    return total / weight_sum if weight_sum > 0.0 else None


def bucket(value: float) -> int:
    """The fixed bucket, ``TIE_WIDTH`` wide, that a ranking value falls into: higher is better, equal is a tie."""
    return math.floor(value / TIE_WIDTH)


def estimated_speed(*, active_weight_bytes: float, bandwidth_bytes_s: float) -> float:
    """Generation speed in tokens/s when every token reads ``active_weight_bytes`` once from memory."""
    return SPEED_EFFICIENCY * bandwidth_bytes_s / active_weight_bytes

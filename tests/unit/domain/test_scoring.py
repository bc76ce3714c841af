import math
from collections.abc import Mapping
from typing import Any

import pytest

from gateway.domain.capabilities import NOTHING_KNOWN, Fact, ModelCapabilities, Origin
from gateway.domain.scoring import (
    ability_terms,
    bucket,
    cost_term,
    default_weights,
    estimated_speed,
    meets,
    quantization_loss,
    ranking_value,
    rounded_score,
    score_of,
    speed_term,
    theta_of,
    with_quantization_loss,
)


def known(**thetas: float) -> ModelCapabilities:
    facts: dict[str, Any] = {name: Fact(value=score_of(theta), origin=Origin.CATALOG) for name, theta in thetas.items()}
    return ModelCapabilities(**facts)


def value_of(
    *,
    weights: Mapping[str, float],
    capabilities: ModelCapabilities = NOTHING_KNOWN,
    terms: Mapping[str, float] | None = None,
    speed: float | None = None,
    cost: float | None = None,
) -> float | None:
    every = {**(terms or ability_terms(capabilities)), "speed": speed_term(speed), "cost": cost_term(cost)}
    return ranking_value(terms=every, weights=weights.items())


@pytest.mark.parametrize(
    ("theta", "score"), [(-1.734, 0.70), (-2.489, 0.52), (-0.376, 0.90), (0.82, 0.97), (0.0, 0.93)]
)
def test_scores_are_anchored_at_mistral_7b(theta: float, score: float) -> None:
    assert rounded_score(score_of(theta)) == score


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_the_ends_of_the_scale_are_finite(score: float) -> None:
    assert theta_of(score) == pytest.approx(math.copysign(6.9068, score - 0.5) - 2.58, abs=1e-3)


@pytest.mark.parametrize(("score", "expected"), [(0.696, True), (0.6949, False), (0.7, True), (0.71, True)])
def test_a_score_meets_a_requirement_after_rounding(score: float, *, expected: bool) -> None:
    assert meets(score=score, least=0.7) is expected


def test_smaller_models_lose_more_to_quantisation() -> None:
    assert quantization_loss(loss_at_8b=0.014, total_b=8.0) == pytest.approx(0.014)
    assert quantization_loss(loss_at_8b=0.014, total_b=2.0) == pytest.approx(0.028)
    assert quantization_loss(loss_at_8b=0.27, total_b=0.135) == 0.6


def test_a_mixture_of_experts_counts_as_the_geometric_mean_of_its_sizes() -> None:
    assert quantization_loss(loss_at_8b=0.014, total_b=32.0, active_b=2.0) == pytest.approx(0.014)


def test_a_loss_is_a_factor_on_the_logistic_scale() -> None:
    assert with_quantization_loss(0.0, loss=0.0) == 0.0
    halved = with_quantization_loss(0.0, loss=0.5)
    assert 1 / (1 + math.exp(-1.2 * halved)) == pytest.approx(0.25)


def test_a_term_weighs_the_offset_from_the_models_own_mean() -> None:
    terms = ability_terms(known(reasoning_strength=0.0, coding_strength=1.0))
    assert terms == pytest.approx({"reasoning_strength": -0.25, "coding_strength": 1.25})


def test_a_specialist_beats_a_slightly_abler_generalist_at_its_speciality() -> None:
    coder = known(reasoning_strength=-0.3, coding_strength=0.2, creativity=-0.8)
    generalist = known(reasoning_strength=0.3, coding_strength=0.3, creativity=0.3)
    weights = {"coding_strength": 1.0}
    first = value_of(capabilities=coder, weights=weights)
    second = value_of(capabilities=generalist, weights=weights)
    assert first == pytest.approx(0.45)
    assert second == pytest.approx(0.3)


def test_an_unknown_ability_that_weighs_leaves_the_whole_unknown() -> None:
    weights = {"reasoning_strength": 0.7, "creativity": 0.3}
    assert value_of(capabilities=known(reasoning_strength=0.0), weights=weights) is None


def test_an_unknown_ability_without_weight_does_not_matter() -> None:
    weights = {"reasoning_strength": 0.7, "creativity": 0.0}
    assert value_of(capabilities=known(reasoning_strength=0.5), weights=weights) == pytest.approx(0.5)


def test_weights_need_not_sum_to_one() -> None:
    terms = {"reasoning_strength": 1.0, "creativity": 3.0}
    assert value_of(terms=terms, weights={"reasoning_strength": 3.0, "creativity": 1.0}) == pytest.approx(1.5)


def test_without_any_weight_there_is_no_value() -> None:
    assert value_of(terms={"creativity": 1.0}, weights={"creativity": 0.0}) is None


def test_speed_counts_by_doublings_and_cost_against() -> None:
    weights = {"reasoning_strength": 0.5, "speed": 0.25, "cost": 0.25}
    value = value_of(terms={"reasoning_strength": 1.0}, weights=weights, speed=32.0, cost=3.0)
    assert value == pytest.approx(0.5 * 1.0 + 0.25 * 5.0 - 0.25 * 2.0)


def test_an_unknown_speed_ranks_as_slow_and_an_unknown_cost_as_dear() -> None:
    assert value_of(weights={"speed": 1.0}) == 0.0
    assert value_of(weights={"cost": 1.0}) == pytest.approx(-math.log2(101.0))
    assert value_of(weights={"speed": 1.0}, speed=0.0) == -10.0


@pytest.mark.parametrize(("value", "expected"), [(0.0, 0), (0.169, 0), (0.171, 1), (-0.01, -1), (1.0, 5)])
def test_buckets_are_fixed(value: float, expected: int) -> None:
    assert bucket(value) == expected


def test_speed_is_estimated_from_the_bytes_a_token_reads() -> None:
    assert estimated_speed(active_weight_bytes=4e9, bandwidth_bytes_s=4e10) == pytest.approx(6.0)


def test_default_weights_are_the_abilities_that_requirements_name() -> None:
    assert default_weights({"creativity": 0.5, "coding_strength": 0.7}) == {"coding_strength": 1.0, "creativity": 1.0}
    assert default_weights({}) == {"reasoning_strength": 1.0}

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.memory import Architecture, estimate
from gateway.domain.scoring import (
    TIE_WIDTH,
    bucket,
    quantization_loss,
    ranking_value,
    score_of,
    theta_of,
    with_quantization_loss,
)

THETAS = st.floats(min_value=-9.0, max_value=4.0)
LOSSES = st.floats(min_value=0.0, max_value=0.6)
SIZES = st.floats(min_value=0.05, max_value=2_000.0)


@given(theta=THETAS)
def test_theta_and_score_are_inverse(theta: float) -> None:
    assert abs(theta_of(score_of(theta)) - theta) < 1e-6


@given(score=st.floats(min_value=0.001, max_value=0.999))
def test_score_and_theta_are_inverse(score: float) -> None:
    assert abs(score_of(theta_of(score)) - score) < 1e-9


@given(first=THETAS, second=THETAS)
def test_scores_keep_the_order_of_thetas(first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert score_of(low) <= score_of(high)
    assert theta_of(score_of(low)) <= theta_of(score_of(high))


@given(score=st.floats(min_value=-1.0, max_value=2.0))
def test_every_score_has_a_finite_theta(score: float) -> None:
    assert -10.0 < theta_of(score) < 5.0


@given(theta=THETAS, first=LOSSES, second=LOSSES)
def test_a_greater_loss_never_leaves_more(theta: float, first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert with_quantization_loss(theta, loss=high) <= with_quantization_loss(theta, loss=low) + 1e-9
    assert with_quantization_loss(theta, loss=low) <= theta + 1e-9


@given(first=THETAS, second=THETAS, loss=LOSSES)
def test_the_same_loss_keeps_the_order_of_models(first: float, second: float, loss: float) -> None:
    low, high = sorted((first, second))
    assert with_quantization_loss(low, loss=loss) <= with_quantization_loss(high, loss=loss) + 1e-9


@given(loss=st.floats(min_value=0.0, max_value=0.3), first=SIZES, second=SIZES)
def test_a_larger_model_never_loses_more(loss: float, first: float, second: float) -> None:
    small, large = sorted((first, second))
    of_large = quantization_loss(loss_at_8b=loss, total_b=large)
    assert 0.0 <= of_large <= quantization_loss(loss_at_8b=loss, total_b=small) <= 0.6


@given(first=st.floats(min_value=-50, max_value=50), second=st.floats(min_value=-50, max_value=50))
def test_buckets_keep_order_and_are_as_wide_as_a_tie(first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert bucket(low) <= bucket(high)
    if bucket(low) == bucket(high):
        assert high - low <= TIE_WIDTH + 1e-9


@given(values=st.lists(st.floats(min_value=-10, max_value=10), min_size=2, unique=True), data=st.data())
def test_a_removed_loser_never_changes_the_winner(values: list[float], data: st.DataObject) -> None:
    def winner(candidates: list[float]) -> float:
        return max(candidates, key=lambda value: (bucket(value), -value))

    best = winner(values)
    loser = data.draw(st.sampled_from([value for value in values if value != best]))
    assert winner([value for value in values if value != loser]) == best


@given(
    terms=st.fixed_dictionaries({"reasoning_strength": THETAS, "creativity": THETAS}),
    weights=st.fixed_dictionaries(
        {
            "reasoning_strength": st.floats(min_value=0.01, max_value=1.0),
            "creativity": st.floats(min_value=0.01, max_value=1.0),
        }
    ),
    factor=st.floats(min_value=0.1, max_value=10.0),
)
def test_only_the_ratio_of_weights_matters(terms: dict[str, float], weights: dict[str, float], factor: float) -> None:
    value = ranking_value(terms=terms, weights=weights.items())
    scaled = ranking_value(terms=terms, weights=[(name, weight * factor) for name, weight in weights.items()])
    assert value is not None
    assert scaled is not None
    assert abs(value - scaled) < 1e-6
    assert min(terms.values()) - 1e-6 <= value <= max(terms.values()) + 1e-6


ARCHITECTURES = st.builds(
    Architecture,
    name=st.just("llama"),
    weights_bytes=st.none() | st.integers(min_value=0, max_value=10**12),
    parameter_count=st.integers(min_value=1, max_value=10**12),
    bits_per_weight=st.floats(min_value=1.0, max_value=32.0),
    trained_context_tokens=st.none() | st.integers(min_value=1, max_value=10**6),
    kv_widths=st.lists(st.tuples(st.integers(0, 8_192), st.integers(0, 8_192)), max_size=8).map(tuple),
    windows=st.lists(st.none() | st.integers(1, 10_000), max_size=8).map(tuple),
)


@given(
    architecture=ARCHITECTURES,
    first=st.integers(min_value=1, max_value=2_000_000),
    second=st.integers(min_value=1, max_value=2_000_000),
    parallel=st.integers(min_value=1, max_value=8),
)
def test_memory_never_shrinks_as_the_context_grows(
    architecture: Architecture, first: int, second: int, parallel: int
) -> None:
    small, large = (
        estimate(architecture=architecture, context_tokens=tokens, parallel=parallel)
        for tokens in sorted((first, second))
    )
    assert small is not None
    assert large is not None
    assert small.total_bytes <= large.total_bytes
    assert small.total_bytes == sum(part.bytes for part in small.parts)

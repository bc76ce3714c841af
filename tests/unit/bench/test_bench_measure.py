"""Results of the benchmarks, and what holds."""

import pytest

from bench.measure import measured, timed


def test_quotes_the_median_of_its_runs_beside_the_extremes() -> None:
    result = measured([3.0, 1.0, 2.0], name="n", what="w", unit="ms")
    assert (result.runs, result.min, result.median, result.max) == (3, 1.0, 2.0, 3.0)


@pytest.mark.parametrize(("value", "holds"), [(10.0, True), (10.1, False)])
def test_an_upper_budget_holds_up_to_itself(value: float, holds: bool) -> None:
    assert measured([value], name="n", what="w", unit="ms", at_most=10).holds is holds


@pytest.mark.parametrize(("value", "holds"), [(40.0, True), (39.9, False)])
def test_a_ratio_to_a_peer_has_to_be_at_least_its_budget(value: float, holds: bool) -> None:
    assert measured([value], name="n", what="w", unit="x", at_least=40).holds is holds


def test_what_has_no_budget_always_holds() -> None:
    assert measured([1e9], name="n", what="w", unit="MB").holds


def test_an_action_runs_once_before_it_is_timed() -> None:
    runs: list[None] = []
    result = timed(lambda: runs.append(None), name="n", what="w", runs=3, budget_ms=60_000)
    assert len(runs) == 4
    assert (result.unit, result.runs, result.holds) == ("ms", 3, True)


def test_a_result_as_data_says_whether_it_holds() -> None:
    data = measured([50.0], name="n", what="w", unit="x", at_least=40).as_data()
    assert (data["unit"], data["at_least"], data["at_most"], data["holds"]) == ("x", 40, None, True)

"""How fast a model writes, from the answers that it gave here."""

import pytest

from gateway.domain.speed import LATEST, answer_speed, measured_speed


@pytest.mark.parametrize(
    ("tokens", "generating_s", "expected"),
    [(101, 2.0, 50.0), (32, 0.25, 124.0), (31, 2.0, None), (101, 0.2, None), (101, 0.0, None), (101, -1.0, None)],
)
def test_an_answer_tells_of_a_speed_unless_it_is_too_short(
    tokens: int, generating_s: float, expected: float | None
) -> None:
    assert answer_speed(tokens=tokens, generating_s=generating_s) == expected


def test_a_few_answers_are_not_believed() -> None:
    assert measured_speed([50.0, 52.0], before=None) is None
    assert measured_speed([50.0, 52.0], before=40.0) == 40.0
    assert measured_speed([50.0, 52.0, 54.0], before=None) == 52.0


def test_one_odd_answer_changes_nothing() -> None:
    assert measured_speed([50.0, 2.0, 51.0, 49.0, 52.0], before=None) == 50.0


@pytest.mark.parametrize(("now", "expected"), [(60.0, 50.0), (40.0, 50.0), (63.0, 63.0), (37.0, 37.0)])
def test_a_figure_stands_until_it_is_far_off(now: float, expected: float) -> None:
    assert measured_speed([now] * 3, before=50.0) == expected


def test_only_the_latest_answers_count() -> None:
    assert measured_speed([50.0] * LATEST + [500.0] * 1000, before=None) == 50.0


def test_a_figure_has_no_more_digits_than_it_deserves() -> None:
    assert measured_speed([51.23456] * 3, before=None) == 51.2

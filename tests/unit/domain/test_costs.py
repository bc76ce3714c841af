"""What an answer costs is worked out from its tokens, and unknown where a number is."""

import pytest

from gateway.domain.budget import Budget, Spent, usd_text, why_over
from gateway.domain.cost import (
    By,
    DaySum,
    Price,
    Usage,
    cost_usd,
    date_of,
    day_of,
    declared_over,
    first_of_month,
    summed,
    told,
    told_data,
)

PRICE = Price(input_usd_per_mtok=1.0, output_usd_per_mtok=10.0)
FINE = Price(
    input_usd_per_mtok=1.0,
    output_usd_per_mtok=10.0,
    cached_usd_per_mtok=0.1,
    cache_write_usd_per_mtok=1.25,
    reasoning_usd_per_mtok=20.0,
    audio_usd_per_mtok=40.0,
)
MILLION = 1_000_000


def per_mtok(price: Price, **tokens: int) -> float | None:
    """What so many millions of tokens of each kind cost."""
    counts = {kind: count * MILLION for kind, count in {"prompt": 0, "completion": 0, **tokens}.items()}
    return cost_usd(Usage(**counts), price)


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ({"prompt": 1}, 1.0),
        ({"completion": 1}, 10.0),
        ({"prompt": 3, "completion": 1}, 13.0),
        ({"prompt": 3, "cached": 2}, 1.2),
        ({"prompt": 3, "cached": 1, "cache_write": 2}, 2.6),
        ({"completion": 3, "reasoning": 2}, 50.0),
        ({"prompt": 2, "audio": 1}, 41.0),
        ({}, 0.0),
    ],
)
def test_each_kind_of_token_has_its_price(tokens: dict[str, int], expected: float) -> None:
    assert per_mtok(FINE, **tokens) == pytest.approx(expected)


def test_what_has_no_price_of_its_own_costs_what_the_others_do_but_for_sound() -> None:
    assert per_mtok(PRICE, prompt=2, cached=1, cache_write=1, completion=2, reasoning=1) == pytest.approx(22.0)
    assert per_mtok(PRICE, prompt=2, audio=1) is None


@pytest.mark.parametrize(
    ("usage", "price"),
    [
        (Usage(prompt=None, completion=1), PRICE),
        (Usage(prompt=1, completion=None), PRICE),
        (Usage(prompt=1, completion=1), Price()),
        (Usage(prompt=1, completion=1), Price(input_usd_per_mtok=1.0)),
        (Usage(prompt=1, completion=1), Price(output_usd_per_mtok=1.0)),
    ],
)
def test_unknown_is_unknown_and_never_nothing(usage: Usage, price: Price) -> None:
    assert cost_usd(usage, price) is None


@pytest.mark.parametrize("kind", Usage._fields)
def test_more_tokens_than_there_can_be_were_not_counted(kind: str) -> None:
    usage = Usage(prompt=10, completion=10)._replace(**{kind: 10**400})
    assert cost_usd(usage, Price(input_usd_per_mtok=1, output_usd_per_mtok=1, audio_usd_per_mtok=1)) is None


def test_a_price_that_no_token_asks_for_may_be_unknown() -> None:
    assert cost_usd(Usage(prompt=MILLION, completion=0), Price(input_usd_per_mtok=2.0)) == 2.0


def test_a_long_prompt_has_the_price_of_long_prompts() -> None:
    long, longer = Price(input_usd_per_mtok=2.0), Price(input_usd_per_mtok=3.0)
    price = Price(input_usd_per_mtok=1.0, above=((500_000, longer), (200_000, long)))
    costs = [cost_usd(Usage(prompt=count, completion=0), price) for count in (200_000, 200_001, 500_001)]
    assert costs == [pytest.approx(0.2), pytest.approx(0.400_002), pytest.approx(1.500_003)]


def test_what_the_operator_declares_takes_the_place_of_what_the_catalogue_says() -> None:
    assert declared_over(FINE, into=None, out=None, cached=None) is FINE
    assert declared_over(FINE, into=2.0, out=3.0, cached=None) == Price(
        input_usd_per_mtok=2.0, output_usd_per_mtok=3.0, declared=True
    )
    assert declared_over(FINE, into=2.0, out=None, cached=None).output_usd_per_mtok == 10.0
    assert declared_over(FINE, into=None, out=None, cached=0.5).cached_usd_per_mtok == 0.5
    assert declared_over(Price(), into=0.0, out=0.0, cached=None).input_usd_per_mtok == 0.0


def test_days_are_those_of_utc() -> None:
    day = day_of(1_000_036_800.0)
    assert str(date_of(day)) == "2001-09-09"
    assert str(date_of(first_of_month(day))) == "2001-09-01"
    assert day_of(86_399.9) == 0
    assert day_of(86_400.0) == 1


def a_sum(**changes: object) -> DaySum:
    told: dict[str, object] = {
        "day": 11_574,
        "role": "planner",
        "model": "openai:gpt-4o-mini",
        "cloud": True,
        "requests": 2,
        "counted": 2,
        "priced": 2,
        "prompt_tokens": 1000,
        "completion_tokens": 100,
        "cost_usd": 0.5,
        **changes,
    }
    return DaySum(**told)  # type: ignore[arg-type]  # the changes are named by each test


LOCAL = a_sum(model="ollama:mistral:latest", cloud=False, priced=0, cost_usd=0.0)


def test_sums_are_told_apart_by_what_is_asked_for() -> None:
    sums = [a_sum(), a_sum(role="critic", day=11_575), LOCAL]
    assert [(one.name, one.cost_usd) for one in summed(sums, by=By.ROLE)] == [("critic", 0.5), ("planner", 0.5)]
    assert [one.name for one in summed(sums, by=By.DAY)] == ["2001-09-09", "2001-09-10"]
    assert [one.name for one in summed(sums, by=By.PROVIDER)] == ["ollama", "openai"]
    assert [one.name for one in summed(sums, by=By.MODEL)] == ["ollama:mistral:latest", "openai:gpt-4o-mini"]


def test_what_is_not_known_is_counted_apart() -> None:
    some = told([a_sum(), a_sum(priced=0, cost_usd=0.0)], name="all")
    assert (some.cost_usd, some.unpriced) == (0.5, 2)
    none = told([a_sum(priced=0, cost_usd=0.0)], name="all")
    assert (none.cost_usd, none.unpriced) == (None, 2)
    assert told([LOCAL], name="all").cost_usd == 0.0


def test_local_answers_can_be_told_at_a_clouds_price() -> None:
    counted = told([LOCAL, a_sum()], name="all", as_if=PRICE)
    assert counted.as_if_usd == pytest.approx(0.002)
    assert counted.uncounted == 0
    unknown = told([LOCAL._replace(counted=0, prompt_tokens=0, completion_tokens=0)], name="all", as_if=PRICE)
    assert (unknown.as_if_usd, unknown.uncounted) == (None, 2)
    assert told([LOCAL], name="all").as_if_usd is None


def test_a_line_as_data_is_named_by_what_was_asked_for() -> None:
    assert told_data(told([a_sum()], name="planner"), by=By.ROLE) == {
        "role": "planner",
        "cloud_requests": 2,
        "local_requests": 0,
        "prompt_tokens": 1000,
        "completion_tokens": 100,
        "cost_usd": 0.5,
        "unpriced_requests": 0,
        "as_if_usd": None,
        "uncounted_requests": 0,
    }


@pytest.mark.parametrize(
    ("budget", "spent", "expected"),
    [
        (Budget(daily_usd=5.0), Spent(today_usd=4.99), ""),
        (Budget(), Spent(today_usd=4000.0, month_usd=4000.0), ""),
        (
            Budget(daily_usd=5.0),
            Spent(today_usd=5.02),
            (
                "the daily budget of openai is used up: $5.02 of $5.00"
                " (until midnight UTC; cloud_providers.openai.budget.daily_usd)"
            ),
        ),
        (
            Budget(monthly_usd=100.0, daily_usd=50.0),
            Spent(today_usd=1.0, month_usd=1234.5),
            (
                "the monthly budget of openai is used up: $1,234.50 of $100.00"
                " (until the month ends, in UTC; cloud_providers.openai.budget.monthly_usd)"
            ),
        ),
        (
            Budget(daily_usd=0.0),
            Spent(),
            (
                "the daily budget of openai is used up: $0.00 of $0.00"
                " (until midnight UTC; cloud_providers.openai.budget.daily_usd)"
            ),
        ),
    ],
)
def test_a_budget_is_used_up_when_as_much_was_spent(budget: Budget, spent: Spent, expected: str) -> None:
    assert why_over(budget, spent=spent, provider="openai") == expected


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (None, "unknown"),
        (0.0, "$0.00"),
        (1.5, "$1.50"),
        (1234.567, "$1,234.57"),
        (0.5, "$0.50"),
        (0.000_233, "$0.000233"),
        (0.000_000_15, "$1.5e-07"),
    ],
)
def test_an_amount_is_written_so_that_it_can_be_read(usd: float | None, text: str) -> None:
    assert usd_text(usd) == text

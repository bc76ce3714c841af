"""What clouds cost is counted as answers come, from where the journal left off, and held against the budgets."""

from typing import Any

import pytest

from builders import a_cloud, a_provider
from gateway.domain.budget import Budget, Spent
from gateway.domain.cost import DAY_S, DaySum, Price, day_of
from gateway.domain.model import Provider
from gateway.domain.record import RequestRecord
from gateway.runtime.spending import Spending
from record_builders import NOON_S, a_failed_record, a_record, an_attempt

GPT = "openai:gpt-4o-mini"
USED_UP = (
    "the daily budget of openai is used up: $1.00 of $1.00"
    " (until midnight UTC; cloud_providers.openai.budget.daily_usd)"
)


class Clock:
    def __init__(self) -> None:
        self.now_s = NOON_S

    def monotonic(self) -> float:
        return self.now_s

    def time(self) -> float:
        return self.now_s


class Kept:
    """A journal that only keeps what it is told."""

    def __init__(self) -> None:
        self.records: list[RequestRecord] = []

    def record(self, request: RequestRecord) -> None:
        self.records.append(request)


class World:
    def __init__(self, budget: Budget | None) -> None:
        self.clock, self.journal = Clock(), Kept()
        self.providers: dict[str, Provider] = {}
        self.set(budget)
        self.spending = Spending(
            journal=self.journal,
            price_of={GPT: Price(input_usd_per_mtok=1.0, output_usd_per_mtok=2.0)}.get,
            providers=lambda: self.providers,
            clock=self.clock,
        )

    def set(self, budget: Budget | None) -> None:
        cloud = a_provider(
            "openai", kind=a_cloud().kind, url=None, key_variable="OPENAI_API_KEY", has_key=True, budget=budget
        )
        self.providers = {"openai": cloud, "ollama": a_provider()}

    def answered(self, model: str = GPT, **changes: Any) -> RequestRecord:
        told: dict[str, Any] = {"prompt_tokens": 500_000, "completion_tokens": 250_000, "time_s": self.clock.now_s}
        attempts = (an_attempt(model, cloud=True),)
        self.spending.record(a_record(model=model, cloud=True, **{"attempts": attempts, **told, **changes}))
        return self.journal.records[-1]


@pytest.fixture
def world() -> World:
    return World(Budget(daily_usd=1.0))


def test_an_answer_from_a_cloud_is_priced_in_the_journal_and_closes_the_cloud_at_its_budget(world: World) -> None:
    assert world.spending.closed("openai") == ""
    assert world.answered().cost_usd == 1.0
    assert world.spending.closed("openai") == USED_UP
    assert world.spending.closed("ollama") == world.spending.closed("nobody") == ""


def test_it_opens_again_at_midnight_utc_and_when_the_budget_is_raised(world: World) -> None:
    world.answered()
    world.set(Budget(daily_usd=2.0))
    assert world.spending.closed("openai") == ""
    world.set(Budget(daily_usd=1.0))
    world.clock.now_s += DAY_S / 2 - 1
    assert world.spending.closed("openai") == USED_UP
    world.clock.now_s += 1
    assert world.spending.closed("openai") == ""


def test_a_month_adds_up_its_days_and_ends() -> None:
    world = World(Budget(monthly_usd=2.0))
    world.answered()
    world.clock.now_s += DAY_S
    world.answered()
    assert world.spending.closed("openai").startswith("the monthly budget of openai is used up: $2.00 of $2.00")
    world.clock.now_s += 30 * DAY_S
    assert world.spending.closed("openai") == ""


def test_what_the_journal_remembers_counts_from_the_start(world: World) -> None:
    today = day_of(NOON_S)
    before = DaySum(today, "planner", GPT, True, 3, 3, 2, 10, 10, 1.0)
    world.spending.begin([before, before._replace(model="ollama:mistral", cloud=False, cost_usd=0.0)])
    assert world.spending.closed("openai") == USED_UP
    assert world.spending.spent("openai").unpriced == 1


def test_while_the_journal_cannot_be_read_no_cloud_with_a_budget_is_used(world: World) -> None:
    world.spending.begin_blind("the request journal cannot be read")
    assert world.spending.closed("openai") == (
        "the budget of openai cannot be counted: the request journal cannot be read"
    )
    world.set(None)
    assert world.spending.closed("openai") == ""


def test_an_answer_whose_price_is_unknown_is_counted_apart(world: World) -> None:
    assert world.answered("openai:our-own-tune").cost_usd is None
    assert world.answered(completion_tokens=None).cost_usd is None
    assert world.spending.spent("openai").unpriced == 2
    assert world.spending.closed("openai") == ""


def left(model: str = GPT, **changes: Any) -> RequestRecord:
    """A request whose caller left before anything had been answered, after ten seconds with a cloud."""
    told: dict[str, Any] = {"failure": "cancelled", "ms": 10_000.0, "prompt_tokens": 500_000, **changes}
    gone: dict[str, Any] = {
        "model": "",
        "status": 499,
        "failure": "cancelled",
        "prompt_tokens": None,
        "completion_tokens": None,
    }
    return a_record(cloud=True, attempts=(an_attempt(model, cloud=True, **told),), first_token_ms=None, **gone)


@pytest.mark.parametrize(
    ("request_", "usd"),
    [
        (left(), 0.502),
        (left(most_tokens=100), 0.5002),
        (left(failure="stall"), 0.502),
        (left(failure="truncated"), 0.502),
        (left(failure="timeout_first_token"), 0.5),
        (left()._replace(endpoint="embeddings"), 0.5),
        (left(failure="", ms=300.0)._replace(model=GPT, duration_ms=10_300.0, first_token_ms=300.0), 0.502),
        (left(failure="", ms=300.0)._replace(model=GPT, duration_ms=10_300.0, prompt_tokens=9), 0.50206),
    ],
)
def test_what_broke_off_and_whose_caller_left_counts_by_an_estimate(
    request_: RequestRecord, usd: float, world: World
) -> None:
    world.spending.record(request_)
    spent = world.spending.spent("openai")
    assert (round(spent.today_usd, 9), spent.unpriced) == (usd, 1)
    assert world.journal.records[-1].cost_usd is None
    world.spending.record(request_)
    assert world.spending.closed("openai").startswith("the daily budget of openai is used up")


@pytest.mark.parametrize("failure", ["transport", "timeout", "rate_limit", "upstream_error", "auth", "saturated"])
def test_what_no_provider_has_begun_to_answer_costs_nothing(failure: str, world: World) -> None:
    world.spending.record(left(failure=failure))
    assert world.spending.spent("openai") == Spent()


def test_an_estimate_of_a_model_without_a_price_is_none(world: World) -> None:
    world.spending.record(left("openai:our-own-tune"))
    assert world.spending.spent("openai") == Spent(unpriced=1)


def test_an_answer_after_one_that_broke_off_counts_beside_it(world: World) -> None:
    broken, whole = left().attempts[0], an_attempt(GPT, cloud=True)
    world.answered(attempts=(broken, whole))
    assert world.journal.records[-1].cost_usd == 1.0
    assert world.spending.spent("openai") == Spent(today_usd=1.502, month_usd=1.502, unpriced=1)


def test_vectors_cost_what_their_prompt_does(world: World) -> None:
    assert world.answered(endpoint="embeddings", completion_tokens=None).cost_usd == 0.5


def test_local_answers_and_failures_cost_nothing_and_are_kept_as_they_are(world: World) -> None:
    fell_back = a_record(
        cloud=True, attempts=(an_attempt(GPT, failure="timeout", cloud=True), an_attempt()), model="ollama:llama3.1:8b"
    )
    for one in (a_record(), a_failed_record(cloud=True), fell_back):
        world.spending.record(one)
        assert world.journal.records[-1] is one
    assert world.spending.spent("openai").today_usd == 0.0


def test_what_is_left_is_told(world: World) -> None:
    world.answered(prompt_tokens=250_000, completion_tokens=0)
    assert world.spending.data() == [
        {
            "provider": "openai",
            "today_usd": 0.25,
            "month_usd": 0.25,
            "unpriced_requests": 0,
            "daily_usd": 1.0,
            "monthly_usd": None,
            "left_today_usd": 0.75,
            "left_month_usd": None,
            "closed": "",
        }
    ]

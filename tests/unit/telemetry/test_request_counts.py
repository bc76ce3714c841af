"""Requests are counted on their way to the journal, by what is bounded, and nothing that a caller spelt becomes a name."""

import math

import pytest

from gateway.domain.record import RequestRecord
from gateway.telemetry.histogram import Histogram
from gateway.telemetry.request_counts import DURATIONS_MS, FIRST_TOKENS_MS, RequestCounts, RequestKind
from record_builders import NOON_S, a_failed_record, a_record, an_attempt

GPT = "openai:gpt-4o-mini"


class Kept:
    """A journal that only keeps what it is told."""

    def __init__(self) -> None:
        self.records: list[RequestRecord] = []

    def record(self, request: RequestRecord) -> None:
        self.records.append(request)


@pytest.fixture
def counts() -> RequestCounts:
    return RequestCounts(None, roles={"planner", "embedder"})


def from_cloud(cost_usd: float | None) -> RequestRecord:
    return a_record(model=GPT, cloud=True, attempts=(an_attempt(GPT, cloud=True),), cost_usd=cost_usd)


def test_what_is_counted_goes_on_to_the_journal_as_it_is() -> None:
    journal = Kept()
    records = [a_record(), a_failed_record()]
    counts = RequestCounts(journal, roles={"planner"})
    for one in records:
        counts.record(one)
    assert journal.records == records


def test_requests_are_told_apart_by_role_model_endpoint_outcome_and_whether_they_left(counts: RequestCounts) -> None:
    for one in (a_record(), a_record(), a_failed_record(), from_cloud(0.1), a_record(role="embedder", endpoint="x")):
        counts.record(one)
    assert counts.requests == {
        RequestKind("planner", "ollama:llama3.1:8b", "chat", "2xx", "", False): 2,
        RequestKind("planner", "", "chat", "5xx", "upstream_timeout", False): 1,
        RequestKind("planner", GPT, "chat", "2xx", "", True): 1,
        RequestKind("embedder", "ollama:llama3.1:8b", "x", "2xx", "", False): 1,
    }


def test_statuses_of_one_class_count_as_one(counts: RequestCounts) -> None:
    for status in (502, 503, 504):
        counts.record(a_failed_record(status=status))
    assert counts.requests == {RequestKind("planner", "", "chat", "5xx", "upstream_timeout", False): 3}


def test_what_is_no_role_counts_under_none(counts: RequestCounts) -> None:
    for spelt in ("", "ollama:llama3.1:8b", "OLLAMA:Llama3.1:8B", "llama3.1:8b"):
        counts.record(a_record(role=spelt))
    assert {(kind.role, count) for kind, count in counts.requests.items()} == {("", 4)}
    assert set(counts.durations) == set(counts.first_tokens) == {""}
    assert set(counts.tokens) == {("", "ollama:llama3.1:8b")}


def test_a_role_that_goes_live_later_has_its_name_from_then_on() -> None:
    roles: set[str] = set()
    counts = RequestCounts(None, roles=roles)
    counts.record(a_record())
    roles.add("planner")
    counts.record(a_record())
    assert [kind.role for kind in counts.requests] == ["", "planner"]


def test_times_are_spread_by_role_over_bounds_that_are_within_themselves(counts: RequestCounts) -> None:
    for duration_ms, first_token_ms in ((10.0, 10.0), (10.1, None), (1e9, 1e9)):
        counts.record(a_record(duration_ms=duration_ms, first_token_ms=first_token_ms))
    took, first = counts.durations["planner"], counts.first_tokens["planner"]
    assert list(took.within()) == [(0.01, 1), *((bound / 1000, 2) for bound in DURATIONS_MS[1:])]
    assert took.total == 3
    assert took.sum_s == pytest.approx(1_000_000.0201)
    assert list(first.within()) == [(bound / 1000, 1) for bound in FIRST_TOKENS_MS]
    assert first.total == 2
    assert first.sum_s == pytest.approx(1_000_000.01)


def test_nothing_observed_is_nothing_within_any_bound() -> None:
    empty = Histogram((1.0, 2.0))
    assert (list(empty.within()), empty.total, empty.sum_s) == ([(0.001, 0), (0.002, 0)], 0, 0.0)


def test_tokens_add_up_by_role_and_model_as_far_as_they_can_be_true(counts: RequestCounts) -> None:
    for prompt, completion in ((10, 5), (None, None), (-1, -1), (10**400, 2**53), (1, 2)):
        counts.record(a_record(prompt_tokens=prompt, completion_tokens=completion))
    counts.record(a_record(role="embedder", endpoint="embeddings", prompt_tokens=7, completion_tokens=7))
    told = {place: (one.prompt, one.completion) for place, one in counts.tokens.items()}
    assert told == {
        ("planner", "ollama:llama3.1:8b"): (11, 7),
        ("embedder", "ollama:llama3.1:8b"): (7, 0),
    }


def test_every_attempt_beyond_the_first_is_a_failover_for_the_failure_before_it(counts: RequestCounts) -> None:
    counts.record(a_record())
    counts.record(a_failed_record())
    counts.record(
        a_record(
            attempts=(an_attempt(failure="timeout"), an_attempt("ollama:b", failure="stall"), an_attempt("ollama:c"))
        )
    )
    assert counts.failovers == {("planner", "timeout"): 2, ("planner", "stall"): 1}


def test_what_clouds_cost_adds_up_by_provider_and_unknown_is_not_nothing(counts: RequestCounts) -> None:
    for cost_usd in (0.25, 0.5, None):
        counts.record(from_cloud(cost_usd))
    (provider,) = counts.cloud_costs
    cost = counts.cloud_costs[provider]
    assert (provider, cost.usd, cost.unpriced) == ("openai", 0.75, 1)


def test_what_a_cloud_was_asked_and_did_not_answer_costs_nothing_and_left_all_the_same(counts: RequestCounts) -> None:
    tried = (an_attempt(GPT, failure="upstream_error", cloud=True), an_attempt())
    counts.record(a_record(cloud=True, attempts=tried, time_s=NOON_S + 1))
    counts.record(a_record())
    assert counts.cloud_costs == {}
    assert counts.cloud_data() == {"requests": 1, "last_s": NOON_S + 1}


def test_before_anything_left_there_is_no_last_time(counts: RequestCounts) -> None:
    assert counts.cloud_data() == {"requests": 0, "last_s": None}


def test_a_model_with_half_a_character_in_its_name_can_be_told(counts: RequestCounts) -> None:
    counts.record(a_record(model="lab:\ud800"))
    counts.record(a_record(model="lab:?"))
    assert {(kind.model, count) for kind, count in counts.requests.items()} == {("lab:?", 2)}
    assert [model for _, model in counts.tokens] == ["lab:?"]


def test_the_bounds_ascend() -> None:
    assert list(DURATIONS_MS) == sorted(set(DURATIONS_MS))
    assert all(map(math.isfinite, DURATIONS_MS))
    assert set(FIRST_TOKENS_MS) < set(DURATIONS_MS)

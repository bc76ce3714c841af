"""Which deployments rest, and for how long."""

from dataclasses import replace

import pytest

from builders import a_cloud, a_provider
from gateway.domain.failure import FailureClass
from gateway.domain.model import Lane, ModelRef
from gateway.relay.breaker import READY, Breakers, State, breaker_key
from relay_builders import a_deployment

OLLAMA = a_provider(url="http://a:11434")
MISTRAL = a_deployment("ollama:mistral:latest", context_tokens=8192)
KEY = breaker_key(MISTRAL, provider=OLLAMA)
F = FailureClass


def fail(breakers: Breakers, *times_s: float, failure: FailureClass = F.TRANSPORT, trial: bool = False) -> None:
    for now_s in times_s:
        breakers.failed(KEY, failure=failure, now_s=now_s, trial=trial)


def state(breakers: Breakers, *, now_s: float) -> State:
    return breakers.standing(KEY, now_s=now_s).state


def test_two_failures_are_forgiven_and_three_within_a_minute_open_it_for_five_seconds() -> None:
    breakers = Breakers()
    fail(breakers, 0, 30)
    assert state(breakers, now_s=30) is State.READY
    fail(breakers, 60)
    assert state(breakers, now_s=60) is State.COOLING
    assert state(breakers, now_s=64.9) is State.COOLING
    assert state(breakers, now_s=65) is State.READY


def test_three_failures_over_more_than_a_minute_do_not_open_it() -> None:
    breakers = Breakers()
    fail(breakers, 0, 40, 61)
    assert state(breakers, now_s=61) is State.READY


def test_one_request_tries_it_again_and_the_others_keep_away() -> None:
    breakers = Breakers()
    fail(breakers, 0, 0, 0)
    assert breakers.begin(KEY, now_s=5)
    assert state(breakers, now_s=5) is State.COOLING
    assert not breakers.begin(KEY, now_s=5)
    breakers.succeeded(KEY, begun_s=5, trial=True)
    assert state(breakers, now_s=5) is State.READY
    assert not breakers.begin(KEY, now_s=6)


def test_an_answer_that_began_before_the_trouble_does_not_end_it() -> None:
    breakers = Breakers()
    fail(breakers, 10, 10, 10)
    breakers.succeeded(KEY, begun_s=3, trial=False)
    assert state(breakers, now_s=11) is State.COOLING
    breakers.succeeded(KEY, begun_s=11, trial=False)
    assert state(breakers, now_s=11) is State.READY


def test_a_pause_of_years_is_taken_for_an_hour() -> None:
    breakers = Breakers()
    breakers.failed(KEY, failure=FailureClass.RATE_LIMIT, now_s=0, trial=False, retry_after_s=999_999_999)
    assert breakers.standing(KEY, now_s=1).until_s == 3600
    assert state(breakers, now_s=3601) is State.READY


def test_each_failed_trial_doubles_the_rest_up_to_five_minutes() -> None:
    breakers = Breakers()
    fail(breakers, 0, 0, 0)
    now_s, rests = 0.0, []
    for _ in range(8):
        until_s = breakers.standing(KEY, now_s=now_s).until_s
        assert until_s is not None
        rests.append(until_s - now_s)
        now_s = until_s
        assert breakers.begin(KEY, now_s=now_s)
        fail(breakers, now_s, trial=True)
    assert rests == [5, 10, 20, 40, 80, 160, 300, 300]


def test_a_trial_that_says_nothing_lets_the_next_one_try() -> None:
    breakers = Breakers()
    fail(breakers, 0, 0, 0)
    breakers.begin(KEY, now_s=5)
    breakers.released(KEY, trial=True)
    assert state(breakers, now_s=5) is State.READY
    breakers.begin(KEY, now_s=5)
    fail(breakers, 5, failure=F.BAD_REQUEST, trial=True)
    assert state(breakers, now_s=5) is State.READY


def test_failures_of_requests_from_before_the_rest_do_not_lengthen_it() -> None:
    breakers = Breakers()
    fail(breakers, 0, 0, 0, 1, 2)
    assert breakers.standing(KEY, now_s=2).until_s == 5


@pytest.mark.parametrize("failure", [F.BAD_REQUEST, F.CONTENT_POLICY, F.CONTEXT_LENGTH, F.CAPABILITY, F.CANCELLED])
def test_what_is_not_the_deployments_fault_does_not_count(failure: FailureClass) -> None:
    breakers = Breakers()
    fail(breakers, 0, 0, 0, failure=failure)
    assert state(breakers, now_s=0) is State.READY
    assert breakers.standing(KEY, now_s=0) == READY


def test_a_retry_after_holds_it_for_exactly_that_long() -> None:
    breakers = Breakers()
    breakers.failed(KEY, failure=F.RATE_LIMIT, now_s=10, trial=False, retry_after_s=7)
    assert state(breakers, now_s=16.9) is State.HELD
    assert state(breakers, now_s=17) is State.READY


def test_a_rate_limit_without_a_delay_opens_it_at_once() -> None:
    breakers = Breakers()
    fail(breakers, 0, failure=F.RATE_LIMIT)
    assert state(breakers, now_s=4) is State.COOLING


def test_a_model_that_is_gone_is_held_until_the_registry_sees_it() -> None:
    breakers = Breakers()
    fail(breakers, 0, failure=F.GONE)
    assert state(breakers, now_s=1e6) is State.HELD
    breakers.seen([ModelRef(provider="ollama", name="other:latest")])
    assert state(breakers, now_s=1e6) is State.HELD
    breakers.seen([ModelRef(provider="ollama", name="mistral:latest")])
    assert state(breakers, now_s=1e6) is State.READY


def test_a_refused_key_is_held_whatever_the_registry_sees() -> None:
    breakers = Breakers()
    fail(breakers, 0, failure=F.AUTH)
    breakers.seen([ModelRef(provider="ollama", name="mistral:latest")])
    assert state(breakers, now_s=1e6) is State.HELD


def test_the_load_profile_is_part_of_the_key() -> None:
    small, large = a_deployment(context_tokens=4096), a_deployment(context_tokens=8192)
    assert breaker_key(small, provider=OLLAMA) != breaker_key(large, provider=OLLAMA)
    assert breaker_key(small, provider=OLLAMA) == breaker_key(
        a_deployment(context_tokens=4096, order=5), provider=OLLAMA
    )


def test_what_one_address_did_is_not_held_against_another() -> None:
    breakers = Breakers()
    fail(breakers, 0, failure=F.AUTH)
    moved = breaker_key(MISTRAL, provider=replace(OLLAMA, url="http://b:11434"))
    assert breakers.standing(moved, now_s=0) == READY


def test_a_provider_that_is_spoken_to_otherwise_begins_anew() -> None:
    cloud, at = a_cloud(), a_deployment("openai:gpt-4o", lane=Lane.LITELLM)
    assert breaker_key(at, provider=cloud) != breaker_key(at, provider=replace(cloud, litellm_name="anthropic"))
    assert breaker_key(replace(MISTRAL, lane=Lane.LITELLM), provider=OLLAMA) != KEY


def test_other_edits_of_a_provider_leave_its_failures_in_mind() -> None:
    breakers = Breakers()
    fail(breakers, 0, failure=F.AUTH)
    edited = breaker_key(replace(MISTRAL, memory_bytes=1), provider=replace(OLLAMA, max_parallel=2, memory_bytes=5))
    assert breakers.standing(edited, now_s=0).state is State.HELD


def test_a_standing_says_what_led_to_it() -> None:
    breakers = Breakers()
    breakers.failed(KEY, failure=F.GONE, now_s=0, trial=False, message="model not found")
    standing = breakers.standing(KEY, now_s=0)
    assert (standing.state, standing.failure, standing.message) == (State.HELD, F.GONE, "model not found")


def test_what_a_provider_did_is_not_held_against_the_one_in_its_place() -> None:
    breakers = Breakers()
    fail(breakers, 0, failure=F.AUTH)
    breakers.forget("lab")
    assert state(breakers, now_s=0) is State.HELD
    breakers.forget("ollama")
    assert state(breakers, now_s=0) is State.READY

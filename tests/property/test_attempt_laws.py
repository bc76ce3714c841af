"""Laws of the failover state machine, whatever fails."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.failure import FAILURE_RULES, FailureClass
from gateway.relay.attempts import REVISITS, Candidate, Failed, Stop, Try, next_step
from gateway.relay.breaker import Standing, State

RETRIED = {FailureClass.UPSTREAM_ERROR, FailureClass.TRANSPORT, FailureClass.RATE_LIMIT, FailureClass.OVERLOADED}

candidates = st.lists(
    st.builds(
        Candidate,
        excluded=st.sampled_from(["", "", "", "does not support tools"]),
        context_tokens=st.none() | st.sampled_from([4096, 8192, 32_768]),
        cold=st.booleans(),
    ),
    min_size=1,
    max_size=8,
).map(tuple)
outcomes = st.lists(
    st.tuples(
        st.sampled_from(list(FailureClass)),
        st.booleans(),
        st.none() | st.floats(0, 100),
        st.none() | st.integers(1, 50_000),
    ),
    max_size=60,
)
states = st.lists(st.sampled_from(list(State)), min_size=8, max_size=8)


def walk(
    given_candidates: tuple[Candidate, ...],
    resting: list[State],
    ends: list[tuple[FailureClass, bool, float | None, int | None]],
) -> tuple[list[Try], list[Failed], bool]:
    """Every attempt made while each fails as told; True when the machine stopped of its own."""
    standings = [Standing(state=state) for state in resting[: len(given_candidates)]]
    tries: list[Try] = []
    failed: list[Failed] = []
    left_s = 600.0
    for failure, delivered, retry_after_s, prompt_tokens in ends:
        step = next_step(candidates=given_candidates, standings=standings, failed=failed, left_s=left_s, jitter=0.5)
        if isinstance(step, Stop):
            return tries, failed, True
        tries.append(step)
        left_s -= step.wait_s
        failed.append(
            Failed(
                index=step.index,
                failure=failure,
                delivered=delivered,
                retry_after_s=retry_after_s,
                prompt_tokens=prompt_tokens,
            )
        )
    last = next_step(candidates=given_candidates, standings=standings, failed=failed, left_s=left_s, jitter=0.5)
    return tries, failed, isinstance(last, Stop)


@given(candidates, states, outcomes)
def test_only_deployments_that_can_serve_and_are_not_held_are_tried(
    given_candidates: tuple[Candidate, ...],
    resting: list[State],
    ends: list[tuple[FailureClass, bool, float | None, int | None]],
) -> None:
    tries, _, _ = walk(given_candidates, resting, ends)
    for step in tries:
        assert not given_candidates[step.index].excluded
        assert resting[step.index] is not State.HELD


@given(candidates, states, outcomes)
def test_a_deployment_is_not_tried_again_after_a_failure_that_forbids_it(
    given_candidates: tuple[Candidate, ...],
    resting: list[State],
    ends: list[tuple[FailureClass, bool, float | None, int | None]],
) -> None:
    _, failed, _ = walk(given_candidates, resting, ends)
    for position, one in enumerate(failed):
        if one.failure not in RETRIED:
            assert all(later.index != one.index for later in failed[position + 1 :])


@given(candidates, states, outcomes)
def test_nothing_follows_delivered_content_or_a_failure_that_does_not_move_on(
    given_candidates: tuple[Candidate, ...],
    resting: list[State],
    ends: list[tuple[FailureClass, bool, float | None, int | None]],
) -> None:
    _, failed, _ = walk(given_candidates, resting, ends)
    for one in failed[:-1]:
        assert not one.delivered
        assert FAILURE_RULES[one.failure].moves_on


@given(candidates, states, st.lists(st.sampled_from(sorted(RETRIED)), min_size=60, max_size=60))
def test_it_ends_however_long_things_fail(
    given_candidates: tuple[Candidate, ...], resting: list[State], failures: list[FailureClass]
) -> None:
    tries, failed, stopped = walk(given_candidates, resting, [(failure, False, 0.0, None) for failure in failures])
    assert stopped
    assert len(tries) <= len(given_candidates) * (3 + REVISITS)
    assert len(tries) == len(failed)


@given(candidates, states, outcomes)
def test_first_visits_come_ready_before_cooling_and_loaded_before_cold_and_keep_the_plans_order(
    given_candidates: tuple[Candidate, ...],
    resting: list[State],
    ends: list[tuple[FailureClass, bool, float | None, int | None]],
) -> None:
    tries, _, _ = walk(given_candidates, resting, ends)
    visits = list(dict.fromkeys(step.index for step in tries))
    assert visits == sorted(
        visits, key=lambda index: (resting[index] is not State.READY, given_candidates[index].cold, index)
    )


@given(candidates, states, outcomes)
def test_a_wait_is_only_asked_for_when_every_other_deployment_was_tried(
    given_candidates: tuple[Candidate, ...],
    resting: list[State],
    ends: list[tuple[FailureClass, bool, float | None, int | None]],
) -> None:
    tries, failed, _ = walk(given_candidates, resting, ends)
    for position, step in enumerate(tries):
        if step.wait_s > 0:
            floors = [
                one.prompt_tokens or given_candidates[one.index].context_tokens or 0
                for one in failed[:position]
                if one.failure is FailureClass.CONTEXT_LENGTH
            ]
            tried = {earlier.index for earlier in tries[:position]}
            able = {
                index
                for index, one in enumerate(given_candidates)
                if not one.excluded
                and resting[index] is not State.HELD
                and (one.context_tokens is None or one.context_tokens > max(floors, default=0))
            }
            assert able <= tried


@given(candidates, states, outcomes)
def test_an_answer_is_gone_on_with_by_each_deployment_once_and_at_once(
    given_candidates: tuple[Candidate, ...],
    resting: list[State],
    ends: list[tuple[FailureClass, bool, float | None, int | None]],
) -> None:
    standings = [Standing(state=state) for state in resting[: len(given_candidates)]]
    failed = [Failed(index=0, failure=FailureClass.TRUNCATED, delivered=True)]
    for failure, delivered, retry_after_s, _ in ends:
        step = next_step(
            candidates=given_candidates, standings=standings, failed=failed, left_s=600.0, jitter=0.5, continuing=True
        )
        if isinstance(step, Stop):
            break
        assert step.wait_s == 0
        assert step.index not in {one.index for one in failed}
        assert not given_candidates[step.index].excluded
        assert resting[step.index] is not State.HELD
        failed.append(Failed(index=step.index, failure=failure, delivered=delivered, retry_after_s=retry_after_s))
    for one in failed[:-1]:
        assert FAILURE_RULES[one.failure].moves_on
    assert len(failed) <= len(given_candidates) + 1

"""Which deployment comes next."""

import pytest

from gateway.domain.failure import FailureClass
from gateway.relay.attempts import Candidate, Failed, Stop, Try, next_step
from gateway.relay.breaker import READY, Standing, State

F = FailureClass
COOLING = Standing(state=State.COOLING)
HELD = Standing(state=State.HELD)
ABLE = Candidate(context_tokens=8192)


def step(
    *failed: Failed,
    candidates: tuple[Candidate, ...] = (ABLE, ABLE),
    standings: tuple[Standing, ...] | None = None,
    left_s: float = 600.0,
    jitter: float = 0.5,
) -> Try | Stop:
    return next_step(
        candidates=candidates,
        standings=standings or (READY,) * len(candidates),
        failed=failed,
        left_s=left_s,
        jitter=jitter,
    )


def test_the_first_that_can_serve_comes_first() -> None:
    assert step() == Try(index=0)
    assert step(candidates=(Candidate(excluded="does not support tools"), ABLE)) == Try(index=1)


def test_a_cooling_one_comes_after_the_others_but_comes() -> None:
    assert step(standings=(COOLING, READY)) == Try(index=1)
    assert step(Failed(index=1, failure=F.TIMEOUT), standings=(COOLING, READY)) == Try(index=0)
    assert step(standings=(COOLING, COOLING)) == Try(index=0)


def test_a_held_one_never_comes() -> None:
    assert step(standings=(HELD, HELD)) == Stop()
    assert step(standings=(HELD, COOLING)) == Try(index=1)


@pytest.mark.parametrize("failure", [F.BAD_REQUEST, F.CONTENT_POLICY, F.CANCELLED])
def test_some_failures_end_the_request(failure: FailureClass) -> None:
    assert step(Failed(index=0, failure=failure)) == Stop()


@pytest.mark.parametrize("failure", [F.TRUNCATED, F.STALL, F.UPSTREAM_ERROR, F.TIMEOUT])
def test_nothing_is_tried_after_content_has_reached_the_caller(failure: FailureClass) -> None:
    assert step(Failed(index=0, failure=failure, delivered=True)) == Stop()


def test_a_server_error_is_tried_once_more_at_once() -> None:
    once = Failed(index=0, failure=F.UPSTREAM_ERROR)
    assert step(once) == Try(index=0)
    assert step(once, once) == Try(index=1)


def test_a_lost_connection_is_tried_once_more_only_as_the_last() -> None:
    first, second = Failed(index=0, failure=F.TRANSPORT), Failed(index=1, failure=F.TRANSPORT)
    assert step(first) == Try(index=1)
    assert step(first, second) == Try(index=1)
    assert step(first, second, second) == Stop()


def test_a_rate_limit_is_waited_out_only_when_nothing_else_is_left() -> None:
    limited = Failed(index=0, failure=F.RATE_LIMIT, retry_after_s=7)
    assert step(limited) == Try(index=1)
    assert step(limited, Failed(index=1, failure=F.TIMEOUT)) == Try(index=0, wait_s=7)
    assert step(limited, Failed(index=1, failure=F.TIMEOUT), left_s=6) == Stop()


def test_back_offs_grow_and_are_spread_and_end_after_two() -> None:
    limited = Failed(index=0, failure=F.RATE_LIMIT)
    alone = (ABLE,)
    assert step(limited, candidates=alone, jitter=0) == Try(index=0, wait_s=0.25)
    assert step(limited, candidates=alone, jitter=1) == Try(index=0, wait_s=0.75)
    assert step(limited, limited, candidates=alone) == Try(index=0, wait_s=1.5)
    assert step(limited, limited, limited, candidates=alone) == Stop()


def test_a_prompt_too_long_goes_only_where_there_is_room() -> None:
    larger, unknown = Candidate(context_tokens=32_768), Candidate()
    failed = Failed(index=0, failure=F.CONTEXT_LENGTH)
    assert step(failed) == Stop()
    assert step(failed, candidates=(ABLE, ABLE, larger)) == Try(index=2)
    assert step(failed, candidates=(ABLE, unknown)) == Try(index=1)
    counted = Failed(index=0, failure=F.CONTEXT_LENGTH, prompt_tokens=40_000)
    assert step(counted, candidates=(ABLE, larger)) == Stop()


def test_nothing_is_tried_when_the_time_is_up() -> None:
    assert step(Failed(index=0, failure=F.TIMEOUT), left_s=0) == Stop()


def test_no_wait_at_all_is_granted_once() -> None:
    busy = Failed(index=0, failure=F.RATE_LIMIT, retry_after_s=0.0)
    assert step(busy, candidates=(ABLE,)) == Try(index=0)
    assert step(busy, busy, candidates=(ABLE,)) == Try(index=0, wait_s=1.5)

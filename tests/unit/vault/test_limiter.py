"""How often, and how many at once, each key may ask."""

from gateway.vault.client_key import ClientKey, Scope
from gateway.vault.limiter import Limiter, TooMany


def key(name: str = "ci", *, requests_per_minute: int | None = None, concurrency: int | None = None) -> ClientKey:
    return ClientKey(
        id=name, name=name, scope=Scope.CLIENT, requests_per_minute=requests_per_minute, concurrency=concurrency
    )


def admitted(limiter: Limiter, one: ClientKey, *, now_s: float, asked: int) -> int:
    """How many of so many requests at one moment go in; each is over at once."""
    count = 0
    for _ in range(asked):
        if limiter.enter(one, now_s=now_s) is None:
            limiter.leave(one)
            count += 1
    return count


def test_a_key_without_limits_is_never_held_up() -> None:
    limiter, free = Limiter(), key()
    assert all(limiter.enter(free, now_s=1.0) is None for _ in range(1_000))
    assert limiter.under_way(free) == 1_000


def test_a_minutes_worth_may_come_at_once_and_then_it_trickles() -> None:
    limiter, limited = Limiter(), key(requests_per_minute=30)
    assert admitted(limiter, limited, now_s=100.0, asked=40) == 30
    told = limiter.enter(limited, now_s=100.0)
    assert told == TooMany(limit="requests_per_minute", allowed=30, retry_after_s=2.0)
    assert str(told) == "this key may send 30 requests per minute; try again in 2.0 s"
    assert admitted(limiter, limited, now_s=101.9, asked=5) == 0
    assert admitted(limiter, limited, now_s=102.0, asked=5) == 1
    assert admitted(limiter, limited, now_s=112.0, asked=9) == 5
    assert admitted(limiter, limited, now_s=9_999.0, asked=99) == 30


def test_a_refused_request_costs_nothing() -> None:
    limiter, limited = Limiter(), key(requests_per_minute=1)
    assert admitted(limiter, limited, now_s=0.0, asked=1) == 1
    assert admitted(limiter, limited, now_s=30.0, asked=100) == 0
    assert admitted(limiter, limited, now_s=60.0, asked=100) == 1


def test_a_clock_that_goes_back_neither_gives_nor_takes() -> None:
    limiter, limited = Limiter(), key(requests_per_minute=2)
    assert admitted(limiter, limited, now_s=1_000.0, asked=1) == 1
    assert admitted(limiter, limited, now_s=0.0, asked=9) == 1
    assert limiter.enter(limited, now_s=0.0) == TooMany(limit="requests_per_minute", allowed=2, retry_after_s=30.0)
    assert admitted(limiter, limited, now_s=1_029.0, asked=9) == 0
    assert admitted(limiter, limited, now_s=1_030.0, asked=9) == 1


def test_only_so_many_are_under_way_at_once() -> None:
    limiter, limited = Limiter(), key(concurrency=2)
    assert [limiter.enter(limited, now_s=0.0) for _ in range(2)] == [None, None]
    told = limiter.enter(limited, now_s=0.0)
    assert told == TooMany(limit="concurrency", allowed=2, retry_after_s=1.0)
    assert str(told) == "this key may have 2 requests under way at once, and has"
    limiter.leave(limited)
    assert limiter.enter(limited, now_s=0.0) is None
    assert str(TooMany(limit="concurrency", allowed=1, retry_after_s=1.0)) == (
        "this key may have 1 request under way at once, and has"
    )


def test_a_request_that_found_no_place_takes_nothing_from_the_minute() -> None:
    limiter, limited = Limiter(), key(concurrency=1, requests_per_minute=2)
    assert limiter.enter(limited, now_s=0.0) is None
    assert all(limiter.enter(limited, now_s=0.0) is not None for _ in range(10))
    limiter.leave(limited)
    assert limiter.enter(limited, now_s=0.0) is None


def test_keys_do_not_hold_each_other_up() -> None:
    limiter = Limiter()
    one, two = (key(name, concurrency=1, requests_per_minute=1) for name in ("one", "two"))
    assert limiter.enter(one, now_s=0.0) is None
    assert limiter.enter(two, now_s=0.0) is None


def test_limits_are_those_of_the_key_as_it_is_now() -> None:
    limiter = Limiter()
    assert admitted(limiter, key(requests_per_minute=100), now_s=0.0, asked=1) == 1
    assert admitted(limiter, key(requests_per_minute=3), now_s=0.0, asked=9) == 3
    assert admitted(limiter, key(), now_s=0.0, asked=9) == 9


def test_leaving_once_too_often_does_no_harm() -> None:
    limiter, limited = Limiter(), key(concurrency=1)
    limiter.leave(limited)
    assert limiter.enter(limited, now_s=0.0) is None
    assert limiter.enter(limited, now_s=0.0) is not None

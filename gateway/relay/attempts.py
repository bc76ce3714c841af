"""The failover state machine: what is tried next, as a function of what was tried so far."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway.domain.failure import FAILURE_RULES, FailureClass
from gateway.relay.breaker import Standing, State

REVISITS: Final = 2
"""How often one deployment that asked for patience is tried again when nothing else is left."""
BACKOFF_S: Final = 0.5
BACKOFF_FACTOR: Final = 3.0

_PATIENCE: Final = frozenset({FailureClass.RATE_LIMIT, FailureClass.OVERLOADED})


class Candidate(NamedTuple):
    """One deployment of the role, in the plan's order. ``excluded`` says why it cannot serve this request at all, empty if it
    can. ``context_tokens`` is ``None`` where the provider decides it. ``cold`` says that the model is not loaded, and that the
    role would rather have one that is."""

    excluded: str = ""
    context_tokens: int | None = None
    cold: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """One attempt that failed: on which candidate, how, and whether part of its answer had reached the caller by then."""

    index: int
    failure: FailureClass
    delivered: bool = False
    retry_after_s: float | None = None
    prompt_tokens: int | None = None


@dataclass(slots=True, kw_only=True)
class Try:
    """Call this candidate, after ``wait_s``."""

    index: int
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Nothing is left to try."""


def next_step(
    *,
    candidates: Sequence[Candidate],
    standings: Sequence[Standing],
    failed: Sequence[Failed],
    left_s: float,
    jitter: float,
    continuing: bool = False,
) -> Try | Stop:
    """What to do now.

    ``standings`` are the candidates' breakers at this moment, ``left_s`` what remains of the total deadline, ``jitter`` a
    number from 0 to 1 that spreads back-offs. ``continuing`` says that another deployment may go on with an answer of which
    part has reached the caller; one that has failed is not asked for that again.
    """
    last = failed[-1] if failed else None
    if left_s <= 0:
        return Stop()
    if last is None and standings[0].state is State.READY:
        first = candidates[0]
        if not first.excluded and not first.cold and _roomy(first, floor_tokens=0):
            # Nearly every request: nothing has to be weighed.
            return Try(index=0)
    if last is not None:
        if (last.delivered and not continuing) or not FAILURE_RULES[last.failure].moves_on:
            return Stop()
        if continuing:
            fresh = _fresh(candidates, standings=standings, failed=failed)
            return Try(index=fresh[0]) if fresh else Stop()
        if last.failure is FailureClass.UPSTREAM_ERROR and _times(failed, last) == 1:
            return Try(index=last.index)
    fresh = _fresh(candidates, standings=standings, failed=failed)
    if fresh:
        return Try(index=fresh[0])
    if last is None:
        return Stop()
    if last.failure is FailureClass.TRANSPORT and _times(failed, last) == 1:
        return Try(index=last.index)
    return _patient(candidates, failed=failed, left_s=left_s, jitter=jitter)


def _times(failed: Sequence[Failed], like: Failed) -> int:
    return sum(1 for one in failed if one.index == like.index and one.failure is like.failure)


def _fresh(candidates: Sequence[Candidate], *, standings: Sequence[Standing], failed: Sequence[Failed]) -> list[int]:
    """The candidates not tried yet that may be: the ready ones first, those that are loaded before those that are not, then
    those that are cooling, each in the plan's order."""
    tried = {one.index for one in failed}
    floor_tokens = _context_floor(candidates, failed)
    able = [
        index
        for index, candidate in enumerate(candidates)
        if index not in tried
        and not candidate.excluded
        and standings[index].state is not State.HELD
        and _roomy(candidate, floor_tokens=floor_tokens)
    ]
    return sorted(able, key=lambda index: (standings[index].state is not State.READY, candidates[index].cold))


def _roomy(candidate: Candidate, *, floor_tokens: int) -> bool:
    return candidate.context_tokens is None or candidate.context_tokens > floor_tokens


def _context_floor(candidates: Sequence[Candidate], failed: Sequence[Failed]) -> int:
    """The context, in tokens, that is known to be too small for the prompt."""
    floor_tokens = 0
    for one in failed:
        if one.failure is FailureClass.CONTEXT_LENGTH:
            counted = one.prompt_tokens or candidates[one.index].context_tokens or 0
            floor_tokens = max(floor_tokens, counted)
    return floor_tokens


def _patient(candidates: Sequence[Candidate], *, failed: Sequence[Failed], left_s: float, jitter: float) -> Try | Stop:
    """Wait for a deployment that asked for it: the one that is due first."""
    floor_tokens = _context_floor(candidates, failed)
    latest = {one.index: one for one in failed}
    waits: list[tuple[float, int]] = []
    for index, one in latest.items():
        times = sum(1 for other in failed if other.index == index and other.failure in _PATIENCE)
        if one.failure in _PATIENCE and times <= REVISITS and _roomy(candidates[index], floor_tokens=floor_tokens):
            backoff_s = BACKOFF_S * BACKOFF_FACTOR ** (times - 1) * (0.5 + jitter)
            given_s = one.retry_after_s
            at_once_again = given_s == 0 and times > 1
            waits.append((backoff_s if given_s is None or at_once_again else given_s, index))
    if not waits:
        return Stop()
    wait_s, index = min(waits)
    return Try(index=index, wait_s=wait_s) if wait_s < left_s else Stop()

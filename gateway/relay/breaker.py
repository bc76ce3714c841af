"""Which deployments are resting, and why."""

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from gateway.domain.failure import FAILURE_RULES, FailureClass
from gateway.domain.model import Lane, ModelRef, Provider
from gateway.domain.plan import Deployment

FAILURES_TO_OPEN: Final = 3
WINDOW_S: Final = 60.0
FIRST_OPEN_S: Final = 5.0
LONGEST_OPEN_S: Final = 300.0
LONGEST_HOLD_S: Final = 3600.0
"""What is believed of a longer pause: some servers name years, and nothing else would end it."""


class BreakerKey(NamedTuple):
    """A deployment as failures see it: provider, model and load profile, in whatever role, and how the provider is reached. What
    one server did is not held against the one that the provider's name leads to after an edit."""

    provider: str
    model: str
    context_tokens: int | None
    lane: Lane
    url: str | None
    litellm_name: str


def breaker_key(deployment: Deployment, *, provider: Provider) -> BreakerKey:
    ref = deployment.ref
    return BreakerKey(
        ref.provider, ref.name, deployment.context_tokens, deployment.lane, provider.url, provider.litellm_name
    )


class State(StrEnum):
    READY = "ready"
    """Requests may go there."""
    COOLING = "cooling"
    """It failed lately, or the one request that tries it again is still under way: others go first."""
    HELD = "held"
    """It is not tried at all: no valid key, model gone, or it asked for a pause."""


class Standing(NamedTuple):
    """``until_s`` is on the clock the caller of ``Breakers`` uses; ``None`` where only an event ends it. ``failure`` and
    ``message`` are what led here."""

    state: State
    until_s: float | None = None
    failure: FailureClass | None = None
    message: str = ""


READY: Final = Standing(state=State.READY)


@dataclass(slots=True)
class _Breaker:
    failures: deque[float] = field(default_factory=lambda: deque(maxlen=FAILURES_TO_OPEN))
    open_s: float = 0.0
    open_until_s: float | None = None
    trial: bool = False
    held: bool = False
    held_until_s: float | None = None
    failed_s: float = 0.0
    failure: FailureClass | None = None
    message: str = ""


class Breakers:
    """The breakers of all deployments. Outlives plans and generations. Every method takes the time now, in seconds of any
    one clock that never goes back."""

    def __init__(self) -> None:
        self._by_key: dict[BreakerKey, _Breaker] = {}

    def standing(self, key: BreakerKey, *, now_s: float) -> Standing:
        """May a request go there now?"""
        one = self._by_key.get(key)
        if one is None:
            return READY
        if one.held and (one.held_until_s is None or now_s < one.held_until_s):
            return Standing(state=State.HELD, until_s=one.held_until_s, failure=one.failure, message=one.message)
        if one.open_until_s is not None and (now_s < one.open_until_s or one.trial):
            return Standing(state=State.COOLING, until_s=one.open_until_s, failure=one.failure, message=one.message)
        return READY

    def standings(self, keys: Sequence[BreakerKey], *, now_s: float) -> tuple[Standing, ...]:
        """``standing`` of each."""
        if not self._by_key:
            return (READY,) * len(keys)
        return tuple([self.standing(key, now_s=now_s) for key in keys])

    def begin(self, key: BreakerKey, *, now_s: float) -> bool:
        """A request goes there. True if it is the trial of a rested deployment: others are kept back until it has ended, so
        pass the answer on to the method that ends it."""
        one = self._by_key.get(key)
        if one is None or one.open_until_s is None or one.trial or now_s < one.open_until_s:
            return False
        one.trial = True
        return True

    def succeeded(self, key: BreakerKey, *, begun_s: float, trial: bool) -> None:
        """A request that began at ``begun_s`` was answered there in full: whatever was held against it is forgotten. One that
        began before the last failure says nothing about what came after, unless it was the trial."""
        one = self._by_key.get(key)
        if one is not None and (trial or begun_s >= one.failed_s):
            del self._by_key[key]

    def released(self, key: BreakerKey, *, trial: bool) -> None:
        """A request ended there without saying anything about the deployment (the caller left, or asked for nonsense)."""
        one = self._by_key.get(key)
        if one is not None and trial:
            one.trial = False

    def failed(
        self,
        key: BreakerKey,
        *,
        failure: FailureClass,
        now_s: float,
        trial: bool,
        retry_after_s: float | None = None,
        message: str = "",
    ) -> None:
        """A request failed there."""
        if not FAILURE_RULES[failure].cools:
            self.released(key, trial=trial)
            return
        one = self._by_key.setdefault(key, _Breaker())
        one.failed_s, one.failure, one.message = now_s, failure, message
        if trial:
            one.trial = False
        if failure in {FailureClass.AUTH, FailureClass.GONE}:
            one.held, one.held_until_s = True, None
            return
        if retry_after_s is not None:
            one.held, one.held_until_s = True, now_s + min(retry_after_s, LONGEST_HOLD_S)
            return
        one.failures.append(now_s)
        if one.open_until_s is not None:
            if trial or now_s >= one.open_until_s:
                self._open(one, now_s=now_s)
        elif failure is FailureClass.RATE_LIMIT or (
            len(one.failures) == FAILURES_TO_OPEN and now_s - one.failures[0] <= WINDOW_S
        ):
            self._open(one, now_s=now_s)

    def seen(self, refs: Collection[ModelRef]) -> None:
        """The registry has just found these models: those held as gone may be tried again."""
        names = {(ref.provider, ref.name) for ref in refs}
        for key, one in self._by_key.items():
            if one.held and one.failure is FailureClass.GONE and (key.provider, key.model) in names:
                one.held = False

    def forget(self, provider: str) -> None:
        """The provider is another one now, at another address, say: what the one before did is not held against it."""
        for key in [key for key in self._by_key if key.provider == provider]:
            del self._by_key[key]

    @staticmethod
    def _open(one: _Breaker, *, now_s: float) -> None:
        one.open_s = min(one.open_s * 2, LONGEST_OPEN_S) if one.open_s else FIRST_OPEN_S
        one.open_until_s = now_s + one.open_s

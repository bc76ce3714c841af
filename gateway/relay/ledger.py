"""What happened to one request so far, and what the breakers learn from it."""

import math
from collections.abc import Callable
from typing import Final, Protocol

from gateway.domain.failure import FailureClass
from gateway.domain.plan import Deployment
from gateway.domain.ports import Clock
from gateway.errors import AttemptFacts, UpstreamFailed
from gateway.relay.attempts import Failed
from gateway.relay.breaker import Breakers, Standing
from gateway.relay.lane import FailedAfterResend
from gateway.relay.needs import Needs
from gateway.relay.route import Route

_LETTERS_PER_TOKEN: Final = 4


class Observer(Protocol):
    """Who wants to know of failures: the registry of models gone, the plan of features refused and of loads that failed."""

    def attempt_failed(self, deployment: Deployment, failed: UpstreamFailed, *, needs: Needs) -> None:
        """``needs`` are those of the request. Called inside it: must return at once and never raise."""


class Ledger:
    """The attempts of one request on the deployments of its route. At most one is open at a time."""

    def __init__(
        self,
        route: Route,
        *,
        needs: Needs,
        breakers: Breakers,
        clock: Clock,
        observer: Observer | None,
    ) -> None:
        self._needs = needs
        self._deployments = route.plan.deployments
        self._keys = route.keys
        self._breakers = breakers
        self._clock = clock
        self._observer = observer
        self._facts: list[AttemptFacts] = []
        self.open: int | None = None
        self._trial = False
        self._begun_s = 0.0
        self._answered = False
        self.failed: list[Failed] = []
        self.last: tuple[Deployment, UpstreamFailed] | None = None

    @property
    def attempts(self) -> tuple[AttemptFacts, ...]:
        """Every attempt that has ended or been answered, in order."""
        return tuple(self._facts)

    def standings(self) -> tuple[Standing, ...]:
        """The breakers of the deployments now, in the plan's order."""
        now_s = self._clock.monotonic()
        return self._breakers.standings(self._keys, now_s=now_s)

    def begin(self, index: int) -> None:
        """An attempt on this deployment begins."""
        self._begun_s = self._clock.monotonic()
        self._trial = self._breakers.begin(self._keys[index], now_s=self._begun_s)
        self.open = index
        self._answered = False

    def answered(self) -> None:
        """Its answer has begun; whether it comes to an end is told later."""
        if self.open is not None:
            self._note(self.open, failure="", status=200)
            self._answered = True

    def succeeded(self) -> None:
        """Its answer is whole."""
        if self.open is not None:
            self._breakers.succeeded(self._keys[self.open], begun_s=self._begun_s, trial=self._trial)
            self.open = None

    def fail(self, failed: UpstreamFailed, *, delivered: bool) -> UpstreamFailed:
        """It failed; ``delivered`` says that part of its answer had reached the caller. Returns the failure as it is kept: with
        a message that can be written, and without a wait that is none."""
        failed = _sound(failed)
        index = self.open
        if index is None:
            return failed
        failure = FailureClass(failed.failure)
        if delivered:
            self._facts.pop()
        if isinstance(failed, FailedAfterResend):
            self._note(index, failure=FailureClass.TRANSPORT.value, status=None, took_s=failed.first_s)
            self.failed.append(Failed(index=index, failure=FailureClass.TRANSPORT))
        self._note(index, failure=failure.value, status=failed.status)
        self.failed.append(
            Failed(
                index=index,
                failure=failure,
                delivered=delivered,
                retry_after_s=failed.retry_after_s,
                prompt_tokens=failed.prompt_tokens,
            )
        )
        self.last = (self._deployments[index], failed)
        self._breakers.failed(
            self._keys[index],
            failure=failure,
            now_s=self._clock.monotonic(),
            trial=self._trial,
            retry_after_s=failed.retry_after_s,
            message=failed.message,
        )
        self.open = None
        if self._observer is not None:
            self._observer.attempt_failed(self._deployments[index], failed, needs=self._needs)
        return failed

    def failing_unheard(self, index: int) -> Callable[[UpstreamFailed], None]:
        """Whom to tell when a load of this deployment fails that no request waits for: the breakers, so that it is not begun
        again at once, and whoever else wants to know."""
        deployment, key = self._deployments[index], self._keys[index]

        def fail(failed: UpstreamFailed) -> None:
            self._breakers.failed(
                key,
                failure=FailureClass(failed.failure),
                now_s=self._clock.monotonic(),
                trial=False,
                retry_after_s=failed.retry_after_s,
                message=failed.message,
            )
            if self._observer is not None:
                self._observer.attempt_failed(deployment, failed, needs=self._needs)

        return fail

    def abandon(self) -> None:
        """The caller went away while this attempt was open: it is noted as cancelled."""
        if self.open is not None and not self._answered:
            self._note(self.open, failure=FailureClass.CANCELLED.value, status=None)
        self.release()

    def release(self) -> None:
        """Whatever is still open ended without a verdict. Harmless when nothing is open."""
        if self.open is not None:
            self._breakers.released(self._keys[self.open], trial=self._trial)
            self.open = None

    def _note(self, index: int, *, failure: str, status: int | None, took_s: float | None = None) -> None:
        if took_s is None:
            took_s = self._clock.monotonic() - self._begun_s
        deployment, needs = self._deployments[index], self._needs
        facts = AttemptFacts(
            model=str(deployment.ref),
            failure=failure,
            status=status,
            ms=round(took_s * 1000, 3),
            cloud=deployment.cloud,
        )
        if deployment.cloud:
            tokens = needs.most_prompt_tokens // _LETTERS_PER_TOKEN
            facts = facts._replace(prompt_tokens=tokens, most_tokens=needs.answer_tokens)
        self._facts.append(facts)


def _sound(failed: UpstreamFailed) -> UpstreamFailed:
    wait_s = failed.retry_after_s
    if wait_s is not None and not (math.isfinite(wait_s) and wait_s >= 0):
        failed.retry_after_s = None
    failed.message = failed.message.encode("utf-8", "replace").decode()
    return failed

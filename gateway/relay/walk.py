"""The walk of one request over the deployments of its role: which is next, when it can be called, what its failure means."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from gateway.domain.failure import FailureClass
from gateway.domain.model import Lane
from gateway.domain.plan import Deployment
from gateway.domain.ports import Clock
from gateway.errors import RequestFailed, RolegateError, UpstreamFailed
from gateway.relay.admission import Admission, Place
from gateway.relay.attempts import Stop, Try, next_step
from gateway.relay.lane import Call, ModelLane
from gateway.relay.loads import Load, too_slow
from gateway.relay.passage import Passage
from gateway.relay.patience import Patience
from gateway.relay.refusal import held_back, refusal
from gateway.relay.shortcut import Shortcut
from gateway.relay.unforeseen import unforeseen

NOTICE_S: Final = 2.0
"""How long a caller who streams waits for a load without a word."""


@dataclass(slots=True, kw_only=True)
class Ready:
    """A deployment that can be called now."""

    index: int
    call: Call
    lane: ModelLane


class Loading(NamedTuple):
    """A model is on its way into memory, and it takes a while."""

    deployment: Deployment


@dataclass(slots=True, kw_only=True)
class _Pending:
    index: int
    call: Call
    load: Load
    begun_s: float


class Walk:
    """Used by one task. Close it when the request is over, however it ended."""

    def __init__(
        self,
        passage: Passage,
        *,
        lanes: Mapping[Lane, ModelLane],
        admission: Admission,
        clock: Clock,
        patience: Patience,
        notice_s: float = NOTICE_S,
    ) -> None:
        self.passage = passage
        self.clock = clock
        self.patience = patience
        self.shortcut = Shortcut()
        self._lanes = lanes
        self._admission = admission
        self._notice_s = notice_s
        self._pending: _Pending | None = None
        self._place: Place | None = None
        self._continuing = False

    async def next(self) -> Ready | Loading:
        """The deployment to call now, when it is ready. A caller who streams hears every ``notice_s`` that a model loads; call
        again to go on waiting.

        Raises ``RequestFailed`` when nothing is left to try, ``BadRequest`` for what a lane cannot express.
        """
        while True:
            # What comes out of the choice is about the request, and no deployment's failure.
            index = None
            if self._pending is None:
                step = self._choose()
                if step.wait_s > 0:
                    await asyncio.sleep(step.wait_s)
                    self.passage.spent_s += step.wait_s
                index = step.index
            try:
                pending = self._pending if index is None else await self._approach(index)
                if isinstance(pending, _Pending):
                    self._pending = pending
                    if not await self._loaded(pending):
                        return Loading(deployment=pending.call.deployment)
                    self._pending = None
                    return await self._admitted(self._again(pending))
                if pending is not None:
                    unlimited = pending.call.provider.max_parallel is None
                    return pending if unlimited else await self._admitted(pending)
            except Exception as failed:  # noqa: BLE001 - a deployment that is too odd for the gateway has failed
                self._pending = None
                self.fail(failed)

    def fail(self, failed: Exception, *, delivered: bool = False) -> UpstreamFailed:
        """The deployment that was called last failed; ``delivered`` says that the caller has part of its answer. What nobody
        foresaw counts as well: a deployment that is too odd for the gateway has failed. Raises errors of the caller's making
        again. Returns the failure as it is kept."""
        self._leave()
        if isinstance(failed, RolegateError) and not isinstance(failed, UpstreamFailed):
            raise failed
        if not isinstance(failed, UpstreamFailed):
            failed = unforeseen(failed, model=self._model)
        return self.passage.ledger.fail(failed, delivered=delivered)

    def succeeded(self) -> None:
        """The deployment that was called last has answered in full."""
        self._leave()
        self.passage.ledger.succeeded()

    def go_on_with(self, body: Mapping[str, object], *, excluded: Mapping[int, str]) -> None:
        """From here on it is the rest of an answer that is asked for. ``excluded`` says why deployments, by index, cannot go on
        with one."""
        passage = self.passage
        passage.body = body
        passage.candidates = tuple(
            one._replace(excluded=one.excluded or excluded.get(index, ""))
            for index, one in enumerate(passage.candidates)
        )
        self._continuing = True

    def refusal(self) -> RequestFailed:
        """What the caller hears when nothing is left to try."""
        passage = self.passage
        last = passage.ledger.last
        if last is None:
            return held_back(
                role=passage.role,
                deployments=passage.route.plan.deployments,
                providers=passage.route.providers,
                standings=passage.ledger.standings(),
                ruled_out=[candidate.excluded for candidate in passage.candidates],
                now_s=self.clock.monotonic(),
                not_asked=self._not_asked(),
            )
        deployment, failed = last
        return refusal(
            role=passage.role,
            deployment=deployment,
            provider=passage.route.providers[deployment.ref.provider],
            failed=failed,
            attempts=passage.ledger.attempts,
            not_asked=self._not_asked(),
        )

    def _not_asked(self) -> list[tuple[str, str]]:
        """The cloud models that would have been asked, and why they were not."""
        route, candidates = self.passage.route, self.passage.candidates
        ruled_out = [
            (str(route.plan.deployments[index].ref), candidates[index].excluded)
            for index, _ in route.clouds
            if candidates[index].excluded
        ]
        return [*ruled_out, *route.withheld()]

    def close(self) -> None:
        """The request is over: nothing of it stays behind."""
        self.patience.close()
        self._leave()
        self.passage.ledger.release()

    async def _approach(self, index: int) -> Ready | _Pending | None:
        """Find out whether this deployment has to be loaded. ``None``: it is passed over for now."""
        passage = self.passage
        call = self._call(index)
        lane = self._lanes[call.deployment.lane]
        passage.ledger.begin(index)
        if call.left_s <= 0:
            message = f"nothing is left of the {call.limits.total_s:g} s for the whole request"
            raise UpstreamFailed(message, failure=FailureClass.TIMEOUT)
        if lane.ready(call):
            return Ready(index=index, call=call, lane=lane)
        begun_s = self.clock.monotonic()
        try:
            if await lane.resident(call):
                return Ready(index=index, call=call, lane=lane)
        finally:
            passage.spent_s += self.clock.monotonic() - begun_s
        if passage.route.plan.manner.cold_start == "avoid" and index not in passage.loading:
            if not passage.loading:
                load = lane.load(call)
                if load.begun_here:
                    load.when_failed(passage.ledger.failing_unheard(index))
            self._pass_over(index)
            return None
        return _Pending(index=index, call=call, load=lane.load(call), begun_s=begun_s)

    def _pass_over(self, index: int) -> None:
        passage = self.passage
        passage.ledger.release()
        passage.loading.add(index)
        passage.candidates = tuple(
            one._replace(cold=True) if place == index else one for place, one in enumerate(passage.candidates)
        )

    def _choose(self) -> Try:
        """The deployment to try now, and the wait that it asks for."""
        passage = self.passage
        standings = passage.ledger.standings()
        if not passage.at_start:
            passage.at_start = standings
        step = next_step(
            candidates=passage.candidates,
            standings=standings,
            failed=passage.ledger.failed,
            left_s=self.left_s,
            jitter=random.random(),  # noqa: S311 - spreads retries, guards nothing
            continuing=self._continuing,
        )
        if isinstance(step, Stop):
            raise self.refusal()
        return step

    async def _loaded(self, pending: _Pending) -> bool:
        """Wait for a load; false when there is something to say meanwhile. Raises ``UpstreamFailed``."""
        began_s = self.clock.monotonic()
        left_s = pending.begun_s + pending.call.load_s - began_s
        try:
            if await pending.load.done(within_s=min(left_s, self._notice_s) if self.passage.stream else left_s):
                return True
        finally:
            self.passage.spent_s += self.clock.monotonic() - began_s
        # A timer may fire a little early: who does not stream has waited for all of it even so.
        if not self.passage.stream or self.clock.monotonic() >= pending.begun_s + pending.call.load_s:
            raise too_slow(pending.call.load_s)
        return False

    def _again(self, pending: _Pending) -> Ready:
        """The call as it stands after the load: time has passed."""
        call = self._call(pending.index)
        return Ready(index=pending.index, call=call, lane=self._lanes[call.deployment.lane])

    async def _admitted(self, ready: Ready) -> Ready:
        if ready.call.provider.max_parallel is None:
            return ready
        begun_s = self.clock.monotonic()
        try:
            self._place = await self._admission.enter(ready.call.provider, left_s=ready.call.left_s)
        finally:
            waited_s = self.clock.monotonic() - begun_s
            self.passage.spent_s += waited_s
        return replace(ready, call=ready.call._replace(left_s=ready.call.left_s - waited_s))

    def _leave(self) -> None:
        if self._place is not None:
            self._place.release()
            self._place = None

    @property
    def left_s(self) -> float:
        """What remains of the longest total deadline among the deployments."""
        return self.passage.started_s + self.passage.route.longest_s - self.clock.monotonic()

    @property
    def _model(self) -> str:
        index = self.passage.ledger.open
        return "" if index is None else str(self.passage.route.plan.deployments[index].ref)

    def _call(self, index: int) -> Call:
        passage = self.passage
        route = passage.route
        deployment = route.plan.deployments[index]
        bounds = route.limits(cloud=deployment.cloud, prompt_tokens=passage.prompt_tokens // 4)
        return Call(
            operation=passage.operation,
            stream=passage.stream,
            role=route.plan.role,
            deployment=deployment,
            provider=route.providers[deployment.ref.provider],
            backend=route.backend,
            body=passage.body,
            limits=bounds,
            left_s=passage.started_s + bounds.total_s - self.clock.monotonic(),
            answer_id=f"chatcmpl-{random.getrandbits(96):024x}",
            created=int(self.clock.time()),
            shortcut=self.shortcut,
            keep_alive=route.plan.manner.keep_alive,
            defaults=route.plan.parameters,
        )

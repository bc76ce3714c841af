"""One chat request through the ordered deployments of its role."""

import asyncio
import random
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson

from gateway.domain.failure import FailureClass
from gateway.domain.model import Lane
from gateway.domain.plan import Deployment
from gateway.domain.ports import Clock
from gateway.domain.role import Task
from gateway.errors import (
    BadRequest,
    NoCapableDeployment,
    NoModelForRole,
    RequestFailed,
    RolegateError,
    Unsupported,
    UpstreamFailed,
)
from gateway.relay.answer import Answer, StreamingAnswer
from gateway.relay.attempts import Candidate, Stop, next_step
from gateway.relay.breaker import Breakers, Standing, State
from gateway.relay.deadlines import limits
from gateway.relay.event import Event
from gateway.relay.gather import Gathered
from gateway.relay.lane import Call, ChatLane
from gateway.relay.ledger import Ledger, Observer
from gateway.relay.needs import Needs, needs_of, why_not
from gateway.relay.refusal import held_back, refusal
from gateway.relay.request import ChatRequest
from gateway.relay.route import Route
from gateway.relay.unforeseen import unforeseen
from gateway.relay.watch import Watch

__all__ = ["Answer", "Relay", "StreamingAnswer", "with_defaults"]

_ANSWER_LIMITS: Final = frozenset({"max_tokens", "max_completion_tokens"})


@dataclass(slots=True, kw_only=True)
class _Passage:
    """One request on its way: what it asks, where it may go, what happened so far."""

    request: ChatRequest
    route: Route
    request_id: str
    body: Mapping[str, object]
    needs: Needs
    candidates: tuple[Candidate, ...]
    ledger: Ledger
    started_s: float
    spent_s: float = 0.0
    at_start: tuple[Standing, ...] = field(default=())

    @property
    def role(self) -> str:
        return self.route.plan.role

    def fallback_reason(self, index: int) -> str:
        """Why the deployments before this one did not answer."""
        failures = {one.index: one.failure.value for one in self.ledger.failed}
        reasons = []
        for before, deployment in enumerate(self.route.plan.deployments[:index]):
            why = failures.get(before) or self.candidates[before].excluded or _resting(self.at_start[before])
            reasons.append(f"{deployment.ref}: {why}")
        return "; ".join(reasons).encode("ascii", "replace").decode()


class Relay:
    """Walks the deployments of a role until one answers. Holds no request state; one serves the whole process.

    ``lanes`` has an entry for every lane that a plan may use. ``observer`` hears of every failed attempt.
    """

    def __init__(
        self,
        *,
        lanes: Mapping[Lane, ChatLane],
        clock: Clock,
        breakers: Breakers,
        observer: Observer | None = None,
    ) -> None:
        self._lanes = dict(lanes)
        self._clock = clock
        self._breakers = breakers
        self._observer = observer

    async def chat(self, *, request: ChatRequest, route: Route, request_id: str) -> Answer | StreamingAnswer:
        """Answer one chat request: whole, or from its first content on if the caller asked to stream.

        Raises ``BadRequest`` for what the caller got wrong, ``NoModelForRole`` for a role without deployments,
        ``NoCapableDeployment`` when the request's needs rule all of them out, ``RequestFailed`` when none answered.
        """
        passage = self._admit(request, route=route, request_id=request_id)
        try:
            while True:
                index = await self._next(passage)
                answer = await self._attempt(passage, index=index)
                if answer is not None:
                    return answer
        except BaseException:
            passage.ledger.release()
            raise

    async def close(self) -> None:
        """Close every lane."""
        for lane in self._lanes.values():
            await lane.close()

    def _admit(self, request: ChatRequest, *, route: Route, request_id: str) -> _Passage:
        plan = route.plan
        if plan.task is Task.EMBEDDING:
            raise BadRequest(f'"{plan.role}" is for embeddings; it does not chat', param="model")
        if not plan.deployments:
            raise NoModelForRole(role=plan.role)
        body = with_defaults(request.body, parameters=plan.parameters)
        if body.get("n") not in (None, 1):
            raise Unsupported(f'n: the parameters of the role "{plan.role}" ask for more than 1; allowed: 1', param="n")
        needs = needs_of(body) if plan.parameters else request.needs
        ledger = Ledger(plan.deployments, breakers=self._breakers, clock=self._clock, observer=self._observer)
        passage = _Passage(
            request=request,
            route=route,
            request_id=request_id,
            body=body,
            needs=needs,
            candidates=tuple(self._candidate(one, route=route, needs=needs) for one in plan.deployments),
            ledger=ledger,
            started_s=self._clock.monotonic(),
            at_start=ledger.standings(),
        )
        if all(candidate.excluded for candidate in passage.candidates):
            ruled_out = [
                (str(deployment.ref), candidate.excluded)
                for deployment, candidate in zip(plan.deployments, passage.candidates, strict=True)
            ]
            raise NoCapableDeployment(role=plan.role, ruled_out=ruled_out)
        return passage

    def _candidate(self, deployment: Deployment, *, route: Route, needs: Needs) -> Candidate:
        excluded = why_not(deployment, needs=needs, provider=route.providers.get(deployment.ref.provider))
        if not excluded and deployment.lane not in self._lanes:
            excluded = f"this gateway has no {deployment.lane} lane"
        return Candidate(excluded=excluded, context_tokens=deployment.context_tokens)

    async def _next(self, passage: _Passage) -> int:
        """The deployment to try now, after whatever wait it asks for. Raises ``RequestFailed`` when nothing is left."""
        ledger = passage.ledger
        standings = ledger.standings()
        step = next_step(
            candidates=passage.candidates,
            standings=standings,
            failed=ledger.failed,
            left_s=self._left_s(passage),
            jitter=random.random(),  # noqa: S311 - spreads retries, guards nothing
        )
        if isinstance(step, Stop):
            raise self._refusal(passage, standings=standings)
        if step.wait_s > 0:
            await asyncio.sleep(step.wait_s)
            passage.spent_s += step.wait_s
        return step.index

    def _left_s(self, passage: _Passage) -> float:
        """What remains of the longest total deadline among the deployments."""
        deadlines = passage.route.plan.deadlines
        total_s = max(limits(deadlines=deadlines, cloud=one.cloud).total_s for one in passage.route.plan.deployments)
        return passage.started_s + total_s - self._clock.monotonic()

    def _refusal(self, passage: _Passage, *, standings: Sequence[Standing]) -> RequestFailed:
        last = passage.ledger.last
        if last is None:
            return held_back(
                role=passage.role,
                deployments=passage.route.plan.deployments,
                providers=passage.route.providers,
                standings=standings,
                ruled_out=[candidate.excluded for candidate in passage.candidates],
                now_s=self._clock.monotonic(),
            )
        deployment, failed = last
        return refusal(
            role=passage.role,
            deployment=deployment,
            provider=passage.route.providers[deployment.ref.provider],
            failed=failed,
            attempts=passage.ledger.attempts,
        )

    async def _attempt(self, passage: _Passage, *, index: int) -> Answer | StreamingAnswer | None:
        """Try one deployment. ``None`` when it failed before anything of it reached the caller."""
        call = self._call(passage, index=index)
        passage.ledger.begin(index)
        try:
            watch = await self._ready(passage, call=call)
            try:
                if passage.request.stream:
                    return await self._stream(passage, index=index, watch=watch)
                return await self._gather(passage, index=index, watch=watch)
            except BaseException:
                passage.spent_s += watch.waited_s
                await watch.aclose()
                raise
        except UpstreamFailed as failed:
            passage.ledger.fail(failed, delivered=False)
        except RolegateError:
            raise
        except Exception as exc:  # noqa: BLE001 - a deployment that is too odd for the gateway is a failed attempt
            passage.ledger.fail(unforeseen(exc, model=str(call.ref)), delivered=False)
        return None

    def _call(self, passage: _Passage, *, index: int) -> Call:
        route = passage.route
        deployment = route.plan.deployments[index]
        bounds = limits(
            deadlines=route.plan.deadlines, cloud=deployment.cloud, prompt_tokens=passage.needs.most_prompt_tokens // 4
        )
        return Call(
            role=route.plan.role,
            request_id=passage.request_id,
            deployment=deployment,
            provider=route.providers[deployment.ref.provider],
            backend=route.backend,
            body=passage.body,
            limits=bounds,
            left_s=passage.started_s + bounds.total_s - self._clock.monotonic(),
            answer_id=f"chatcmpl-{secrets.token_hex(12)}",
            created=int(self._clock.time()),
        )

    async def _ready(self, passage: _Passage, *, call: Call) -> Watch:
        begun_s = self._clock.monotonic()
        if call.left_s <= 0:
            message = f"nothing is left of the {call.limits.total_s:g} s for the whole request"
            raise UpstreamFailed(message, failure=FailureClass.TIMEOUT)
        try:
            stream = await self._lanes[call.deployment.lane].ready(call)
        finally:
            waited_s = self._clock.monotonic() - begun_s
            passage.spent_s += waited_s
        return Watch(stream, limits=call.limits, left_s=call.left_s - waited_s, clock=self._clock)

    async def _stream(self, passage: _Passage, *, index: int, watch: Watch) -> StreamingAnswer:
        first: list[Event] = []
        while not (watch.told or watch.finished) and (event := await watch.next()) is not None:
            first.append(event)
        deployment = passage.route.plan.deployments[index]
        answer = StreamingAnswer(
            role=passage.role,
            deployment=deployment,
            provider=passage.route.providers[deployment.ref.provider],
            fallback_reason=passage.fallback_reason(index),
            include_usage=passage.request.include_usage,
            first=first,
            watch=watch,
            ledger=passage.ledger,
            spent_s=passage.spent_s,
        )
        passage.ledger.answered()
        return answer

    async def _gather(self, passage: _Passage, *, index: int, watch: Watch) -> Answer:
        whole = Gathered()
        while (event := await watch.next()) is not None:
            if event.chunk is not None:
                whole.add(event.chunk)
        body = orjson.dumps(whole.completion())
        passage.ledger.answered()
        passage.ledger.succeeded()
        return Answer(
            deployment=passage.route.plan.deployments[index],
            attempts=passage.ledger.attempts,
            fallback_reason=passage.fallback_reason(index),
            upstream_s=passage.spent_s + watch.waited_s,
            body=body,
        )


def with_defaults(body: Mapping[str, object], *, parameters: Mapping[str, object]) -> Mapping[str, object]:
    """The request with the role's defaults where the caller said nothing (``null`` says nothing)."""
    if not parameters:
        return body
    said = {key for key, value in body.items() if value is not None}
    left_out = said | (_ANSWER_LIMITS if said & _ANSWER_LIMITS else frozenset())
    return {**body, **{key: value for key, value in parameters.items() if key not in left_out}}


def _resting(standing: Standing) -> str:
    words = {State.COOLING: "cooling down", State.HELD: "held back", State.READY: "passed over"}
    return f"{words[standing.state]} after {standing.failure}" if standing.failure else words[standing.state]

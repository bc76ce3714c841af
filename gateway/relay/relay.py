"""One request through the ordered deployments of its role."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from gateway.domain.failure import FailureClass
from gateway.domain.model import Lane, ModelRef
from gateway.domain.plan import Deployment
from gateway.domain.ports import Clock, CloudGate
from gateway.domain.role import Task
from gateway.errors import AttemptFacts, BadRequest, NoCapableDeployment, NoModelForRole, Unsupported, UpstreamFailed
from gateway.relay.admission import Admission
from gateway.relay.answer import Answer, StreamingAnswer
from gateway.relay.attempts import Candidate
from gateway.relay.breaker import Breakers
from gateway.relay.embedding_request import EmbeddingRequest, why_not_embed
from gateway.relay.embedding_wire import Embeddings, embedding_answer
from gateway.relay.inquiry import Inquiry, Operation
from gateway.relay.lane import ModelLane
from gateway.relay.ledger import Ledger, Observer
from gateway.relay.needs import Needs, Refusals, needs_of, stripped, why_not
from gateway.relay.opening import Opened, open_answer
from gateway.relay.outgoing import Outgoing
from gateway.relay.passage import Passage
from gateway.relay.patience import Patience
from gateway.relay.route import Route
from gateway.relay.walk import NOTICE_S, Ready, Walk
from gateway.relay.wire import AnswerWire

__all__ = ["Answer", "Relay", "StreamingAnswer", "with_defaults"]

Abandoned = Callable[[tuple[AttemptFacts, ...]], None]

_NOTHING: Final[Mapping[Any, Any]] = MappingProxyType({})
_CHATS_ONLY: Final = frozenset(
    {"tools", "tool_choice", "parallel_tool_calls", "response_format", "logprobs", "top_logprobs"}
)
_ANSWER_LIMITS: Final = frozenset({"max_tokens", "max_completion_tokens"})


class Relay:
    """Walks the deployments of a role until one answers. Holds no request state; one serves the whole process.

    ``lanes`` has an entry for every lane that a plan may use. ``observer`` hears of every failed attempt; ``refusals`` know
    what models have refused since the plan was made. ``gate`` says which clouds may not be asked now. A caller who streams hears
    every ``notice_s`` that a model loads.
    """

    def __init__(
        self,
        *,
        lanes: Mapping[Lane, ModelLane],
        clock: Clock,
        breakers: Breakers,
        observer: Observer | None = None,
        refusals: Refusals | None = None,
        gate: CloudGate | None = None,
        notice_s: float = NOTICE_S,
    ) -> None:
        self._lanes = dict(lanes)
        self._clock = clock
        self._breakers = breakers
        self._observer = observer
        self._refusals = refusals
        self._gate = gate
        self._notice_s = notice_s
        self._admission = Admission(clock=clock)

    async def answer(
        self,
        *,
        inquiry: Inquiry,
        wire: AnswerWire,
        route: Route,
        request_id: str,
        patience: Patience | None = None,
        abandoned: Abandoned | None = None,
    ) -> Answer | StreamingAnswer:
        """Answer a chat or completion request: whole, or, if the caller asked to stream, from its first content on (or from the
        first word that a model is loading). ``patience`` is that of the present task, if it has one already.
        ``abandoned`` hears of the attempts so far when the caller leaves before anything is handed back.

        Raises ``BadRequest`` for what the caller got wrong, ``NoModelForRole`` for a role without deployments,
        ``NoCapableDeployment`` when the request's needs rule all of them out, ``RequestFailed`` when none answered.
        """
        walk = Walk(
            self._admit(inquiry, route=route, request_id=request_id),
            lanes=self._lanes,
            admission=self._admission,
            clock=self._clock,
            patience=patience or Patience(),
            notice_s=self._notice_s,
        )
        outgoing = Outgoing(wire, continues=inquiry.stream and route.plan.manner.stream_failure == "continue")
        try:
            begun = await open_answer(walk, outgoing=outgoing)
            if inquiry.stream:
                return StreamingAnswer(walk, begun=begun, outgoing=outgoing)
            assert isinstance(begun, Opened)  # noqa: S101  (only who streams hears of loading)
            return _whole(walk, begun)
        except asyncio.CancelledError:
            _abandon(walk, tell=abandoned)
            raise
        except BaseException:
            walk.close()
            raise

    async def embed(
        self, *, request: EmbeddingRequest, route: Route, request_id: str, abandoned: Abandoned | None = None
    ) -> Answer:
        """Answer an embedding request, with the errors of ``answer``."""
        walk = Walk(
            self._admit_embedding(request, route=route, request_id=request_id),
            lanes=self._lanes,
            admission=self._admission,
            clock=self._clock,
            patience=Patience(),
        )
        try:
            while True:
                step = await walk.next()
                assert isinstance(step, Ready)  # noqa: S101  (only who streams hears of loading)
                begun_s = self._clock.monotonic()
                try:
                    embeddings = await _embedded(walk, step)
                    body = embedding_answer(embeddings, model=step.call.ref.name, as_base64=request.base64)
                except Exception as failed:  # noqa: BLE001 - a deployment that is too odd for the gateway has failed
                    walk.fail(failed)
                    continue
                finally:
                    walk.passage.spent_s += self._clock.monotonic() - begun_s
                walk.passage.ledger.answered()
                walk.succeeded()
                return Answer(
                    deployment=step.call.deployment,
                    attempts=walk.passage.ledger.attempts,
                    fallback_reason=walk.passage.fallback_reason(step.index),
                    upstream_s=walk.passage.spent_s,
                    first_token_s=None,
                    usage={"prompt_tokens": embeddings.prompt_tokens},
                    body=body,
                )
        except asyncio.CancelledError:
            _abandon(walk, tell=abandoned)
            raise
        finally:
            walk.close()

    async def close(self) -> None:
        """Close every lane."""
        for lane in self._lanes.values():
            await lane.close()

    def _admit(self, inquiry: Inquiry, *, route: Route, request_id: str) -> Passage:
        plan = route.plan
        if plan.task is Task.EMBEDDING:
            raise BadRequest(f'"{plan.role}" is for embeddings; it does not chat', param="model")
        if not plan.deployments:
            raise NoModelForRole(role=plan.role)
        parameters = plan.parameters
        if inquiry.operation is Operation.COMPLETION:
            parameters = {key: value for key, value in parameters.items() if key not in _CHATS_ONLY}
        body = with_defaults(inquiry.body, parameters=parameters)
        if body.get("n") not in (None, 1):
            raise Unsupported(f'n: the parameters of the role "{plan.role}" ask for more than 1; allowed: 1', param="n")
        needs = inquiry.needs
        if plan.parameters and inquiry.operation is Operation.CHAT:
            needs = needs_of(body)
        refused = self._refused(plan.deployments)
        return self._passage(
            inquiry,
            route=_as_known(route, refused) if refused else route,
            request_id=request_id,
            body=body,
            needs=needs,
            candidates=self._candidates(route, needs=needs, refused=refused),
        )

    def _admit_embedding(self, request: EmbeddingRequest, *, route: Route, request_id: str) -> Passage:
        plan = route.plan
        if plan.task is not Task.EMBEDDING:
            raise BadRequest(f'"{plan.role}" is for chats; it does not embed', param="model")
        if not plan.deployments:
            raise NoModelForRole(role=plan.role)
        candidates = [
            self._candidate(
                one,
                route.why_home(one)
                or why_not_embed(one, request=request, provider=route.providers.get(one.ref.provider)),
            )
            for one in plan.deployments
        ]
        return self._passage(
            request, route=route, request_id=request_id, body=request.body, needs=request.needs, candidates=candidates
        )

    def _refused(self, deployments: Sequence[Deployment]) -> Mapping[ModelRef, Mapping[str, str]]:
        """What models of these deployments have refused; hardly ever anything."""
        if self._refusals is None or not self._refusals.any:
            return _NOTHING
        return {one.ref: words for one in deployments if (words := self._refusals.refused(one.ref))}

    def _candidates(
        self, route: Route, *, needs: Needs, refused: Mapping[ModelRef, Mapping[str, str]]
    ) -> Sequence[Candidate]:
        most_tokens = needs.most_prompt_tokens + (needs.answer_tokens or 0)
        if not needs.special and most_tokens <= route.least_context_tokens and route.lanes <= self._lanes.keys():
            return route.for_any
        return [
            self._candidate(
                one,
                route.why_home(one)
                or why_not(
                    one,
                    needs=needs,
                    provider=route.providers.get(one.ref.provider),
                    refused=refused.get(one.ref, _NOTHING),
                ),
            )
            for one in route.plan.deployments
        ]

    def _candidate(self, deployment: Deployment, excluded: str) -> Candidate:
        if not excluded and deployment.lane not in self._lanes:
            excluded = f"this gateway has no {deployment.lane} lane"
        return Candidate(excluded=excluded, context_tokens=deployment.context_tokens)

    def _passage(
        self,
        inquiry: Inquiry,
        *,
        route: Route,
        request_id: str,
        body: Mapping[str, object],
        needs: Needs,
        candidates: Sequence[Candidate],
    ) -> Passage:
        plan = route.plan
        if self._gate is not None and route.clouds:
            candidates = _gated(candidates, gate=self._gate, clouds=route.clouds)
        if candidates[0].excluded and all(candidate.excluded for candidate in candidates):
            ruled_out = [
                (str(deployment.ref), candidate.excluded)
                for deployment, candidate in zip(plan.deployments, candidates, strict=True)
            ]
            raise NoCapableDeployment(role=plan.role, ruled_out=[*ruled_out, *route.withheld()])
        ledger = Ledger(route, needs=needs, breakers=self._breakers, clock=self._clock, observer=self._observer)
        return Passage(
            operation=inquiry.operation,
            stream=inquiry.stream,
            route=route,
            request_id=request_id,
            body=body,
            prompt_tokens=needs.most_prompt_tokens,
            candidates=tuple(candidates),
            ledger=ledger,
            started_s=self._clock.monotonic(),
        )


def _gated(
    candidates: Sequence[Candidate], *, gate: CloudGate, clouds: Sequence[tuple[int, str]]
) -> Sequence[Candidate]:
    """The candidates without those whose cloud is closed."""
    closed = {index: why for index, provider in clouds if (why := gate.closed(provider))}
    if not closed:
        return candidates
    return [one._replace(excluded=one.excluded or closed.get(index, "")) for index, one in enumerate(candidates)]


def _abandon(walk: Walk, *, tell: Abandoned | None) -> None:
    walk.passage.ledger.abandon()
    walk.close()
    if tell is not None:
        tell(walk.passage.ledger.attempts)


async def _embedded(walk: Walk, ready: Ready) -> Embeddings:
    """Vectors come all at once: the deadline for the first token holds for them."""
    within_s = min(ready.call.limits.first_token_s, ready.call.left_s)
    try:
        return await walk.patience.wait(ready.lane.embed(ready.call), within_s=within_s)
    except TimeoutError as exc:
        raise UpstreamFailed(f"no answer within {within_s:g} s", failure=FailureClass.TIMEOUT) from exc


def _as_known(route: Route, refused: Mapping[ModelRef, Mapping[str, str]]) -> Route:
    deployments = tuple(stripped(one, refused=refused.get(one.ref, _NOTHING)) for one in route.plan.deployments)
    return replace(route, plan=replace(route.plan, deployments=deployments))


def _whole(walk: Walk, opened: Opened) -> Answer:
    assert opened.whole is not None  # noqa: S101  (who does not stream gets it whole)
    walk.succeeded()
    answer = Answer(
        deployment=opened.deployment,
        attempts=walk.passage.ledger.attempts,
        fallback_reason=walk.passage.fallback_reason(opened.index),
        upstream_s=walk.passage.spent_s + opened.watch.waited_s,
        first_token_s=opened.watch.told_s,
        usage=opened.whole.usage,
        body=opened.whole.body,
    )
    walk.close()
    return answer


def with_defaults(body: Mapping[str, object], *, parameters: Mapping[str, object]) -> Mapping[str, object]:
    """The request with the role's defaults where the caller said nothing (``null`` says nothing)."""
    if not parameters:
        return body
    said = {key for key, value in body.items() if value is not None}
    left_out = said | (_ANSWER_LIMITS if said & _ANSWER_LIMITS else frozenset())
    return {**body, **{key: value for key, value in parameters.items() if key not in left_out}}

"""What the caller hears when no deployment served the request."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from gateway.domain.failure import FAILURE_RULES, FailureClass
from gateway.domain.model import Provider, ProviderKind
from gateway.domain.plan import Deployment
from gateway.errors import AttemptFacts, RequestFailed, UpstreamFailed
from gateway.relay.breaker import Standing, State

OVERLOADED_RETRY_S: Final = 5.0

_UPSTREAMS_WORDS: Final = frozenset(
    {FailureClass.BAD_REQUEST, FailureClass.CONTENT_POLICY, FailureClass.CONTEXT_LENGTH}
)
_PAUSES: Final = frozenset({FailureClass.RATE_LIMIT, FailureClass.OVERLOADED, FailureClass.SATURATED})
_HINTS: Final = MappingProxyType(
    {
        FailureClass.TRANSPORT: "`rolegate status` shows which providers answer",
        FailureClass.SATURATED: "try again later, or raise max_parallel or queue_wait_s of the provider",
        FailureClass.GONE: "`rolegate models list` shows what is installed",
        FailureClass.LOAD_FAILED: "`rolegate explain` shows what the model needs and what the machine has",
        FailureClass.CONTEXT_LENGTH: "shorten the conversation, or give the role a model with a larger context",
    }
)


def refusal(
    *,
    role: str,
    deployment: Deployment,
    provider: Provider,
    failed: UpstreamFailed,
    attempts: Sequence[AttemptFacts],
    not_asked: Sequence[tuple[str, str]] = (),
) -> RequestFailed:
    """The answer to a request whose last attempt was ``failed``, on ``deployment`` of ``provider``. ``not_asked`` are the cloud
    models behind it, each with the reason why it was left alone."""
    failure = FailureClass(failed.failure)
    rule = FAILURE_RULES[failure]
    if failure in _UPSTREAMS_WORDS:
        message = failed.message
    else:
        message = f'no deployment of role "{role}" answered; the last, {deployment.ref}, failed with {failure}'
        message += f": {failed.message}{_left_alone(not_asked)}"
    return RequestFailed(
        message,
        code=rule.code,
        http_status=rule.status,
        openai_type=rule.openai_type,
        source="upstream" if failed.spoken else "gateway",
        attempts=attempts,
        retry_after_s=_retry_after_s(failure, given_s=failed.retry_after_s),
        hint=_hint(failure, deployment=deployment, provider=provider),
    )


def held_back(
    *,
    role: str,
    deployments: Sequence[Deployment],
    providers: Mapping[str, Provider],
    standings: Sequence[Standing],
    ruled_out: Sequence[str],
    now_s: float,
    not_asked: Sequence[tuple[str, str]] = (),
) -> RequestFailed:
    """The answer to a request that could be tried nowhere: what can serve it is held back. ``not_asked`` as above."""
    held = [
        (deployment, standing)
        for deployment, standing, reason in zip(deployments, standings, ruled_out, strict=True)
        if not reason and standing.state is State.HELD
    ]
    if not held:
        rule = FAILURE_RULES[FailureClass.TIMEOUT]
        return RequestFailed(
            f'no time was left to call a deployment of role "{role}"',
            code=rule.code,
            http_status=rule.status,
            openai_type=rule.openai_type,
            source="gateway",
            attempts=(),
            hint="the role's deadline total_s is over before an attempt begins",
        )
    reasons = "; ".join(f"{deployment.ref}: {standing.failure}: {standing.message}" for deployment, standing in held)
    first, standing = held[0]
    failure = standing.failure or FailureClass.OVERLOADED
    rule = FAILURE_RULES[failure]
    ends_s = [standing.until_s for _, standing in held if standing.until_s is not None]
    return RequestFailed(
        f'no deployment of role "{role}" can be called now: {reasons}{_left_alone(not_asked)}',
        code=rule.code,
        http_status=rule.status,
        openai_type=rule.openai_type,
        source="gateway",
        attempts=(),
        retry_after_s=max(0.0, min(ends_s) - now_s) if ends_s else None,
        hint=_hint(failure, deployment=first, provider=providers[first.ref.provider]),
    )


def _left_alone(not_asked: Sequence[tuple[str, str]]) -> str:
    reasons = "; ".join(f"{model}: {reason}" for model, reason in not_asked)
    return f"; not asked: {reasons}" if reasons else ""


def _hint(failure: FailureClass, *, deployment: Deployment, provider: Provider) -> str:
    if failure is not FailureClass.AUTH:
        return _HINTS.get(failure, "")
    if provider.kind is ProviderKind.OLLAMA and deployment.cloud and not provider.has_key:
        return f"`ollama signin` on the host of {provider.name} signs it in; then start the gateway again"
    if not provider.key_variable:
        return ""
    at_once = f"`rolegate providers set-key {provider.name}` gives it another at once"
    return f"{at_once}; where {provider.key_variable} is set, that counts, and takes a restart"


def _retry_after_s(failure: FailureClass, *, given_s: float | None) -> float | None:
    if failure is FailureClass.OVERLOADED and given_s is None:
        return OVERLOADED_RETRY_S
    return given_s if failure in _PAUSES else None

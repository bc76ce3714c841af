"""The classes of failure that an attempt can end in, and what each means for the deployments after it."""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class FailureClass(StrEnum):
    TRANSPORT = "transport"
    RATE_LIMIT = "rate_limit"
    UPSTREAM_ERROR = "upstream_error"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    TIMEOUT_FIRST_TOKEN = "timeout_first_token"
    STALL = "stall"
    TRUNCATED = "truncated"
    CONTEXT_LENGTH = "context_length"
    CONTENT_POLICY = "content_policy"
    BAD_REQUEST = "bad_request"
    CAPABILITY = "capability"
    AUTH = "auth"
    GONE = "gone"
    LOAD_FAILED = "load_failed"
    SATURATED = "saturated"
    """The gateway itself sends the provider no more: as many requests as it may have are under way, and the queue is full or
    too slow."""
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRule:
    """``moves_on``: the next deployment is tried. ``cools``: counts against the deployment. The rest is what the caller
    sees when nothing is left: HTTP status, OpenAI error type and code."""

    moves_on: bool
    cools: bool
    status: int
    openai_type: str
    code: str


def _rule(*, moves_on: bool, cools: bool, status: int, code: str) -> FailureRule:
    kinds = {400: "invalid_request_error", 429: "rate_limit_error"}
    return FailureRule(
        moves_on=moves_on, cools=cools, status=status, openai_type=kinds.get(status, "api_error"), code=code
    )


FAILURE_RULES: Final = MappingProxyType(
    {
        FailureClass.TRANSPORT: _rule(moves_on=True, cools=True, status=502, code="upstream_unreachable"),
        FailureClass.RATE_LIMIT: _rule(moves_on=True, cools=True, status=429, code="rate_limit_exceeded"),
        FailureClass.UPSTREAM_ERROR: _rule(moves_on=True, cools=True, status=502, code="upstream_error"),
        FailureClass.OVERLOADED: _rule(moves_on=True, cools=True, status=503, code="upstream_overloaded"),
        FailureClass.TIMEOUT: _rule(moves_on=True, cools=True, status=504, code="upstream_timeout"),
        FailureClass.TIMEOUT_FIRST_TOKEN: _rule(moves_on=True, cools=True, status=504, code="first_token_timeout"),
        FailureClass.STALL: _rule(moves_on=True, cools=True, status=504, code="stream_stalled"),
        FailureClass.TRUNCATED: _rule(moves_on=True, cools=True, status=502, code="stream_truncated"),
        FailureClass.CONTEXT_LENGTH: _rule(moves_on=True, cools=False, status=400, code="context_length_exceeded"),
        FailureClass.CONTENT_POLICY: _rule(moves_on=False, cools=False, status=400, code="content_policy_violation"),
        FailureClass.BAD_REQUEST: _rule(moves_on=False, cools=False, status=400, code="invalid_request"),
        FailureClass.CAPABILITY: _rule(moves_on=True, cools=False, status=400, code="no_capable_deployment"),
        FailureClass.AUTH: _rule(moves_on=True, cools=True, status=502, code="provider_auth"),
        FailureClass.GONE: _rule(moves_on=True, cools=True, status=503, code="model_gone"),
        FailureClass.LOAD_FAILED: _rule(moves_on=True, cools=True, status=503, code="model_load_failed"),
        FailureClass.SATURATED: _rule(moves_on=True, cools=False, status=429, code="queue_full"),
        FailureClass.CANCELLED: _rule(moves_on=False, cools=False, status=499, code="cancelled"),
    }
)

STATUS_CLASSES: Final = MappingProxyType(
    {
        400: FailureClass.BAD_REQUEST,
        401: FailureClass.AUTH,
        402: FailureClass.RATE_LIMIT,
        403: FailureClass.AUTH,
        404: FailureClass.GONE,
        408: FailureClass.TIMEOUT,
        410: FailureClass.GONE,
        413: FailureClass.BAD_REQUEST,
        422: FailureClass.BAD_REQUEST,
        425: FailureClass.OVERLOADED,
        429: FailureClass.RATE_LIMIT,
        501: FailureClass.CAPABILITY,
        503: FailureClass.OVERLOADED,
        529: FailureClass.OVERLOADED,
    }
)
"""What an HTTP status says by itself, on every lane. An account without credit (402) needs no new key to heal."""

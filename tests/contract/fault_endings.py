"""What a fault may come to for the caller, in the words of the error contract and not of the code."""

from dataclasses import dataclass, replace
from typing import Final, Literal

from contract.fault_wire import TEXT, TOLD


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """``failure`` is the class of the failed attempts; "" when the first deployment answers in spite of the fault.

    ``alone`` and ``beside`` count the attempts on the faulty deployment: when it is the only one, and when another could answer.
    ``heals`` says that one more attempt after those is answered: when it is alone, or in both settings. ``moves_on`` is false
    where the caller gets the error although another deployment is there. ``status``, ``code`` and ``source`` are the error's;
    ``retry_after`` says that it tells when to come back. ``resent`` requests reach the faulty server beyond those that count as
    attempts. ``delivered`` is what a stream has brought by the time it breaks, ""
    before content; with ``endless`` it has come any number of times. ``text``, ``finish`` and ``calls`` are those of the first
    deployment's answer.
    """

    failure: str = ""
    status: int = 200
    code: str = ""
    source: str = "upstream"
    alone: int = 1
    beside: int = 1
    heals: Literal["", "alone", "both"] = ""
    moves_on: bool = True
    retry_after: bool = False
    resent: int = 0
    delivered: str = ""
    endless: bool = False
    text: str = TEXT
    finish: str = "stop"
    calls: int = 0

    @property
    def kind(self) -> str:
        """The ``type`` of the error object."""
        return {400: "invalid_request_error", 429: "rate_limit_error"}.get(self.status, "api_error")


ANSWERED: Final = Ending()
TRANSPORT: Final = Ending(failure="transport", status=502, code="upstream_unreachable", source="gateway", alone=2)
TIMEOUT: Final = Ending(failure="timeout", status=504, code="upstream_timeout", source="gateway")
FIRST_TOKEN: Final = Ending(failure="timeout_first_token", status=504, code="first_token_timeout", source="gateway")
RATE_LIMIT: Final = Ending(failure="rate_limit", status=429, code="rate_limit_exceeded", alone=3)
UPSTREAM_ERROR: Final = Ending(failure="upstream_error", status=502, code="upstream_error", alone=2, beside=2)
ODD: Final = replace(UPSTREAM_ERROR, source="gateway")
"""An answer that upstream does not call an error, but the gateway does."""
OVERLOADED: Final = Ending(failure="overloaded", status=503, code="upstream_overloaded", alone=3, retry_after=True)
LOAD_FAILED: Final = Ending(failure="load_failed", status=503, code="model_load_failed")
GONE: Final = Ending(failure="gone", status=503, code="model_gone")
AUTH: Final = Ending(failure="auth", status=502, code="provider_auth")
CAPABILITY: Final = Ending(failure="capability", status=400, code="no_capable_deployment")
CONTEXT_LENGTH: Final = Ending(failure="context_length", status=400, code="context_length_exceeded")
CONTENT_POLICY: Final = Ending(failure="content_policy", status=400, code="content_policy_violation", moves_on=False)
BAD_REQUEST: Final = Ending(failure="bad_request", status=400, code="invalid_request", moves_on=False)
TRUNCATED: Final = Ending(failure="truncated", status=502, code="stream_truncated", source="gateway")
CUT: Final = replace(TRUNCATED, delivered=TOLD)
STALL: Final = Ending(failure="stall", status=504, code="stream_stalled", source="gateway", delivered=TOLD)
ENDLESS: Final = replace(TIMEOUT, moves_on=False, delivered="la ", endless=True)
"""The total deadline is over, so nothing else is tried."""

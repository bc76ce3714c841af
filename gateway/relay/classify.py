"""What an upstream's refusal means: status and body → the failed attempt."""

import re
from email.utils import parsedate_to_datetime

from gateway.domain.complaint import complaint, counted_tokens, failure_class
from gateway.domain.failure import FailureClass
from gateway.domain.secret import Secret
from gateway.errors import UpstreamFailed


def classify(
    *,
    status: int | None,
    body: object,
    keyed: bool,
    key: Secret | None = None,
    account: bool = False,
    retry_after_s: float | None = None,
    loading: bool = False,
) -> UpstreamFailed:
    """The failure that an error answer stands for.

    ``status``, ``keyed`` and ``loading`` are those of ``failure_class``. ``key`` is the one that was sent, to be masked where
    upstream repeats it; ``account`` says that none was, and that the server asked a cloud on its own account: its words on that
    hold no key.
    """
    found = complaint(body, secrets=(key.reveal(),) if key else ())
    failure = failure_class(found, status=status, keyed=keyed, loading=loading)
    if failure is FailureClass.AUTH:
        effective = found.status if status is None else status
        refused = "the server's own cloud account was refused" if account else "the provider refused the gateway's key"
        message = refused + (f" (status {effective})" if effective else "")
        if account and found.message:
            message += f": {found.message}"
    else:
        message = found.message or (f"status {status} without a message" if status is not None else "an error event")
    return UpstreamFailed(
        message,
        failure=failure,
        status=status,
        spoken=True,
        retry_after_s=retry_after_s,
        prompt_tokens=counted_tokens(found) if failure is FailureClass.CONTEXT_LENGTH else None,
    )


def retry_after(value: str | None, *, now_s: float) -> float | None:
    """Seconds from a ``Retry-After`` header, which holds seconds or an HTTP date; ``None`` without a usable one. ``now_s`` is
    the time since the epoch."""
    if not value:
        return None
    text = value.strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now_s)
    except (ValueError, OverflowError):
        return None

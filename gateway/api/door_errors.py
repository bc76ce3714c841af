"""How callers are turned away at the door. None of it repeats what they presented."""

from collections.abc import Collection

from gateway.errors import RolegateError


class KeyNeeded(RolegateError):
    """A request came without a key that counts."""

    code = "invalid_api_key"
    http_status = 401
    openai_type = "invalid_request_error"


class KeyNotAllowed(RolegateError):
    """A key that counts opens other doors than this one, or other roles."""

    code = "key_not_allowed"
    http_status = 403
    openai_type = "invalid_request_error"


class KeyLimitReached(RolegateError):
    """A key has as many requests as it may. ``retry_after_s`` is when to ask again at the earliest."""

    code = "key_limit_reached"
    http_status = 429
    openai_type = "rate_limit_error"

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class DoorsShut(RolegateError):
    """The list of client keys cannot be used, so nobody with a key comes in."""

    code = "doors_shut"
    http_status = 503

    def __init__(self) -> None:
        super().__init__("the gateway cannot use its list of keys", hint="its log says why")


def role_not_allowed(asked: str, *, allowed: Collection[str]) -> KeyNotAllowed:
    """For a key that may use ``allowed`` only. It says no more of other roles than that."""
    return KeyNotAllowed(
        f'this key may not use "{asked}"; it may use: {", ".join(sorted(allowed))}',
        hint="ask whoever runs the gateway for a key with that role",
    )

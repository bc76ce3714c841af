"""Errors in the shape that Anthropic's clients read, with what the gateway knows beside it."""

from types import MappingProxyType
from typing import Final

from gateway.api.errors import error_status
from gateway.errors import BadRequest, RolegateError
from gateway.relay.error_shape import error_object

_TYPES: Final = MappingProxyType(
    {
        401: "authentication_error",
        402: "billing_error",
        403: "permission_error",
        404: "not_found_error",
        408: "timeout_error",
        413: "request_too_large",
        429: "rate_limit_error",
        503: "overloaded_error",
        504: "timeout_error",
        529: "overloaded_error",
    }
)
_TOO_LONG: Final = "prompt is too long"
"""Anthropic's own words for it: its API has no code for this, so clients that shorten a conversation look for them."""


def messages_error(error: RolegateError, *, request_id: str | None = None) -> dict[str, object]:
    """``{"type": "error", "error": {...}, "request_id"}``. ``type`` follows from the status; ``code``, ``param``,
    ``source`` and ``attempts`` are the gateway's own, as on the chat wire."""
    content = error_object(error)["error"]
    facts = dict(content) if isinstance(content, dict) else {}
    message = str(facts.pop("message", error.message))
    if facts.get("code") == "context_length_exceeded" and _TOO_LONG not in message.lower():
        message = f"{_TOO_LONG}: {message}"
    if facts.get("param") is None:
        facts.pop("param", None)
    return {
        "type": "error",
        "error": {**facts, "type": _type_of(error), "message": message},
        "request_id": request_id,
    }


def _type_of(error: RolegateError) -> str:
    status = error_status(error)
    if status in _TYPES:
        return _TYPES[status]
    # What is not offered is a 501 on every wire, but it is the request that has to change.
    return "invalid_request_error" if status < 500 or isinstance(error, BadRequest) else "api_error"

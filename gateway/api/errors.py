"""Errors over HTTP: status, body and headers."""

from collections.abc import Mapping

import orjson

from gateway.errors import RequestFailed, RolegateError
from gateway.relay.error_shape import error_object


def error_status(error: RolegateError) -> int:
    return error.status if isinstance(error, RequestFailed) else error.http_status


def error_body(error: RolegateError) -> bytes:
    return orjson.dumps(error_object(error))


def error_headers(error: RolegateError) -> Mapping[str, str]:
    """Headers that go with an error: when to come back, where that is known."""
    if isinstance(error, RequestFailed) and error.retry_after_s is not None:
        return {"retry-after": str(max(round(error.retry_after_s), 1))}
    return {}

"""Errors over HTTP: status, body and headers."""

from collections.abc import Mapping
from math import ceil

import orjson

from gateway.api.door_errors import KeyLimitReached, KeyNeeded
from gateway.errors import RequestFailed, RolegateError, Unsupported
from gateway.relay.error_shape import error_object


def error_status(error: RolegateError) -> int:
    return error.status if isinstance(error, RequestFailed) else error.http_status


def error_body(error: RolegateError) -> bytes:
    return orjson.dumps(error_object(error))


def error_headers(error: RolegateError) -> Mapping[str, str]:
    """Headers that go with an error: when to come back, where that is known, how to come in, or that it is no use."""
    if isinstance(error, RequestFailed) and error.retry_after_s is not None:
        return {"retry-after": str(max(round(error.retry_after_s), 1))}
    if isinstance(error, KeyLimitReached):
        return {"retry-after": str(max(ceil(error.retry_after_s), 1))}
    if isinstance(error, KeyNeeded):
        return {"www-authenticate": 'Bearer realm="rolegate"'}
    if isinstance(error, Unsupported):
        # The official clients ask again after any status from 500 on, which is no use here.
        return {"x-should-retry": "false"}
    return {}

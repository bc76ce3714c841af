"""Errors as callers see them: OpenAI's shape, from one table, saying who spoke."""

from collections.abc import Mapping

import orjson

from gateway.errors import BadRequest, RequestFailed, RolegateError


def error_status(error: RolegateError) -> int:
    return error.status if isinstance(error, RequestFailed) else error.http_status


def error_object(error: RolegateError) -> dict[str, object]:
    """``{"error": {...}}`` for any error of ours."""
    failed = error if isinstance(error, RequestFailed) else None
    message = f"{error.message} ({error.hint})" if error.hint else error.message
    content: dict[str, object] = {
        "message": message,
        "type": failed.failure_type if failed else error.openai_type,
        "code": failed.failure_code if failed else error.code,
        "param": error.param if isinstance(error, BadRequest) else None,
        "source": failed.source if failed else "gateway",
    }
    if failed:
        content["attempts"] = [
            {"model": one.model, "class": one.failure, "status": one.status, "ms": round(one.ms, 1)}
            for one in failed.attempts
        ]
    return {"error": content}


def error_body(error: RolegateError) -> bytes:
    return orjson.dumps(error_object(error))


def error_headers(error: RolegateError) -> Mapping[str, str]:
    """Headers that go with an error: when to come back, where that is known."""
    if isinstance(error, RequestFailed) and error.retry_after_s is not None:
        return {"retry-after": str(max(round(error.retry_after_s), 1))}
    return {}

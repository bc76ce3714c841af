"""The one shape of an error, OpenAI's, as the caller gets it in a body or in the last event of a stream."""

from gateway.errors import BadRequest, RequestFailed, RolegateError


def error_object(error: RolegateError) -> dict[str, object]:
    """``{"error": {...}}``: what happened, who spoke, and what was tried."""
    failed = error if isinstance(error, RequestFailed) else None
    content: dict[str, object] = {
        "message": f"{error.message} ({error.hint})" if error.hint else error.message,
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

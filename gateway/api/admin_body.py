"""What an admin route is told in its body: a JSON object whose fields are all known."""

from collections.abc import Mapping, Sequence

from starlette.requests import Request

from gateway.api.reply import CallerGone, read_body
from gateway.domain.nearest import nearest_name
from gateway.errors import BadRequest, RequestTooLarge
from gateway.relay.json_object import read_object


async def read_content(request: Request, *, limit_bytes: int, required: bool = False) -> Mapping[str, object]:
    """The object in the body; empty where there is no body, and none is ``required``. Raises ``BadRequest`` for anything else."""
    if request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
        if required:
            raise BadRequest("the request has no body", hint="send a JSON object; {} is one that says nothing")
        return {}
    try:
        return read_object(await read_body(request.receive, limit_bytes=limit_bytes))
    except RequestTooLarge as large:
        large.hint = "send less"  # the limit of admin routes is not the one that a setting raises
        raise
    except CallerGone as gone:
        raise BadRequest("the caller left before its request was complete") from gone


def only_fields(content: Mapping[str, object], *, known: Sequence[str]) -> Mapping[str, object]:
    """``content``, if it has no other fields than these. Raises ``BadRequest`` for the first that means nothing here."""
    for name in content:
        if name not in known:
            nearest = nearest_name(name, known)
            raise BadRequest(
                f'the field "{name}" is not known here; allowed: {", ".join(known) or "none"}',
                param=name,
                hint=f'did you mean "{nearest}"?' if nearest else "",
            )
    return content


def only_query(request: Request, *, known: Sequence[str]) -> Mapping[str, str]:
    """The query parameters; an empty one counts as not given. Raises ``BadRequest`` for one that means nothing here."""
    for name in request.query_params:
        if name not in known:
            allowed = ", ".join(known) or "none"
            raise BadRequest(f'there is no query parameter "{name}"; allowed: {allowed}', param=name)
    return {name: value for name, value in request.query_params.items() if value}

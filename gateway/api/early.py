"""Errors of requests that never reach their endpoint: in the shape that callers of that path expect, under the request's id."""

from collections.abc import Mapping

from starlette.responses import Response
from starlette.types import Scope

from gateway.api.errors import error_body, error_headers, error_status
from gateway.api.messages import Messages
from gateway.api.request_id import request_id_of
from gateway.errors import RolegateError

_MESSAGES_PATH = "/v1/messages"


class Unforeseen(RolegateError):
    """Nobody thought of this: a fault of the gateway's own."""

    def __init__(self) -> None:
        super().__init__("an unexpected error; the gateway's log has the details")


def early_error(error: RolegateError, *, scope: Scope, headers: Mapping[str, str] | None = None) -> Response:
    """The answer that says so. ``headers`` go with it."""
    in_messages = str(scope["path"]).startswith(_MESSAGES_PATH)
    request_id = request_id_of(dict(scope["headers"]))
    ids = {"x-request-id": request_id, **({"request-id": request_id} if in_messages else {})}
    return Response(
        Messages().error(error, request_id=request_id) if in_messages else error_body(error),
        status_code=error_status(error),
        headers={**(headers or {}), **error_headers(error), **ids},
        media_type="application/json",
    )

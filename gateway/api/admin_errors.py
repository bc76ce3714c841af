"""The errors of a configuration over HTTP: in the common shape, with every problem as data beside the words."""

from dataclasses import asdict

from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from gateway.api.request_id import request_id_of
from gateway.file_errors import ConfigInvalid
from gateway.relay.error_shape import error_object


def problems_error(error: ConfigInvalid, *, scope: Scope) -> Response:
    """The answer that says so; each of its ``problems`` has the fields of ``Problem``."""
    content = error_object(error)
    told = content["error"]
    assert isinstance(told, dict)  # noqa: S101  (the shape of every error)
    told["problems"] = [asdict(problem) for problem in error.problems]
    return JSONResponse(
        content, status_code=error.http_status, headers={"x-request-id": request_id_of(dict(scope["headers"]))}
    )

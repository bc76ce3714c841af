"""``GET /admin/v1/openapi.json``: the admin routes as an OpenAPI 3.1 document."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway import __version__
from gateway.api.admin_operation import Operation, Parameter
from gateway.api.admin_operations import OPERATIONS
from gateway.api.admin_schemas import component_schemas, ref
from gateway.api.door_errors import DoorsShut, KeyLimitReached, KeyNeeded, KeyNotAllowed
from gateway.errors import HostNotAllowed, RolegateError

OPENAPI: Final = "3.1.0"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
EVERYWHERE: Final = (HostNotAllowed, KeyNeeded, KeyNotAllowed, KeyLimitReached, DoorsShut, RolegateError)
"""What any route may refuse with: a caller from elsewhere, one without the right key, and what nobody foresaw."""


SECURITY_SCHEMES: Final = MappingProxyType(
    {
        "bearer": {"type": "http", "scheme": "bearer", "description": "an admin key"},
        "api_key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "an admin key, too"},
    }
)


class Description:
    """The document, made when it is first asked for. ``open_here``: callers on this machine need no key."""

    def __init__(self, *, open_here: bool) -> None:
        self._open_here = open_here

    async def show(self, request: Request) -> Response:
        return JSONResponse(self._document)

    @cached_property
    def _document(self) -> Mapping[str, object]:
        return openapi_document(open_here=self._open_here)


def openapi_document(*, open_here: bool) -> dict[str, Any]:
    """Every admin route; a key is asked for, unless it is ``open_here``. Pure."""
    security: list[dict[str, list[str]]] = [{name: []} for name in SECURITY_SCHEMES]
    paths: dict[str, dict[str, Any]] = {}
    for one in OPERATIONS:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one)
    return {
        "openapi": OPENAPI,
        "jsonSchemaDialect": DIALECT,
        "info": {
            "title": "Rolegate: the admin routes",
            "version": __version__,
            "description": "What the live gateway is, does and remembers, and how to change it. The data plane speaks OpenAI's "
            "and Anthropic's own formats, which are described elsewhere.",
        },
        "security": [{}, *security] if open_here else security,
        "paths": paths,
        "components": {"schemas": dict(component_schemas()), "securitySchemes": dict(SECURITY_SCHEMES)},
    }


def _operation(one: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {"operationId": one.id, "summary": one.about}
    if one.detail:
        described["description"] = one.detail
    if one.parameters:
        described["parameters"] = [_parameter(each) for each in one.parameters]
    if one.body:
        described["requestBody"] = {"required": one.body_required, "content": _json(one.body, example=one.example)}
    described["responses"] = {
        **{str(status): _answer(one, status=status, name=name) for status, name in one.answers.items()},
        **_refusals((*one.refusals, *EVERYWHERE)),
    }
    return described


def _parameter(one: Parameter) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": one.name,
        "in": one.place,
        "description": one.about,
        "required": one.required,
        "schema": one.schema,
    }
    # An empty one counts as not given.
    return {**described, "allowEmptyValue": True} if one.place == "query" and not one.required else described


def _json(name: str, *, example: Mapping[str, object] | None = None) -> dict[str, Any]:
    described: dict[str, Any] = {"schema": ref(name)}
    return {"application/json": described if example is None else {**described, "example": example}}


def _answer(one: Operation, *, status: int, name: str) -> dict[str, Any]:
    content = _json(name) if name else {"application/json": {"schema": {"type": "object"}}}
    headers = {
        title: {"description": about, "schema": {"type": "string"}} for title, about in one.answer_headers.items()
    }
    return {
        "description": HTTPStatus(status).phrase,
        "content": content,
        **({"headers": headers} if headers else {}),
    }


def _refusals(errors: Iterable[type[RolegateError]]) -> dict[str, Any]:
    """One response for each status, with the codes that come with it."""
    codes: dict[int, list[str]] = {}
    for error in errors:
        codes.setdefault(error.http_status, []).append(error.code)
    return {
        str(status): {"description": ", ".join(dict.fromkeys(codes[status])), "content": _json("Error")}
        for status in sorted(codes)
    }

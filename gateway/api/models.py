"""``GET /v1/models`` and ``GET /v1/models/{id}``: the roles first, then the model references."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.api.visitor import Visitor, visitor_of
from gateway.domain.nearest import nearest_name
from gateway.errors import UnknownRole
from gateway.relay.error_shape import error_object
from gateway.runtime.generation import Generation
from gateway.runtime.swap import Switchboard


def _entries(generation: Generation, *, visitor: Visitor) -> list[dict[str, object]]:
    """What this visitor may ask for."""
    created = int(generation.created_s)
    roles = [
        {"id": name, "object": "model", "created": created, "owned_by": "rolegate"}
        for name, plan in generation.roles.items()
        if plan.deployments and visitor.may_use(name)
    ]
    references = [
        {"id": reference, "object": "model", "created": created, "owned_by": reference.partition(":")[0]}
        for reference in generation.references
        if visitor.may_use(reference)
    ]
    return [*roles, *references]


class Models:
    """The two routes, over the live generation."""

    def __init__(self, *, switchboard: Switchboard) -> None:
        self._switchboard = switchboard

    async def list(self, request: Request) -> Response:
        return JSONResponse(
            {"object": "list", "data": _entries(self._switchboard.live, visitor=visitor_of(request.scope))}
        )

    async def show(self, request: Request) -> Response:
        name = request.path_params["id"]
        visitor = visitor_of(request.scope)
        visitor.must_use(name)
        live = self._switchboard.live
        entries = {str(entry["id"]): entry for entry in _entries(live, visitor=visitor)}
        canonical = live.canonical(name)
        if canonical in entries:
            return JSONResponse(entries[canonical])
        roles = [one for one, plan in live.roles.items() if plan.deployments and visitor.may_use(one)]
        error = UnknownRole(name=name, roles=roles, nearest=nearest_name(name, entries))
        return JSONResponse(error_object(error), status_code=error.http_status)

"""The admin routes of models: what there is, loading, unloading, removing, and what this machine can hold."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.api.admin_body import flag_of, only_fields, read_content
from gateway.domain.keeping import checked_keep_alive
from gateway.runtime.keeping import Keeping
from gateway.runtime.keeping_data import kept_data, load_data, removed_data, unload_data

BODY_LIMIT_BYTES: Final = 64 << 10


class ModelRoutes:
    """``resources`` tells of this machine now; it blocks."""

    def __init__(self, *, keeping: Keeping, resources: Callable[[], Mapping[str, object]]) -> None:
        self._keeping = keeping
        self._resources = resources

    def routes(self) -> list[Route]:
        """References hold colons and slashes, so that everything up to the last word of the path is one."""
        return [
            Route("/admin/v1/models", self.list),
            Route("/admin/v1/models/{ref:path}/load", self.load, methods=["POST"]),
            Route("/admin/v1/models/{ref:path}/unload", self.unload, methods=["POST"]),
            Route("/admin/v1/models/{ref:path}", self.remove, methods=["DELETE"]),
            Route("/admin/v1/resources", self.show_resources),
        ]

    async def list(self, request: Request) -> Response:
        return JSONResponse({"models": [kept_data(one) for one in await self._keeping.listing()]})

    async def load(self, request: Request) -> Response:
        """Answers when the model is loaded. The body may be empty, or ``{"keep_alive": "30m"}``."""
        keep_alive = _keep_alive(await read_content(request, limit_bytes=BODY_LIMIT_BYTES))
        return JSONResponse(load_data(await self._keeping.load(request.path_params["ref"], keep_alive=keep_alive)))

    async def unload(self, request: Request) -> Response:
        """Answers when the model is out of memory, or with ``unloaded`` false when requests in flight keep it there."""
        return JSONResponse(unload_data(await self._keeping.unload(request.path_params["ref"])))

    async def remove(self, request: Request) -> Response:
        """409 for a model that roles use, unless ``?force=1``."""
        force = flag_of(request.query_params, "force")
        return JSONResponse(removed_data(await self._keeping.remove(request.path_params["ref"], force=force)))

    async def show_resources(self, request: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(self._resources))


def _keep_alive(content: Mapping[str, object]) -> str | int | None:
    """How long the model is to stay. Raises ``BadRequest`` for a bad one, and for fields that mean nothing here."""
    value = only_fields(content, known=("keep_alive",)).get("keep_alive")
    return None if value is None else checked_keep_alive(value)

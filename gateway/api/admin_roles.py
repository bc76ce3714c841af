"""The admin routes of roles: which there are, and what the operator's own layer, ``user_models``, says of each."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.api.admin_body import only_query, read_content
from gateway.api.admin_edits import (
    BODY_LIMIT_BYTES,
    EditThreads,
    Precondition,
    Stored,
    changes_of,
    edit_of,
    etag_of,
    outcome_of,
)
from gateway.runtime.controller import Controller

_HOW: Final = "nothing was written: GET the role, make the change to what it says now, and send its ETag as If-Match"


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenRole:
    """What an edit did. ``etag`` is the version of the file; ``profiles`` are those that speak of the role too, and stand above
    it."""

    etag: str
    created: bool = False
    profiles: tuple[str, ...] = ()


class RoleShelf(Protocol):
    """The roles of one installation. Methods block, and raise ``ConfigInvalid`` with every problem that there is, or would be."""

    def listing(self) -> Stored:
        """``{"file", "roles": [{"role", "own", "profiles"}]}``, with the version of the file."""

    def read(self, role: str) -> Stored:
        """What the layer says of the role; empty where it says nothing. Raises ``UnknownName``."""

    def write(self, role: str, values: Mapping[str, object], *, precondition: Precondition) -> WrittenRole:
        """Make that all that the layer says of it. Raises ``EditConflict``."""

    def change(self, role: str, assignments: tuple[str, ...], *, precondition: Precondition) -> WrittenRole:
        """Change single values. Raises ``UnknownName``, ``EditConflict``, and ``BadRequest`` for an assignment that is none."""

    def remove(self, role: str, *, precondition: Precondition) -> WrittenRole:
        """Raises ``UnknownName``, ``EditConflict``, and ``BadRequest`` for a role that profiles alone have."""


class Roles:
    """Writing answers when the change is stored and, with hot-swap on, taken up."""

    def __init__(self, *, shelf: RoleShelf, controller: Controller, threads: EditThreads) -> None:
        self._shelf = shelf
        self._threads = threads
        self._controller = controller

    async def list(self, request: Request) -> Response:
        only_query(request, known=())
        stored = await asyncio.to_thread(self._shelf.listing)
        return JSONResponse(dict(stored.values), headers=etag_of(stored))

    async def one(self, request: Request) -> Response:
        """What is at a role's own path, by method."""
        only_query(request, known=())
        by_method = {"PUT": self._write, "PATCH": self._change, "DELETE": self._remove}
        with edit_of(f"role {request.path_params['role']}", controller=self._controller, again=_HOW):
            return await by_method.get(request.method, self._read)(request)

    async def _read(self, request: Request) -> Response:
        stored = await asyncio.to_thread(self._shelf.read, request.path_params["role"])
        return JSONResponse(dict(stored.values), headers=etag_of(stored))

    async def _write(self, request: Request) -> Response:
        role, precondition = request.path_params["role"], Precondition.parse(request.headers)
        values = await read_content(request, limit_bytes=BODY_LIMIT_BYTES, required=True)
        written = await self._threads.run(self._shelf.write, role, values, precondition=precondition)
        return await self._told({"role": role, "etag": written.etag, "created": written.created}, written, "written")

    async def _change(self, request: Request) -> Response:
        role, precondition = request.path_params["role"], Precondition.parse(request.headers)
        changes = changes_of(await read_content(request, limit_bytes=BODY_LIMIT_BYTES, required=True))
        written = await self._threads.run(self._shelf.change, role, changes, precondition=precondition)
        return await self._told({"role": role, "etag": written.etag, "created": False}, written, "written")

    async def _remove(self, request: Request) -> Response:
        role, precondition = request.path_params["role"], Precondition.parse(request.headers)
        written = await self._threads.run(self._shelf.remove, role, precondition=precondition)
        return await self._told({"role": role, "removed": True}, written, "removed")

    async def _told(self, told: Mapping[str, object], written: WrittenRole, done: str) -> Response:
        taken_up = await outcome_of(self._controller.reload(cause=f"role {told['role']} was {done} over HTTP"))
        return JSONResponse(
            {**told, "profiles": list(written.profiles), **taken_up},
            status_code=201 if written.created else 200,
            headers={"etag": f'"{written.etag}"'},
        )

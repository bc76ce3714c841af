"""The admin routes of profiles: which there are, what one says, writing one, changing values in it, deleting one."""

import asyncio
from collections.abc import Mapping
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
    untouched,
)
from gateway.errors import ProfileInUse
from gateway.runtime.controller import Controller

_HOW: Final = "nothing was written: GET the profile, make the change to what it says now, and send its ETag as If-Match"


class ProfileShelf(Protocol):
    """The profiles of one installation. Methods block."""

    def listing(self) -> Mapping[str, object]:
        """``{"active", "profiles": [...]}``. Raises ``ConfigInvalid`` where they cannot be listed."""

    def read(self, name: str) -> Stored:
        """Raises ``UnknownName``, or ``ConfigInvalid`` for a file that cannot be read."""

    def write(self, name: str, values: Mapping[str, object], *, precondition: Precondition) -> tuple[Stored, bool]:
        """Replace it, or create it (true). Raises ``EditConflict`` where the precondition does not hold, ``ConfigInvalid`` with
        every problem that the configuration would have with it."""

    def change(self, name: str, assignments: tuple[str, ...], *, precondition: Precondition) -> Stored:
        """Change single values: ``KEY=JSON``, nothing behind the ``=`` to take one out. Raises as ``write`` does, and
        ``UnknownName``, and ``BadRequest`` for an assignment that is none."""

    def delete(self, name: str, *, successor: str | None, precondition: Precondition) -> None:
        """Raises ``UnknownName``, ``EditConflict``, and ``RolegateError`` for one that something needs."""

    def copy(self, name: str, new: str) -> Stored:
        """Raises ``UnknownName``, ``NameTaken``, ``ConfigInvalid``."""

    def diff(self, left: str, right: str) -> Mapping[str, object]:
        """What differs in settings, and in who would serve. Raises ``UnknownName``, ``ConfigInvalid``."""

    def validate(self, name: str) -> Mapping[str, object]:
        """What it would make of this machine now. Raises ``UnknownName``, ``ConfigInvalid``."""

    def export(self, name: str) -> bytes:
        """As one file that can be carried elsewhere. Raises ``UnknownName``, ``ConfigInvalid``."""

    def take_in(self, content: Mapping[str, object], *, name: str | None, overwrite: bool) -> Mapping[str, object]:
        """Write an exported profile: ``{"name", "etag", "created", "parents", "migrated_from"}``. Raises ``NameTaken``,
        ``BadRequest``, ``ConfigInvalid``."""


class Profiles:
    """Writing answers when the change is stored and, with hot-swap on, taken up."""

    def __init__(self, *, shelf: ProfileShelf, controller: Controller, threads: EditThreads) -> None:
        self._shelf = shelf
        self._threads = threads
        self._controller = controller

    async def list(self, request: Request) -> Response:
        only_query(request, known=())
        return JSONResponse(await asyncio.to_thread(self._shelf.listing))

    async def one(self, request: Request) -> Response:
        """What is at a profile's own path, by method."""
        by_method = {"PUT": self._write, "PATCH": self._change, "DELETE": self._delete}
        with edit_of(f"profile {request.path_params['name']}", controller=self._controller, again=_HOW):
            return await by_method.get(request.method, self._read)(request)

    async def _read(self, request: Request) -> Response:
        only_query(request, known=())
        stored = await asyncio.to_thread(self._shelf.read, request.path_params["name"])
        return JSONResponse(dict(stored.values), headers=etag_of(stored))

    async def _write(self, request: Request) -> Response:
        only_query(request, known=())
        name, precondition = request.path_params["name"], Precondition.parse(request.headers)
        values = await read_content(request, limit_bytes=BODY_LIMIT_BYTES, required=True)
        stored, created = await self._threads.run(self._shelf.write, name, values, precondition=precondition)
        return await self._written(name, stored, created=created)

    async def _change(self, request: Request) -> Response:
        only_query(request, known=())
        name, precondition = request.path_params["name"], Precondition.parse(request.headers)
        changes = changes_of(await read_content(request, limit_bytes=BODY_LIMIT_BYTES, required=True))
        stored = await self._threads.run(self._shelf.change, name, changes, precondition=precondition)
        return await self._written(name, stored, created=False)

    async def _written(self, name: str, stored: Stored, *, created: bool) -> Response:
        taken_up = await outcome_of(self._controller.reload(cause=f"profile {name} was written over HTTP"))
        told = {"name": name, "etag": stored.etag, "created": created, **taken_up}
        return JSONResponse(told, status_code=201 if created else 200, headers=etag_of(stored))

    async def _delete(self, request: Request) -> Response:
        successor = only_query(request, known=("successor",)).get("successor")
        name, precondition = request.path_params["name"], Precondition.parse(request.headers)
        serves = self._controller.hot_swap and name == self._controller.configuration.profile
        if serves and successor is None:
            raise ProfileInUse(name=name, why="the gateway serves by it", hint="name a successor: ?successor=NAME")
        await self._threads.run(self._shelf.delete, name, successor=successor, precondition=precondition)
        told = {"name": name, "deleted": True, "successor": successor}
        if not serves:
            return JSONResponse({**told, **untouched(hot_swap=self._controller.hot_swap)})
        return JSONResponse({**told, **await outcome_of(self._controller.swap(successor))})

"""The admin routes that make something of profiles: a copy, a comparison, a judgement, a file to carry elsewhere and back."""

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.api.admin_body import flag_of, only_fields, only_query, read_content
from gateway.api.admin_edits import BODY_LIMIT_BYTES, EditThreads, etag_of, outcome_of, untouched
from gateway.api.admin_profiles import ProfileShelf
from gateway.errors import BadRequest
from gateway.relay.fields import wrong
from gateway.runtime.controller import Controller

IMPORT_LIMIT_BYTES: Final = BODY_LIMIT_BYTES
NEW_LIMIT_BYTES: Final = 64 << 10


class ProfileTools:
    def __init__(self, *, shelf: ProfileShelf, controller: Controller, threads: EditThreads) -> None:
        self._shelf = shelf
        self._threads = threads
        self._controller = controller

    async def copy(self, request: Request) -> Response:
        """``{"name": "mine"}``: what the copy is to be called."""
        only_query(request, known=())
        content = await read_content(request, limit_bytes=NEW_LIMIT_BYTES, required=True)
        new = only_fields(content, known=("name",)).get("name")
        if not isinstance(new, str) or not new:
            raise wrong("name", found=new, allowed="the name of the new profile")
        stored = await self._threads.run(self._shelf.copy, request.path_params["name"], new)
        told = {"name": new, "etag": stored.etag, "created": True, **untouched(hot_swap=self._controller.hot_swap)}
        return JSONResponse(told, status_code=201, headers=etag_of(stored))

    async def diff(self, request: Request) -> Response:
        """``?with=OTHER``."""
        other = only_query(request, known=("with",)).get("with")
        if other is None:
            raise BadRequest("with: found nothing; allowed: the profile to compare with", param="with")
        return JSONResponse(await self._threads.run(self._shelf.diff, request.path_params["name"], other))

    async def validate(self, request: Request) -> Response:
        only_query(request, known=())
        return JSONResponse(await self._threads.run(self._shelf.validate, request.path_params["name"]))

    async def export(self, request: Request) -> Response:
        only_query(request, known=())
        content = await asyncio.to_thread(self._shelf.export, request.path_params["name"])
        return Response(content, media_type="application/json")

    async def take_in(self, request: Request) -> Response:
        """``?name=P`` calls it so here, ``?replace=1`` replaces what says something else."""
        name = only_query(request, known=("name", "replace")).get("name")
        replace = flag_of(request.query_params, "replace")
        content = await read_content(request, limit_bytes=IMPORT_LIMIT_BYTES, required=True)
        told = await self._threads.run(self._shelf.take_in, content, name=name, overwrite=replace)
        taken_up = await outcome_of(self._controller.reload(cause=f"profile {told['name']} was imported over HTTP"))
        status = 201 if told["created"] else 200
        return JSONResponse({**told, **taken_up}, status_code=status, headers={"etag": f'"{told["etag"]}"'})

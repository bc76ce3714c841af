"""The admin routes that tell of the live gateway: status, plan, generations."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.api.admin_body import only_fields, only_query, read_content
from gateway.config.load import merged_values
from gateway.config.masking import masked
from gateway.config.pinning import pinned
from gateway.config.profiles import names
from gateway.domain.generation_record import generation_data
from gateway.domain.nearest import nearest_name
from gateway.domain.ports import GenerationLog
from gateway.errors import BadRequest, UnknownName
from gateway.runtime.controller import Controller
from gateway.runtime.status import live_plan, live_status
from gateway.runtime.swap import Switchboard

Told = Callable[[], list[dict[str, object]]]

USUAL: Final = 20
MOST: Final = 1_000
LOOK_LIMIT_BYTES: Final = 64 << 10


class Admin:
    """``doors`` tells who may come in, ``cloud`` how often something left the machine, ``spending`` what clouds have cost, by
    provider, and ``resting`` which models are passed over for the time being. ``state_folder`` is told with the status, so
    that commands know whose gateway they found; ``None`` where there is none."""

    def __init__(
        self,
        *,
        controller: Controller,
        switchboard: Switchboard,
        doors: Callable[[], Mapping[str, object]],
        cloud: Callable[[], Mapping[str, object]],
        spending: Told = list,
        resting: Told = list,
        state_folder: Path | None = None,
    ) -> None:
        self._controller = controller
        self._switchboard = switchboard
        self._doors = doors
        self._cloud = cloud
        self._spending = spending
        self._resting = resting
        self._state_folder = None if state_folder is None else str(state_folder.absolute())

    async def status(self, request: Request) -> Response:
        status = live_status(controller=self._controller, switchboard=self._switchboard)
        folder = str(self._controller.configuration.folder.absolute())
        return JSONResponse(
            {
                **status,
                "doors": self._doors(),
                "cloud": self._cloud(),
                "spending": self._spending(),
                "resting": self._resting(),
                "config_folder": folder,
                "state_folder": self._state_folder,
            }
        )

    async def plan(self, request: Request) -> Response:
        # The traces of many roles over many models take seconds; requests go on meanwhile.
        profile = self._controller.configuration.profile
        return JSONResponse(await asyncio.to_thread(live_plan, self._switchboard.live, profile=profile))

    async def pinned(self, request: Request) -> Response:
        """A profile under which all is as it is served now, over the files alone or over the one that ``?extends=`` names."""
        extends = only_query(request, known=("extends",)).get("extends")
        configuration, selection = self._controller.configuration, self._switchboard.live.selection
        if extends is not None and extends not in (
            known := await asyncio.to_thread(names, folder=configuration.folder)
        ):
            raise UnknownName(kind="profile", name=extends, known=known, nearest=nearest_name(extends, known))
        below = await asyncio.to_thread(merged_values, folder=configuration.folder, profile=extends)
        profile = pinned(
            configuration.values,
            selection=selection,
            expose_models=configuration.gateway.expose_models,
            below=below,
        )
        told = profile if extends is None else {"extends": extends, **profile}
        return JSONResponse({key: masked(one, key=key) for key, one in told.items()})

    async def look(self, request: Request) -> Response:
        """Ask all providers now. What came or went is taken up a moment later, with hot-swap on."""
        only_fields(await read_content(request, limit_bytes=LOOK_LIMIT_BYTES), known=())
        discovery = await self._controller.look()
        return JSONResponse({"models": len(discovery.models), "providers": self._controller.providers()})


class History:
    """The generations that were, the newest first, over restarts."""

    def __init__(self, *, log: GenerationLog) -> None:
        self._log = log

    async def generations(self, request: Request) -> Response:
        limit = _limit(only_query(request, known=("limit",)).get("limit", str(USUAL)))
        records = await asyncio.to_thread(self._log.recent, limit)
        return JSONResponse({"generations": [generation_data(one) for one in records]})


def _limit(given: str) -> int:
    wanted = int(given) if given.isascii() and given.isdigit() and len(given) < 9 else 0
    if not 1 <= wanted <= MOST:
        raise BadRequest(f'limit is "{given}"; allowed: a whole number from 1 to {MOST:,}', param="limit")
    return wanted

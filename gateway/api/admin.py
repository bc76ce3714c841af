"""The admin routes that tell of the live gateway: status, plan, generations."""

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.api.admin_body import only_query
from gateway.domain.generation_record import generation_data
from gateway.domain.ports import GenerationLog
from gateway.errors import BadRequest
from gateway.runtime.controller import Controller
from gateway.runtime.status import live_plan, live_status
from gateway.runtime.swap import Switchboard

USUAL: Final = 20
MOST: Final = 1_000


class Admin:
    def __init__(self, *, controller: Controller, switchboard: Switchboard) -> None:
        self._controller = controller
        self._switchboard = switchboard

    async def status(self, request: Request) -> Response:
        return JSONResponse(live_status(controller=self._controller, switchboard=self._switchboard))

    async def plan(self, request: Request) -> Response:
        # The traces of many roles over many models take seconds; requests go on meanwhile.
        profile = self._controller.configuration.profile
        return JSONResponse(await asyncio.to_thread(live_plan, self._switchboard.live, profile=profile))


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

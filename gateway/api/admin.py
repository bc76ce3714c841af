"""The admin routes: what the live gateway is and does."""

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.runtime.controller import Controller
from gateway.runtime.status import live_plan, live_status
from gateway.runtime.swap import Switchboard


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

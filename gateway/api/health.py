"""``/healthz`` (the process is alive) and ``/readyz`` (it can serve)."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.runtime.controller import Controller
from gateway.runtime.swap import Switchboard


class Health:
    def __init__(self, *, controller: Controller, switchboard: Switchboard) -> None:
        self._controller = controller
        self._switchboard = switchboard

    async def alive(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """200 once a plan is live and the first deployment of each role that has one answered; else 503 with what is missing."""
        if not self._switchboard.started:
            return JSONResponse({"status": "starting"}, status_code=503)
        live = self._switchboard.live
        content: dict[str, object] = {"generation": live.number, "degraded": list(live.selection.plan.degraded)}
        if self._controller.ready:
            return JSONResponse({"status": "ready", **content})
        content["unanswered"] = list(self._controller.unanswered())
        return JSONResponse({"status": "not ready", **content}, status_code=503)

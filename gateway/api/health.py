"""``/healthz`` (the process is alive) and ``/readyz`` (it can serve)."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.runtime.swap import Switchboard


class Health:
    def __init__(self, *, switchboard: Switchboard) -> None:
        self._switchboard = switchboard

    async def alive(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """200 once a plan is live, and from then on. Discovery is the probe: a plan holds only models whose provider has just
        answered for them. Roles that nothing can serve are listed."""
        if not self._switchboard.started:
            return JSONResponse({"status": "starting"}, status_code=503)
        live = self._switchboard.live
        degraded = list(live.selection.plan.degraded)
        return JSONResponse({"status": "ready", "generation": live.number, "degraded": degraded})

"""``/healthz`` (the process is alive) and ``/readyz`` (it can serve)."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.runtime.swap import Switchboard
from gateway.vault.identity import CHALLENGE, PROOF, Identity, is_challenge


class Health:
    """``identity`` is what commands know the gateway by; without one it proves nothing."""

    def __init__(self, *, switchboard: Switchboard, identity: Identity | None = None) -> None:
        self._switchboard = switchboard
        self._identity = identity

    async def alive(self, request: Request) -> Response:
        """200, with a proof in its head for whoever sends a challenge."""
        return JSONResponse({"status": "ok"}, headers=self._proof(request))

    def _proof(self, request: Request) -> dict[str, str]:
        challenge, server = request.headers.get(CHALLENGE, ""), request.scope.get("server")
        if self._identity is None or server is None or server[1] is None or not is_challenge(challenge):
            return {}
        return {PROOF: self._identity.proof(challenge, host=server[0], port=server[1])}

    async def ready(self, request: Request) -> Response:
        """200 once a plan is live, and from then on. Discovery is the probe: a plan holds only models whose provider has just
        answered for them. Roles that nothing can serve are listed."""
        if not self._switchboard.started:
            return JSONResponse({"status": "starting"}, status_code=503)
        live = self._switchboard.live
        degraded = list(live.selection.plan.degraded)
        return JSONResponse({"status": "ready", "generation": live.number, "degraded": degraded})

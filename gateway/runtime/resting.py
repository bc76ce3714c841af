"""Which models of the live plan are passed over for the time being, and why."""

from gateway.domain.plan import Deployment
from gateway.domain.ports import Clock
from gateway.relay.breaker import Breakers, Standing, State, breaker_key
from gateway.runtime.swap import Switchboard


class Resting:
    """The breakers of the live plan, as an operator sees them."""

    def __init__(self, breakers: Breakers, *, switchboard: Switchboard, clock: Clock) -> None:
        self._breakers = breakers
        self._switchboard = switchboard
        self._clock = clock

    def data(self) -> list[dict[str, object]]:
        """Those that requests do not go to as planned, as plain data, by name; none before the first plan is live. ``left_s`` is
        ``None`` where no time ends it."""
        if not self._switchboard.started:
            return []
        now_s = self._clock.monotonic()
        found: dict[str, dict[str, object]] = {}
        for plan in self._switchboard.live.roles.values():
            for deployment in plan.deployments:
                standing = self._standing(deployment, now_s=now_s)
                if standing.state is not State.READY:
                    found[str(deployment.ref)] = _told(deployment, standing, now_s=now_s)
        return [found[model] for model in sorted(found)]

    def _standing(self, deployment: Deployment, *, now_s: float) -> Standing:
        states = self._switchboard.live.discovery.providers
        provider = next(one.provider for one in states if one.provider.name == deployment.ref.provider)
        return self._breakers.standing(breaker_key(deployment, provider=provider), now_s=now_s)


def _told(deployment: Deployment, standing: Standing, *, now_s: float) -> dict[str, object]:
    return {
        "model": str(deployment.ref),
        "state": standing.state.value,
        "class": standing.failure.value if standing.failure is not None else "",
        "message": standing.message,
        "left_s": None if standing.until_s is None else round(max(0.0, standing.until_s - now_s), 1),
    }

"""One request on its way: what it asks, where it may go, what happened so far."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.relay.attempts import Candidate
from gateway.relay.breaker import Standing, State
from gateway.relay.inquiry import Operation
from gateway.relay.ledger import Ledger
from gateway.relay.route import Route


@dataclass(slots=True, kw_only=True)
class Passage:
    """``body`` is the request with the role's defaults; ``prompt_tokens`` a rough upper estimate of its prompt. ``candidates``
    and ``at_start`` (the breakers when the first one was chosen) are in the plan's order. ``spent_s`` adds up the time spent
    waiting for anything but the gateway itself."""

    operation: Operation
    stream: bool
    route: Route
    request_id: str
    body: Mapping[str, object]
    prompt_tokens: int
    candidates: tuple[Candidate, ...]
    ledger: Ledger
    started_s: float
    at_start: tuple[Standing, ...] = ()
    spent_s: float = 0.0
    loading: set[int] = field(default_factory=set)
    """Those that were passed over because they are not loaded."""

    @property
    def role(self) -> str:
        return self.route.plan.role

    def fallback_reason(self, index: int) -> str:
        """Why the deployments before this one did not answer."""
        if index == 0:
            return ""
        failures = {one.index: one.failure.value for one in self.ledger.failed}
        reasons = []
        for before, deployment in enumerate(self.route.plan.deployments[:index]):
            why = failures.get(before) or self.candidates[before].excluded
            if not why:
                why = "not loaded yet" if before in self.loading else _resting(self.at_start[before])
            reasons.append(f"{deployment.ref}: {why}")
        return "; ".join(reasons).encode("ascii", "replace").decode()


def _resting(standing: Standing) -> str:
    words = {State.COOLING: "cooling down", State.HELD: "held back", State.READY: "passed over"}
    return f"{words[standing.state]} after {standing.failure}" if standing.failure else words[standing.state]

"""Where one request may go."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from gateway.domain.model import Lane, Provider
from gateway.domain.plan import Deployment, RolePlan
from gateway.domain.ports import CompletionBackend
from gateway.relay.attempts import Candidate
from gateway.relay.breaker import BreakerKey, breaker_key
from gateway.relay.deadlines import Limits, limits, prefill_s, total_s
from gateway.relay.needs import Needs, why_not
from gateway.relay.once import once

STAYS: Final = "it is in the cloud, and the request says x-rolegate-cloud: never"
_KNOWN_LIMITS: Final = 256


@dataclass(frozen=True, kw_only=True)
class Route:
    """What one request needs to know of the generation it was admitted under. All requests of a role share one, so what it says
    of every one of them is worked out once.

    ``backend`` is that generation's litellm lane, ``None`` when its plan has no deployment there. ``at_home`` says that the
    caller wants nothing to leave the machine. ``withheld`` tells of the cloud models that consent or a missing key kept out of
    the plan: reference and reason; it is asked where nothing could serve a request.
    """

    plan: RolePlan
    providers: Mapping[str, Provider]
    generation: int
    backend: CompletionBackend | None
    at_home: bool = False
    withheld: Callable[[], Sequence[tuple[str, str]]] = tuple

    @once
    def staying(self) -> "Route":
        """The same for requests that must not leave the machine."""
        return replace(self, at_home=True) if any(one.cloud for one in self.plan.deployments) else self

    def why_home(self, deployment: Deployment) -> str:
        """Why the caller's wish rules ``deployment`` out; empty if it does not."""
        return STAYS if self.at_home and deployment.cloud else ""

    @once
    def keys(self) -> tuple[BreakerKey, ...]:
        """The breakers of the deployments."""
        return tuple(breaker_key(one, provider=self.providers[one.ref.provider]) for one in self.plan.deployments)

    @once
    def lanes(self) -> frozenset[Lane]:
        """The lanes of the deployments."""
        return frozenset(one.lane for one in self.plan.deployments)

    @once
    def clouds(self) -> tuple[tuple[int, str], ...]:
        """Where in the plan's order the clouds are: index and provider."""
        return tuple((index, one.ref.provider) for index, one in enumerate(self.plan.deployments) if one.cloud)

    @once
    def longest_s(self) -> float:
        """The longest total deadline among the deployments, in seconds."""
        deadlines = self.plan.deadlines
        return deadlines.total_s or max(total_s(deadlines, cloud=one.cloud) for one in self.plan.deployments)

    @once
    def least_context_tokens(self) -> float:
        """The smallest context among the deployments; infinite where no provider says."""
        known = [one.context_tokens for one in self.plan.deployments if one.context_tokens is not None]
        return min(known, default=float("inf"))

    def limits(self, *, cloud: bool, prompt_tokens: int) -> Limits:
        """The deadlines of an attempt on a deployment with so long a prompt."""
        asked = (cloud, 0 if cloud else prefill_s(prompt_tokens))
        known = self._limits.get(asked)
        if known is None:
            known = limits(deadlines=self.plan.deadlines, cloud=cloud, more_s=asked[1])
            if len(self._limits) < _KNOWN_LIMITS:
                self._limits[asked] = known
        return known

    @once
    def _limits(self) -> dict[tuple[bool, int], Limits]:
        return {}

    @once
    def for_any(self) -> tuple[Candidate, ...]:
        """The candidates of a request that is short and needs nothing special of a model."""
        return tuple(
            Candidate(
                excluded=self.why_home(one)
                or why_not(one, needs=Needs(), provider=self.providers.get(one.ref.provider)),
                context_tokens=one.context_tokens,
            )
            for one in self.plan.deployments
        )

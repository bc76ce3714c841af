"""What the controller knows of the world outside: the providers as they answer, and the machine as plans may see it."""

import logging
from collections.abc import Callable

from gateway.domain.ports import Clock, Discovery, ResourceProbe
from gateway.domain.resources import Resources
from gateway.domain.role import Policy
from gateway.registry.registry import Registry
from gateway.runtime.steadiness import Steadiness

_log = logging.getLogger(__name__)


class Lookout:
    """Looks, and remembers what a plan has to be made again for. With ``steadies`` the machine is one that does not swing."""

    def __init__(
        self, *, probe: ResourceProbe, clock: Clock, seen: Callable[[Discovery], None], steadies: bool
    ) -> None:
        self._probe = probe
        self._clock = clock
        self._seen = seen
        self._steadiness = Steadiness() if steadies else None
        self._doubted: frozenset[str] = frozenset()
        self._news: list[str] = []
        self._met: set[str] = set()
        self.awaited: frozenset[str] = frozenset()
        """The providers that did not answer when the configuration was taken up, and have not since."""

    @property
    def restless(self) -> bool:
        """Whether the next look should come soon."""
        return bool(self.awaited or self._doubted)

    @property
    def machine_news(self) -> tuple[str, ...]:
        """What of the machine has changed for good since ``settled``, in sentences."""
        return tuple(self._news)

    async def look(self, registry: Registry) -> Discovery:
        """Ask all providers now."""
        before = registry.last
        discovery = await registry.refresh()
        _tell_changes(before, discovery)
        self._seen(discovery)
        return discovery

    def feel(self, discovery: Discovery, *, policy: Policy) -> Resources:
        """The machine to plan for, now."""
        sample = self._probe.sample()
        if self._steadiness is None:
            return sample
        held_bytes, now_s = _held_bytes(discovery), self._clock.monotonic()
        steady = self._steadiness.steady(sample, held_bytes=held_bytes, policy=policy, now_s=now_s)
        if steady.news:
            self._news.append(steady.news)
        return steady.resources

    def arrived(self, discovery: Discovery) -> frozenset[str]:
        """Those awaited that answer now, with all their models described."""
        return self.awaited & {state.provider.name for state in discovery.providers if state.up and state.complete}

    def greeting(self, arrived: frozenset[str]) -> str:
        """That they are there, in words, and not for the first time where one of them was before."""
        when = "again" if arrived & self._met else "for the first time"
        return f"{', '.join(sorted(arrived))} answered {when}"

    def in_doubt(self, before: Discovery, now: Discovery) -> bool:
        """Whether a host has only just ceased to answer: it may be busy for a moment, so it is asked once more before its models
        leave the plan."""
        up = {state.provider.name for state in before.providers if state.up}
        down = frozenset(state.provider.name for state in now.providers if not state.up) & up
        fresh, self._doubted = down - self._doubted, down
        return bool(fresh)

    def expect(self, discovery: Discovery) -> None:
        """A configuration is taken up: from now on those are awaited that did not answer in full."""
        self.awaited = frozenset(
            state.provider.name
            for state in discovery.providers
            if state.provider.url is not None and not (state.up and state.complete)
        )
        self._doubted = frozenset()
        self.meet(discovery)

    def meet(self, discovery: Discovery) -> None:
        """A plan was made with these."""
        self._met |= {state.provider.name for state in discovery.providers if state.up and state.complete}

    def settled(self) -> None:
        """The live plan was made with all that is known."""
        self._news.clear()


def _held_bytes(discovery: Discovery) -> int:
    """What loaded models take of this machine."""
    here = {state.provider.name for state in discovery.providers if state.provider.on_this_host}
    loaded = {
        model.weights_ref: model.resident.size_bytes
        for model in discovery.models
        if model.resident is not None and model.ref.provider in here
    }
    return sum(loaded.values())


def _tell_changes(before: Discovery | None, now: Discovery) -> None:
    """One log line for every provider that went or came."""
    known = {state.provider.name: state.up for state in before.providers} if before else {}
    for state in now.providers:
        was_up = known.get(state.provider.name)
        if was_up and not state.up:
            _log.warning(
                "provider does not answer any more", extra={"provider": state.provider.name, "reason": state.error}
            )
        elif was_up is False and state.up:
            _log.info("provider answers", extra={"provider": state.provider.name})

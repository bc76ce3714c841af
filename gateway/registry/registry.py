"""What models there are now, on all providers."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from gateway.domain.model import Model
from gateway.domain.ports import Discovery, ModelSource, ProviderState
from gateway.errors import RolegateError

SOURCE_S: Final = 5.0
"""Sources wait less than two seconds for a provider; this is for one that hangs elsewhere, on a dead disk say."""


class Registry:
    """Asks every source at once and remembers what it last heard.

    The models of a provider that does not answer stay, as last known, marked as not up and not loaded. Belongs to one event
    loop at a time; looks may overlap, and then the one that began last counts.
    """

    def __init__(self, sources: Sequence[ModelSource], *, source_s: float = SOURCE_S) -> None:
        self._sources = tuple(sources)
        self._source_s = source_s
        self._heard: dict[str, tuple[int, Sequence[Model]]] = {}
        self._looks = 0
        self._last: Discovery | None = None
        self._last_look = 0

    @property
    def last(self) -> Discovery | None:
        """The latest discovery; ``None`` before the first."""
        return self._last

    async def refresh(self) -> Discovery:
        """Ask all sources now. Never raises for a provider that is down; ends within ``source_s``."""
        self._looks += 1
        look = self._looks
        answers = await asyncio.gather(*(self._ask(source) for source in self._sources))
        for state, models in answers:
            heard_in = self._heard.get(state.provider.name, (0, ()))[0]
            if state.up and heard_in < look:
                self._heard[state.provider.name] = (look, tuple(models))
        discovery = Discovery(
            providers=tuple(state for state, _ in answers),
            models=tuple(model for state, models in answers for model in self._current(state, models)),
        )
        if look > self._last_look:
            self._last, self._last_look = discovery, look
        return discovery

    async def _ask(self, source: ModelSource) -> tuple[ProviderState, Sequence[Model]]:
        try:
            async with asyncio.timeout(self._source_s):
                return await source.discover()
        except TimeoutError:
            where = f" at {source.provider.url}" if source.provider.url else ""
            error = f"{source.provider.name}{where} does not answer: no answer within {self._source_s:g} s"
        except (RolegateError, OSError) as failure:
            error = str(failure)
        return ProviderState(provider=source.provider, up=False, error=error), ()

    def _current(self, state: ProviderState, models: Sequence[Model]) -> Sequence[Model]:
        if state.up:
            return models
        known = self._heard.get(state.provider.name, (0, ()))[1]
        return [replace(model, provider_up=False, resident=None) for model in known]

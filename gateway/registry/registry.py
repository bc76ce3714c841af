"""What models there are now, on all providers."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from gateway.domain.model import Model, Provider
from gateway.domain.ports import Discovery, ModelSource, ProviderState
from gateway.errors import RolegateError
from gateway.registry.corrections import Corrections
from gateway.registry.fetch import place
from gateway.registry.speeds import Speeds

_log = logging.getLogger(__name__)

SOURCE_S: Final = 5.0
"""Sources wait less than two seconds for a provider; this is for one that hangs elsewhere, on a dead disk say."""

_SHOWN_CHARACTERS: Final = 200


class Registry:
    """Asks every source at once and remembers what it last heard.

    The models of a provider that does not answer stay, as last known, marked as not up and not loaded. ``corrections`` hold
    in every model, and measured ``speeds`` are added. Belongs to one event loop at a time; looks may overlap, and then the one
    that began last counts.
    """

    def __init__(
        self,
        sources: Sequence[ModelSource],
        *,
        corrections: Corrections | None = None,
        speeds: Speeds | None = None,
        source_s: float = SOURCE_S,
    ) -> None:
        self.corrections = corrections or Corrections()
        self._speeds = speeds or Speeds()
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

    def heard(self) -> Mapping[Provider, Sequence[Model]]:
        """What each provider had when it last answered; those that never did are left out."""
        providers = (source.provider for source in self._sources)
        return {one: self._heard[one.name][1] for one in providers if one.name in self._heard}

    def remember(self, heard: Mapping[Provider, Sequence[Model]]) -> None:
        """Take over what another registry has heard of providers that this one asks at the same place: one that is down now keeps
        its models although another configuration asks for them."""
        ours = {source.provider.identity for source in self._sources}
        for provider, models in heard.items():
            if provider.identity in ours:
                self._heard[provider.name] = (self._looks, models)

    async def refresh(self) -> Discovery:
        """Ask all sources now. Never raises for a provider that is down or answers oddly; ends within ``source_s``."""
        self._looks += 1
        look = self._looks
        await asyncio.to_thread(self._recall)
        answers = await asyncio.gather(*(self._ask(source) for source in self._sources))
        for state, models in answers:
            heard_in = self._heard.get(state.provider.name, (0, ()))[0]
            if state.up and heard_in < look:
                self._heard[state.provider.name] = (look, tuple(models))
        states = tuple(state for state, _ in answers)
        known = tuple(model for state, models in answers for model in self._current(state, models))
        models = self._speeds.applied(self.corrections.applied(known, states=states))
        discovery = Discovery(providers=states, models=models)
        if look > self._last_look:
            self._last, self._last_look = discovery, look
        changes = self.corrections.changes()
        if changes:
            await asyncio.to_thread(self.corrections.keep, changes)
        return discovery

    def _recall(self) -> None:
        self.corrections.recall()
        self._speeds.recall()

    async def _ask(self, source: ModelSource) -> tuple[ProviderState, Sequence[Model]]:
        try:
            async with asyncio.timeout(self._source_s):
                return await source.discover()
        except TimeoutError:
            error = f"{place(source.provider)} does not answer: no answer within {self._source_s:g} s"
        except (RolegateError, OSError) as failure:
            error = str(failure)
        except Exception as failure:  # noqa: BLE001 - whatever one host provokes, the others are to be told of
            _log.exception("%s could not be read", place(source.provider))
            error = f"{place(source.provider)} could not be read: {_reason(failure)}"
        return ProviderState(provider=source.provider, up=False, error=error), ()

    def _current(self, state: ProviderState, models: Sequence[Model]) -> Sequence[Model]:
        if state.up:
            return models
        known = self._heard.get(state.provider.name, (0, ()))[1]
        return [replace(model, provider_up=False, resident=None) for model in known]


def _reason(failure: Exception) -> str:
    """The failure on one line, in text that can be encoded; of a group the first one that it holds."""
    while isinstance(failure, ExceptionGroup):
        failure = failure.exceptions[0]
    words = " ".join(str(failure).encode(errors="backslashreplace").decode().split())
    line = f"{type(failure).__name__}: {words}" if words else type(failure).__name__
    return line if len(line) <= _SHOWN_CHARACTERS else f"{line[:_SHOWN_CHARACTERS]}…"

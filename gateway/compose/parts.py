"""The long-lived parts that a survey and a gateway share: engine, registry, keys, and where each model is reached."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from gateway.catalog.cloud import CloudFacts
from gateway.catalog.scores import ScoreTable
from gateway.compose.journal import speed_log_of
from gateway.compose.prices import PriceList
from gateway.config.settings import Configuration
from gateway.domain.cost import Price
from gateway.domain.failure import FailureClass
from gateway.domain.model import Model, ModelRef, Provider, ProviderKind
from gateway.domain.ports import Clock, EmbeddedEngine, Endpoint, KeySource, ModelSource, ProviderState
from gateway.embedded.engine import Engine
from gateway.errors import EngineUnavailable, ProviderDown, UpstreamFailed
from gateway.registry.cache import CapabilityCache
from gateway.registry.cloud import CloudSource
from gateway.registry.corrections import Corrections
from gateway.registry.embedded import EmbeddedSource
from gateway.registry.enrich import Enricher
from gateway.registry.ollama import OllamaSource
from gateway.registry.openai import OpenAISource
from gateway.registry.registry import Registry
from gateway.registry.speeds import Speeds

CACHE_FILE: Final = "registry.sqlite"


class SystemClock:
    """The clocks of this machine."""

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)


class Endpoints:
    """Where the models of OpenAI-wire providers answer. Implements ``EndpointResolver``."""

    def __init__(self, *, engine: EmbeddedEngine | None, keys: KeySource) -> None:
        self._engine = engine
        self._keys = keys

    def known(self, ref: ModelRef, *, provider: Provider) -> Endpoint | None:
        if provider.kind is ProviderKind.EMBEDDED:
            return None
        if provider.url is None:
            raise ProviderDown(f"{provider.name} has no address", provider=provider.name)
        key = self._keys.key(provider.name)
        if key is None and provider.cloud:
            # It was there when the plan was made. What it was to open must not be sent without it.
            raise UpstreamFailed(f'no key is known for the provider "{provider.name}"', failure=FailureClass.AUTH)
        return Endpoint(base_url=provider.url, model=ref.name, key=key)

    async def resolve(self, ref: ModelRef, *, provider: Provider, context_tokens: int | None) -> Endpoint:
        known = self.known(ref, provider=provider)
        if known is not None:
            return known
        if self._engine is None:
            raise EngineUnavailable("the embedded engine is switched off", provider=provider.name)
        return await self._engine.endpoint(ref.name, context_tokens=context_tokens)

    def resident(self, ref: ModelRef, *, provider: Provider, context_tokens: int | None) -> bool:
        if provider.kind is not ProviderKind.EMBEDDED or self._engine is None:
            return True
        return self._engine.holds(ref.name, context_tokens=context_tokens)


class SwitchedOff:
    """A provider that the operator's settings keep out. Implements ``ModelSource``."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    @property
    def provider(self) -> Provider:
        return self._provider

    async def discover(self) -> tuple[ProviderState, Sequence[Model]]:
        error = f"{self._provider.name} is switched off (gateway.embedded is false)"
        return ProviderState(provider=self._provider, up=False, error=error), ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sources:
    """The registry of one configuration, and what it was made of."""

    configuration: Configuration
    providers: Mapping[str, Provider]
    registry: Registry

    def serves(self, other: Configuration) -> bool:
        """Whether the same would be made of ``other``."""
        mine = self.configuration
        return (mine.providers, mine.declared, mine.cloud_models) == (
            other.providers,
            other.declared,
            other.cloud_models,
        )


class Parts:
    """Everything that holds something open. Close it when done.

    The engine, with its models, is that of the configuration at the start; registry and providers follow later ones.
    """

    def __init__(
        self,
        *,
        configuration: Configuration,
        keys: KeySource,
        state_folder: Path,
        data_folder: Path,
        clock: Clock,
    ) -> None:
        self.keys = keys
        self.engine = _engine(configuration, data_folder=data_folder, clock=clock)
        self._cache = CapabilityCache(path=state_folder / CACHE_FILE)
        self._facts = CloudFacts.read()
        self._prices = PriceList(configuration, facts=self._facts)
        self._scores = ScoreTable.load()
        self._corrections = Corrections(store=self._cache)
        self._speeds = Speeds(speed_log_of(state_folder))
        self._live = self._sources_of(configuration)
        self._tried = self._live

    @property
    def registry(self) -> Registry:
        """The one of the live configuration."""
        return self._live.registry

    @property
    def providers(self) -> Mapping[str, Provider]:
        """Those of the live configuration, by name."""
        return self._live.providers

    def price_of(self, reference: str) -> Price | None:
        """``PriceList.price`` under the live configuration."""
        return self._live_prices().price(reference)

    def price_as_if(self, reference: str) -> Price:
        """``PriceList.as_if`` under the live configuration."""
        return self._live_prices().as_if(reference)

    def _live_prices(self) -> PriceList:
        if self._prices.configuration is not self._live.configuration:
            self._prices = PriceList(self._live.configuration, facts=self._facts)
        return self._prices

    def registry_for(self, configuration: Configuration) -> Registry:
        """The live registry if it serves this configuration as well; else one of its own, the same when asked again, which knows
        what the live one last heard. Blocks."""
        if self._live.serves(configuration):
            return self._live.registry
        if not self._tried.serves(configuration):
            self._tried = self._sources_of(configuration)
        self._tried.registry.remember(self._live.registry.heard())
        return self._tried.registry

    def follow(self, configuration: Configuration) -> None:
        """This configuration is live from now on; ``registry_for`` has been asked for it."""
        if self._tried.serves(configuration):
            self._live = self._tried

    def _sources_of(self, configuration: Configuration) -> "_Sources":
        providers = MappingProxyType({one.name: one for one in configuration.providers})
        enricher = Enricher(declared=configuration.declared, providers=providers, scores=self._scores)
        sources = [self._source(one, configuration, enricher) for one in configuration.providers]
        return _Sources(
            configuration=configuration,
            providers=providers,
            registry=Registry(sources, corrections=self._corrections, speeds=self._speeds),
        )

    def _source(self, provider: Provider, configuration: Configuration, enricher: Enricher) -> ModelSource:
        match provider.kind:
            case ProviderKind.OLLAMA:
                return OllamaSource(provider=provider, cache=self._cache, enricher=enricher, keys=self.keys)
            case ProviderKind.OPENAI:
                return OpenAISource(provider=provider, enricher=enricher, keys=self.keys)
            case ProviderKind.CLOUD:
                models = configuration.cloud_models
                return CloudSource(provider=provider, models=models, facts=self._facts, enricher=enricher)
            case ProviderKind.EMBEDDED:
                if self.engine is None:
                    return SwitchedOff(provider)
                return EmbeddedSource(provider=provider, shelf=self.engine, enricher=enricher)

    async def close(self) -> None:
        if self.engine is not None:
            await self.engine.close()
        self._cache.close()


def _engine(configuration: Configuration, *, data_folder: Path, clock: Clock) -> Engine | None:
    names = [one.name for one in configuration.providers if one.kind is ProviderKind.EMBEDDED]
    if not names or not configuration.gateway.embedded:
        return None
    return Engine(
        models={one.name: None if one.path is None else Path(one.path) for one in configuration.embedded_models},
        data_folder=data_folder,
        clock=clock,
        provider=names[0],
    )


def missing_models(configuration: Configuration, *, data_folder: Path) -> tuple[str, ...]:
    """References of the engine's models that are configured, not on this machine, and can be pulled."""
    engine = _engine(configuration, data_folder=data_folder, clock=SystemClock())
    if engine is None:
        return ()
    name = next(one.name for one in configuration.providers if one.kind is ProviderKind.EMBEDDED)
    return tuple(f"{name}:{file.name}" for file in engine.files() if file.problem and file.pullable)

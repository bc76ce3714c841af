"""The long-lived parts that a survey and a gateway share: engine, registry, keys, and where each model is reached."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from gateway.catalog.cloud import CloudFacts
from gateway.catalog.scores import ScoreTable
from gateway.config.environ import Environment
from gateway.config.settings import Configuration
from gateway.domain.model import Model, ModelRef, Provider, ProviderKind
from gateway.domain.ports import Clock, EmbeddedEngine, Endpoint, KeySource, ModelSource, ProviderState
from gateway.domain.secret import Secret
from gateway.embedded.engine import Engine
from gateway.errors import EngineUnavailable, ProviderDown
from gateway.registry.cache import CapabilityCache
from gateway.registry.cloud import CloudSource
from gateway.registry.corrections import Corrections
from gateway.registry.embedded import EmbeddedSource
from gateway.registry.enrich import Enricher
from gateway.registry.ollama import OllamaSource
from gateway.registry.openai import OpenAISource
from gateway.registry.registry import Registry

CACHE_FILE: Final = "registry.sqlite"


class SystemClock:
    """The clocks of this machine."""

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)


class EnvironmentKeys:
    """Provider keys from ``<PROVIDER>_API_KEY`` variables."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def key(self, provider: str) -> Secret | None:
        return self._environment.provider_key(provider)


class Endpoints:
    """Where the models of OpenAI-wire providers answer. Implements ``EndpointResolver``."""

    def __init__(self, *, providers: Mapping[str, Provider], engine: EmbeddedEngine | None, keys: KeySource) -> None:
        self._providers = providers
        self._engine = engine
        self._keys = keys

    async def resolve(self, ref: ModelRef, *, context_tokens: int | None) -> Endpoint:
        provider = self._providers[ref.provider]
        if provider.kind is ProviderKind.EMBEDDED:
            if self._engine is None:
                raise EngineUnavailable("the embedded engine is switched off", provider=provider.name)
            return await self._engine.endpoint(ref.name, context_tokens=context_tokens)
        if provider.url is None:
            raise ProviderDown(f"{provider.name} has no address", provider=provider.name)
        return Endpoint(base_url=provider.url, model=ref.name, key=self._keys.key(provider.name))

    def resident(self, ref: ModelRef, *, context_tokens: int | None) -> bool:
        if self._providers[ref.provider].kind is not ProviderKind.EMBEDDED or self._engine is None:
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


class Parts:
    """Everything that holds something open. Close it when done."""

    def __init__(
        self,
        *,
        configuration: Configuration,
        environment: Environment,
        state_folder: Path,
        data_folder: Path,
        clock: Clock,
    ) -> None:
        self.keys = EnvironmentKeys(environment)
        self.providers: Mapping[str, Provider] = MappingProxyType({one.name: one for one in configuration.providers})
        self.engine = _engine(configuration, data_folder=data_folder, clock=clock)
        self._configuration = configuration
        self._cache = CapabilityCache(path=state_folder / CACHE_FILE)
        self._facts = CloudFacts.read()
        self._enricher = Enricher(declared=configuration.declared, providers=self.providers, scores=ScoreTable.load())
        self.registry = Registry(
            [self._source(one) for one in configuration.providers], corrections=Corrections(store=self._cache)
        )

    def _source(self, provider: Provider) -> ModelSource:
        match provider.kind:
            case ProviderKind.OLLAMA:
                return OllamaSource(provider=provider, cache=self._cache, enricher=self._enricher, keys=self.keys)
            case ProviderKind.OPENAI:
                return OpenAISource(provider=provider, enricher=self._enricher, keys=self.keys)
            case ProviderKind.CLOUD:
                models = self._configuration.cloud_models
                return CloudSource(provider=provider, models=models, facts=self._facts, enricher=self._enricher)
            case ProviderKind.EMBEDDED:
                if self.engine is None:
                    return SwitchedOff(provider)
                return EmbeddedSource(provider=provider, shelf=self.engine, enricher=self._enricher)

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

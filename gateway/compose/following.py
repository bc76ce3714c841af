"""What follows the live configuration: the registry, where models are reached, who keeps them, and which keys are masked."""

from collections.abc import Callable, Mapping

from gateway.compose.keeping import keepers
from gateway.compose.parts import Endpoints, Parts
from gateway.compose.watching import Watch
from gateway.compose.workspace import Workspace
from gateway.config.settings import Configuration
from gateway.domain.model import Model, Provider
from gateway.domain.ports import ModelKeeper
from gateway.registry.registry import Registry
from gateway.relay.ollama_lane import OllamaLane
from gateway.runtime.keeping import UNLOAD_S
from gateway.telemetry.logs import Redactor


def _unheard(_: str) -> None:
    """Nobody wants to know."""


class Following:
    """The part of the controller's effects that has to do with configurations and models' memory. ``moved`` hears of each
    provider that is gone, or another one from now on: what is known of how it answers does not hold any more.

    A restart alone takes up what ``gateway.runtime.pending.restart_settings`` names: address, limits and logging of the server,
    hot-swap itself, and the models of the embedded engine.
    """

    def __init__(
        self,
        *,
        workspace: Workspace,
        parts: Parts,
        watch: Watch,
        redactor: Redactor,
        ollama: OllamaLane,
        moved: Callable[[str], None] = _unheard,
    ) -> None:
        self._workspace = workspace
        self._parts = parts
        self._watch = watch
        self._redactor = redactor
        self._ollama = ollama
        self._moved = moved
        self._keepers = dict(keepers(parts))
        self.endpoints = Endpoints(engine=parts.engine, keys=parts.keys)

    @property
    def keepers(self) -> Mapping[str, ModelKeeper]:
        """Those of the live configuration, now and later."""
        return self._keepers

    def read(self, profile: str | None) -> Configuration:
        """See ``Effects.read``."""
        return self._workspace.read_again(profile)

    def noticed(self) -> str:
        """See ``Effects.noticed``."""
        return self._watch.changed()

    def persist(self, profile: str | None) -> None:
        """See ``Effects.persist``."""
        with self._watch.our_own():
            self._workspace.choose(profile)

    def facts(self, configuration: Configuration) -> Registry:
        """See ``Effects.facts``. Keys of its providers are masked from now on: they may be used any moment."""
        for provider in configuration.providers:
            key = self._workspace.environment.provider_key(provider.name)
            if key is not None:
                self._redactor.add(key)
        return self._parts.registry_for(configuration)

    def adopted(self, configuration: Configuration) -> None:
        """See ``Effects.adopted``."""
        before = self._parts.providers
        self._parts.follow(configuration)
        now = self._parts.providers
        for name, provider in before.items():
            if name not in now or now[name].identity != provider.identity:
                self._ollama.forget_provider(name)
                self._moved(name)
        current = keepers(self._parts)
        self._keepers.clear()
        self._keepers.update(current)

    async def load(
        self,
        model: Model,
        *,
        provider: Provider,
        context_tokens: int | None,
        keep_alive: str | int | None,
        within_s: float,
    ) -> None:
        """See ``Effects.load``."""
        keeper = keepers(self._parts, providers={provider.name: provider}).get(provider.name)
        if keeper is not None:
            await keeper.load(model, context_tokens=context_tokens, keep_alive=keep_alive, within_s=within_s)

    async def unload(self, model: Model, *, provider: Provider) -> bool:
        """See ``Effects.unload``. What is still loaded after ``UNLOAD_S`` goes when it has answered."""
        keeper = keepers(self._parts, providers={provider.name: provider}).get(provider.name)
        if keeper is None:
            return False
        try:
            return (await keeper.unload(model, within_s=UNLOAD_S)).was_loaded
        finally:
            self._ollama.forget(model.ref)

"""What the living system does to the world around it, joined in ``compose``."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway.config.settings import Configuration
from gateway.domain.model import Model, Provider
from gateway.domain.plan import Deployment, Plan
from gateway.domain.ports import CompletionBackend, Discovery
from gateway.errors import Unsupported
from gateway.registry.registry import Registry
from gateway.runtime.canary import Generates
from gateway.runtime.generation import Generation


class RouterConfigWriter(Protocol):
    def __call__(self, plan: Plan, discovery: Discovery) -> Mapping[str, object]:
        """The plan as a LiteLLM router configuration."""


class Loads(Protocol):
    def __call__(
        self,
        model: Model,
        *,
        provider: Provider,
        context_tokens: int | None,
        keep_alive: str | int | None,
        within_s: float,
    ) -> Awaitable[None]:
        """Bring a model of ``provider`` into memory. Raises ``RolegateError``."""


class Unloads(Protocol):
    def __call__(self, model: Model, *, provider: Provider) -> Awaitable[bool]:
        """Let go of a model of ``provider``; whether it was in memory. Raises ``RolegateError``."""


def _nothing(*_: object) -> None:
    """Nobody wants to know."""


def _unnoticed() -> str:
    """Nobody watches the files."""
    return ""


def _as_it_is(configuration: Configuration) -> Registry | None:
    return None


def _no_files(profile: str | None) -> Configuration:
    raise Unsupported("this gateway has no configuration files to read again")


async def _no_token(generation: Generation, *, role: str, deployment: Deployment) -> None:
    """Nobody is asked."""


async def _no_load(
    model: Model,
    *,
    provider: Provider,
    context_tokens: int | None,
    keep_alive: str | int | None,
    within_s: float,
) -> None:
    """Nothing is loaded ahead."""


async def _no_unload(model: Model, *, provider: Provider) -> bool:
    """Nothing is let go of."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What the controller does to the world. Those that block are called off the event loop.

    ``seen`` hears of every discovery. ``render`` and ``build_backend`` (which imports LiteLLM) block; ``keep`` writes down what
    goes live, and blocks. ``noticed`` says in words which files of the configuration have changed since it, or the watch over
    them, last did (empty: none); it blocks. ``read`` reads all layers again, with that profile active (``None``: the one that
    files, flags and variables make active now; empty: none); it blocks and raises ``ConfigInvalid``. ``persist`` makes a profile
    the active one on disk; it blocks and raises ``RolegateError``. ``facts`` gives the registry that serves a configuration,
    ``None`` for the one that is in use; it blocks. ``adopted`` hears of the configuration that is live from now on, before any
    request comes under it. ``generate``, ``load`` and ``unload`` are for canaries and for models' memory.
    """

    seen: Callable[[Discovery], None]
    render: RouterConfigWriter
    build_backend: Callable[[Mapping[str, object]], CompletionBackend]
    keep: Callable[[Mapping[str, object]], None] = _nothing
    noticed: Callable[[], str] = _unnoticed
    read: Callable[[str | None], Configuration] = _no_files
    persist: Callable[[str | None], None] = _nothing
    facts: Callable[[Configuration], Registry | None] = _as_it_is
    adopted: Callable[[Configuration], None] = _nothing
    generate: Generates = _no_token
    load: Loads = _no_load
    unload: Unloads = _no_unload

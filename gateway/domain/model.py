"""Models, the providers that serve them, and how they are named."""

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from gateway.domain.budget import Budget
from gateway.domain.capabilities import ModelCapabilities
from gateway.domain.lesson import FailedLoad
from gateway.domain.memory import Architecture

DEFAULT_QUEUE: Final = 1_024
DEFAULT_QUEUE_WAIT_S: Final = 60.0


class ProviderKind(StrEnum):
    OLLAMA = "ollama"
    EMBEDDED = "embedded"
    OPENAI = "openai"
    CLOUD = "cloud"


class Lane(StrEnum):
    """How one attempt travels: the native Ollama API, the OpenAI wire relayed, or through LiteLLM."""

    OLLAMA = "ollama"
    OPENAI = "openai"
    LITELLM = "litellm"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRef:
    """``provider:name``. The name is as the provider spells it, Ollama's with its tag (``mistral:latest``)."""

    provider: str
    name: str

    def __str__(self) -> str:
        return f"{self.provider}:{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A named place that serves models, as configured.

    ``url`` is where it listens (``None`` for the embedded engine, and for a cloud provider with LiteLLM's own address).
    ``on_this_host`` says that its models take this machine's memory; elsewhere ``memory_bytes`` and ``vram_bytes`` are the
    operator's word, or ``None``. ``key_variable`` names the environment variable that holds its key; ``has_key`` says
    whether one is known. ``max_parallel`` requests are sent at once (``None``: no limit), ``queue`` more wait, for at most
    ``queue_wait_s``. ``litellm_name`` is the provider's name in LiteLLM (``openai``, ``anthropic``, …). ``budget`` is what a
    cloud may cost (``None``: no limit).
    """

    name: str
    kind: ProviderKind
    lane: Lane
    url: str | None = None
    on_this_host: bool = False
    memory_bytes: int | None = None
    vram_bytes: int | None = None
    max_parallel: int | None = None
    queue: int = DEFAULT_QUEUE
    queue_wait_s: float = DEFAULT_QUEUE_WAIT_S
    litellm_name: str = ""
    key_variable: str = ""
    has_key: bool = False
    budget: Budget | None = None

    @property
    def cloud(self) -> bool:
        return self.kind is ProviderKind.CLOUD

    @property
    def identity(self) -> tuple[object, ...]:
        """What makes it another one where it is different, under the same name: limits and memory do not."""
        return self.name, self.kind, self.lane, self.url, self.litellm_name, self.key_variable


@dataclass(frozen=True, slots=True, kw_only=True)
class Residency:
    """What a server said of a model that is loaded now. Sizes in bytes; ``context_tokens`` per slot."""

    size_bytes: int
    size_vram_bytes: int
    context_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model that exists: installed on a provider, or declared for a cloud provider.

    ``chats`` and ``embeds`` are ``None`` when the server gave no capability list. ``cloud`` is true whenever a request to it
    leaves the operator's machines, an Ollama cloud stub included. ``failed_loads`` are those that its memory need is raised
    by. ``aliases`` are other names for the same weights on the same provider. ``provider_up`` is false while its provider does
    not answer (the rest is then the last known). ``speed_tokens_s`` is measured generation speed. ``cost_usd_per_mtok`` is the
    mean of input and output price; ``None`` is unknown, never free.
    """

    ref: ModelRef
    lane: Lane
    cloud: bool
    chats: bool | None
    embeds: bool | None
    capabilities: ModelCapabilities = field(default_factory=ModelCapabilities)
    architecture: Architecture | None = None
    digest: str = ""
    resident: Residency | None = None
    failed_loads: tuple[FailedLoad, ...] = ()
    aliases: frozenset[str] = frozenset()
    provider_up: bool = True
    speed_tokens_s: float | None = None
    cost_usd_per_mtok: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def weights_ref(self) -> ModelRef:
        """One reference for all names of the same weights: they share one loaded copy, hence one load profile."""
        return ModelRef(provider=self.ref.provider, name=min((self.ref.name, *self.aliases)))


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedReference:
    """A reference as written in a configuration: the provider is empty when the name is bare."""

    text: str
    provider: str
    name: str


def parse_reference(text: str, *, providers: Collection[str]) -> NamedReference:
    """Split ``text`` at the first ``:`` if what stands before it is a configured provider; otherwise it is a bare name."""
    head, colon, rest = text.partition(":")
    if colon and head in providers and rest:
        return NamedReference(text=text, provider=head, name=rest)
    return NamedReference(text=text, provider="", name=text)


def ollama_name(name: str) -> str:
    """``name`` as Ollama knows it: with a tag, ``:latest`` where none is written."""
    return name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"

"""What rooms that cannot see each other ask of one another; joined in ``compose``."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.domain.cost import DaySum
from gateway.domain.generation_record import GenerationRecord
from gateway.domain.keeping import Held, LoadReport, UnloadReport
from gateway.domain.model import Model, ModelRef, Provider
from gateway.domain.record import RequestRecord
from gateway.domain.resources import Resources
from gateway.domain.secret import Secret


class Clock(Protocol):
    def monotonic(self) -> float:
        """Seconds that never go back, for deadlines."""

    def time(self) -> float:
        """Seconds since the epoch, for people."""


class ResourceProbe(Protocol):
    def sample(self) -> Resources:
        """The machine now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderState:
    """How one provider answered the last time it was asked. ``error`` is a sentence, empty when it is up. ``complete`` is
    false while some of its models are not fully described yet."""

    provider: Provider
    up: bool
    complete: bool = True
    error: str = ""
    version: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What discovery found: every provider's state and every model, those of providers that are down as last known."""

    providers: tuple[ProviderState, ...]
    models: tuple[Model, ...]


class ModelSource(Protocol):
    """One provider, asked what it has."""

    @property
    def provider(self) -> Provider: ...

    async def discover(self) -> tuple[ProviderState, Sequence[Model]]:
        """Ask now. Never raises for a provider that is down: the state says so."""


class ModelKeeper(Protocol):
    """What can be done to the models of one provider. Each of its calls asks the provider now, and raises ``ProviderFailed``
    (``ProviderDown`` when it does not answer) or ``BadRequest`` for what cannot be done to this model."""

    @property
    def provider(self) -> Provider: ...

    async def held(self) -> Sequence[Held]:
        """What the provider has in memory."""

    async def load(
        self, model: Model, *, context_tokens: int | None, keep_alive: str | int | None, within_s: float
    ) -> LoadReport:
        """Bring ``model`` into memory with the load profile that every call to it has, and wait until it is there, at most
        ``within_s``. ``keep_alive`` (``None``: the provider's own) says how long it stays without requests."""

    async def unload(self, model: Model, *, within_s: float) -> UnloadReport:
        """Let go of ``model``, and wait until it is out of memory, at most ``within_s``."""

    async def remove(self, model: Model) -> None:
        """Delete ``model`` from the provider's disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where an OpenAI-wire server answers now. ``key`` is ``None`` when it asks for none."""

    base_url: str
    model: str
    key: Secret | None = None


class EmbeddedEngine(Protocol):
    """The in-tree llama.cpp engine, as the rooms beside it see it."""

    async def endpoint(self, name: str, *, context_tokens: int | None) -> Endpoint:
        """Start the child that serves ``name`` if none runs, wait until it answers, and say where.

        Raises ``EngineUnavailable`` or ``ModelUnavailable``.
        """

    def running(self) -> frozenset[str]:
        """The names served by a child that is up now."""

    def holds(self, name: str, *, context_tokens: int | None) -> bool:
        """Is a child up that serves ``name`` with room for ``context_tokens``?"""

    async def stop(self, name: str) -> None:
        """End the child that serves ``name``, if any."""

    async def retire(self, name: str) -> None:
        """Have the child that serves ``name``, if any, leave once its requests are done, and wait until it is gone."""

    async def close(self) -> None:
        """End every child."""


class EndpointResolver(Protocol):
    """Finds the OpenAI-wire endpoint of a deployment's model."""

    def known(self, ref: ModelRef, *, provider: Provider) -> Endpoint | None:
        """The endpoint, where nothing has to be started or waited for. Raises ``ProviderDown`` where there is none."""

    async def resolve(self, ref: ModelRef, *, provider: Provider, context_tokens: int | None) -> Endpoint:
        """The endpoint, once it is there. ``provider`` is the model's, as the generation knows it that the request was admitted
        under."""

    def resident(self, ref: ModelRef, *, provider: Provider, context_tokens: int | None) -> bool:
        """Does the model answer at once, with room for that context? True for every server that is not ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufFile:
    """A GGUF file as the embedded engine knows it.

    ``metadata`` are its key-value pairs with array values as tuples (tokenizer arrays left out); ``tensors`` are (name, type
    name, shape in ggml order). ``problem`` is a sentence when the file is missing or unreadable, and the rest is then empty.
    ``pullable`` says that `rolegate models pull` can fetch it.
    """

    name: str
    path: str
    size_bytes: int = 0
    digest: str = ""
    metadata: Mapping[str, object] = field(default_factory=dict)
    tensors: tuple[tuple[str, str, tuple[int, ...]], ...] = ()
    problem: str = ""
    pullable: bool = False


class GgufShelf(Protocol):
    """The GGUF files the embedded engine is configured to serve."""

    def files(self) -> Sequence[GgufFile]:
        """Every configured file, present or not; cached by path, size and modification time."""

    def resident(self) -> Mapping[str, tuple[int, int | None]]:
        """Names served by a running child → (resident bytes, context in tokens)."""


class KeySource(Protocol):
    """Where provider keys come from."""

    def key(self, provider: str) -> Secret | None:
        """The key of one provider, if any is known."""


class CompletionBackend(Protocol):
    """LiteLLM, as the rooms beside it see it: one generation's registry of deployments on the litellm lane."""

    def stream(
        self, *, role: str, ref: ModelRef, body: Mapping[str, object], connect_s: float, total_s: float
    ) -> AsyncIterator[Mapping[str, object]]:
        """OpenAI chat-completion chunks (as plain mappings, the usage chunk last) for one call to one deployment.

        An empty mapping comes before the first of them, as soon as upstream has begun to answer.

        ``body`` is an OpenAI chat request without ``model`` and ``stream``. Raises ``UpstreamFailed``; a stream that ended
        without a finish signal raises it with ``truncated``. Closing the iterator closes upstream.
        """

    async def embed(
        self, *, role: str, ref: ModelRef, body: Mapping[str, object], connect_s: float, total_s: float
    ) -> Mapping[str, object]:
        """An OpenAI embedding list (a plain mapping, the vectors unchecked) from one call to one deployment.

        ``body`` is an OpenAI embedding request. Raises ``UpstreamFailed``.
        """

    async def close(self) -> None:
        """Discard the Router and what it left behind in LiteLLM's globals."""


class CloudGate(Protocol):
    """Whether clouds may be asked now."""

    def closed(self, provider: str) -> str:
        """Why nothing more goes to this cloud for the time being, in words for the caller; empty while it may. Asked for every
        request that a cloud could answer: must return at once and never raise."""


class Journal(Protocol):
    """Where requests are remembered."""

    def record(self, request: RequestRecord) -> None:
        """Take note of a request that is over. Returns at once and never raises: it is called on the hot path."""


class JournalState(Protocol):
    """How the writing of the journal goes."""

    @property
    def dropped(self) -> int:
        """Requests that were recorded since the start and could not be kept."""

    def flush(self, *, within_s: float) -> bool:
        """Write down what is only in memory yet; whether that was done in time. Blocks."""


class JournalReader(Protocol):
    """What the journal remembers. Methods block, and raise ``RolegateError`` for a journal that cannot be read; one that was
    never written to is empty."""

    def recent(
        self,
        *,
        limit: int,
        failed: bool = False,
        role: str | None = None,
        since_s: float | None = None,
        before: str | None = None,
    ) -> Sequence[RequestRecord]:
        """The newest requests first, in the order in which they ended. ``since_s`` leaves out what arrived before that time
        (epoch seconds), ``before`` all that ended no earlier than the request with that id."""

    def find(self, request_id: str) -> RequestRecord | None:
        """The newest request with that id; callers may choose ids, and choose one twice."""

    def sums(self, *, since_day: int) -> Sequence[DaySum]:
        """What was answered on that day (``day_of``) and later."""


class SpeedLog(Protocol):
    def latest(self) -> Mapping[str, Sequence[float]]:
        """The speeds of the latest answers of each model, by its reference, in tokens/s, the latest first. Blocks; never
        raises."""


class GenerationLog(Protocol):
    """Where generations are remembered, over restarts."""

    def record(self, one: GenerationRecord) -> None:
        """Keep one. Blocks; never raises, since no swap depends on it."""

    def recent(self, limit: int) -> Sequence[GenerationRecord]:
        """The newest first. Blocks; raises ``RolegateError`` for a log that cannot be read. One that was never written to is
        empty."""

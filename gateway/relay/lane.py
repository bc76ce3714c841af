"""How one attempt travels: what a lane is given, and what it gives back."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol

from gateway.domain.model import ModelRef, Provider
from gateway.domain.plan import Deployment
from gateway.domain.ports import CompletionBackend
from gateway.errors import UpstreamFailed
from gateway.relay.deadlines import Limits
from gateway.relay.embedding_wire import Embeddings
from gateway.relay.event import Event
from gateway.relay.inquiry import Operation
from gateway.relay.loads import Load
from gateway.relay.shortcut import Shortcut


class Call(NamedTuple):
    """One call to one deployment.

    ``body`` is the OpenAI request of the kind that ``operation`` says, with the role's defaults filled in; ``stream``: the
    caller reads along. ``answer_id`` and ``created`` (seconds since the epoch) name the answer where upstream does not.
    ``left_s`` is what remains of the total deadline. ``keep_alive`` is how long the role wants the model kept in memory, as
    Ollama takes it; ``defaults`` are its parameters by themselves. Text may take the ``shortcut`` whenever it is open.
    """

    operation: Operation
    stream: bool
    role: str
    deployment: Deployment
    provider: Provider
    backend: CompletionBackend | None
    body: Mapping[str, object]
    limits: Limits
    left_s: float
    answer_id: str
    created: int
    shortcut: Shortcut
    keep_alive: str | int | None = None
    defaults: Mapping[str, object] = MappingProxyType({})

    @property
    def ref(self) -> ModelRef:
        return self.deployment.ref

    @property
    def load_s(self) -> float:
        """How long this call may wait for the model to become ready, in seconds."""
        return min(self.whole_load_s, self.left_s)

    @property
    def whole_load_s(self) -> float:
        """How long the model may take to become ready, in seconds, whoever waits for it."""
        return self.limits.connect_s if self.limits.load_s is None else self.limits.load_s

    def knows(self, feature: str) -> bool | None:
        """Whether the model has a feature; ``None`` when nobody knows."""
        if feature in self.deployment.features:
            return True
        return None if feature in self.deployment.unknown_features else False


class FailedAfterResend(UpstreamFailed):
    """An attempt in which the request was sent twice, since the connection of the first sending failed, and which failed
    nevertheless: it counts as two. ``first_s`` is how long the first sending took, in seconds."""

    def __init__(self, failed: UpstreamFailed, *, first_s: float) -> None:
        super().__init__(
            failed.message,
            failure=failed.failure,
            status=failed.status,
            spoken=failed.spoken,
            retry_after_s=failed.retry_after_s,
            prompt_tokens=failed.prompt_tokens,
        )
        self.first_s = first_s


class ModelLane(Protocol):
    """One way to reach a model. Failures are ``UpstreamFailed``; a request it cannot express is ``BadRequest``."""

    def ready(self, call: Call) -> bool:
        """Is it known without asking that the model can answer at once? True as well where nothing is ever loaded."""

    async def resident(self, call: Call) -> bool:
        """Can the model answer at once, as it is loaded now? True as well where nobody says. Asked only after ``ready`` said no.

        Bounds its own waiting.
        """

    def load(self, call: Call) -> Load:
        """Begin to load the model as the plan has it, or join the load that is under way. Asked only after ``resident`` said no;
        ``call.whole_load_s`` bounds the load, which may outlive the call."""

    def stream(self, call: Call) -> AsyncGenerator[Sequence[Event], None]:
        """The answer to a chat or completion, not yet asked for.

        Opens the connection (within ``connect_s``) when it is first iterated, yields an opening event as soon as upstream has
        begun to answer (left out where there is more to tell at once), then the events as they come, those that came at once
        together; ends after the last chunk, or with ``LastEvents``. An answer cut short raises ``UpstreamFailed``. Closing it
        closes the connection.
        """

    async def embed(self, call: Call) -> Embeddings:
        """The vectors for the inputs of an embedding request, as many as there are. Bounds its connecting only."""

    async def close(self) -> None:
        """Give back connections and end loads that are still under way."""

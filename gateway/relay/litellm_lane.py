"""The litellm lane: one deployment called through the generation's LiteLLM backend."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Final

from gateway.domain.failure import FailureClass
from gateway.domain.ports import CompletionBackend
from gateway.errors import UpstreamFailed
from gateway.relay.completion_request import as_chat
from gateway.relay.embedding_wire import Embeddings
from gateway.relay.event import OPENED, Event
from gateway.relay.inquiry import Operation
from gateway.relay.lane import Call
from gateway.relay.loads import Load
from gateway.relay.openai_embedding import listed_embeddings
from gateway.relay.openai_wire import ChunkReader

_OURS: Final = frozenset({"model", "stream", "stream_options"})
"""What the backend decides itself."""
_EFFORT: Final = frozenset({"reasoning_effort", "reasoning", "thinking"})


class LiteLLMLane:
    """Chats through ``Call.backend``."""

    def ready(self, call: Call) -> bool:
        """See ``ModelLane.ready``. Nothing is loaded on this lane."""
        return True

    async def resident(self, call: Call) -> bool:
        """See ``ModelLane.resident``."""
        return True

    def load(self, call: Call) -> Load:
        """See ``ModelLane.load``."""
        return Load.over()

    def stream(self, call: Call) -> AsyncGenerator[Sequence[Event], None]:
        """See ``ModelLane.stream``."""
        return self._stream(call)

    async def close(self) -> None:
        """Nothing to give back: a backend belongs to its generation."""

    async def embed(self, call: Call) -> Embeddings:
        """See ``ModelLane.embed``."""
        listed = await _backend(call).embed(
            role=call.role,
            ref=call.ref,
            body=call.body,
            connect_s=call.limits.connect_s,
            total_s=call.left_s,
        )
        return listed_embeddings(listed, asked=call.body)

    async def _stream(self, call: Call) -> AsyncGenerator[Sequence[Event], None]:
        keyed = call.provider.cloud or call.provider.has_key
        reader = ChunkReader(answer_id=call.answer_id, created=call.created, model=call.ref.name, keyed=keyed)
        chunks = _backend(call).stream(
            role=call.role,
            ref=call.ref,
            body=forwarded(call),
            connect_s=call.limits.connect_s,
            total_s=call.left_s,
        )
        try:
            async for chunk in chunks:
                events = reader.chunk(chunk) if chunk else (OPENED,)
                if events:
                    yield events
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()
        if not reader.finished:
            raise UpstreamFailed("the answer ended without a finish signal", failure=FailureClass.TRUNCATED)


def _backend(call: Call) -> CompletionBackend:
    if call.backend is None:
        raise UpstreamFailed("this generation has no LiteLLM backend", failure=FailureClass.GONE)
    return call.backend


def forwarded(call: Call) -> Mapping[str, object]:
    """The request as the backend takes it, without an effort for a model that is known not to think. What of it LiteLLM may see
    is for the backend to say."""
    body = as_chat(call.body) if call.operation is Operation.COMPLETION else call.body
    left_out = _OURS | _EFFORT if call.knows("supports_thinking") is False else _OURS
    return {name: value for name, value in body.items() if name not in left_out}

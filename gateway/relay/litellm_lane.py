"""The litellm lane: one deployment called through the generation's LiteLLM backend."""

from collections.abc import AsyncGenerator, Mapping
from typing import Final

from gateway.domain.failure import FailureClass
from gateway.errors import UpstreamFailed
from gateway.relay.event import Event
from gateway.relay.lane import Call
from gateway.relay.openai_wire import ChunkReader

_OURS: Final = frozenset({"model", "stream", "stream_options"})
"""What the backend decides itself."""
_EFFORT: Final = frozenset({"reasoning_effort", "reasoning", "thinking"})


class LiteLLMLane:
    """Chats through ``Call.backend``."""

    async def ready(self, call: Call) -> AsyncGenerator[Event, None]:
        """See ``ChatLane.ready``. Nothing is loaded on this lane."""
        return self._stream(call)

    async def close(self) -> None:
        """Nothing to give back: a backend belongs to its generation."""

    async def _stream(self, call: Call) -> AsyncGenerator[Event, None]:
        if call.backend is None:
            message = "this generation has no LiteLLM backend"
            raise UpstreamFailed(message, failure=FailureClass.GONE)
        keyed = call.provider.cloud or call.provider.has_key
        reader = ChunkReader(answer_id=call.answer_id, created=call.created, model=call.ref.name, keyed=keyed)
        chunks = call.backend.stream(
            role=call.role,
            ref=call.ref,
            body=forwarded(call),
            connect_s=call.limits.connect_s,
            total_s=call.left_s,
        )
        try:
            async for chunk in chunks:
                for event in reader.chunk(chunk):
                    yield event
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()
        if not reader.finished:
            raise UpstreamFailed("the answer ended without a finish signal", failure=FailureClass.TRUNCATED)


def forwarded(call: Call) -> Mapping[str, object]:
    """The request as the backend takes it, without an effort for a model that is known not to think. What of it LiteLLM may see
    is for the backend to say."""
    left_out = _OURS | _EFFORT if call.knows("supports_thinking") is False else _OURS
    return {name: value for name, value in call.body.items() if name not in left_out}

"""A provider's stream as LiteLLM should see it: of chunks without text, tool calls or reasoning it drops most."""

from typing import Any, Final

_DROPPED: Final = ("refusal", "images", "reasoning_details")
"""Fields of a delta that LiteLLM does not take for content of their own."""
_KEPT: Final = {"kept": True}
"""LiteLLM passes on any delta that has fields of the provider's own. They go no further than ``plain_chunk``."""


class WholeStream:
    """A stream of the ``openai`` client, with what would be dropped marked so that it is kept. Closing it closes upstream."""

    __slots__ = ("_stream",)

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __aiter__(self) -> "WholeStream":
        return self

    async def __anext__(self) -> Any:
        chunk = await anext(self._stream)
        for choice in getattr(chunk, "choices", None) or ():
            delta = getattr(choice, "delta", None)
            if delta is not None and any(getattr(delta, name, None) for name in _DROPPED):
                delta.provider_specific_fields = dict(_KEPT)
        return chunk

    async def close(self) -> None:
        await self._stream.close()


def keep_whole(upstream: Any) -> None:
    """Have LiteLLM's wrapper read its provider's stream as a ``WholeStream``, where that is one of the ``openai`` client's.

    Streams of its own making it reads itself.
    """
    stream = getattr(upstream, "completion_stream", None)
    if type(stream).__module__.partition(".")[0] == "openai":
        upstream.completion_stream = WholeStream(stream)

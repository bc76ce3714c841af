"""Text completions on the OpenAI wire: their chunks read as those of a chat."""

import re
from collections.abc import Mapping
from typing import Final

from gateway.domain.failure import FailureClass
from gateway.errors import UpstreamFailed
from gateway.relay.event import Event
from gateway.relay.openai_wire import ChunkReader

_NO_SUCH_ADDRESS: Final = frozenset({404, 405})
_NO_SUCH_MODEL: Final = re.compile(r"\bmodel\b.*\b(?:does not exist|not found|unknown)|no such model", re.IGNORECASE)


class TextReader(ChunkReader):
    """Chunks of a text completion, as the events that the same words of a chat would give.

    ``logprobs`` stay as upstream gave them. A whole answer, put into one chunk by ``chunk_of``, is read the same way.
    """

    __slots__ = ()

    def chunk(self, chunk: Mapping[str, object], *, data: bytes = b"") -> list[Event]:
        """See ``ChunkReader.chunk``. Nothing is passed on byte for byte: ``data`` is in another form than the events."""
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            return super().chunk(chunk)
        told = [_chat_choice(one) if isinstance(one, Mapping) else one for one in choices]
        return super().chunk({**chunk, "object": "chat.completion.chunk", "choices": told})


def refused_text(failed: UpstreamFailed) -> UpstreamFailed:
    """What a server's refusal of a text completion means: where it has no such address, or has it not for this model, the model
    is not gone: it only chats. Any other refusal is what it was."""
    if failed.status not in _NO_SUCH_ADDRESS or _NO_SUCH_MODEL.search(failed.message):
        return failed
    message = f"does not complete texts, it may only chat: {failed.message}"
    return UpstreamFailed(message, failure=FailureClass.CAPABILITY, status=failed.status)


def _chat_choice(choice: Mapping[str, object]) -> dict[str, object]:
    text = choice.get("text")
    delta = {} if text is None else {"content": text if isinstance(text, str) else False}
    return {**{key: value for key, value in choice.items() if key not in {"text", "delta"}}, "delta": delta}

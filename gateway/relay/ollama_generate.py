"""Text completions on Ollama's ``/api/generate``: what a chat sends and hears there, with a prompt and without messages.

The model's template is applied, so that a prompt is answered as a chat's would be; a suffix goes where the template has a
place for it.
"""

from collections.abc import Mapping
from typing import Final

import orjson

from gateway.relay.completion_request import as_chat
from gateway.relay.event import Event
from gateway.relay.needs import effort_of
from gateway.relay.ollama_wire import NativeReader, native_request

_KEPT: Final = ("error", "logprobs", "done", "done_reason", "prompt_eval_count", "eval_count")
"""What both calls say alike. The rest goes unread: tokens of a context that only this call can be given again."""


def generate_request(
    body: Mapping[str, object], *, model: str, context_tokens: int | None, thinks: bool
) -> dict[str, object]:
    """The ``/api/generate`` body for an OpenAI completion request. ``thinks`` says that the model can: unless an effort is asked
    for it shall not, since a text completion has no place for a thought."""
    unfilled = {key: value for key, value in body.items() if key != "suffix"}
    chat = native_request(as_chat(unfilled), model=model, context_tokens=context_tokens, thinks=thinks)
    native = {key: value for key, value in chat.items() if key != "messages"}
    native["prompt"] = body["prompt"]
    if body.get("suffix"):
        native["suffix"] = body["suffix"]
    if thinks and effort_of(body) is None:
        native["think"] = False
    return native


class GenerateReader(NativeReader):
    """Lines of ``/api/generate`` → the events that the same words of a chat would give."""

    __slots__ = ()

    def read(self, line: bytes) -> list[Event]:
        """See ``NativeReader.read``."""
        return super().read(_chat_line(line))


def _chat_line(line: bytes) -> bytes:
    """A line of ``/api/generate`` as ``/api/chat`` words it; anything else as it is."""
    try:
        native = orjson.loads(line)
    except orjson.JSONDecodeError:
        return line
    if not isinstance(native, dict) or "response" not in native:
        return line
    message = {"content": native["response"], "thinking": native.get("thinking")}
    try:
        return orjson.dumps({"message": message, **{key: native[key] for key in _KEPT if key in native}})
    except orjson.JSONEncodeError:
        # Nested too deeply to be written: a line that cannot be read.
        return b"null"

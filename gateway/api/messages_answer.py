"""What an OpenAI chat answer says, in the words of Anthropic's Messages: stop reasons, token counts, the input of tools."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

import orjson

_REASONS: Final = MappingProxyType(
    {
        "stop": "end_turn",
        "length": "max_tokens",
        "tool_calls": "tool_use",
        "function_call": "tool_use",
        "content_filter": "refusal",
    }
)
RAW: Final = "_raw"


class Stopping:
    """Why an answer ended, gathered from its choices, streamed or whole.

    Chat says ``stop`` for the natural end and for a stop sequence alike, so both are ``end_turn``, unless upstream also names the
    sequence (``stop_reason`` of the choice, as vLLM does) and it is one of ``stops``. An answer with tool calls that ended with
    ``stop`` is ``tool_use``; one in which the model refused (``refusal``), or that a filter cut, is ``refusal``.
    """

    __slots__ = ("_finish", "_sequence", "_stops", "called", "refused")

    def __init__(self, *, stops: Collection[str]) -> None:
        self._stops = stops
        self._finish: object = None
        self._sequence: str | None = None
        self.called = False
        self.refused = False

    def read(self, choice: Mapping[str, object]) -> None:
        self._finish = choice.get("finish_reason") or self._finish
        sequence = choice.get("stop_reason")
        if isinstance(sequence, str) and sequence in self._stops:
            self._sequence = sequence

    def told(self) -> dict[str, str | None]:
        """``stop_reason`` and ``stop_sequence``."""
        reason = _REASONS.get(self._finish, "end_turn") if isinstance(self._finish, str) else "end_turn"
        if reason == "end_turn":
            if self.refused:
                reason = "refusal"
            elif self.called:
                reason = "tool_use"
            elif self._sequence is not None:
                return {"stop_reason": "stop_sequence", "stop_sequence": self._sequence}
        return {"stop_reason": reason, "stop_sequence": None}


def usage_of(usage: object) -> dict[str, object]:
    """Chat's token counts as Anthropic's. Chat counts cached tokens among the prompt's, Anthropic beside them.

    ``output_tokens`` is always there, since the clients' types demand a number: 0 where upstream gave none. The rest is there
    only where it is known.
    """
    counts = usage if isinstance(usage, Mapping) else {}
    of_prompt, of_answer = counts.get("prompt_tokens_details"), counts.get("completion_tokens_details")
    prompt, answer = _count(counts, "prompt_tokens"), _count(counts, "completion_tokens")
    read = _first(_count(of_prompt, "cached_tokens"), _count(counts, "cache_read_input_tokens"))
    written = _first(_count(of_prompt, "cache_creation_tokens"), _count(counts, "cache_creation_input_tokens"))
    thought = _count(of_answer, "reasoning_tokens")
    told: dict[str, object] = {"output_tokens": answer or 0}
    if prompt is not None:
        told["input_tokens"] = max(0, prompt - (read or 0) - (written or 0))
    if read is not None:
        told["cache_read_input_tokens"] = read
    if written is not None:
        told["cache_creation_input_tokens"] = written
    if thought is not None:
        told["output_tokens_details"] = {"thinking_tokens": thought}
    return told


def said(message: Mapping[str, object]) -> str:
    """The text in a delta or a message."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    return _joined(content, key="text") if content else ""


def thought(message: Mapping[str, object]) -> str:
    """The reasoning in a delta or a message, by either of its names, or in parts of the content."""
    for key in ("reasoning_content", "reasoning"):
        value = message.get(key)
        if isinstance(value, str) and value:
            return value
    content = message.get("content")
    if not isinstance(content, list):
        return ""
    return "".join(_joined(part.get("thinking"), key="text") for part in content if isinstance(part, Mapping))


def refused(message: Mapping[str, object]) -> str:
    """The model's own words of refusal in a delta or a message: they are text to the caller."""
    value = message.get("refusal")
    return value if isinstance(value, str) else ""


def tool_input(arguments: str) -> str:
    """The input of a tool call as the JSON of an object, whatever the model wrote.

    No arguments are an empty object. What is not a JSON object, because the model made a mistake or was cut off, is kept word
    for word under ``_raw``: a client that got half an input as a whole one could run a tool with it.
    """
    if not arguments.strip():
        return "{}"
    return arguments if is_object(arguments) else orjson.dumps({RAW: arguments}).decode()


def is_object(text: str) -> bool:
    """Is this the JSON of one object?"""
    if not text.rstrip().endswith("}"):
        return False
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


def call_id(given: object, *, answer_id: str, number: int) -> str:
    """Upstream's id of a tool call, or one made from the answer's, which the caller can send back all the same."""
    return given if isinstance(given, str) and given else f"toolu_{answer_id.removeprefix('msg_')}_{number}"


def _joined(parts: object, *, key: str) -> str:
    if isinstance(parts, str):
        return parts
    texts = [part.get(key) for part in parts if isinstance(part, Mapping)] if isinstance(parts, list) else []
    return "".join(text for text in texts if isinstance(text, str))


def _count(counts: object, key: str) -> int | None:
    value = counts.get(key) if isinstance(counts, Mapping) else None
    return value if type(value) is int and value >= 0 else None


def _first(*counts: int | None) -> int | None:
    return next((count for count in counts if count is not None), None)

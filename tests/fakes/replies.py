"""What a fake model says."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """``call_id`` "" lets the server make one up."""

    name: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    call_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer. Each piece of ``thinking`` and ``content`` is one chunk and counts as one token.

    ``done_reason`` is Ollama's (``stop``, ``length``, ``""``). ``gap_s`` passes before every chunk. ``error`` ends the stream
    with this message instead of a finish; ``ends_without_finish`` ends it with nothing. ``prompt_tokens`` replaces the
    server's own count. A ``thinking`` of () on a thinking model that was not told otherwise is replaced by one short thought.
    """

    content: tuple[str, ...] = ("Hello", " there", ".")
    thinking: tuple[str, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    done_reason: str = "stop"
    prompt_tokens: int | None = None
    gap_s: float = 0.0
    error: str = ""
    ends_without_finish: bool = False


Script = Reply | Callable[[Mapping[str, Any]], Reply]
"""A reply, or a function from the request body to one."""


def spoken(script: Script, body: Mapping[str, Any]) -> Reply:
    return script if isinstance(script, Reply) else script(body)


def count_tokens(text: str) -> int:
    """The fakes' tokenizer: one token per word."""
    return len(text.split())

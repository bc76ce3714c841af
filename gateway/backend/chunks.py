"""LiteLLM's stream chunks as OpenAI's: plain mappings with the wire's own fields, and null only where OpenAI sends it."""

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

from gateway.domain.failure import FailureClass
from gateway.errors import UpstreamFailed

_CHUNK: Final = ("id", "object", "created", "model", "system_fingerprint", "service_tier", "citations")
_DELTA: Final = (
    "role",
    "content",
    "reasoning_content",
    "reasoning_details",
    "thinking_blocks",
    "refusal",
    "tool_calls",
    "function_call",
    "audio",
    "images",
    "annotations",
)
_CHOICE: Final = ("index", "finish_reason", "logprobs")
_INCLUDED: Final = {
    **dict.fromkeys((*_CHUNK, "usage"), True),
    "choices": {"__all__": {**dict.fromkeys(_CHOICE, True), "delta": dict.fromkeys(_DELTA, True)}},
}
_MAX_DEPTH: Final = 64
_MIN_INTEGER: Final = -(2**63)
_MAX_INTEGER: Final = 2**63 - 1
_CONTENT: Final = ("content", "reasoning_content", "refusal", "tool_calls", "function_call", "audio", "images")


def plain_chunk(chunk: Any) -> dict[str, object]:
    """One chunk, of nothing but what JSON can say. The one that carries the usage has no choices, as on OpenAI's wire.

    Half characters become question marks; integers beyond 64 bits and what is nested too deeply are left out. Raises
    ``UpstreamFailed`` for a chunk that cannot be read.
    """
    try:
        dumped = _sayable(
            chunk.model_dump(mode="python", include=_INCLUDED, exclude_none=True, warnings=False), depth=0
        )
    except (TypeError, ValueError, AttributeError, RecursionError) as exc:
        raise UpstreamFailed("a chunk of the answer cannot be read", failure=FailureClass.UPSTREAM_ERROR) from exc
    plain: dict[str, object] = {name: dumped[name] for name in _CHUNK if name in dumped}
    if dumped.get("usage"):
        return {**plain, "choices": [], "usage": dumped["usage"]}
    return {**plain, "choices": [_choice(choice) for choice in dumped.get("choices", ())]}


def ends(chunk: Any) -> bool:
    """Whether a chunk says that an answer is complete."""
    return any(choice.finish_reason for choice in chunk.choices)


def has_content(plain: Mapping[str, object]) -> bool:
    """Whether a plain chunk brings text, reasoning, a tool call, sound or a picture."""
    choices = plain["choices"]
    return isinstance(choices, list) and any(choice["delta"].get(name) for choice in choices for name in _CONTENT)


def _sayable(value: Any, *, depth: int) -> Any:
    if isinstance(value, Enum):
        return _sayable(value.value, depth=depth)
    if isinstance(value, str):
        return str(value.encode("utf-8", "replace"), "utf-8")
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if _MIN_INTEGER <= value <= _MAX_INTEGER else None
    if depth >= _MAX_DEPTH:
        return None
    if isinstance(value, Mapping):
        inside = {_sayable(str(name), depth=depth): _sayable(one, depth=depth + 1) for name, one in value.items()}
        return {name: one for name, one in inside.items() if one is not None}
    if isinstance(value, list | tuple):
        return [_sayable(one, depth=depth + 1) for one in value]
    return _sayable(str(value), depth=depth)


def _choice(choice: Mapping[str, Any]) -> dict[str, Any]:
    delta = choice.get("delta") or {}
    plain = {
        "index": choice.get("index", 0),
        "delta": {name: delta[name] for name in _DELTA if name in delta},
        "finish_reason": choice.get("finish_reason"),
    }
    return {**plain, "logprobs": choice["logprobs"]} if "logprobs" in choice else plain

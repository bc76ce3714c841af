"""LiteLLM's stream chunks as OpenAI's: plain mappings with the wire's own fields, and null only where OpenAI sends it."""

from collections.abc import Mapping
from typing import Any, Final

_CHUNK: Final = ("id", "object", "created", "model", "system_fingerprint", "service_tier")
_DELTA: Final = (
    "role",
    "content",
    "reasoning_content",
    "thinking_blocks",
    "refusal",
    "tool_calls",
    "function_call",
    "audio",
    "annotations",
)
_CONTENT: Final = ("content", "reasoning_content", "refusal", "tool_calls", "function_call", "audio")


def plain_chunk(chunk: Any) -> dict[str, object]:
    """One chunk. The one that carries the usage has no choices, as on OpenAI's wire."""
    dumped: dict[str, Any] = chunk.model_dump(mode="json", exclude_none=True)
    plain: dict[str, object] = {name: dumped[name] for name in _CHUNK if name in dumped}
    if dumped.get("usage"):
        return {**plain, "choices": [], "usage": dumped["usage"]}
    return {**plain, "choices": [_choice(choice) for choice in dumped.get("choices", ())]}


def ends(chunk: Any) -> bool:
    """Whether a chunk says that an answer is complete."""
    return any(choice.finish_reason for choice in chunk.choices)


def has_content(plain: Mapping[str, object]) -> bool:
    """Whether a plain chunk brings text, reasoning, a tool call or sound."""
    choices = plain["choices"]
    return isinstance(choices, list) and any(choice["delta"].get(name) for choice in choices for name in _CONTENT)


def _choice(choice: Mapping[str, Any]) -> dict[str, Any]:
    delta = choice.get("delta") or {}
    plain = {
        "index": choice.get("index", 0),
        "delta": {name: delta[name] for name in _DELTA if name in delta},
        "finish_reason": choice.get("finish_reason"),
    }
    return {**plain, "logprobs": choice["logprobs"]} if "logprobs" in choice else plain

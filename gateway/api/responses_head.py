"""The ``response`` object around an answer: what is known of it before the first word."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseHead:
    """One response. ``key`` makes its ids; ``created_s`` counts from the epoch; ``model`` is what was asked for, and stands in
    the answer only if upstream names none. ``settings`` repeat the request; ``logprobs`` says that they were asked for."""

    key: str
    created_s: int
    model: str
    settings: Mapping[str, object]
    logprobs: bool

    def item_id(self, prefix: str, index: int) -> str:
        """The id of the item at a place of the output."""
        return f"{prefix}_{self.key}_{index}"

    def response(
        self,
        *,
        status: str,
        model: str,
        output: Sequence[Mapping[str, object]],
        usage: Mapping[str, object] | None = None,
        cut_by: str | None = None,
        error: Mapping[str, object] | None = None,
    ) -> dict[str, object]:
        """The whole object. ``cut_by`` is the reason of an incomplete answer."""
        return {
            "id": f"resp_{self.key}",
            "object": "response",
            "created_at": self.created_s,
            "status": status,
            "error": error,
            "incomplete_details": None if cut_by is None else {"reason": cut_by},
            "model": model,
            "output": output,
            "usage": usage,
            **self.settings,
        }


def usage_of(usage: object) -> dict[str, object] | None:
    """A chat's token counts as a response's; ``None`` where upstream did not count both sides.

    The details must be numbers on this wire, so those that upstream leaves out are 0.
    """
    if not isinstance(usage, Mapping):
        return None
    asked, answered = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if type(asked) is not int or type(answered) is not int:
        return None
    total = usage.get("total_tokens")
    of_asked, of_answered = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    return {
        "input_tokens": asked,
        "input_tokens_details": {
            "cached_tokens": _count(of_asked, "cached_tokens"),
            "cache_write_tokens": _count(of_asked, "cache_write_tokens", "cache_creation_tokens"),
        },
        "output_tokens": answered,
        "output_tokens_details": {"reasoning_tokens": _count(of_answered, "reasoning_tokens")},
        "total_tokens": total if type(total) is int else asked + answered,
    }


def _count(details: object, *keys: str) -> int:
    counts = [details.get(key) for key in keys] if isinstance(details, Mapping) else []
    return next((count for count in counts if type(count) is int), 0)

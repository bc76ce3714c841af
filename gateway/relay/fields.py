"""What a field of a request may hold, and the complaint about one that holds something else."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import orjson

from gateway.errors import BadRequest

MAX_STOPS: Final = 64
_WORD: Final = re.compile(r"[!-~]{0,40}")

Check = tuple[str, Callable[[object], bool]]
"""What is allowed, in words, and the test of it."""


def check_fields(content: Mapping[str, object], checks: Mapping[str, Check]) -> None:
    """Raise ``BadRequest`` for the first field that is there, is not null, and fails its check."""
    for key, value in content.items():
        check = checks.get(key)
        if check is not None and value is not None and not check[1](value):
            raise wrong(key, found=value, allowed=check[0])


def a_number(low: float, high: float) -> Check:
    def accepts(value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high

    return f"a number from {low:g} to {high:g}", accepts


def a_whole_number(low: int, high: int | None = None) -> Check:
    def accepts(value: object) -> bool:
        return type(value) is int and value >= low and (high is None or value <= high)

    return f"a whole number from {low}" if high is None else f"a whole number from {low} to {high}", accepts


def a_boolean() -> Check:
    return "true or false", lambda value: isinstance(value, bool)


def an_object() -> Check:
    return "an object", lambda value: isinstance(value, dict)


def a_stop() -> Check:
    """One or more texts at which an answer ends."""

    def accepts(value: object) -> bool:
        if isinstance(value, str):
            return True
        return isinstance(value, list) and len(value) <= MAX_STOPS and all(isinstance(one, str) for one in value)

    return f"a string or a list of at most {MAX_STOPS} strings", accepts


def wrong(where: str, *, found: object, allowed: str) -> BadRequest:
    return BadRequest(f"{where}: found {kind_of(found)}; allowed: {allowed}", param=where)


def kind_of(value: object) -> str:
    """What ``value`` is, short enough to quote. A text is quoted only if it is a single word: complaints are logged, and what
    callers say is nobody else's business."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an empty list" if not value else "a list"
    if isinstance(value, str) and not _WORD.fullmatch(value):
        return f"a text of {len(value):,} characters"
    text = orjson.dumps(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."


SAMPLING: Final[Mapping[str, Check]] = MappingProxyType(
    {
        "stream": a_boolean(),
        "stream_options": an_object(),
        "n": a_whole_number(1, 128),
        "temperature": a_number(0, 2),
        "top_p": a_number(0, 1),
        "min_p": a_number(0, 1),
        "top_k": a_whole_number(-1),
        "presence_penalty": a_number(-2, 2),
        "frequency_penalty": a_number(-2, 2),
        "seed": a_whole_number(-(1 << 63), (1 << 63) - 1),
        "max_tokens": a_whole_number(1),
        "stop": a_stop(),
        "logit_bias": an_object(),
    }
)
"""The fields that every request for generated text has in common."""

"""Vectors as they are read from upstream and written for the caller: lists of numbers, or base64 of little-endian float32."""

import base64
import math
import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from gateway.domain.failure import FailureClass
from gateway.errors import UpstreamFailed

_MAX_COUNT: Final = 1 << 53

Vector = Sequence[float] | str
"""Numbers, or base64 of little-endian float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """The vectors of one answer, in the order of the inputs, and upstream's token counts, ``None`` where it gave none."""

    vectors: tuple[Vector, ...]
    prompt_tokens: int | None = None
    total_tokens: int | None = None


def as_asked(given: Sequence[object], *, asked: Mapping[str, object]) -> tuple[Vector, ...]:
    """The vectors in ``given``, checked: as many as ``asked``, the body of an ``EmbeddingRequest``, has inputs, and as long as it
    wants them.

    Raises ``UpstreamFailed``: ``upstream_error`` for what is not that many vectors, ``capability`` for vectors of another
    length than asked for, which a server that does not know ``dimensions`` gives.
    """
    inputs, dimensions = asked.get("input"), asked.get("dimensions")
    count = len(inputs) if isinstance(inputs, list) else 1
    if len(given) != count:
        message = f"the answer holds {_counted(len(given), 'vector')} for {_counted(count, 'input')}"
        raise UpstreamFailed(message, failure=FailureClass.UPSTREAM_ERROR)
    vectors: list[Vector] = []
    for number, one in enumerate(given):
        length = _length(one)
        if not length or not isinstance(one, str | list):
            message = f"vector {number} of the answer is not a list of finite numbers"
            raise UpstreamFailed(message, failure=FailureClass.UPSTREAM_ERROR)
        if dimensions is not None and length != dimensions:
            message = f"does not give vectors of {dimensions} dimensions (it gave {length})"
            raise UpstreamFailed(message, failure=FailureClass.CAPABILITY)
        vectors.append(one)
    return tuple(vectors)


def embedding_answer(embeddings: Embeddings, *, model: str, as_base64: bool) -> bytes:
    """The OpenAI answer as JSON, its vectors in the format that the caller asked for. Unknown token counts are left out."""
    shown = _as_base64 if as_base64 else _as_numbers
    answer: dict[str, object] = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": shown(vector)}
            for index, vector in enumerate(embeddings.vectors)
        ],
        "model": model,
    }
    if embeddings.prompt_tokens is not None:
        total_tokens = embeddings.total_tokens
        answer["usage"] = {
            "prompt_tokens": embeddings.prompt_tokens,
            "total_tokens": embeddings.prompt_tokens if total_tokens is None else total_tokens,
        }
    return orjson.dumps(answer)


def token_count(given: Mapping[str, object], key: str) -> int | None:
    """A token count as upstream gave it; ``None`` for anything that is none."""
    value = given.get(key)
    return value if type(value) is int and 0 <= value <= _MAX_COUNT else None


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _length(value: object) -> int:
    """How many numbers ``value`` holds; 0 where it is not a vector of finite ones."""
    try:
        if isinstance(value, str):
            numbers = _unpacked(value)
        elif isinstance(value, list) and set(map(type, value)) <= {int, float}:
            numbers = array("f", value)
        else:
            return 0
    except (ValueError, OverflowError):
        return 0
    # Summed as doubles, float32 numbers cannot overflow: a sum that is not finite has one in it that is not.
    return len(numbers) if math.isfinite(sum(numbers)) else 0


def _unpacked(text: str) -> "array[float]":
    """The numbers in base64. Raises ``ValueError`` for what is no whole number of them."""
    numbers = array("f", base64.b64decode(text, validate=True))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _as_numbers(vector: Vector) -> Sequence[float]:
    return _unpacked(vector).tolist() if isinstance(vector, str) else vector


def _as_base64(vector: Vector) -> str:
    if isinstance(vector, str):
        return vector
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()

"""Values out of JSON that a server sent: what is absent, null or of another type is unknown, never an error."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from gateway.domain.tensors import MAX_LENGTH

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


def mapping(value: object, key: str | None = None) -> Mapping[str, Any]:
    """``value``, or its entry ``key``, if it is an object; else an empty one."""
    found = value if key is None else mapping(value).get(key)
    return found if isinstance(found, Mapping) else NOTHING


def objects(value: object, key: str) -> Sequence[Mapping[str, Any]]:
    """The objects in the list ``key`` of ``value``."""
    found = mapping(value).get(key)
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def text(value: object, key: str) -> str:
    """The text ``key`` of ``value``, without surrounding space; empty when there is none."""
    found = mapping(value).get(key)
    return found.strip() if isinstance(found, str) else ""


def texts(value: object, key: str) -> tuple[str, ...] | None:
    """The texts in the list ``key`` of ``value``; ``None`` when there is no such list or nothing in it."""
    found = mapping(value).get(key)
    kept = tuple(one for one in found if isinstance(one, str)) if isinstance(found, list) else ()
    return kept or None


def length(value: object, key: str) -> int | None:
    """The whole number ``key`` of ``value``, if it is over 0 and not larger than any model's context or width."""
    found = whole(value, key)
    return found if found is not None and found <= MAX_LENGTH else None


def whole(value: object, key: str) -> int | None:
    """The whole number ``key`` of ``value``, if it is over 0."""
    found = mapping(value).get(key)
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 < found < 2**63 or found != found // 1:
        return None
    return int(found)

"""How deep JSON may be nested: what is read must also be writable, and a schema has no use for more."""

from collections.abc import Mapping
from typing import Final

MAX_DEPTH: Final = 100
"""Levels of objects and lists. Real schemas need about thirty; the JSON writer gives up at 255."""


def deeper_than(value: object, levels: int) -> bool:
    """Is ``value`` nested deeper than ``levels``? A plain value has no level, an empty list one. Uses no recursion."""
    layer = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        if not layer:
            return False
        layer = [
            inner
            for outer in layer
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    return bool(layer)


def too_deep_field(content: Mapping[str, object], *, raw: bytes) -> str | None:
    """The first field of ``content`` that takes it over ``MAX_DEPTH``. ``raw`` is its JSON: with few brackets it is not read
    again."""
    if raw.count(b"{") + raw.count(b"[") <= MAX_DEPTH:
        return None
    return next((key for key, value in content.items() if deeper_than(value, MAX_DEPTH - 1)), None)

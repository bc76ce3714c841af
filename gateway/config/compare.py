"""What differs between two sets of settings, as data. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.config.set_path import KeyPath, format_set_path


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One setting that is not the same on both sides. ``in_left`` and ``in_right`` tell an absent value (``None`` here) from
    ``null``."""

    path: str
    left: object
    right: object
    in_left: bool = True
    in_right: bool = True


class _Absent:
    """Stands for a value that is not there."""


_ABSENT: Final = _Absent()


def differences(left: Mapping[str, object], right: Mapping[str, object]) -> tuple[Difference, ...]:
    """Every leaf (a scalar, a list, an empty mapping) that is not the same, by set path, in the order of ``left`` and then
    ``right``. Empty for equal settings; the order of keys means nothing, ``1`` and ``1.0`` are equal, ``1`` and ``true`` are
    not."""
    return tuple(_mappings(left, right, ()))


def _mappings(left: Mapping[str, object], right: Mapping[str, object], path: KeyPath) -> Iterator[Difference]:
    for key in (*left, *(key for key in right if key not in left)):
        yield from _values(left.get(key, _ABSENT), right.get(key, _ABSENT), (*path, key))


def _values(left: object, right: object, path: KeyPath) -> Iterator[Difference]:
    sides = (left, right)
    if all(isinstance(one, Mapping) or one is _ABSENT for one in sides) and not _is_leaf(*sides):
        yield from _mappings(_as_mapping(left), _as_mapping(right), path)
    elif not same(left, right):
        yield Difference(
            path=format_set_path(path),
            left=None if left is _ABSENT else left,
            right=None if right is _ABSENT else right,
            in_left=left is not _ABSENT,
            in_right=right is not _ABSENT,
        )


def _is_leaf(left: object, right: object) -> bool:
    """Whether one side is an empty mapping and the other has none at all: there is no leaf inside to speak of."""
    return (left is _ABSENT and not right) or (right is _ABSENT and not left)


def _as_mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def same(left: object, right: object) -> bool:
    """Whether two plain values are equal, as JSON has it."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(same(value, right[key]) for key, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return left == right

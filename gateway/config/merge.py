"""Merging layers: values, and where each of them comes from. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, cast

from gateway.config.set_path import KeyPath, format_set_path, parse_set_path


class Layer(StrEnum):
    """Where configuration comes from, the strongest first. What discovery found is the last and is not in any file."""

    COMMAND_LINE = "command_line"
    ENVIRONMENT = "environment"
    PROFILE = "profile"
    USER_MODELS = "user_models"
    MODELS_JSON = "models.json"
    MODELS_YAML = "models.yaml"
    DISCOVERED = "discovered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where one value was written. ``file`` is the file's path, a variable's name or a flag."""

    layer: Layer
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """The plain values of one file. Keys are text; ``None`` removes what lies below."""

    source: Source
    values: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A mapping over something else, or the reverse. The value of ``below`` was kept."""

    path: KeyPath
    source: Source
    value: object
    below: Source
    below_value: object


_Tree = Source | dict[str, "_Tree"]
"""Mirrors the values; a ``Source`` stands for everything at and under its place."""


class Provenance(Mapping[str, Source]):
    """Set path of every leaf → its source. A leaf is a scalar, a list, or an empty mapping."""

    __slots__ = ("_tree", "_values")

    def __init__(self, *, values: Mapping[str, object], tree: _Tree) -> None:
        self._values = values
        self._tree = tree

    def at(self, path: KeyPath) -> Source | None:
        """The source of ``path``: a leaf's own; for a mapping or a place within a list, that of the first leaf under or the
        leaf around it; ``None`` where nothing is."""
        if not path or not _exists(self._values, path):
            return None
        node = self._tree
        for key in path:
            if isinstance(node, Source):
                return node
            node = node[str(key)]
        return _first(node)

    def tree_of(self) -> dict[str, _Tree]:
        """The mirror of the values, for laying more over them."""
        return dict.fromkeys(self._values, self._tree) if isinstance(self._tree, Source) else dict(self._tree)

    def leaves(self) -> Iterator[tuple[KeyPath, object, Source]]:
        """Every leaf: its path, value and source, in the order of the values."""
        yield from _leaves(self._values, self._tree, ())

    def __getitem__(self, set_path: str) -> Source:
        try:
            path = parse_set_path(set_path)
        except ValueError as exc:
            raise KeyError(set_path) from exc
        source = self.at(path)
        if source is None or not _is_leaf(self._values, path):
            raise KeyError(set_path)
        return source

    def __iter__(self) -> Iterator[str]:
        return (format_set_path(path) for path, _value, _source in self.leaves())

    def __len__(self) -> int:
        return sum(1 for _ in self.leaves())


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    values: Mapping[str, object]
    provenance: Provenance
    conflicts: tuple[Conflict, ...]


_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})


def merge(overlays: Sequence[Overlay], *, onto: Merged | None = None) -> Merged:
    """Lay ``overlays`` over each other, the weakest first, and all over ``onto`` where there is one.

    Mappings merge key by key; lists and scalars replace; ``None`` removes. The result holds no ``None`` and shares what no
    overlay changed with the overlays, which are never altered.
    """
    values: dict[str, object] = {} if onto is None else dict(onto.values)
    tree: dict[str, _Tree] = {} if onto is None else onto.provenance.tree_of()
    conflicts: list[Conflict] = [] if onto is None else list(onto.conflicts)
    for overlay in overlays:
        values, tree = _over(values, tree, overlay.values, overlay.source, (), conflicts)
    return Merged(values=values, provenance=Provenance(values=values, tree=tree), conflicts=tuple(conflicts))


def _over(
    below: Mapping[str, object],
    below_tree: Mapping[str, _Tree],
    above: Mapping[str, object],
    source: Source,
    path: KeyPath,
    conflicts: list[Conflict],
) -> tuple[dict[str, object], dict[str, _Tree]]:
    values, tree = dict(below), dict(below_tree)
    for key, value in above.items():
        if value is None:
            values.pop(key, None)
            tree.pop(key, None)
            continue
        if key not in values:
            values[key] = _without_nulls(value) if isinstance(value, Mapping) else value
            tree[key] = source
            continue
        old, node = values[key], tree[key]
        if isinstance(value, Mapping) != isinstance(old, Mapping):
            conflicts.append(
                Conflict(path=(*path, key), source=source, value=value, below=_first(node), below_value=old)
            )
        elif isinstance(value, Mapping):
            inner = cast(Mapping[str, object], old)
            opened = dict.fromkeys(inner, node) if isinstance(node, Source) else node
            merged, merged_tree = _over(inner, opened, value, source, (*path, key), conflicts)
            values[key] = merged
            tree[key] = merged_tree or (source if inner else node)
        else:
            values[key], tree[key] = value, source
    return values, tree


def _without_nulls(mapping: Mapping[str, object]) -> dict[str, object]:
    return {
        key: _without_nulls(value) if isinstance(value, Mapping) else value
        for key, value in mapping.items()
        if value is not None
    }


def _first(node: _Tree) -> Source:
    while not isinstance(node, Source):
        node = next(iter(node.values()))
    return node


def _leaves(values: Mapping[str, object], tree: _Tree, path: KeyPath) -> Iterator[tuple[KeyPath, object, Source]]:
    for key, value in values.items():
        node = tree if isinstance(tree, Source) else tree[key]
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, node, (*path, key))
        else:
            yield (*path, key), value, _first(node)


def value_at(values: object, path: KeyPath) -> object:
    """What stands at ``path``. Raises ``LookupError`` where nothing does."""
    for key in path:
        values = _inside(values, key)
    return values


def _inside(values: object, key: str | int) -> object:
    if isinstance(values, Mapping):
        return values[key]
    if isinstance(values, list) and isinstance(key, int):
        return values[key]
    raise KeyError(key)


def _exists(values: object, path: KeyPath) -> bool:
    try:
        value_at(values, path)
    except LookupError:
        return False
    return True


def _is_leaf(values: object, path: KeyPath) -> bool:
    value = value_at(values, path)
    return all(isinstance(key, str) for key in path) and not (isinstance(value, Mapping) and value)

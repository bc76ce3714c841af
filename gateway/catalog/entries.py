"""The models of the score table, and the names they are found by."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from gateway.catalog.names import take_apart
from gateway.domain.capabilities import ABILITIES


@dataclass(frozen=True, slots=True, kw_only=True)
class Ability:
    """One published ability: ``theta``, how sure (0 to 1), and the tier A to C."""

    theta: float
    confidence: float
    tier: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One model of the table. ``modes`` maps thinking (true, false) to its abilities; sizes are in 10^9 parameters.

    ``architectures`` are those it is published in, empty where that is not known. ``sizes`` are its size tokens,
    ``ollama_names`` the names it has in Ollama's library.
    """

    key: str
    size_b: float | None
    active_b: float | None
    open_weights: bool
    native_mxfp4: bool
    architectures: frozenset[str]
    sizes: frozenset[str]
    ollama_names: frozenset[str]
    modes: Mapping[bool, Mapping[str, Ability]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Handle:
    """One name of an entry: the ``hints`` tell it from others that share the stem (``v02``, ``2507``, ``preview``)."""

    entry: Entry
    hints: frozenset[str]


_NATIVE_MXFP4_FAMILY: Final = "gpt-oss"


def read_entries(
    *, scores: Iterable[Mapping[str, str]], families: Iterable[Mapping[str, str]]
) -> Mapping[str, Sequence[Handle]]:
    """The index stem → handles. A stem is the words of a name joined, without sizes: ``llama31``, ``qwen25coder``."""
    family_rows = {row["key"]: row for row in families}
    grouped: dict[str, list[Mapping[str, str]]] = {}
    for row in scores:
        grouped.setdefault(row["model_key"], []).append(row)
    index: dict[str, list[Handle]] = {}
    for key, rows in grouped.items():
        extra = family_rows.get(key) or family_rows.get(rows[0]["family"]) or {}
        entry = _entry(key, rows=rows, architectures=extra.get("architectures", ""))
        for stem, hints in _stems(entry, aliases=_listed(extra.get("aliases", ""))):
            handles = index.setdefault(stem, [])
            handle = Handle(entry=entry, hints=hints)
            if handle not in handles:
                handles.append(handle)
    return MappingProxyType(index)


def _entry(key: str, *, rows: Sequence[Mapping[str, str]], architectures: str) -> Entry:
    first = rows[0]
    names = frozenset(_listed(first["ollama_names"]))
    return Entry(
        key=key,
        size_b=float(first["size_b"]) if first["size_b"] else None,
        active_b=float(first["active_b"]) if first["active_b"] else None,
        open_weights=first["open_weights"] == "1",
        native_mxfp4=first["family"] == _NATIVE_MXFP4_FAMILY,
        architectures=frozenset(_listed(architectures)),
        sizes=frozenset(size for name in (key, *names) for size in take_apart(name).sizes),
        ollama_names=names,
        modes=MappingProxyType({row["mode"] == "think": _abilities(row) for row in rows}),
    )


def _abilities(row: Mapping[str, str]) -> Mapping[str, Ability]:
    return MappingProxyType(
        {
            ability: Ability(
                theta=float(row[f"{ability}_theta"]),
                confidence=float(row[f"{ability}_confidence"]),
                tier=row[f"{ability}_tier"],
            )
            for ability in ABILITIES
        }
    )


def _stems(entry: Entry, *, aliases: Sequence[str]) -> Iterable[tuple[str, frozenset[str]]]:
    parts = take_apart(entry.key)
    yield "".join(parts.words[: parts.before_size]), frozenset(parts.words[parts.before_size :])
    for name in sorted(entry.ollama_names):
        repository, _, tag = name.partition(":")
        yield "".join(take_apart(repository).words), frozenset(take_apart(tag).words)
    for alias in aliases:
        yield "".join(take_apart(alias).words), frozenset()


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split("|") if part)

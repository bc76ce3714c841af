"""Which model of the score table an installed model is."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.catalog.entries import Entry, Handle
from gateway.catalog.names import ModelIdentity, NameParts, is_version, size_in_billions, take_apart
from gateway.domain.model import ollama_name


class Kinship(StrEnum):
    """How a model is related to the entry that was found for it."""

    SAME = "same"
    FINE_TUNE = "fine_tune"
    SIBLING = "sibling"


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """An entry and how near it is. ``size_b`` is the installed model's own size in 10^9 parameters, where known."""

    entry: Entry
    kinship: Kinship
    size_b: float | None


SAME_SIZE_RATIO: Final = 1.25
"""Counts of the same model differ by what is counted (embeddings, vision), seldom by more than this."""
NAMED_SIZE_RATIO: Final = 2.0
"""With the same size in the name, this much may be left out of the file."""

_SURE_RATIO: Final = 1.05
_SHORTEST_INNER_STEM: Final = 5
_BASES: Final = frozenset(("gemma", "llama", "mistral", "mixtral", "phi", "qwen"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sought:
    """An identity, taken apart once."""

    identity: ModelIdentity
    name: NameParts
    sizes: frozenset[str]
    size_b: float | None

    @property
    def local(self) -> bool:
        return self.identity.parameter_count is not None or bool(self.identity.architecture)


def size_of(identity: ModelIdentity) -> float | None:
    """Parameters in 10^9: as counted, else as the size label or the name says."""
    if identity.parameter_count:
        return identity.parameter_count / 1e9
    for text in (identity.size_label or "", identity.name):
        for token in take_apart(text).sizes:
            size_b = size_in_billions(token)
            if size_b is not None:
                return size_b
    return None


class Matcher:
    """Finds entries by name. ``index`` is what ``read_entries`` made."""

    __slots__ = ("_hints", "_index")

    def __init__(self, *, index: Mapping[str, Sequence[Handle]]) -> None:
        self._index = index
        self._hints = frozenset(hint for handles in index.values() for handle in handles for hint in handle.hints)

    def find(self, identity: ModelIdentity) -> Match | None:
        """The entry of this model, else of its base, else of a sibling of another size; ``None`` when all are strangers.

        What the server says of the model goes before what the model is called.
        """
        name = take_apart(identity.name)
        label = take_apart(identity.size_label or "").sizes
        sought = _Sought(identity=identity, name=name, sizes=frozenset(label or name.sizes), size_b=size_of(identity))
        sources = [parts for text in (identity.basename or "", identity.name) if (parts := take_apart(text)).words]
        for parts in sources:
            match = self._of_same_size(parts, sought=sought)
            if match is not None:
                return match
        for parts in sources:
            match = self._of_another_size(parts, sought=sought)
            if match is not None:
                return match
        return None

    def _of_same_size(self, parts: NameParts, *, sought: _Sought) -> Match | None:
        for rest, handles in self._located(parts.words):
            related = [handle for handle in handles if _related(handle.entry, sought)]
            fitting = [handle for handle in related if _same_size(handle, sought)]
            chosen = self._choose(fitting, rest=rest, sought=sought)
            if chosen is not None:
                return self._match(chosen, rest=rest, sought=sought)
            if related and all(self._expected(word) for word in rest):
                return None  # the whole name is known: a sibling tells more than the base that a part of the name names
        return None

    def _of_another_size(self, parts: NameParts, *, sought: _Sought) -> Match | None:
        for _, handles in self._located(parts.words):
            sibling = _nearest_in_size([handle for handle in handles if _related(handle.entry, sought)], sought)
            if sibling is not None:
                return Match(entry=sibling.entry, kinship=Kinship.SIBLING, size_b=sought.size_b)
        return None

    def _located(self, words: Sequence[str]) -> Iterator[tuple[tuple[str, ...], Sequence[Handle]]]:
        """The stems among ``words``, the longest and then the earliest first, each with the words left over."""
        spans = [(start, end) for start in range(len(words)) for end in range(start + 1, len(words) + 1)]
        found = [
            (len(stem), -start, end) for start, end in spans if self._counts(stem := "".join(words[start:end]), start)
        ]
        for _, negative_start, end in sorted(found, reverse=True):
            start = -negative_start
            yield (*words[:start], *words[end:]), self._index["".join(words[start:end])]

    def _counts(self, stem: str, start: int) -> bool:
        return stem in self._index and (start == 0 or len(stem) >= _SHORTEST_INNER_STEM)

    def _choose(self, handles: Sequence[Handle], *, rest: Sequence[str], sought: _Sought) -> Handle | None:
        identity = sought.identity
        said = {*rest, *sought.name.words, *take_apart(identity.finetune or "").words}
        spelled = ollama_name(identity.name).lower()
        if sought.size_b is None and not sought.sizes:
            plain = [handle for handle in handles if handle.hints <= said]
            named = [handle for handle in plain if spelled in handle.entry.ollama_names]
            if not named and len({handle.entry.size_b for handle in plain}) != 1:
                return None
            handles = named or plain

        thinking = sought.name.thinking if identity.thinking is None else identity.thinking

        def rank(handle: Handle) -> tuple[bool, bool, int, int, bool, bool, float, float, str]:
            entry = handle.entry
            away = _distance(entry, sought)
            return (
                bool(sought.sizes) and entry.sizes.isdisjoint(sought.sizes),
                identity.parameter_count is not None and away > math.log(_SURE_RATIO),
                len(handle.hints - said),
                -len(handle.hints & said),
                spelled not in entry.ollama_names,
                thinking is not None and thinking not in entry.modes,
                away,
                min(abilities["reasoning_strength"].theta for abilities in entry.modes.values()),
                entry.key,
            )

        return min(handles, key=rank, default=None)

    def _match(self, handle: Handle, *, rest: Sequence[str], sought: _Sought) -> Match:
        identity = sought.identity
        # Some publishers note their own training run there: where library name and base name agree, it is no fine-tune.
        noted = () if identity.name.lower() in handle.entry.ollama_names else take_apart(identity.finetune or "").words
        same = all(self._expected(word) for word in (*rest, *noted))
        kinship = Kinship.SAME if same else Kinship.FINE_TUNE
        return Match(entry=handle.entry, kinship=kinship, size_b=sought.size_b)

    def _expected(self, word: str) -> bool:
        return is_version(word) or word in self._hints or word in self._index or word in _BASES


def _related(entry: Entry, sought: _Sought) -> bool:
    """Whether the entry can be this model at all: weights at hand, and an architecture it is published in."""
    if sought.local and not entry.open_weights:
        return False
    architecture = (sought.identity.architecture or "").lower()
    return not architecture or not entry.architectures or architecture in entry.architectures


def _same_size(handle: Handle, sought: _Sought) -> bool:
    entry = handle.entry
    if entry.size_b is None:
        return entry.sizes == sought.sizes
    shared = not entry.sizes.isdisjoint(sought.sizes)
    if sought.size_b is None:
        return shared or not sought.sizes
    return _distance(entry, sought) <= math.log(NAMED_SIZE_RATIO if shared else SAME_SIZE_RATIO)


def _distance(entry: Entry, sought: _Sought) -> float:
    if entry.size_b is None or sought.size_b is None:
        return 0.0
    return abs(math.log(sought.size_b / entry.size_b))


def _nearest_in_size(handles: Sequence[Handle], sought: _Sought) -> Handle | None:
    sized = [handle for handle in handles if handle.entry.size_b is not None]
    if sought.size_b is None:
        return None
    return min(
        sized, key=lambda handle: (len(handle.hints), _distance(handle.entry, sought), handle.entry.key), default=None
    )

"""What the models' own failures have taught, which holds against what was declared, reported or reckoned."""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Final, Protocol, TypeAlias

from gateway.domain.fit import gigabytes
from gateway.domain.lesson import FEATURE_NAMES, FailedLoad, Refusal, with_synonyms, without_refused
from gateway.domain.model import Model, ModelRef
from gateway.domain.ports import ProviderState

REFUSAL_S: Final = 3_600.0
"""How long a refusal is believed of a model without a digest: nothing else would tell that it is another one now."""
FAILED_LOAD_S: Final = 86_400.0
"""How long a failed load is believed, unless the model is seen loaded before."""

_SHOWN_CHARACTERS: Final = 200

WeightsKey: TypeAlias = tuple[str, str]
"""A provider's address and its name, and the digest of what it serves there."""


class LessonStore(Protocol):
    """Where lessons outlive the process. Its methods block."""

    def lessons(self) -> Mapping[WeightsKey, str]:
        """Everything that was kept, as JSON."""

    def keep_lessons(self, changed: Mapping[WeightsKey, str]) -> bool:
        """Keep these instead of what was kept under the same keys; empty text removes. False where it is worth another try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Something that was learned, or has lost its ground. ``feature`` is the capability field that it is about; empty where it
    is about a failed load."""

    ref: ModelRef
    feature: str = ""
    learned: bool = True

    def __str__(self) -> str:
        if self.feature:
            name = FEATURE_NAMES.get(self.feature, self.feature)
            return f"{self.ref} refused {name}" if self.learned else f"{self.ref} may be asked for {name} again"
        return f"{self.ref} failed to load" if self.learned else f"{self.ref} may be loaded again"


@dataclass(slots=True)
class _Lessons:
    """What is known of one model; ``version`` is that of the server that failed."""

    version: str = ""
    refused: dict[str, Refusal] = field(default_factory=dict)
    loads: dict[int, FailedLoad] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.refused or self.loads)

    def learn(self, other: "_Lessons") -> None:
        self.refused |= other.refused
        for context_tokens, load in other.loads.items():
            known = self.loads.get(context_tokens)
            if known is None or load.floor_bytes >= known.floor_bytes:
                self.loads[context_tokens] = load


_UNTAUGHT: Final[Mapping[str, str]] = MappingProxyType({})


class Corrections:
    """Features that models refused and loads that failed, from the moment they are told.

    They belong to a digest on a provider at one address, and to the version of its server: another one of any of them begins
    without them, so that what one machine could not do is not held against the next. A failed load is forgotten as well once
    the model is seen loaded with that context or a larger one, when ``forget_loads`` is told so, or after ``FAILED_LOAD_S``.
    ``now_s`` tells the time since the epoch. Belongs to one event loop; implements the relay's ``Refusals``.
    """

    def __init__(self, *, store: LessonStore | None = None, now_s: Callable[[], float] = time.time) -> None:
        self._now_s = now_s
        self._store = store
        self._recalled = store is None
        self._kept: dict[WeightsKey, _Lessons] = {}
        self._fresh: dict[ModelRef, _Lessons] = {}
        self._refused: dict[ModelRef, Mapping[str, str]] = {}
        self._failed: frozenset[ModelRef] = frozenset()
        self._changed: set[WeightsKey] = set()
        self._news: list[News] = []

    @property
    def any(self) -> bool:
        """Has any model refused anything?"""
        return bool(self._refused)

    def refused(self, ref: ModelRef) -> Mapping[str, str]:
        """Capability field → upstream's words when it refused; empty for a model that refused nothing."""
        return self._refused.get(ref, _UNTAUGHT)

    def refuse(self, ref: ModelRef, *, feature: str, words: str) -> bool:
        """The model refused ``feature`` just now. Holds at once; false when it was known."""
        if feature in self.refused(ref):
            return False
        refusal = Refusal(words=_short(words), at_s=self._now_s())
        told = dict.fromkeys(with_synonyms(feature), refusal)
        self._fresh.setdefault(ref, _Lessons()).refused.update(told)
        self._refused[ref] = {**self.refused(ref), **dict.fromkeys(told, refusal.words)}
        self._news.append(News(ref=ref, feature=feature))
        return True

    def load_failed(self, ref: ModelRef, *, context_tokens: int, floor_bytes: int, words: str) -> None:
        """A load of the model failed just now: from this context on it takes at least ``floor_bytes``, as of the next look."""
        load = FailedLoad(
            context_tokens=context_tokens, floor_bytes=floor_bytes, words=_short(words), at_s=self._now_s()
        )
        self._fresh.setdefault(ref, _Lessons()).learn(_Lessons(loads={context_tokens: load}))
        self._news.append(News(ref=ref))

    def forget_loads(self, model: Model, *, context_tokens: int | None = None) -> None:
        """The model was loaded with this context, or somebody asks for it to be loaded whatever happened (``None``): what its
        failed loads up to this context taught is no longer true from the next look on."""
        kept = [key for key in self._kept if _is_of(key, model)]
        for lessons in (self._fresh.get(model.ref), *map(self._kept.get, kept)):
            if lessons is None or not lessons.loads:
                continue
            for known in list(lessons.loads):
                if context_tokens is None or known <= context_tokens:
                    del lessons.loads[known]
            self._changed.update(kept)

    def take_news(self) -> tuple[News, ...]:
        """What has come and gone since this was asked last, once."""
        news, self._news = tuple(self._news), []
        return news

    def recall(self) -> None:
        """Read what was kept before this process, once. Blocks, and belongs before the first look."""
        if self._recalled or self._store is None:
            return
        self._recalled = True
        for key, text in self._store.lessons().items():
            lessons = _read(text)
            if lessons:
                self._kept[key] = lessons

    def changes(self) -> dict[WeightsKey, str]:
        """What has to be kept, once: lessons as JSON, empty text for those that are forgotten."""
        changed, self._changed = self._changed, set()
        return {key: _written(self._kept[key]) if self._kept.get(key) else "" for key in changed if key[1]}

    def keep(self, changes: Mapping[WeightsKey, str]) -> None:
        """Write ``changes`` down; where that cannot be done now, they are among the next ones again. Blocks."""
        if changes and self._store is not None and not self._store.keep_lessons(changes):
            self._changed.update(changes)

    def applied(self, models: Sequence[Model], *, states: Iterable[ProviderState]) -> tuple[Model, ...]:
        """The models of a look, as they are known with everything that was taught."""
        if not (self._kept or self._fresh or self._refused or self._failed):
            return tuple(models)
        servers = {state.provider.name: state for state in states}
        refused: dict[ModelRef, Mapping[str, str]] = {
            ref: {name: one.words for name, one in lessons.refused.items()}
            for ref, lessons in self._fresh.items()
            if lessons.refused
        }
        failed: set[ModelRef] = set()
        corrected = []
        for model in models:
            lessons = self._lessons(model, server=servers[model.ref.provider])
            if lessons is None:
                corrected.append(model)
                continue
            if lessons.refused:
                refused[model.ref] = {name: one.words for name, one in lessons.refused.items()}
            if lessons.loads:
                failed.add(model.ref)
            corrected.append(_corrected(model, lessons))
        self._tell_forgotten(refused, failed)
        self._refused, self._failed = refused, frozenset(failed)
        return tuple(corrected)

    def _lessons(self, model: Model, *, server: ProviderState) -> _Lessons | None:
        """What holds of ``model`` now. ``None`` where that is nothing."""
        key, version = _key(model, url=server.provider.url), server.version
        known = self._kept.get(key)
        fresh = self._fresh.pop(model.ref, None)
        if known is not None and version and known.version and known.version != version:
            known = None
            self._drop(key)
        if fresh:
            known = self._kept.setdefault(key, _Lessons())
            known.learn(fresh)
            self._changed.add(key)
        if known is None:
            return None
        if version and known.version != version:
            known.version = version
            self._changed.add(key)
        self._age(known, model=model, key=key)
        if not known:
            self._drop(key)
            return None
        return known

    def _age(self, lessons: _Lessons, *, model: Model, key: WeightsKey) -> None:
        """Forget what is too old, and loads that have succeeded since."""
        now_s = self._now_s()
        if not model.digest:
            for feature in [one for one, refusal in lessons.refused.items() if refusal.at_s + REFUSAL_S < now_s]:
                del lessons.refused[feature]
        loaded = model.resident
        for context_tokens, load in list(lessons.loads.items()):
            succeeded = loaded is not None and (loaded.context_tokens or context_tokens) >= context_tokens
            if succeeded or load.at_s + FAILED_LOAD_S < now_s:
                del lessons.loads[context_tokens]
                self._changed.add(key)

    def _drop(self, key: WeightsKey) -> None:
        self._kept.pop(key, None)
        self._changed.add(key)

    def _tell_forgotten(self, refused: Mapping[ModelRef, Mapping[str, str]], failed: set[ModelRef]) -> None:
        for ref, features in self._refused.items():
            gone = (name for name in features if name not in refused.get(ref, _UNTAUGHT) and name in FEATURE_NAMES)
            self._news.extend(News(ref=ref, feature=name, learned=False) for name in gone)
        self._news.extend(News(ref=ref, learned=False) for ref in sorted(self._failed - failed, key=str))


def _key(model: Model, *, url: str | None) -> WeightsKey:
    """A model without a digest goes by its name, and is not kept: the digest's place is then empty for the store."""
    return f"{url or '-'} {_whose(model)}", model.digest


def _is_of(key: WeightsKey, model: Model) -> bool:
    """Whether it is the key of ``model`` at any address."""
    return key[1] == model.digest and key[0].partition(" ")[2] == _whose(model)


def _whose(model: Model) -> str:
    return model.ref.provider if model.digest else str(model.ref)


def _corrected(model: Model, lessons: _Lessons) -> Model:
    capabilities, warnings = without_refused(model.capabilities, refused=lessons.refused)
    loads = tuple(load for _, load in sorted(lessons.loads.items()))
    told = [
        f"loading it with {one.context_tokens:,} tokens failed ({one.words}): from there on it counts as"
        f" {gigabytes(one.floor_bytes)} at least"
        for one in loads
    ]
    return replace(model, capabilities=capabilities, failed_loads=loads, warnings=(*model.warnings, *warnings, *told))


def _short(words: str) -> str:
    line = " ".join(words.split())
    return line if len(line) <= _SHOWN_CHARACTERS else f"{line[:_SHOWN_CHARACTERS]}…"


def _written(lessons: _Lessons) -> str:
    return json.dumps(
        {
            "version": lessons.version,
            "refused": {feature: asdict(one) for feature, one in lessons.refused.items()},
            "loads": [asdict(one) for one in lessons.loads.values()],
        }
    )


def _read(text: str) -> _Lessons | None:
    """The lessons in ``text``; ``None`` for text that holds none, which then counts as never kept."""
    try:
        told = json.loads(text)
        loads = [FailedLoad(**one) for one in told["loads"]]
        return _Lessons(
            version=str(told["version"]),
            refused={feature: Refusal(**one) for feature, one in told["refused"].items()},
            loads={one.context_tokens: one for one in loads},
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None

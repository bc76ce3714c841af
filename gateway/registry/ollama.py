"""An Ollama host, asked what it has, what each model is like and what is loaded."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway.domain.model import Model, Provider
from gateway.domain.ports import KeySource, ProviderState
from gateway.errors import ProviderFailed
from gateway.registry import tolerant
from gateway.registry.cache import CapabilityCache
from gateway.registry.description import Description, parse_show
from gateway.registry.enrich import Enricher
from gateway.registry.fetch import Fetcher, fetcher, place
from gateway.registry.ollama_listing import Listed, Loaded, parse_ps, parse_tags, residency
from gateway.registry.ollama_model import UNSHARED, Basis, Known, Sharing, digested, found_by

ANSWER_S: Final = 1.8
"""How long one look waits for a host, whatever it does."""

MAKING_S: Final = 1.8
"""How long one look then takes to make models of what the host answered; thousands of new ones may need several."""

_SHOWS_AT_ONCE: Final = 8
_AT_ONCE: Final = 256
"""Models that are recalled or made before the time is looked at again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What the host answered at once: version ("" is unknown), models, runners, and what else is worth saying."""

    version: str
    listed: tuple[Listed, ...]
    loaded: tuple[Loaded, ...]
    warnings: tuple[str, ...]


class OllamaSource:
    """One Ollama host. Implements ``ModelSource``.

    A model is described once per manifest digest and server version: what was read is kept in memory and in ``cache``. A host
    that needs longer than ``answer_s`` counts as down; one that lists its models but is slow in describing them is up, and
    the descriptions that are missing come with the next look: until then its state is not ``complete``. Of a host with
    thousands of models some may come with the next look altogether.
    """

    def __init__(
        self,
        *,
        provider: Provider,
        cache: CapabilityCache,
        enricher: Enricher,
        keys: KeySource | None = None,
        answer_s: float = ANSWER_S,
        making_s: float = MAKING_S,
    ) -> None:
        self._provider = provider
        self._cache = cache
        self._enricher = enricher
        self._keys = keys
        self._answer_s = answer_s
        self._making_s = making_s
        self._version = ""
        self._known: dict[str, Known] = {}
        self._made: dict[str, tuple[Basis, Model]] = {}

    @property
    def provider(self) -> Provider:
        return self._provider

    async def discover(self) -> tuple[ProviderState, Sequence[Model]]:
        """Ask now. A host that is down or answers wrongly has a state that says so and no models."""
        until_s = asyncio.get_running_loop().time() + self._answer_s
        try:
            async with fetcher(provider=self._provider, keys=self._keys) as fetch:
                async with asyncio.timeout(self._answer_s):
                    look = await self._look(fetch)
                await self._recall(look, until_s=until_s)
                problems, late = await self._describe(fetch, look, until_s=until_s)
        except ProviderFailed as error:
            return ProviderState(provider=self._provider, up=False, error=_sentence(error)), ()
        except TimeoutError:
            told = f"{place(self._provider)} does not answer: no answer within {self._answer_s:g} s"
            return ProviderState(provider=self._provider, up=False, error=told), ()
        models, left = await asyncio.to_thread(self._models, look, until_s=time.monotonic() + self._making_s)
        if late:
            problems.append(
                f"{place(self._provider)} has not described {late} of {len(look.listed)} models in time;"
                " what is known of them is incomplete"
            )
        if left:
            problems.append(
                f"{place(self._provider)} has more models than one look takes; {left} come with the next ones"
            )
        state = ProviderState(
            provider=self._provider,
            up=True,
            complete=late == left == 0,
            version=look.version,
            warnings=(*look.warnings, *problems),
        )
        return state, models

    async def _look(self, fetch: Fetcher) -> _Look:
        async with asyncio.TaskGroup() as group:
            tags = group.create_task(_asked(fetch, "/api/tags"))
            loaded = group.create_task(_asked(fetch, "/api/ps"))
            version = group.create_task(_asked(fetch, "/api/version"))
        tags_answer, tags_error = tags.result()
        if tags_error is not None:
            raise tags_error
        if not isinstance(tags_answer, dict) or "models" not in tags_answer:
            raise ProviderFailed(
                f"{place(self._provider)} is no Ollama server: /api/tags answers without a list of models",
                provider=self._provider.name,
                hint=f"if it speaks the OpenAI wire, say kind: openai under local_providers.{self._provider.name}",
            )
        ps_answer, ps_error = loaded.result()
        warnings = () if ps_error is None else (f"what is loaded is not known: {ps_error}",)
        return _Look(
            version=tolerant.text(version.result()[0], "version"),
            listed=await asyncio.to_thread(parse_tags, tags_answer),
            loaded=parse_ps(ps_answer),
            warnings=warnings,
        )

    async def _recall(self, look: _Look, *, until_s: float) -> None:
        """Forget what is gone, and take from the cache what it holds of the models that are not described yet, as many as
        there is time for."""
        if look.version != self._version:
            self._version = look.version
            self._known.clear()
        for gone in self._known.keys() - {one.key for one in look.listed}:
            del self._known[gone]
        missing = {one.digest: one for one in look.listed if one.digest and one.key not in self._known}
        wanted = list(missing.values()) if look.version else []
        for start in range(0, len(wanted), _AT_ONCE):
            if asyncio.get_running_loop().time() >= until_s:
                return
            some = wanted[start : start + _AT_ONCE]
            self._known.update(await asyncio.to_thread(self._recalled, some, version=look.version))

    def _recalled(self, wanted: Sequence[Listed], *, version: str) -> dict[str, Known]:
        kept = self._cache.descriptions(digests=[one.digest for one in wanted], version=version)
        bits = self._enricher.bits_per_weight
        return {one.key: digested(one, kept[one.digest], bits_per_weight=bits) for one in wanted if one.digest in kept}

    async def _describe(self, fetch: Fetcher, look: _Look, *, until_s: float) -> tuple[list[str], int]:
        """Ask what each model is like that is not known yet, as many as there is time for.

        Returns a sentence for each that cannot be described, and how many there was no time for.
        """
        missing = {one.key: one for one in look.listed if one.key not in self._known}
        if not missing:
            return [], 0
        fresh: dict[str, Description] = {}
        problems: list[str] = []
        waiting = iter(missing.values())

        async def ask() -> None:
            for one in waiting:
                try:
                    answer = await fetch.json("POST", "/api/show", body={"model": one.name})
                except ProviderFailed as error:
                    problems.append(f"{one.name} is not described: {error}")
                    continue
                fresh[one.key] = parse_show(answer)
                self._known[one.key] = digested(one, fresh[one.key], bits_per_weight=self._enricher.bits_per_weight)

        late = 0
        try:
            async with asyncio.timeout_at(until_s), asyncio.TaskGroup() as group:
                for _ in range(min(_SHOWS_AT_ONCE, len(missing))):
                    group.create_task(ask())
        except TimeoutError:
            late = len(missing) - len(fresh) - len(problems)
        if look.version:
            keepable = {key: one for key, one in fresh.items() if missing[key].digest}
            await asyncio.to_thread(self._cache.keep, keepable, version=look.version)
        return problems, late

    def _models(self, look: _Look, *, until_s: float) -> tuple[tuple[Model, ...], int]:
        """A model for each that is listed. Where there is no time for all, those of the last look stay as they were, except
        for what is loaded, and new ones wait for the next; the second value is how many these are."""
        names_by_blob: dict[str, set[str]] = {}
        for one in look.listed:
            known = self._known.get(one.key)
            if known is not None and known.description.blob:
                names_by_blob.setdefault(known.description.blob, set()).add(one.name)
        sharing = {blob: Sharing.of(names) for blob, names in names_by_blob.items()}
        made: dict[str, tuple[Basis, Model]] = {}
        fresh, left, in_time = 0, 0, True
        for one in look.listed:
            basis = self._basis(one, look, sharing=sharing)
            kept = self._made.get(one.name)
            if kept is not None and kept[0] == basis:
                made[one.name] = kept
            elif in_time:
                found = found_by(basis, provider=self._provider, bits_per_weight=self._enricher.bits_per_weight)
                made[one.name] = basis, self._enricher.model(found)
                fresh += 1
                in_time = fresh % _AT_ONCE != 0 or time.monotonic() < until_s
            else:
                left += 1
                if kept is not None:
                    made[one.name] = kept[0], replace(kept[1], resident=basis.resident)
        self._made = made
        return tuple(model for _, model in made.values()), left

    def _basis(self, one: Listed, look: _Look, *, sharing: Mapping[str, Sharing]) -> Basis:
        known = self._known.get(one.key)
        same_weights = sharing.get(known.description.blob, UNSHARED) if known else UNSHARED
        return Basis(
            listed=one,
            known=known,
            resident=residency(one, look.loaded, same_weights=same_weights.names),
            aliases=same_weights.aliases(one.name),
        )


async def _asked(fetch: Fetcher, path: str) -> tuple[Any, ProviderFailed | None]:
    try:
        return await fetch.json("GET", path), None
    except ProviderFailed as error:
        return None, error


def _sentence(error: ProviderFailed) -> str:
    return f"{error}; {error.hint}" if error.hint else str(error)

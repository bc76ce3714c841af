"""An Ollama host, asked what it has, what each model is like and what is loaded."""

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.catalog.names import ModelIdentity
from gateway.domain.capabilities import ModelCapabilities
from gateway.domain.memory import Architecture
from gateway.domain.metadata import architecture_from
from gateway.domain.model import Model, Provider, Residency, ollama_name
from gateway.domain.ports import KeySource, ProviderState
from gateway.errors import ProviderFailed
from gateway.registry import tolerant
from gateway.registry.cache import CapabilityCache
from gateway.registry.description import Description, parse_listed, parse_show
from gateway.registry.enrich import Enricher, Found, first_known, reported, reported_features
from gateway.registry.fetch import Fetcher, fetcher, place

ANSWER_S: Final = 1.8
"""How long one look waits for a host, whatever it does."""

_SHOWS_AT_ONCE: Final = 8
_TRUSTED_REMOTE: Final = re.compile(r"(https?://)?([\w-]+\.)*ollama\.com(:\d+)?/?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listed:
    """One entry of `/api/tags`."""

    name: str
    digest: str
    size_bytes: int | None
    brief: Description

    @property
    def key(self) -> str:
        """What a description is known under: the manifest's digest, or the name where the server tells no digest."""
        return self.digest or f"name {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    """One entry of `/api/ps`."""

    name: str
    digest: str
    residency: Residency


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What the host answered at once: version ("" is unknown), models, runners, and what else is worth saying."""

    version: str
    listed: tuple[_Listed, ...]
    loaded: tuple[_Loaded, ...]
    warnings: tuple[str, ...]


class OllamaSource:
    """One Ollama host. Implements ``ModelSource``.

    A model is described once per manifest digest and server version: what was read is kept in memory and in ``cache``. A host
    that needs longer than ``answer_s`` counts as down; one that lists its models but is slow in describing them is up, and
    the descriptions that are missing come with the next look.
    """

    def __init__(
        self,
        *,
        provider: Provider,
        cache: CapabilityCache,
        enricher: Enricher,
        keys: KeySource | None = None,
        answer_s: float = ANSWER_S,
    ) -> None:
        self._provider = provider
        self._cache = cache
        self._enricher = enricher
        self._keys = keys
        self._answer_s = answer_s
        self._version = ""
        self._described: dict[str, Description] = {}
        self._architectures: dict[str, Architecture] = {}

    @property
    def provider(self) -> Provider:
        return self._provider

    async def discover(self) -> tuple[ProviderState, Sequence[Model]]:
        """Ask now. A host that is down or answers wrongly has a state that says so and no models."""
        began = asyncio.get_running_loop().time()
        try:
            async with fetcher(provider=self._provider, keys=self._keys) as fetch:
                async with asyncio.timeout(self._answer_s):
                    look = await self._look(fetch)
                left_s = began + self._answer_s - asyncio.get_running_loop().time()
                await self._recall(look)
                warnings = await self._describe(fetch, look, within_s=left_s)
        except ProviderFailed as error:
            return ProviderState(provider=self._provider, up=False, error=_sentence(error)), ()
        except TimeoutError:
            told = f"{place(self._provider)} does not answer: no answer within {self._answer_s:g} s"
            return ProviderState(provider=self._provider, up=False, error=told), ()
        state = ProviderState(
            provider=self._provider, up=True, version=look.version, warnings=(*look.warnings, *warnings)
        )
        return state, await asyncio.to_thread(self._models, look)

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
            listed=_listed(tags_answer),
            loaded=_loaded(ps_answer),
            warnings=warnings,
        )

    async def _describe(self, fetch: Fetcher, look: _Look, *, within_s: float) -> tuple[str, ...]:
        """Ask what each model is like that is not known yet, as many as there is time for; returns warnings."""
        missing = {one.key: one for one in look.listed if one.key not in self._described}
        if not missing:
            return ()
        problems: list[str] = []
        turn = asyncio.Semaphore(_SHOWS_AT_ONCE)
        try:
            async with asyncio.timeout(within_s), asyncio.TaskGroup() as group:
                for one in missing.values():
                    group.create_task(self._show(fetch, one, turn=turn, problems=problems))
        except TimeoutError:
            late = sum(key not in self._described for key in missing) - len(problems)
            problems.append(
                f"{place(self._provider)} has not described {late} of {len(look.listed)} models in time;"
                " what is known of them is incomplete"
            )
        fresh = {key: self._described[key] for key, one in missing.items() if one.digest and key in self._described}
        if look.version:
            await asyncio.to_thread(self._cache.keep, fresh, version=look.version)
        return tuple(problems)

    async def _recall(self, look: _Look) -> None:
        """Forget what is gone, and take from the cache what it holds of the models that are not described yet."""
        if look.version != self._version:
            self._version = look.version
            self._described.clear()
            self._architectures.clear()
        self._forget_all_but({one.key for one in look.listed})
        digests = {one.digest for one in look.listed if one.digest and one.key not in self._described}
        if digests and look.version:
            kept = await asyncio.to_thread(self._cache.descriptions, digests=digests, version=look.version)
            self._described.update(kept)

    async def _show(self, fetch: Fetcher, one: _Listed, *, turn: asyncio.Semaphore, problems: list[str]) -> None:
        async with turn:
            try:
                answer = await fetch.json("POST", "/api/show", body={"model": one.name})
            except ProviderFailed as error:
                problems.append(f"{one.name} is not described: {error}")
                return
        self._described[one.key] = parse_show(answer)

    def _forget_all_but(self, keys: set[str]) -> None:
        for gone in self._described.keys() - keys:
            del self._described[gone]
            self._architectures.pop(gone, None)

    def _models(self, look: _Look) -> tuple[Model, ...]:
        names_by_blob: dict[str, set[str]] = {}
        for one in look.listed:
            described = self._described.get(one.key)
            if described is not None and described.blob:
                names_by_blob.setdefault(described.blob, set()).add(one.name)
        return tuple(self._model(one, look, names_by_blob=names_by_blob) for one in look.listed)

    def _model(self, one: _Listed, look: _Look, *, names_by_blob: Mapping[str, set[str]]) -> Model:
        described = self._described.get(one.key)
        known = described or one.brief
        same_weights = names_by_blob.get(known.blob, {one.name})
        features = reported_features(known.capabilities) if described else _named_features(known.capabilities)
        cloud = known.remote or one.brief.remote or names_cloud(one.name)
        size_b = known.parameter_count
        info = known.metadata
        architecture = None if cloud else self._architecture(one, known)
        capabilities = known.capabilities
        found = Found(
            provider=self._provider,
            name=one.name,
            cloud=cloud,
            chats=None if capabilities is None else "completion" in capabilities,
            embeds=None if capabilities is None else "embedding" in capabilities,
            identity=ModelIdentity(
                name=one.name,
                architecture=known.architecture or None,
                basename=tolerant.text(info, "general.basename") or None,
                size_label=tolerant.text(info, "general.size_label") or None,
                parameter_count=size_b,
                quantization=known.quantization or None,
                thinking=features.supports_thinking.value if features.supports_thinking else None,
                finetune=tolerant.text(info, "general.finetune") or None,
            ),
            reported=first_known(
                features,
                ModelCapabilities(
                    context_length=reported(known.context_length or one.brief.context_length),
                    quantization_level=reported(known.quantization or None),
                    model_size=reported(None if size_b is None else round(size_b / 1e9, 3)),
                ),
            ),
            architecture=architecture,
            digest=one.digest,
            resident=_residency(one, look.loaded, same_weights=same_weights),
            aliases=frozenset(same_weights - {one.name}),
            warnings=_remote_warnings(one.name, known, one.brief),
        )
        return self._enricher.model(found)

    def _architecture(self, one: _Listed, known: Description) -> Architecture:
        kept = self._architectures.get(one.key)
        if kept is None:
            kept = architecture_from(metadata=known.metadata, tensors=known.tensors, file_size_bytes=one.size_bytes)
            if one.key in self._described:
                self._architectures[one.key] = kept
        return kept


def names_cloud(name: str) -> bool:
    """Whether Ollama sends requests for this name to its cloud whatever is installed: ``x:cloud``, ``x:120b-cloud``."""
    stem, colon, tag = name.rpartition(":")
    folded = tag.casefold()
    return bool(colon and stem) and "/" not in tag and (folded == "cloud" or folded.endswith("-cloud"))


async def _asked(fetch: Fetcher, path: str) -> tuple[Any, ProviderFailed | None]:
    try:
        return await fetch.json("GET", path), None
    except ProviderFailed as error:
        return None, error


def _listed(answer: object) -> tuple[_Listed, ...]:
    """The entries with a name, each name once."""
    by_name: dict[str, _Listed] = {}
    for entry in tolerant.objects(answer, "models"):
        told = tolerant.text(entry, "name") or tolerant.text(entry, "model")
        if not told:
            continue
        name = ollama_name(told)
        by_name.setdefault(
            name,
            _Listed(
                name=name,
                digest=tolerant.text(entry, "digest").removeprefix("sha256:"),
                size_bytes=tolerant.whole(entry, "size"),
                brief=parse_listed(entry),
            ),
        )
    return tuple(by_name.values())


def _loaded(answer: object) -> tuple[_Loaded, ...]:
    return tuple(
        _Loaded(
            name=ollama_name(name),
            digest=tolerant.text(entry, "digest").removeprefix("sha256:"),
            residency=Residency(
                size_bytes=tolerant.whole(entry, "size") or 0,
                size_vram_bytes=tolerant.whole(entry, "size_vram") or 0,
                context_tokens=tolerant.whole(entry, "context_length"),
            ),
        )
        for entry in tolerant.objects(answer, "models")
        if (name := tolerant.text(entry, "name") or tolerant.text(entry, "model"))
    )


def _residency(one: _Listed, loaded: Iterable[_Loaded], *, same_weights: set[str]) -> Residency | None:
    """One runner serves one file of weights, listed under the name that loaded it."""
    for runner in loaded:
        if (one.digest and runner.digest == one.digest) or runner.name == one.name or runner.name in same_weights:
            return runner.residency
    return None


def _named_features(capabilities: Sequence[str] | None) -> ModelCapabilities:
    """The features that a list of models names; those it does not name may be there all the same."""
    known = reported_features(capabilities)
    named = {name: fact for name in _FEATURES if (fact := getattr(known, name)) is not None and fact.value}
    return ModelCapabilities(**named)


_FEATURES: Final = ("supports_tools", "supports_function_calling", "supports_vision", "supports_thinking")


def _remote_warnings(name: str, *descriptions: Description) -> tuple[str, ...]:
    for one in descriptions:
        if one.remote_host and not _TRUSTED_REMOTE.fullmatch(one.remote_host):
            return (f"{name} is served by {one.remote_host}, which is not ollama.com",)
    return ()


def _sentence(error: ProviderFailed) -> str:
    return f"{error}; {error.hint}" if error.hint else str(error)

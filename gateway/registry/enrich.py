"""From what a provider says of a model to a model: declared facts, reported facts and the catalogue put together."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, Final, Protocol, TypeVar

from gateway.catalog.names import ModelIdentity
from gateway.catalog.quantization import Quantizations
from gateway.domain.capabilities import NOTHING_KNOWN, Fact, ModelCapabilities, Origin, combine
from gateway.domain.memory import Architecture, estimate
from gateway.domain.model import Model, ModelRef, Provider, ProviderKind, Residency, ollama_name, parse_reference
from gateway.domain.resources import GB
from gateway.domain.role import DEFAULT_CONTEXT_TOKENS

T = TypeVar("T")


class Scores(Protocol):
    """The catalogue's scores, as this room uses them."""

    def capabilities(self, identity: ModelIdentity) -> ModelCapabilities:
        """The abilities of a model, as far as they are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One model as its provider describes it. ``reported`` are the provider's own facts; ``declared`` and ``catalog`` are
    those that belong to it beside ``model_profiles`` and the score table. The rest is as in ``Model``."""

    provider: Provider
    name: str
    cloud: bool
    chats: bool | None
    embeds: bool | None
    identity: ModelIdentity
    reported: ModelCapabilities = NOTHING_KNOWN
    declared: ModelCapabilities = NOTHING_KNOWN
    catalog: ModelCapabilities = NOTHING_KNOWN
    architecture: Architecture | None = None
    digest: str = ""
    resident: Residency | None = None
    aliases: frozenset[str] = frozenset()
    cost_usd_per_mtok: float | None = None
    warnings: tuple[str, ...] = ()


class Enricher:
    """Knows what is declared of models and what the catalogue holds.

    ``declared`` maps references as written to declared facts. A reference without a provider is an Ollama model's, on any
    Ollama provider; one with the provider before it wins over it, field by field.
    """

    def __init__(
        self, *, declared: Mapping[str, ModelCapabilities], providers: Collection[str], scores: Scores
    ) -> None:
        self._scores = scores
        self._quantizations = Quantizations.load()
        self._facts: dict[tuple[type, Fact[Any]], Fact[Any]] = {}
        self._known_scores: dict[ModelIdentity, ModelCapabilities] = {}
        self._by_ref: dict[tuple[str, str], ModelCapabilities] = {}
        for text, capabilities in declared.items():
            reference = parse_reference(text, providers=providers)
            self._by_ref[(reference.provider, reference.name)] = capabilities
            self._by_ref.setdefault((reference.provider, ollama_name(reference.name)), capabilities)

    def model(self, found: Found) -> Model:
        """``found`` with every fact there is about it."""
        capabilities, warnings = combine(
            declared=self._declared(found),
            reported=first_known(found.reported, _served(found.provider, cloud=found.cloud)),
            catalog=first_known(found.catalog, self._abilities(found.identity)),
            estimated=_estimated(found.architecture, found.reported),
        )
        return Model(
            ref=ModelRef(provider=found.provider.name, name=found.name),
            lane=found.provider.lane,
            cloud=found.cloud,
            chats=found.chats,
            embeds=found.embeds,
            capabilities=self._shared(capabilities),
            architecture=found.architecture,
            digest=found.digest,
            resident=found.resident,
            aliases=found.aliases,
            cost_usd_per_mtok=found.cost_usd_per_mtok,
            warnings=(*found.warnings, *warnings),
        )

    def bits_per_weight(self, quantization: str | None) -> float | None:
        """The average of a quantisation by its name; ``None`` when the name is not known."""
        return None if quantization is None else self._quantizations.bits_per_weight(quantization)

    def _declared(self, found: Found) -> ModelCapabilities:
        names = [(found.provider.name, found.name)]
        if found.provider.kind is ProviderKind.OLLAMA:
            names.append(("", found.name))
        layers = [self._by_ref[name] for name in names if name in self._by_ref]
        return first_known(*layers, found.declared)

    def _shared(self, capabilities: ModelCapabilities) -> ModelCapabilities:
        """The same capabilities, each fact the one object that all models share which it is true of: thousands of models
        hold few different facts, and every object held makes the collector's pauses longer."""
        return ModelCapabilities(
            **{
                name: self._facts.setdefault((type(fact.value), fact), fact)
                for name, fact in zip(_FIELDS, _FACTS(capabilities), strict=True)
                if fact is not None
            }
        )

    def _abilities(self, identity: ModelIdentity) -> ModelCapabilities:
        known = self._known_scores.get(identity)
        if known is None:
            known = self._known_scores[identity] = self._shared(self._scores.capabilities(identity))
        return known


_FIELDS: Final = tuple(field.name for field in fields(ModelCapabilities))
_FACTS: Final = attrgetter(*_FIELDS)


def first_known(*layers: ModelCapabilities) -> ModelCapabilities:
    """Field by field the first layer that knows."""
    telling = [layer for layer in layers if layer is not NOTHING_KNOWN]
    if len(telling) < 2:
        return telling[0] if telling else NOTHING_KNOWN
    known: dict[str, Any] = {}
    for layer in reversed(telling):
        known.update((name, fact) for name, fact in zip(_FIELDS, _FACTS(layer), strict=True) if fact is not None)
    return ModelCapabilities(**known)


def reported(value: T | None) -> Fact[T] | None:
    """A fact in the provider's own words; ``None`` stays unknown."""
    return None if value is None else Fact(value=value, origin=Origin.REPORTED)


def reported_features(capabilities: Collection[str] | None, *, suffixes: bool = True) -> ModelCapabilities:
    """The features in a server's own list of capabilities, in Ollama's words; without a list nothing is known. ``suffixes``
    says that the server takes what follows an answer at all."""
    if capabilities is None:
        return NOTHING_KNOWN
    return ModelCapabilities(
        supports_tools=reported("tools" in capabilities),
        supports_function_calling=reported("tools" in capabilities),
        supports_vision=reported("vision" in capabilities),
        supports_thinking=reported("thinking" in capabilities),
        supports_audio=reported("audio" in capabilities),
        supports_insert=reported(suffixes and "insert" in capabilities),
    )


def local_features(capabilities: Collection[str] | None) -> ModelCapabilities:
    """What llama.cpp does for any chat model that it runs: a grammar keeps the answer to a schema, and a final assistant
    message is gone on with. Whether one that thinks does is not known: it may begin a thought first, or be refused."""
    if capabilities is None or "completion" not in capabilities:
        return NOTHING_KNOWN
    return ModelCapabilities(
        supports_json_schema=reported(True),
        supports_prefill=None if "thinking" in capabilities else reported(True),
    )


def _served(provider: Provider, *, cloud: bool) -> ModelCapabilities:
    """Where a model runs, and whether it takes a key to reach it.

    Ollama signs in to its cloud itself, so its models take none. Whether an OpenAI-wire server insists on the key it is given
    is not known.
    """
    needs_key: bool | None = provider.cloud
    if provider.kind is ProviderKind.OPENAI and provider.has_key:
        needs_key = None
    source = ProviderKind.CLOUD if cloud else provider.kind
    return ModelCapabilities(model_source=reported(source.value), requires_api_key=reported(needs_key))


def _estimated(architecture: Architecture | None, known: ModelCapabilities) -> ModelCapabilities:
    """The memory at the default context, for people to see; decisions work it out for the context they plan."""
    if architecture is None:
        return NOTHING_KNOWN
    trained = known.context_length.value if known.context_length else DEFAULT_CONTEXT_TOKENS
    context = min(DEFAULT_CONTEXT_TOKENS, trained)
    memory = estimate(architecture=architecture, context_tokens=context)
    if memory is None:
        return NOTHING_KNOWN
    source = f"at a context of {context} tokens"
    fact = Fact(value=round(memory.total_bytes / GB, 2), origin=Origin.ESTIMATED, source=source)
    return ModelCapabilities(memory_gb_estimate=fact)

"""From what a provider says of a model to a model: declared facts, reported facts and the catalogue put together."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Final, Protocol, TypeVar

from gateway.catalog.names import ModelIdentity
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
            reported=found.reported,
            catalog=first_known(found.catalog, self._abilities(found.identity)),
            estimated=_estimated(found.architecture, found.reported),
        )
        return Model(
            ref=ModelRef(provider=found.provider.name, name=found.name),
            lane=found.provider.lane,
            cloud=found.cloud,
            chats=found.chats,
            embeds=found.embeds,
            capabilities=capabilities,
            architecture=found.architecture,
            digest=found.digest,
            resident=found.resident,
            aliases=found.aliases,
            cost_usd_per_mtok=found.cost_usd_per_mtok,
            warnings=(*found.warnings, *warnings),
        )

    def _declared(self, found: Found) -> ModelCapabilities:
        names = [(found.provider.name, found.name)]
        if found.provider.kind is ProviderKind.OLLAMA:
            names.append(("", found.name))
        layers = [self._by_ref[name] for name in names if name in self._by_ref]
        return first_known(*layers, found.declared)

    def _abilities(self, identity: ModelIdentity) -> ModelCapabilities:
        known = self._known_scores.get(identity)
        if known is None:
            known = self._known_scores[identity] = self._scores.capabilities(identity)
        return known


_FIELDS: Final = tuple(field.name for field in fields(ModelCapabilities))


def first_known(*layers: ModelCapabilities) -> ModelCapabilities:
    """Field by field the first layer that knows."""
    result = NOTHING_KNOWN
    for layer in layers:
        missing = {
            name: getattr(layer, name)
            for name in _FIELDS
            if getattr(result, name) is None and getattr(layer, name) is not None
        }
        result = replace(result, **missing) if missing else result
    return result


def reported(value: T | None) -> Fact[T] | None:
    """A fact in the provider's own words; ``None`` stays unknown."""
    return None if value is None else Fact(value=value, origin=Origin.REPORTED)


def reported_features(capabilities: Collection[str] | None) -> ModelCapabilities:
    """The features in a server's own list of capabilities; without a list nothing is known."""
    if capabilities is None:
        return NOTHING_KNOWN
    return ModelCapabilities(
        supports_tools=reported("tools" in capabilities),
        supports_function_calling=reported("tools" in capabilities),
        supports_vision=reported("vision" in capabilities),
        supports_thinking=reported("thinking" in capabilities),
    )


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

"""From what an Ollama host lists and tells of a model to what discovery finds."""

import heapq
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self, TypeAlias

from gateway.catalog.names import ModelIdentity
from gateway.domain.capabilities import FEATURE_FIELDS, NOTHING_KNOWN, ModelCapabilities
from gateway.domain.memory import Architecture
from gateway.domain.metadata import architecture_from
from gateway.domain.model import Provider, Residency
from gateway.registry import tolerant
from gateway.registry.description import Description
from gateway.registry.enrich import Found, first_known, local_features, reported, reported_features
from gateway.registry.ollama_listing import Listed, is_ollamas_cloud, names_cloud, remote_warnings

BitsPerWeight: TypeAlias = Callable[[str | None], float | None]
"""The average bits per weight of a quantisation by its name, where both are known."""

MAX_ALIASES: Final = 64
"""Other names that a model is told to have: with thousands over one file, all of them for each would fill the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A model as it was described. The tensors are not kept: what matters of them is in ``architecture``."""

    description: Description
    architecture: Architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """All names over one file of weights. ``first`` are the alphabetically first, one more than a model has aliases."""

    names: frozenset[str] = frozenset()
    first: tuple[str, ...] = ()
    usual: frozenset[str] = frozenset()

    @classmethod
    def of(cls, names: Collection[str]) -> Self:
        first = tuple(heapq.nsmallest(MAX_ALIASES + 1, names))
        return cls(names=frozenset(names), first=first, usual=frozenset(first[:MAX_ALIASES]))

    def aliases(self, name: str) -> frozenset[str]:
        """The first other names than ``name``. The very first is in all of them, so all names agree on which it is."""
        if name not in self.first:
            return self.usual
        return frozenset(self.first) - {name}


UNSHARED: Final = Sharing()
"""What is known of the names over weights that the server does not identify."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """All that one model is made from. A model whose basis is the same as in the last look is not made again."""

    listed: Listed
    known: Known | None
    resident: Residency | None
    aliases: frozenset[str]


def digested(one: Listed, description: Description, *, bits_per_weight: BitsPerWeight) -> Known:
    """What matters of a description of ``one``."""
    architecture = architecture_from(
        metadata=description.metadata,
        tensors=description.tensors,
        file_size_bytes=one.size_bytes,
        bits_per_weight=bits_per_weight(description.quantization or None),
    )
    return Known(description=replace(description, tensors=()), architecture=architecture)


def found_by(basis: Basis, *, provider: Provider, bits_per_weight: BitsPerWeight) -> Found:
    """The model that ``basis`` speaks of, as its host describes it; as the list does while it is not described."""
    one, described = basis.listed, basis.known
    known = described.description if described else one.brief
    features = reported_features(known.capabilities) if described else _named_features(known.capabilities)
    cloud = known.remote or one.brief.remote or names_cloud(one.name) or is_ollamas_cloud(provider.url)
    local = NOTHING_KNOWN if cloud or not described else local_features(known.capabilities)
    size_b = known.parameter_count
    info = known.metadata
    capabilities = known.capabilities
    return Found(
        provider=provider,
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
            local,
            ModelCapabilities(
                context_length=reported(known.context_length or one.brief.context_length),
                quantization_level=reported(known.quantization or None),
                model_size=reported(None if size_b is None else round(size_b / 1e9, 3)),
            ),
        ),
        architecture=None
        if cloud
        else (described or digested(one, known, bits_per_weight=bits_per_weight)).architecture,
        digest=one.digest,
        resident=basis.resident,
        aliases=basis.aliases,
        warnings=remote_warnings(one.name, known, one.brief),
    )


def _named_features(capabilities: Sequence[str] | None) -> ModelCapabilities:
    """The features that a list of models names; those it does not name may be there all the same."""
    known = reported_features(capabilities)
    named = {name: fact for name in FEATURE_FIELDS if (fact := getattr(known, name)) is not None and fact.value}
    return ModelCapabilities(**named)

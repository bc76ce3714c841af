"""Does a model fit: what it needs at a context, what its host can give now, and the sentence that says why."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from gateway.domain.capabilities import Origin
from gateway.domain.memory import estimate
from gateway.domain.model import Model, Provider, ProviderKind
from gateway.domain.resources import GB, MIN_MARGIN_BYTES, Resources
from gateway.domain.role import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryNeed:
    """The whole memory one model takes at ``context_tokens``; ``total_bytes`` is ``None`` when nothing is known. ``notes`` are
    sentences on what is not exact."""

    total_bytes: int | None
    context_tokens: int
    arithmetic: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What a host can hold now, models already loaded on it included; ``None`` is unknown. ``margin_bytes`` are kept free on
    top of that."""

    usable_bytes: int | None
    arithmetic: str
    margin_bytes: int = 0

    @property
    def available_bytes(self) -> int | None:
        """All that a load could have taken."""
        return None if self.usable_bytes is None else self.usable_bytes + self.margin_bytes


def gigabytes(count_bytes: float) -> str:
    """Bytes as people write them: ``5.99 GB`` of 10^9 bytes."""
    return f"{count_bytes / GB:.2f} GB"


def trained_context_tokens(model: Model) -> int | None:
    fact = model.capabilities.context_length
    return fact.value if fact else None


def context_for(model: Model, *, need_tokens: int) -> int:
    """The context to load a model with for a need, at most what it was trained for."""
    trained = trained_context_tokens(model)
    return need_tokens if trained is None else min(need_tokens, trained)


def memory_need(model: Model, *, context_tokens: int) -> MemoryNeed:
    """What the model takes: as declared or measured if it was, else from its metadata at this context; and at least what a
    failed load at this context or a smaller one taught."""
    need = _need_as_known(model, context_tokens=context_tokens)
    failed = [one for one in model.failed_loads if one.context_tokens <= context_tokens]
    worst = max(failed, key=lambda one: one.floor_bytes, default=None)
    if worst is None or (need.total_bytes is not None and need.total_bytes >= worst.floor_bytes):
        return need
    how = f"raised after a failed load at {worst.context_tokens:,} tokens; without it: {need.arithmetic}"
    return replace(need, total_bytes=worst.floor_bytes, arithmetic=f"{gigabytes(worst.floor_bytes)} ({how})")


def _need_as_known(model: Model, *, context_tokens: int) -> MemoryNeed:
    known = model.capabilities.memory_gb_estimate
    if known is not None and known.origin in (Origin.DECLARED, Origin.MEASURED):
        total = round(known.value * GB)
        return MemoryNeed(
            total_bytes=total, context_tokens=context_tokens, arithmetic=f"{gigabytes(total)} {known.origin.value}"
        )
    estimated = None
    if model.architecture is not None:
        estimated = estimate(architecture=model.architecture, context_tokens=context_tokens)
    if estimated is not None:
        return MemoryNeed(
            total_bytes=estimated.total_bytes,
            context_tokens=context_tokens,
            arithmetic=estimated.arithmetic(),
            notes=estimated.notes,
        )
    if known is not None:
        total = round(known.value * GB)
        return MemoryNeed(
            total_bytes=total, context_tokens=context_tokens, arithmetic=f"{gigabytes(total)} {known.origin.value}"
        )
    return MemoryNeed(total_bytes=None, context_tokens=context_tokens, arithmetic="its memory is unknown")


def takes_no_memory_of_ours(model: Model, provider: Provider) -> bool:
    """Cloud models, and models of a server that somebody else started and loaded."""
    return model.cloud or provider.kind in (ProviderKind.OPENAI, ProviderKind.CLOUD)


def resident_at(model: Model, *, context_tokens: int) -> bool:
    """Is the model loaded now with at least this context? Then it needs nothing more."""
    if model.resident is None:
        return False
    loaded = model.resident.context_tokens
    return loaded is None or loaded >= context_tokens


def capacities(
    *, providers: Iterable[Provider], models: Iterable[Model], resources: Resources, policy: Policy
) -> Mapping[str, Capacity]:
    """What each provider's host can hold, by provider name."""
    loaded = {model.weights_ref: model.resident.size_bytes for model in models if model.resident is not None}
    return {
        provider.name: _capacity(
            provider,
            resources=resources,
            policy=policy,
            freed_bytes=sum(size for ref, size in loaded.items() if ref.provider == provider.name),
        )
        for provider in providers
    }


def _capacity(provider: Provider, *, resources: Resources, policy: Policy, freed_bytes: int) -> Capacity:
    if not provider.on_this_host:
        told = (provider.memory_bytes or 0) + (provider.vram_bytes or 0)
        if not told:
            return Capacity(usable_bytes=None, arithmetic=f"the memory of {provider.name}'s host is unknown")
        return Capacity(usable_bytes=told, arithmetic=f"{gigabytes(told)} configured for {provider.name}")
    if resources.memory_assumed:
        return _assumed(resources)
    return _measured(resources, policy=policy, freed_bytes=freed_bytes)


def _assumed(resources: Resources) -> Capacity:
    memory = resources.memory_available_bytes or 0
    vram = resources.vram_available_bytes or 0
    text = f"{gigabytes(memory)} assumed available"
    if vram:
        text += f" + {gigabytes(vram)} of GPU memory"
    return Capacity(usable_bytes=memory + vram, arithmetic=text)


def _measured(resources: Resources, *, policy: Policy, freed_bytes: int) -> Capacity:
    available = resources.memory_available_bytes
    if available is None:
        return Capacity(usable_bytes=None, arithmetic="this machine's memory could not be measured")
    total = resources.memory_total_bytes or available
    margin = max(round(total * policy.memory_margin), MIN_MARGIN_BYTES)
    vram = resources.vram_available_bytes or 0
    usable = max(available + freed_bytes + vram - margin, 0)
    parts = [f"{gigabytes(available)} available"]
    if freed_bytes:
        parts.append(f"{gigabytes(freed_bytes)} held by loaded models")
    if vram:
        parts.append(f"{gigabytes(vram)} of GPU memory")
    return Capacity(
        usable_bytes=usable,
        arithmetic=f"{' + '.join(parts)} - {gigabytes(margin)} margin = {gigabytes(usable)}",
        margin_bytes=margin,
    )

"""What is kept, loaded and let go as plain data, in the one shape that commands and routes answer with."""

from collections.abc import Mapping

from gateway.domain.capabilities import CAPABILITY_FIELDS
from gateway.domain.fit import capacities
from gateway.domain.keeping import Held, LoadReport, UnloadReport
from gateway.domain.model import Model
from gateway.domain.ports import Discovery
from gateway.domain.resources import Resources
from gateway.domain.role import Policy
from gateway.runtime.keeping import KeptModel


def held_data(held: Held | None) -> dict[str, object] | None:
    """``bytes`` in all and those of them on a GPU, ``context`` in tokens, ``expires`` as the server said it."""
    if held is None:
        return None
    return {
        "bytes": held.residency.size_bytes,
        "vram_bytes": held.residency.size_vram_bytes,
        "context": held.residency.context_tokens,
        "expires": held.expires,
    }


def load_data(report: LoadReport) -> dict[str, object]:
    return {
        "model": str(report.ref),
        "loaded": True,
        "already": report.already,
        "seconds": round(report.took_s, 3),
        "context": report.context_tokens,
        "resident": held_data(report.held),
    }


def unload_data(report: UnloadReport) -> dict[str, object]:
    return {
        "model": str(report.ref),
        "unloaded": report.gone,
        "was_loaded": report.was_loaded,
        "seconds": round(report.took_s, 3),
    }


def removed_data(model: Model) -> dict[str, object]:
    return {"model": str(model.ref), "removed": True}


def kept_data(kept: KeptModel) -> dict[str, object]:
    """One model: what it can do and where that is known from, where it is, what is held of it, and whom it serves."""
    model = kept.model
    return {
        "model": str(model.ref),
        "provider": model.ref.provider,
        "provider_up": model.provider_up,
        "lane": model.lane.value,
        "cloud": model.cloud,
        "chats": model.chats,
        "embeds": model.embeds,
        "digest": model.digest or None,
        "aliases": sorted(model.aliases),
        "capabilities": capability_data(model),
        "warnings": list(model.warnings),
        "resident": held_data(kept.held),
        "roles": list(kept.roles),
    }


def capability_data(model: Model) -> dict[str, object]:
    """Every capability field; ``None`` for what nobody knows."""
    facts = {name: getattr(model.capabilities, name) for name in CAPABILITY_FIELDS}
    return {
        name: fact
        and {
            "value": fact.value,
            "origin": fact.origin.value,
            "confidence": fact.confidence,
            "tier": fact.tier,
            "source": fact.source,
        }
        for name, fact in facts.items()
    }


def resources_data(resources: Resources, *, discovery: Discovery, policy: Policy) -> Mapping[str, object]:
    """This machine now, and what each provider's host can hold, loaded models included; ``None`` is unknown."""
    providers = [state.provider for state in discovery.providers if not state.provider.cloud]
    holds = capacities(providers=providers, models=discovery.models, resources=resources, policy=policy)
    return {
        "memory_total_bytes": resources.memory_total_bytes,
        "memory_available_bytes": resources.memory_available_bytes,
        "vram_available_bytes": resources.vram_available_bytes,
        "temperature_c": resources.temperature_c,
        "source": resources.source,
        "assumed": resources.memory_assumed or resources.vram_assumed,
        "providers": {
            name: {"usable_bytes": one.usable_bytes, "arithmetic": one.arithmetic} for name, one in holds.items()
        },
    }

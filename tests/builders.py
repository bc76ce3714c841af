"""Domain values for tests, each with defaults that make sense and one argument per thing a test is about."""

from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

from gateway.domain.capabilities import Fact, ModelCapabilities, Origin
from gateway.domain.memory import Architecture
from gateway.domain.model import Lane, Model, ModelRef, Provider, ProviderKind, Residency
from gateway.domain.ports import Discovery, ProviderState
from gateway.domain.resources import GB, Resources
from gateway.domain.role import Requirements, Role

T = TypeVar("T")

LANES: Final = {
    ProviderKind.OLLAMA: Lane.OLLAMA,
    ProviderKind.EMBEDDED: Lane.OPENAI,
    ProviderKind.OPENAI: Lane.OPENAI,
    ProviderKind.CLOUD: Lane.LITELLM,
}


def reported(value: T) -> Fact[T]:
    return Fact(value=value, origin=Origin.REPORTED)


def scored(value: float) -> Fact[float]:
    return Fact(value=value, origin=Origin.CATALOG, confidence=0.8, tier="A")


def a_provider(name: str = "ollama", *, kind: ProviderKind = ProviderKind.OLLAMA, **changes: object) -> Provider:
    settings: dict[str, object] = {
        "name": name,
        "kind": kind,
        "lane": LANES[kind],
        "on_this_host": kind in (ProviderKind.OLLAMA, ProviderKind.EMBEDDED),
        "url": "http://127.0.0.1:11434",
        **changes,
    }
    return Provider(**settings)  # type: ignore[arg-type]  # the changes are named by each test


def a_cloud(name: str = "openai", *, has_key: bool = True) -> Provider:
    return a_provider(name, kind=ProviderKind.CLOUD, url=None, key_variable=f"{name.upper()}_API_KEY", has_key=has_key)


def an_architecture(
    *, weights_gb: float, layers: int = 32, kv_width: int = 1024, trained: int = 131_072
) -> Architecture:
    """Dense, with ``kv_width`` elements of key and of value per token and layer."""
    return Architecture(
        name="llama",
        weights_bytes=round(weights_gb * GB),
        kv_widths=((kv_width, kv_width),) * layers,
        windows=(None,) * layers,
        trained_context_tokens=trained,
    )


def a_model(
    reference: str,
    *,
    kind: ProviderKind = ProviderKind.OLLAMA,
    scores: Mapping[str, float] | None = None,
    context: int | None = 131_072,
    memory_gb: float | None = 5.0,
    weights_gb: float | None = None,
    tools: bool | None = None,
    vision: bool | None = None,
    chats: bool | None = True,
    embeds: bool | None = False,
    resident_context: int | None = None,
    resident_gb: float = 5.0,
    provider_up: bool = True,
    speed: float | None = None,
    cloud: bool | None = None,
    cost: float | None = None,
    thermal: float | None = None,
) -> Model:
    """A model called ``provider:name``; ``memory_gb`` is declared, ``weights_gb`` is metadata instead."""
    provider, _, name = reference.partition(":")
    facts: dict[str, object] = {ability: scored(value) for ability, value in (scores or {}).items()}
    if context is not None:
        facts["context_length"] = reported(context)
    if memory_gb is not None and weights_gb is None:
        facts["memory_gb_estimate"] = Fact(value=memory_gb, origin=Origin.DECLARED)
    for field, value in (("supports_tools", tools), ("supports_vision", vision)):
        if value is not None:
            facts[field] = reported(value)
    if thermal is not None:
        facts["thermal_sensitivity"] = Fact(value=thermal, origin=Origin.DECLARED)
    resident = None
    if resident_context is not None:
        size = round(resident_gb * GB)
        resident = Residency(size_bytes=size, size_vram_bytes=0, context_tokens=resident_context)
    return Model(
        ref=ModelRef(provider=provider, name=name),
        lane=LANES[kind],
        cloud=kind is ProviderKind.CLOUD if cloud is None else cloud,
        chats=chats,
        embeds=embeds,
        capabilities=ModelCapabilities(**facts),  # type: ignore[arg-type]  # built field by field above
        architecture=None if weights_gb is None else an_architecture(weights_gb=weights_gb, trained=context or 131_072),
        resident=resident,
        provider_up=provider_up,
        speed_tokens_s=speed,
        cost_usd_per_mtok=cost,
    )


def a_discovery(models: Iterable[Model], *, providers: Iterable[Provider] = (), down: Iterable[str] = ()) -> Discovery:
    """The providers given, or one Ollama; those in ``down`` do not answer."""
    known = tuple(providers) or (a_provider(),)
    dead = set(down)
    return Discovery(
        providers=tuple(
            ProviderState(
                provider=one,
                up=one.name not in dead,
                error=f"{one.name} at {one.url} does not answer" if one.name in dead else "",
            )
            for one in known
        ),
        models=tuple(models),
    )


def a_role(
    name: str = "planner",
    *,
    preferred: Iterable[str] = (),
    cloud: Iterable[str] = (),
    scores: Mapping[str, float] | None = None,
    features: Iterable[str] = (),
    context_min: int | None = None,
    memory_max_gb: float | None = None,
    **changes: object,
) -> Role:
    settings: dict[str, object] = {
        "name": name,
        "preferred": tuple(preferred),
        "cloud_fallback": tuple(cloud),
        "requirements": Requirements(
            scores=dict(scores or {}),
            features=frozenset(features),
            context_min_tokens=context_min,
            memory_max_bytes=None if memory_max_gb is None else round(memory_max_gb * GB),
        ),
        **changes,
    }
    return Role(**settings)  # type: ignore[arg-type]  # the changes are named by each test


def a_machine(*, available_gb: float = 16.0, total_gb: float = 16.0, **changes: object) -> Resources:
    settings: dict[str, object] = {
        "memory_total_bytes": round(total_gb * GB),
        "memory_available_bytes": round(available_gb * GB),
        **changes,
    }
    return Resources(**settings)  # type: ignore[arg-type]  # the changes are named by each test

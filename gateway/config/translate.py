"""From merged, valid values to domain values."""

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from gateway.config.consistency import written_references
from gateway.config.environ import Environment, key_variable
from gateway.config.merge import Merged
from gateway.config.schema import (
    CapabilitiesEntry,
    CloudModelEntry,
    CloudProviderEntry,
    ConfigFile,
    EmbeddedModelEntry,
    LocalProviderEntry,
    RoleEntry,
    SelectionEntry,
)
from gateway.config.settings import CloudModel, Configuration, EmbeddedModel, gateway_settings
from gateway.domain.capabilities import ModelCapabilities
from gateway.domain.model import DEFAULT_QUEUE, DEFAULT_QUEUE_WAIT_S, Lane, Provider, ProviderKind, parse_reference
from gateway.domain.resources import GB
from gateway.domain.role import Role
from gateway.errors import Problem

DEFAULT_OLLAMA_URL: Final = "http://127.0.0.1:11434"
DEFAULT_EMBEDDED: Final = (EmbeddedModelEntry(name="smollm2:135m"),)

_DEFAULT_LANE: Final[Mapping[ProviderKind, Lane]] = {
    ProviderKind.OLLAMA: Lane.OLLAMA,
    ProviderKind.EMBEDDED: Lane.OPENAI,
    ProviderKind.OPENAI: Lane.OPENAI,
    ProviderKind.CLOUD: Lane.LITELLM,
}
_LITELLM_NAME: Final[Mapping[ProviderKind, str]] = {
    ProviderKind.OLLAMA: "ollama_chat",
    ProviderKind.EMBEDDED: "openai",
    ProviderKind.OPENAI: "openai",
}


def translate(
    merged: Merged,
    *,
    folder: Path,
    profile: str | None,
    environment: Environment,
    warnings: tuple[Problem, ...],
    inactive_problems: tuple[Problem, ...],
) -> Configuration:
    """The configuration that ``merged`` says; it must have been found without problems."""
    whole = ConfigFile.model_validate(merged.values)
    providers = _providers(whole, environment)
    return Configuration(
        folder=folder,
        profile=profile,
        roles=MappingProxyType(_roles(whole)),
        providers=providers,
        policy=(whole.selection or SelectionEntry()).to_domain(),
        gateway=gateway_settings(merged.values.get("gateway")),
        declared=MappingProxyType(_declared(whole)),
        cloud_models=_cloud_models(whole, merged.values, providers),
        embedded_models=_embedded_models(whole, folder),
        values=MappingProxyType(merged.values),
        provenance=merged.provenance,
        warnings=warnings,
        inactive_problems=inactive_problems,
    )


def _roles(whole: ConfigFile) -> dict[str, Role]:
    return {name: (entry or RoleEntry()).to_domain(name=name) for name, entry in (whole.role_mappings or {}).items()}


def _declared(whole: ConfigFile) -> dict[str, ModelCapabilities]:
    return {
        reference: entry.capabilities.to_domain()
        for reference, entry in (whole.model_profiles or {}).items()
        if entry is not None and entry.capabilities is not None
    }


def _providers(whole: ConfigFile, environment: Environment) -> tuple[Provider, ...]:
    local = [
        _local(name, entry, environment) for name, entry in (whole.local_providers or {}).items() if entry is not None
    ]
    cloud = [
        _cloud(name, entry or CloudProviderEntry(), environment)
        for name, entry in (whole.cloud_providers or {}).items()
    ]
    return (*local, *cloud)


def _local(name: str, entry: LocalProviderEntry, environment: Environment) -> Provider:
    kind = ProviderKind(str(entry.kind))
    url = entry.url
    if kind is ProviderKind.OLLAMA and url is None:
        url = DEFAULT_OLLAMA_URL
    keyed = kind is not ProviderKind.EMBEDDED
    told = entry.memory_gb is not None or entry.vram_gb is not None
    return Provider(
        name=name,
        kind=kind,
        lane=Lane(entry.lane) if entry.lane is not None else _DEFAULT_LANE[kind],
        url=url,
        on_this_host=kind is ProviderKind.EMBEDDED or (not told and url is not None and is_loopback(url)),
        memory_bytes=_bytes(entry.memory_gb),
        vram_bytes=_bytes(entry.vram_gb),
        max_parallel=entry.max_parallel,
        queue=DEFAULT_QUEUE if entry.queue is None else entry.queue,
        queue_wait_s=DEFAULT_QUEUE_WAIT_S if entry.queue_wait_s is None else entry.queue_wait_s,
        litellm_name=_LITELLM_NAME[kind],
        key_variable=key_variable(name) if keyed else "",
        has_key=keyed and environment.provider_key(name) is not None,
    )


def _cloud(name: str, entry: CloudProviderEntry, environment: Environment) -> Provider:
    return Provider(
        name=name,
        kind=ProviderKind.CLOUD,
        lane=Lane(entry.lane) if entry.lane is not None else _DEFAULT_LANE[ProviderKind.CLOUD],
        url=entry.api_endpoint,
        max_parallel=entry.max_parallel,
        queue=DEFAULT_QUEUE if entry.queue is None else entry.queue,
        queue_wait_s=DEFAULT_QUEUE_WAIT_S if entry.queue_wait_s is None else entry.queue_wait_s,
        budget=None if entry.budget is None else entry.budget.to_domain(),
        litellm_name=entry.litellm_provider or name.replace("-", "_"),
        key_variable=key_variable(name),
        has_key=environment.provider_key(name) is not None,
    )


def is_loopback(url: str) -> bool:
    """Whether ``url`` names this machine by its loopback address or ``localhost``."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bytes(gigabytes: float | None) -> int | None:
    return None if gigabytes is None else round(gigabytes * GB)


def _embedded_models(whole: ConfigFile, folder: Path) -> tuple[EmbeddedModel, ...]:
    """Those listed; the one that can be pulled where an engine is configured without a list."""
    return tuple(
        model.to_domain(folder=folder)
        for provider in (whole.local_providers or {}).values()
        if provider is not None and provider.kind == "embedded"
        for model in (DEFAULT_EMBEDDED if provider.models is None else provider.models)
    )


def _cloud_models(
    whole: ConfigFile, values: Mapping[str, object], providers: tuple[Provider, ...]
) -> tuple[CloudModel, ...]:
    """Those listed under a cloud provider, then those that only a role or ``system_default`` names."""
    models = {
        (name, model): _cloud_model(name, model, entry or CloudModelEntry())
        for name, provider in (whole.cloud_providers or {}).items()
        if provider is not None
        for model, entry in (provider.models or {}).items()
    }
    names = [provider.name for provider in providers]
    cloud_names = {provider.name for provider in providers if provider.cloud}
    for _path, text, _is_fallback in written_references(values):
        reference = parse_reference(text, providers=names)
        key = (reference.provider, reference.name)
        if reference.provider in cloud_names and key not in models:
            models[key] = _cloud_model(*key, CloudModelEntry())
    return tuple(models.values())


def _cloud_model(provider: str, name: str, entry: CloudModelEntry) -> CloudModel:
    return CloudModel(
        provider=provider,
        name=name,
        capabilities=(entry.capabilities or CapabilitiesEntry()).to_domain(),
        input_usd_per_mtok=entry.input_usd_per_mtok,
        output_usd_per_mtok=entry.output_usd_per_mtok,
        cached_usd_per_mtok=entry.cached_usd_per_mtok,
    )

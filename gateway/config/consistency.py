"""What must hold across the merged whole, and no file can say alone. Pure.

Values of a wrong type are passed over: the schema has spoken of them already.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from gateway.config.set_path import KeyPath
from gateway.config.wording import choices, found, listed, quoted
from gateway.domain.model import parse_reference
from gateway.domain.nearest import nearest_name
from gateway.domain.role import Policy

LANES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "ollama": ("ollama", "litellm"),
        "embedded": ("openai", "litellm"),
        "openai": ("openai", "litellm"),
    }
)
"""Kind of local provider → the lanes it can take. Ollama's OpenAI-compatible API takes no load profile."""

CLOUD_GROUP: Final = ".cloud"
"""What is put behind a role's name to name the group that its cloud models are rendered as."""

_KINDS: Final = tuple(LANES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that does not hold. ``doubtful`` ones are warnings."""

    path: KeyPath
    found: str
    allowed: str
    nearest: str = ""
    hint: str = ""
    doubtful: bool = False


def findings(values: Mapping[str, object]) -> Iterator[Finding]:
    """Everything wrong or doubtful in merged ``values``."""
    yield from _providers(values)
    yield from _references(values)
    yield from _roles(values)
    yield from _cloud_groups(values)
    yield from _thermal(values)


def cloud_models_of(values: Mapping[str, object], *, provider: str) -> Mapping[str, object]:
    """The models listed under a cloud provider, as written."""
    return _mapping(_mapping(_mapping(values, "cloud_providers"), provider), "models")


def written_references(values: Mapping[str, object]) -> Iterator[tuple[KeyPath, str, bool]]:
    """Every reference that roles and ``system_default`` name: path, text, and whether it is a cloud fallback."""
    for role, entry in _entries(values, "role_mappings"):
        for key in ("preferred", "cloud_fallback"):
            for path, text in _texts(entry, key):
                yield ("role_mappings", role, *path), text, key == "cloud_fallback"
    for path, text in _texts(_mapping(values, "selection"), "system_default"):
        yield ("selection", *path), text, False


def _mapping(values: object, key: str) -> Mapping[str, object]:
    value = values.get(key) if isinstance(values, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _entries(values: Mapping[str, object], section: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    for name, entry in _mapping(values, section).items():
        if isinstance(entry, Mapping):
            yield name, entry


def _texts(entry: Mapping[str, object], key: str) -> Iterator[tuple[KeyPath, str]]:
    value = entry.get(key)
    if isinstance(value, str):
        yield (key,), value
    elif isinstance(value, list):
        for place, text in enumerate(value):
            if isinstance(text, str):
                yield (key, place), text


def _providers(values: Mapping[str, object]) -> Iterator[Finding]:
    cloud = _mapping(values, "cloud_providers")
    engines: list[str] = []
    for name, entry in _entries(values, "local_providers"):
        path = ("local_providers", name)
        if name in cloud:
            yield Finding(
                path=path,
                found=f"the name {quoted(name)} in cloud_providers too",
                allowed="one provider of a name",
                hint="rename one of them",
            )
        kind = entry.get("kind")
        if kind is None:
            yield Finding(path=path, found="no kind", allowed=choices(_KINDS))
        elif kind in _KINDS:
            if kind == "embedded":
                engines.append(name)
            yield from _local_provider(path, str(kind), entry)
    for name in engines[1:]:
        yield Finding(
            path=("local_providers", name, "kind"),
            found=f"a second embedded engine (the first is {quoted(engines[0])})",
            allowed="one provider of kind embedded",
            hint=f"list its models under local_providers.{engines[0]}",
        )
    for name, entry in _entries(values, "cloud_providers"):
        if entry.get("lane") == "openai" and "api_endpoint" not in entry:
            yield Finding(
                path=("cloud_providers", name),
                found="lane openai without api_endpoint",
                allowed="api_endpoint beside lane openai",
                hint="add api_endpoint, or leave lane out",
            )


def _local_provider(path: KeyPath, kind: str, entry: Mapping[str, object]) -> Iterator[Finding]:
    lane = entry.get("lane")
    if isinstance(lane, str) and lane in ("ollama", "openai", "litellm") and lane not in LANES[kind]:
        yield Finding(
            path=(*path, "lane"),
            found=f"{quoted(lane)} for a provider of kind {kind}",
            allowed=choices(LANES[kind]),
        )
    if kind == "openai" and "url" not in entry:
        yield Finding(path=path, found="no url", allowed="the server's url, such as http://127.0.0.1:8000/v1")
    if kind == "embedded":
        for key in ("url", "memory_gb", "vram_gb"):
            if key in entry:
                yield Finding(
                    path=(*path, key),
                    found=f"{key} for the embedded engine",
                    allowed="kind, models, lane, max_parallel, queue, queue_wait_s",
                    hint="it runs on this machine and finds its own address",
                )
        yield from _embedded_models((*path, "models"), entry.get("models"))
    elif "models" in entry:
        yield Finding(
            path=(*path, "models"),
            found=f"models for a provider of kind {kind}",
            allowed="models for the kind embedded only",
            hint="this server says itself what it has",
        )


def _embedded_models(path: KeyPath, models: object) -> Iterator[Finding]:
    seen: set[str] = set()
    for place, model in enumerate(models if isinstance(models, list) else ()):
        name = model.get("name") if isinstance(model, Mapping) else model
        if not isinstance(name, str):
            continue
        if name in seen:
            yield Finding(path=(*path, place), found=f"the model {quoted(name)} again", allowed="each model once")
        seen.add(name)


def _references(values: Mapping[str, object]) -> Iterator[Finding]:
    cloud = _mapping(values, "cloud_providers")
    providers = sorted({*_mapping(values, "local_providers"), *cloud})
    for path, text, is_fallback in written_references(values):
        reference = parse_reference(text, providers=providers)
        if not reference.provider:
            if is_fallback:
                yield _unknown_fallback(path, text, providers, values)
            elif _names_a_provider(text):
                head = text.partition(":")[0]
                yield Finding(
                    path=path,
                    found=f"{quoted(text)}, and no provider {quoted(head)}",
                    allowed=f"a configured provider ({listed(providers)}) before the first colon",
                    nearest=nearest_name(head, providers),
                    hint="it is taken for a model's name",
                    doubtful=True,
                )
        elif reference.provider in cloud:
            known = cloud_models_of(values, provider=reference.provider)
            if known and reference.name not in known:
                yield Finding(
                    path=path,
                    found=f"{quoted(text)}, which cloud_providers.{reference.provider}.models does not list",
                    allowed=listed(sorted(known)),
                    nearest=nearest_name(reference.name, sorted(known)),
                    hint="it is tried all the same",
                    doubtful=True,
                )


def _unknown_fallback(path: KeyPath, text: str, providers: list[str], values: Mapping[str, object]) -> Finding:
    head, colon, _rest = text.partition(":")
    allowed = f"provider:model with a configured provider ({listed(providers)})"
    owner = next(
        (
            name
            for name in sorted(_mapping(values, "cloud_providers"))
            if text in cloud_models_of(values, provider=name)
        ),
        "",
    )
    nearest = f"{owner}:{text}" if owner else nearest_name(head, providers) if colon else ""
    what = f"the unknown provider {quoted(head)} in {quoted(text)}" if colon else f"{quoted(text)} without a provider"
    return Finding(path=path, found=what, allowed=allowed, nearest=nearest)


def _names_a_provider(text: str) -> bool:
    """Whether ``text`` can only mean ``provider:model:tag``: an Ollama name has two colons only with a host before a ``/``."""
    return text.count(":") >= 2 and "/" not in text


def _roles(values: Mapping[str, object]) -> Iterator[Finding]:
    has_default = any(_texts(_mapping(values, "selection"), "system_default"))
    for role, entry in _entries(values, "role_mappings"):
        path = ("role_mappings", role)
        weights = _mapping(entry, "weights")
        if weights and all(weight == 0 for weight in weights.values()):
            yield Finding(path=(*path, "weights"), found="nothing but zeros", allowed="at least one weight over 0")
        names_models = any(_texts(entry, "preferred")) or any(_texts(entry, "cloud_fallback"))
        if not names_models and entry.get("discover") is False and not has_default:
            yield Finding(
                path=path,
                found="a role that no model can serve",
                allowed="preferred or cloud_fallback models, discover: true, or selection.system_default",
                doubtful=True,
            )


def _cloud_groups(values: Mapping[str, object]) -> Iterator[Finding]:
    """Roles that are named like the group in which another role's cloud models are rendered."""
    roles = _mapping(values, "role_mappings")
    for name in roles:
        role = name.removesuffix(CLOUD_GROUP)
        if role != name and role in roles and _names_cloud_models(values, role=role):
            yield Finding(
                path=("role_mappings", name),
                found=f"a role named {quoted(name)}",
                allowed=f"any other name: the cloud models of {quoted(role)} are rendered as the group {quoted(name)}",
            )


def _names_cloud_models(values: Mapping[str, object], *, role: str) -> bool:
    """Whether cloud models that ``role`` may use are written for it, the system default included."""
    cloud = _mapping(values, "cloud_providers")
    may_use = (
        _mapping(_mapping(values, "role_mappings"), role).get("allow_cloud"),
        _mapping(values, "selection").get("cloud_fallback"),
    )
    return False not in may_use and any(
        is_fallback or parse_reference(text, providers=cloud).provider != ""
        for path, text, is_fallback in written_references(values)
        if path[:2] == ("role_mappings", role) or path[0] == "selection"
    )


def _thermal(values: Mapping[str, object]) -> Iterator[Finding]:
    policy = Policy()
    thermal = _mapping(_mapping(values, "selection"), "thermal")
    hot_c, cool_c = thermal.get("hot_c", policy.hot_c), thermal.get("cool_c", policy.cool_c)
    if isinstance(hot_c, int | float) and isinstance(cool_c, int | float) and cool_c >= hot_c:
        yield Finding(
            path=("selection", "thermal", "cool_c" if "cool_c" in thermal else "hot_c"),
            found=f"cool_c {found(cool_c)} and hot_c {found(hot_c)}",
            allowed="cool_c below hot_c",
        )

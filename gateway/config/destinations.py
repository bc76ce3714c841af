"""Where the keys of providers go, as merged values say it. Pure."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from gateway.config.set_path import KeyPath

_LOCAL: Final = "local_providers"
_CLOUD: Final = "cloud_providers"
_USUAL: Final = "the usual address"
"""Stands for that of a local provider of which no other is said."""

Keyed = Callable[[str], bool]
"""Whether a key is known of the local provider of that name."""


class Destination(NamedTuple):
    """One setting by which the key of ``provider`` goes where it goes: an address, or whose it is in LiteLLM's words."""

    provider: str
    setting: str
    value: str


def destinations(values: Mapping[str, object], *, keyed: Keyed) -> Iterator[tuple[KeyPath, Destination]]:
    """Every destination in merged ``values`` with its place: of all cloud providers, which have a key sooner or later, and of the
    local ones that have one. A cloud provider of which nothing is said is at its vendor's."""
    for name, entry in _entries(values, _CLOUD):
        for setting in ("api_endpoint", "litellm_provider"):
            value = entry.get(setting)
            if isinstance(value, str):
                yield (_CLOUD, name, setting), Destination(provider=name, setting=setting, value=value.rstrip("/"))
    for name, entry in _entries(values, _LOCAL):
        if entry.get("kind") != "embedded" and keyed(name):
            url = entry.get("url")
            value = url.rstrip("/") if isinstance(url, str) else _USUAL
            yield (_LOCAL, name, "url"), Destination(provider=name, setting="url", value=value)


def _entries(values: Mapping[str, object], section: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    providers = values.get(section)
    for name, entry in providers.items() if isinstance(providers, Mapping) else ():
        if isinstance(entry, Mapping):
            yield name, entry

"""What an Ollama host lists: the models it has, and those it has loaded."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from gateway.domain.address import names_ollamas_cloud
from gateway.domain.model import Residency, ollama_name
from gateway.registry import tolerant
from gateway.registry.description import Description, parse_listed

_TRUSTED_REMOTE: Final = re.compile(r"(https?://)?([\w-]+\.)*ollama\.com(:\d+)?/?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One entry of `/api/tags`. ``brief`` is what the list says of the model; ``digest`` is empty when it tells none."""

    name: str
    digest: str
    size_bytes: int | None
    brief: Description

    @property
    def key(self) -> str:
        """What a description is known under: the manifest's digest, or the name where the server tells no digest."""
        return self.digest or f"name {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """One entry of `/api/ps`."""

    name: str
    digest: str
    residency: Residency


def parse_tags(answer: object) -> tuple[Listed, ...]:
    """The entries of `/api/tags` with a name, each name once."""
    by_name: dict[str, Listed] = {}
    for entry in tolerant.objects(answer, "models"):
        told = tolerant.text(entry, "name") or tolerant.text(entry, "model")
        if not told:
            continue
        name = ollama_name(told)
        by_name.setdefault(
            name,
            Listed(
                name=name,
                digest=tolerant.text(entry, "digest").removeprefix("sha256:"),
                size_bytes=tolerant.whole(entry, "size"),
                brief=parse_listed(entry),
            ),
        )
    return tuple(by_name.values())


def parse_ps(answer: object) -> tuple[Loaded, ...]:
    """The entries of `/api/ps` with a name."""
    return tuple(
        Loaded(
            name=ollama_name(name),
            digest=tolerant.text(entry, "digest").removeprefix("sha256:"),
            residency=Residency(
                size_bytes=tolerant.whole(entry, "size") or 0,
                size_vram_bytes=tolerant.whole(entry, "size_vram") or 0,
                context_tokens=tolerant.length(entry, "context_length"),
            ),
        )
        for entry in tolerant.objects(answer, "models")
        if (name := tolerant.text(entry, "name") or tolerant.text(entry, "model"))
    )


def residency(one: Listed, loaded: Iterable[Loaded], *, same_weights: Collection[str]) -> Residency | None:
    """How ``one`` is loaded, if it is: one runner serves one file of weights, listed under the name that loaded it."""
    for runner in loaded:
        if (one.digest and runner.digest == one.digest) or runner.name == one.name or runner.name in same_weights:
            return runner.residency
    return None


def names_cloud(name: str) -> bool:
    """Whether Ollama sends requests for this name to its cloud whatever is installed: ``x:cloud``, ``x:120b-cloud``."""
    stem, colon, tag = name.rpartition(":")
    folded = tag.casefold()
    return bool(colon and stem) and "/" not in tag and (folded == "cloud" or folded.endswith("-cloud"))


def is_ollamas_cloud(url: str | None) -> bool:
    """Whether a provider's address is Ollama's own cloud: whatever is served there is not on the operator's machines."""
    return names_ollamas_cloud(urlsplit(url or "").hostname or "")


def remote_warnings(name: str, *descriptions: Description) -> tuple[str, ...]:
    """A sentence when one of ``descriptions`` sends requests to a cloud that is not Ollama's own."""
    for one in descriptions:
        if one.remote_host and not _TRUSTED_REMOTE.fullmatch(one.remote_host):
            return (f"{name} is served by {one.remote_host}, which is not ollama.com",)
    return ()

"""A cloud provider, asked what models its key opens: the one question that costs nothing and shows the key."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote

from gateway.domain.model import Lane, Provider
from gateway.domain.ports import KeySource
from gateway.domain.secret import Secret
from gateway.errors import ProviderDown, ProviderFailed
from gateway.registry import tolerant
from gateway.registry.fetch import Fetcher, bearer, fetcher, place

ANSWER_S: Final = 15.0
"""One question to a cloud ends within this time, whatever it does."""

_OPENAI: Final = "https://api.openai.com/v1"
_ANTHROPIC: Final = "https://api.anthropic.com"
_ANTHROPICS_VERSION: Final = "2023-06-01"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """``missing`` are those of the models asked about that the provider does not know."""

    missing: tuple[str, ...]


def can_list(provider: Provider) -> bool:
    """Whether it is known how this provider lists its models."""
    return provider.litellm_name in {"openai", "anthropic"} or (
        provider.lane is Lane.OPENAI and provider.url is not None
    )


async def listing(provider: Provider, *, keys: KeySource, models: Sequence[str], within_s: float = ANSWER_S) -> Listing:
    """Which of ``models`` there are. Raises ``ProviderDown`` when it does not answer, ``ProviderFailed`` when it refuses the key
    or answers wrongly."""
    anthropics = provider.litellm_name == "anthropic"
    asked, path = (_anthropic(provider), "/models?limit=1000") if anthropics else (_openai(provider), "/models")
    try:
        async with (
            asyncio.timeout(within_s),
            fetcher(provider=asked, keys=keys, shown=_key_header if anthropics else bearer) as fetch,
        ):
            answer = await fetch.json("GET", path)
            if not isinstance(answer, dict) or "data" not in answer:
                told = f"{place(asked)} answers /models without a list of models"
                raise ProviderFailed(told, provider=provider.name)
            names = {name for entry in tolerant.objects(answer, "data") if (name := tolerant.text(entry, "id"))}
            missing = [one for one in models if not _listed(one, names) and not await _known(fetch, one)]
    except TimeoutError as exc:
        told = f"{place(asked)} does not answer: no answer within {within_s:g} s"
        raise ProviderDown(told, provider=provider.name) from exc
    return Listing(missing=tuple(missing))


def _openai(provider: Provider) -> Provider:
    return replace(provider, url=(provider.url or _OPENAI).rstrip("/"))


def _anthropic(provider: Provider) -> Provider:
    """LiteLLM takes the address with or without the path."""
    url = (provider.url or _ANTHROPIC).rstrip("/").removesuffix("/messages").removesuffix("/v1")
    return replace(provider, url=f"{url}/v1")


def _key_header(key: Secret) -> Mapping[str, str]:
    return {"x-api-key": key.reveal(), "anthropic-version": _ANTHROPICS_VERSION}


def _listed(model: str, names: set[str]) -> bool:
    """A name without a date stands for the dated one."""
    return model in names or any(name.startswith(f"{model}-2") for name in names)


async def _known(fetch: Fetcher, model: str) -> bool:
    """Lists leave aliases out; asked for by name they are there."""
    try:
        await fetch.json("GET", f"/models/{quote(model, safe='')}")
    except ProviderDown:
        raise
    except ProviderFailed:
        return False
    return True

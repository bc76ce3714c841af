"""What LiteLLM's packaged price map says of cloud models, read as a file: litellm itself is never imported here."""

import importlib.util
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self, TypeVar

from gateway.domain.capabilities import Fact, ModelCapabilities, Origin
from gateway.domain.cost import Price

T = TypeVar("T")

_FILE: Final = "model_prices_and_context_window_backup.json"
_TEMPLATE_KEY: Final = "sample_spec"
_ABOVE: Final = re.compile(r"input_cost_per_token_above_(\d{1,5})k_tokens")
NO_PRICE: Final = Price()
_CHAT_MODES: Final = frozenset(("chat", "responses"))
_SOURCE: Final = "LiteLLM's price map"


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudFact:
    """One model of the price map. Lengths in tokens, prices in USD per 10^6 tokens; ``None`` where the map says nothing.

    ``mode`` is LiteLLM's word: ``chat``, ``responses``, ``embedding``, …
    """

    key: str
    mode: str = ""
    context_length: int | None = None
    max_output_tokens: int | None = None
    supports_function_calling: bool | None = None
    supports_vision: bool | None = None
    supports_thinking: bool | None = None
    supports_audio: bool | None = None
    supports_response_schema: bool | None = None
    supports_prefill: bool | None = None
    input_usd_per_mtok: float | None = None
    output_usd_per_mtok: float | None = None
    price: Price = NO_PRICE
    """The same prices with the finer ones: of cached tokens, of thinking, of long prompts."""

    @property
    def chats(self) -> bool | None:
        return self.mode in _CHAT_MODES if self.mode else None

    @property
    def embeds(self) -> bool | None:
        return self.mode == "embedding" if self.mode else None

    @property
    def cost_usd_per_mtok(self) -> float | None:
        """The mean of both prices; an embedding model's input price; ``None`` when a price that counts is unknown."""
        if self.embeds:
            return self.input_usd_per_mtok
        if self.input_usd_per_mtok is None or self.output_usd_per_mtok is None:
            return None
        return (self.input_usd_per_mtok + self.output_usd_per_mtok) / 2

    def capabilities(self) -> ModelCapabilities:
        """The same as capability facts of origin ``catalog``."""
        return ModelCapabilities(
            context_length=_fact(self.context_length),
            supports_function_calling=_fact(self.supports_function_calling),
            supports_tools=_fact(self.supports_function_calling),
            supports_vision=_fact(self.supports_vision),
            supports_thinking=_fact(self.supports_thinking),
            supports_audio=_fact(self.supports_audio),
            supports_json_schema=_fact(self.supports_response_schema),
            supports_prefill=_fact(self.supports_prefill),
        )


class CloudFacts:
    """The price map, parsed at the first question. ``problem`` says, after it, why there is none; then all is unknown."""

    __slots__ = ("_entries", "_path", "problem")

    def __init__(self, *, path: Path | None) -> None:
        self._path = path
        self._entries: Mapping[str, object] | None = None
        self.problem = ""

    @classmethod
    def read(cls) -> Self:
        """Find the map in the installed litellm, which stays unimported. Nothing is parsed yet."""
        spec = importlib.util.find_spec("litellm")
        places = list(spec.submodule_search_locations or ()) if spec is not None else []
        return cls(path=Path(places[0]) / _FILE if places else None)

    def facts(self, *, litellm_name: str, model: str) -> CloudFact | None:
        """What the map says of ``model`` at the provider that LiteLLM calls ``litellm_name``; ``None`` when nothing."""
        entries = self._load()
        for key in (f"{litellm_name}/{model}", model):
            entry = entries.get(key)
            if key != _TEMPLATE_KEY and isinstance(entry, dict) and _served_by(entry, litellm_name=litellm_name):
                return _read_entry(key, entry)
        return None

    def _load(self) -> Mapping[str, object]:
        if self._entries is None:
            self._entries = self._parse()
        return self._entries

    def _parse(self) -> Mapping[str, object]:
        if self._path is None:
            self.problem = "litellm is not installed: context lengths and prices of cloud models are unknown"
            return {}
        try:
            parsed = json.loads(self._path.read_bytes())
        except (OSError, ValueError) as exc:
            self.problem = (
                f"{self._path} cannot be read ({exc}): context lengths and prices of cloud models are unknown"
            )
            return {}
        if not isinstance(parsed, dict):
            self.problem = f"{self._path} holds no object: context lengths and prices of cloud models are unknown"
            return {}
        return parsed


def _served_by(entry: Mapping[str, object], *, litellm_name: str) -> bool:
    """LiteLLM splits some providers by wire: ``bedrock_converse``, ``vertex_ai-anthropic_models``."""
    provider = entry.get("litellm_provider")
    return isinstance(provider, str) and (
        provider == litellm_name or provider.startswith((f"{litellm_name}_", f"{litellm_name}-"))
    )


def _read_entry(key: str, entry: Mapping[str, object]) -> CloudFact:
    mode = entry.get("mode")
    input_price, output_price = _price(entry, "input_cost_per_token"), _price(entry, "output_cost_per_token")
    return CloudFact(
        key=key,
        mode=mode if isinstance(mode, str) else "",
        context_length=_tokens(entry, "max_input_tokens") or _tokens(entry, "max_tokens"),
        max_output_tokens=_tokens(entry, "max_output_tokens"),
        supports_function_calling=_flag(entry, "supports_function_calling"),
        supports_vision=_flag(entry, "supports_vision"),
        supports_thinking=_flag(entry, "supports_reasoning"),
        supports_audio=_flag(entry, "supports_audio_input"),
        supports_response_schema=_flag(entry, "supports_response_schema"),
        supports_prefill=_flag(entry, "supports_assistant_prefill"),
        input_usd_per_mtok=input_price,
        output_usd_per_mtok=output_price,
        price=_all_prices(entry),
    )


def _all_prices(entry: Mapping[str, object]) -> Price:
    floors = {int(found[1]) for name in entry if (found := _ABOVE.fullmatch(name))}
    above = [(floor * 1000, _prices(entry, f"_above_{floor}k_tokens")) for floor in sorted(floors, reverse=True)]
    return replace(_prices(entry), above=tuple(above))


def _prices(entry: Mapping[str, object], suffix: str = "") -> Price:
    """Those for prompts of a length; what the map does not say of long ones is as for short ones."""

    def price(name: str) -> float | None:
        found = _price(entry, f"{name}{suffix}")
        return _price(entry, name) if found is None else found

    return Price(
        input_usd_per_mtok=price("input_cost_per_token"),
        output_usd_per_mtok=price("output_cost_per_token"),
        cached_usd_per_mtok=price("cache_read_input_token_cost"),
        cache_write_usd_per_mtok=price("cache_creation_input_token_cost"),
        reasoning_usd_per_mtok=price("output_cost_per_reasoning_token"),
        audio_usd_per_mtok=price("input_cost_per_audio_token"),
    )


def _tokens(entry: Mapping[str, object], name: str) -> int | None:
    found = entry.get(name)
    if isinstance(found, bool) or not isinstance(found, (int, float)) or found < 1:
        return None
    return int(found)


def _price(entry: Mapping[str, object], name: str) -> float | None:
    """USD per 10^6 tokens. The map writes 0 where it does not know, so 0 is unknown."""
    found = entry.get(name)
    if isinstance(found, bool) or not isinstance(found, (int, float)) or found <= 0:
        return None
    return found * 1e6


def _flag(entry: Mapping[str, object], name: str) -> bool | None:
    found = entry.get(name)
    return found if isinstance(found, bool) else None


def _fact(value: T | None) -> Fact[T] | None:
    return None if value is None else Fact(value=value, origin=Origin.CATALOG, source=_SOURCE)

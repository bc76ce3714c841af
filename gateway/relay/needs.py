"""What a chat request asks of a model, and which deployments can give it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Protocol

from gateway.domain.lesson import FEATURE_NAMES
from gateway.domain.model import Lane, ModelRef, Provider
from gateway.domain.plan import Deployment, Via
from gateway.relay.once import once

MESSAGE_TOKENS: Final = 4
"""What a chat template adds around one message, at least."""
IMAGE_TOKENS: Final = 768
COUNTED_CHARS: Final = 1 << 20
"""How much of a prompt is counted: the event loop waits meanwhile, and what is longer is too long for nearly every model."""

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})

_PIECE: Final = re.compile(r"[A-Za-z]{1,8}|[0-9]{1,3}|[^\x00-\x7f]{1,2}|[^\sA-Za-z0-9]{1,2}")

_ANTHROPICS_WIRE: Final = frozenset({"anthropic", "azure_ai_anthropic"})
"""Providers, as LiteLLM names them, that speak Anthropic's Messages."""
_LACKING: Final = MappingProxyType(
    {
        "supports_tools": "does not support tools",
        "supports_vision": "does not take images",
        "supports_audio": "does not take audio",
        "supports_json_schema": "does not keep to a JSON schema",
        "supports_insert": "does not fill in the middle (suffix)",
    }
)
"""What a request may need of a model → the words for a model without it."""

_BEYOND_TEXT: Final = frozenset({"tools", "response_format", "logit_bias", "reasoning_effort", "reasoning"})
"""The fields of a request that its needs are read off, beside its messages and the length of its answer."""


@dataclass(kw_only=True)
class Needs:
    """What one request asks for. ``answer_tokens`` is the longest answer the caller allows, ``None`` if it did not say;
    ``effort`` the thinking effort it asks for, as written. ``images`` and ``audio`` count the parts of that kind; ``suffix``
    says that something shall follow the answer. ``texts`` are all the texts that become prompt."""

    tools: bool = False
    forced_tool: bool = False
    images: int = 0
    linked_images: bool = False
    audio: int = 0
    suffix: bool = False
    json_schema: bool = False
    json_mode: bool = False
    logit_bias: bool = False
    effort: str | None = None
    answer_tokens: int | None = None
    messages: int = 0
    texts: tuple[str, ...] = ()

    @once
    def features(self) -> tuple[str, ...]:
        """The capability fields that a model must have to serve it."""
        asked = (self.tools, self.images, self.audio, self.json_schema, self.suffix)
        if not any(asked):
            return ()
        return tuple(feature for feature, wanted in zip(_LACKING, asked, strict=True) if wanted)

    @property
    def special(self) -> bool:
        """Is there anything in it that not every model can do, its length aside?"""
        what = self.tools or self.images or self.audio or self.json_schema or self.suffix
        return bool(what or self.json_mode or self.logit_bias)

    @property
    def asked_features(self) -> tuple[str, ...]:
        """The capability fields that it makes use of: besides those it must have, thinking, which is left out of what is sent to
        a model that cannot."""
        return self.features if self.effort in {None, "none"} else (*self.features, "supports_thinking")

    @once
    def most_prompt_tokens(self) -> int:
        """More than the prompt can take with any tokenizer that falls back to bytes; cheap."""
        letters = sum(map(len, self.texts))
        if not all(map(str.isascii, self.texts)):
            letters += 3 * sum(len(text) for text in self.texts if not text.isascii())
        return letters + self._fixed_tokens

    @once
    def prompt_tokens(self) -> int:
        """An estimate of the prompt's length, meant to be a little short rather than too long: upstream has the last word. Of a
        very long one only the first ``COUNTED_CHARS`` count."""
        count, left = self._fixed_tokens, COUNTED_CHARS
        for text in self.texts:
            count += len(_PIECE.findall(text, 0, left))
            left = max(0, left - len(text))
        return count

    @property
    def _fixed_tokens(self) -> int:
        return self.messages * MESSAGE_TOKENS + self.images * IMAGE_TOKENS


def needs_of(body: Mapping[str, object]) -> Needs:
    """Read the needs off an OpenAI chat request that ``ChatRequest.parse`` has accepted."""
    messages = _mappings(body.get("messages"))
    if _BEYOND_TEXT.isdisjoint(body):
        said = [message.get("content") for message in messages if "tool_calls" not in message]
        if set(map(type, said)) == {str} and len(said) == len(messages):
            # Nearly every request.
            return Needs(answer_tokens=answer_tokens_of(body), messages=len(said), texts=tuple(map(str, said)))
    texts: list[str] = []
    parts: list[Mapping[str, object]] = []
    for message in messages:
        content = message.get("content")
        if isinstance(content, str):
            texts.append(content)
        elif content:
            parts += _mappings(content)
        if calls := message.get("tool_calls"):
            texts += _arguments(calls)
    texts += [text for part in parts if isinstance(text := part.get("text"), str)]
    tool_choice = body.get("tool_choice")
    tools = _mappings(body.get("tools")) if tool_choice != "none" else []
    response_format = body.get("response_format")
    answer_format = response_format.get("type") if isinstance(response_format, Mapping) else None
    for tool in tools:
        texts += _leaves(tool)
    images = [part for part in parts if part.get("type") == "image_url"]
    return Needs(
        tools=bool(tools),
        forced_tool=bool(tools) and (tool_choice == "required" or isinstance(tool_choice, Mapping)),
        images=len(images),
        linked_images=any(not image_url(part).startswith("data:") for part in images) if images else False,
        audio=sum(1 for part in parts if part.get("type") == "input_audio") if parts else 0,
        json_schema=answer_format == "json_schema",
        json_mode=answer_format == "json_object",
        logit_bias=bool(body.get("logit_bias")),
        effort=effort_of(body),
        answer_tokens=answer_tokens_of(body),
        messages=len(messages),
        texts=tuple(texts),
    )


def effort_of(body: Mapping[str, object]) -> str | None:
    """``reasoning_effort``, or the effort inside ``reasoning``, in lower case; ``None`` where the caller did not say."""
    effort = body.get("reasoning_effort")
    if effort is None and isinstance(reasoning := body.get("reasoning"), Mapping):
        effort = reasoning.get("effort")
    return effort.lower() if isinstance(effort, str) else None


def answer_tokens_of(body: Mapping[str, object]) -> int | None:
    """``max_completion_tokens``, or the older ``max_tokens``."""
    for key in ("max_completion_tokens", "max_tokens"):
        value = body.get(key)
        if isinstance(value, int):
            return value
    return None


def image_url(part: Mapping[str, object]) -> str:
    """The URL of an ``image_url`` part, which may be a string or an object with one."""
    value = part.get("image_url")
    url = value.get("url") if isinstance(value, Mapping) else value
    return url if isinstance(url, str) else ""


class Refusals(Protocol):
    """What models refused when they were asked, as far as the plan does not know it yet."""

    @property
    def any(self) -> bool:
        """Has any model refused anything?"""

    def refused(self, ref: ModelRef) -> Mapping[str, str]:
        """Capability field → upstream's words; empty for nearly every model. Asked for every deployment of every request."""


def why_not(
    deployment: Deployment, *, needs: Needs, provider: Provider | None, refused: Mapping[str, str] = _NOTHING
) -> str:
    """Why ``deployment`` cannot serve a request with these needs; empty if it can.

    What nobody knows of a model passes where the operator named it, and rules out a model that was only discovered.
    ``refused`` is what ``Refusals`` knows of it.
    """
    if provider is None:
        return "its provider is not configured"
    if provider.cloud and not provider.has_key:
        return f'there is no key for the provider "{provider.name}"'
    for feature in needs.features:
        if refused and feature in refused:
            return f"refused {FEATURE_NAMES[feature]} when it was asked: {refused[feature]}"
        if not _able(deployment, feature):
            return _LACKING[feature]
    if deployment.lane is not Lane.OPENAI:
        reason = (
            _why_not_ollama(needs) if deployment.lane is Lane.OLLAMA else _why_not_litellm(needs, provider=provider)
        )
        if reason:
            return reason
    return _why_too_long(needs, context_tokens=deployment.context_tokens)


def stripped(deployment: Deployment, *, refused: Mapping[str, str]) -> Deployment:
    """The deployment as it is known now: what its model refused is neither there nor unknown."""
    if not refused:
        return deployment
    return replace(
        deployment,
        features=deployment.features.difference(refused),
        unknown_features=deployment.unknown_features.difference(refused),
    )


def _able(deployment: Deployment, feature: str) -> bool:
    if feature in deployment.features:
        return True
    synonym = "supports_function_calling" if feature == "supports_tools" else feature
    if synonym in deployment.features:
        return True
    unknown = deployment.unknown_features
    return deployment.via is not Via.DISCOVERED and (feature in unknown or synonym in unknown)


def _why_not_litellm(needs: Needs, *, provider: Provider) -> str:
    """LiteLLM leaves out what an API has no place for, and answers all the same."""
    if needs.suffix:
        return "does not fill in the middle (suffix)"
    if provider.litellm_name in _ANTHROPICS_WIRE:
        if needs.audio:
            return "does not take audio"
        if needs.json_mode:
            return "has no JSON mode; a JSON schema it keeps to"
        if needs.logit_bias:
            return "has no logit_bias"
    return ""


def _why_not_ollama(needs: Needs) -> str:
    if needs.forced_tool:
        return "Ollama cannot be made to call a tool (tool_choice)"
    if needs.linked_images:
        return "takes images as data URIs only, not by URL"
    if needs.logit_bias:
        return "Ollama has no logit_bias"
    return ""


def _why_too_long(needs: Needs, *, context_tokens: int | None) -> str:
    answer_tokens = needs.answer_tokens or 0
    if context_tokens is None or needs.most_prompt_tokens + answer_tokens <= context_tokens:
        return ""
    if needs.prompt_tokens + answer_tokens <= context_tokens:
        return ""
    wanted = f"a prompt of about {needs.prompt_tokens} tokens"
    if answer_tokens:
        wanted += f" and an answer of up to {answer_tokens}"
    return f"its context of {context_tokens} tokens is too small for {wanted}"


def _mappings(value: object) -> list[Mapping[str, object]]:
    if not value or isinstance(value, str) or not isinstance(value, list | Sequence):
        return []
    return [item for item in value if isinstance(item, dict | Mapping)]


def _arguments(calls: object) -> Iterator[str]:
    for call in _mappings(calls):
        function = call.get("function")
        if isinstance(function, Mapping):
            yield str(function.get("arguments", ""))


def _leaves(value: object) -> Iterator[str]:
    """Every key and text in a nested value: what a tool's schema adds to the prompt."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            left.extend(reversed([part for entry in one.items() for part in entry]))
        elif isinstance(one, Sequence):
            left.extend(reversed(one))

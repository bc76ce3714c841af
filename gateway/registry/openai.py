"""An OpenAI-wire server, asked what it lists."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from gateway.catalog.names import ModelIdentity, names_an_embedding_model
from gateway.domain.capabilities import ModelCapabilities
from gateway.domain.memory import Architecture
from gateway.domain.model import Model, Provider
from gateway.domain.ports import KeySource, ProviderState
from gateway.errors import ProviderFailed
from gateway.registry import tolerant
from gateway.registry.enrich import Enricher, Found, reported
from gateway.registry.fetch import fetcher, place
from gateway.registry.file_types import file_type
from gateway.registry.ollama_listing import is_ollamas_cloud

ANSWER_S: Final = 1.8
"""One look at a server ends within this time, whatever it does."""

_OTHER_WORK: Final = ("whisper", "tts", "transcribe", "dall-e", "image", "moderation", "realtime")
"""Words in the names of models that a server of this wire lists and that do not chat."""


class OpenAISource:
    """One OpenAI-wire server. Implements ``ModelSource``.

    The wire's list holds names only; llama.cpp adds sizes, context and abilities, vLLM the context. A model counts as a chat
    model unless the server says otherwise or the name speaks of other work: then it is unknown.
    """

    def __init__(
        self,
        *,
        provider: Provider,
        enricher: Enricher,
        keys: KeySource | None = None,
        answer_s: float = ANSWER_S,
    ) -> None:
        self._provider = provider
        self._enricher = enricher
        self._keys = keys
        self._answer_s = answer_s

    @property
    def provider(self) -> Provider:
        return self._provider

    async def discover(self) -> tuple[ProviderState, Sequence[Model]]:
        """Ask now. A server that is down or answers wrongly has a state that says so and no models."""
        try:
            async with (
                asyncio.timeout(self._answer_s),
                fetcher(provider=self._provider, keys=self._keys) as fetch,
            ):
                answer = await fetch.json("GET", "/models")
        except ProviderFailed as error:
            told = f"{error}; {error.hint}" if error.hint else str(error)
            return ProviderState(provider=self._provider, up=False, error=told), ()
        except TimeoutError:
            told = f"{place(self._provider)} does not answer: no answer within {self._answer_s:g} s"
            return ProviderState(provider=self._provider, up=False, error=told), ()
        if not isinstance(answer, dict) or "data" not in answer:
            told = f"{place(self._provider)} is no OpenAI-wire server: /models answers without a list of models"
            return ProviderState(provider=self._provider, up=False, error=told), ()
        return ProviderState(provider=self._provider, up=True), await asyncio.to_thread(self._models, answer)

    def _models(self, answer: object) -> list[Model]:
        abilities = {
            name: tolerant.texts(entry, "capabilities")
            for entry in tolerant.objects(answer, "models")
            if (name := tolerant.text(entry, "model") or tolerant.text(entry, "name"))
        }
        entries = {name: entry for entry in tolerant.objects(answer, "data") if (name := tolerant.text(entry, "id"))}
        return [self._enricher.model(self._found(name, entry, abilities.get(name))) for name, entry in entries.items()]

    def _found(self, name: str, entry: Mapping[str, object], abilities: Sequence[str] | None) -> Found:
        meta = tolerant.mapping(entry, "meta")
        parameters, size_bytes = tolerant.whole(meta, "n_params"), tolerant.whole(meta, "size")
        context = (
            tolerant.length(meta, "n_ctx")
            or tolerant.length(entry, "max_model_len")
            or tolerant.length(meta, "n_ctx_train")
        )
        quantization = file_type(meta.get("ftype"))
        architecture = None
        if parameters is not None or size_bytes is not None:
            architecture = Architecture(
                name="",
                weights_bytes=size_bytes,
                parameter_count=parameters,
                bits_per_weight=self._enricher.bits_per_weight(quantization),
                trained_context_tokens=tolerant.length(meta, "n_ctx_train"),
                embedding_length=tolerant.length(meta, "n_embd"),
                vocabulary_size=tolerant.length(meta, "n_vocab"),
            )
        return Found(
            provider=self._provider,
            name=name,
            cloud=is_ollamas_cloud(self._provider.url),
            chats=_chats(name, abilities),
            embeds=None if abilities is None else "embedding" in abilities,
            identity=ModelIdentity(name=name, parameter_count=parameters, quantization=quantization),
            reported=ModelCapabilities(
                context_length=reported(context),
                quantization_level=reported(quantization),
                model_size=reported(None if parameters is None else round(parameters / 1e9, 3)),
                supports_vision=reported(True) if _sees(abilities) else None,
            ),
            architecture=architecture,
        )


def _chats(name: str, abilities: Sequence[str] | None) -> bool | None:
    if abilities is not None:
        return "completion" in abilities
    folded = name.casefold()
    if names_an_embedding_model(name) or any(word in folded for word in _OTHER_WORK):
        return None
    return True


def _sees(abilities: Sequence[str] | None) -> bool:
    return abilities is not None and not {"vision", "multimodal"}.isdisjoint(abilities)

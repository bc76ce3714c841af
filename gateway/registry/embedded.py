"""The embedded engine, asked what is on its shelf."""

import asyncio
from collections.abc import Sequence

from gateway.catalog.names import ModelIdentity
from gateway.domain.capabilities import ModelCapabilities
from gateway.domain.metadata import architecture_from
from gateway.domain.model import Model, Provider, Residency
from gateway.domain.ports import GgufFile, GgufShelf, ProviderState
from gateway.registry import tolerant
from gateway.registry.enrich import Enricher, Found, first_known, local_features, reported, reported_features
from gateway.registry.file_types import file_type


class EmbeddedSource:
    """The embedded engine. Implements ``ModelSource``. Files that are missing or unreadable are warnings, not models."""

    def __init__(self, *, provider: Provider, shelf: GgufShelf, enricher: Enricher) -> None:
        self._provider = provider
        self._shelf = shelf
        self._enricher = enricher

    @property
    def provider(self) -> Provider:
        return self._provider

    async def discover(self) -> tuple[ProviderState, Sequence[Model]]:
        """Look at the files now."""
        files = await asyncio.to_thread(self._shelf.files)
        resident = self._shelf.resident()
        models = []
        warnings = []
        for file in files:
            if file.problem:
                warnings.append(self._warning(file))
                continue
            size_context = resident.get(file.name)
            loaded = None
            if size_context is not None:
                loaded = Residency(size_bytes=size_context[0], size_vram_bytes=0, context_tokens=size_context[1])
            models.append(self._enricher.model(self._found(file, loaded)))
        return ProviderState(provider=self._provider, up=True, warnings=tuple(warnings)), models

    def _warning(self, file: GgufFile) -> str:
        remedy = f"; `rolegate models pull {self._provider.name}:{file.name}` fetches it" if file.pullable else ""
        return f"{self._provider.name}:{file.name} is not there: {file.problem}{remedy}"

    def _found(self, file: GgufFile, loaded: Residency | None) -> Found:
        metadata = file.metadata
        quantization = file_type(metadata.get("general.file_type"))
        architecture = architecture_from(
            metadata=metadata,
            tensors=file.tensors,
            file_size_bytes=file.size_bytes or None,
            bits_per_weight=self._enricher.bits_per_weight(quantization),
        )
        features = _abilities(file)
        embeds = "embedding" in features
        parameters = architecture.parameter_count
        return Found(
            provider=self._provider,
            name=file.name,
            cloud=False,
            chats=not embeds,
            embeds=embeds,
            identity=ModelIdentity(
                name=file.name,
                architecture=architecture.name or None,
                basename=tolerant.text(metadata, "general.basename") or None,
                size_label=tolerant.text(metadata, "general.size_label") or None,
                parameter_count=parameters,
                quantization=quantization,
                thinking="thinking" in features,
                finetune=tolerant.text(metadata, "general.finetune") or None,
            ),
            reported=first_known(
                reported_features(features, suffixes=False),
                local_features(features),
                ModelCapabilities(
                    context_length=reported(architecture.trained_context_tokens),
                    quantization_level=reported(quantization),
                    model_size=reported(None if parameters is None else round(parameters / 1e9, 3)),
                ),
            ),
            architecture=architecture,
            digest=file.digest,
            resident=loaded,
        )


def _abilities(file: GgufFile) -> frozenset[str]:
    """What the file can do, in Ollama's words and by Ollama's rules: a pooling type makes it an embedding model, the chat
    template tells of tools and thinking. Images and sound need a second file, which the engine does not load, and its server
    refuses a suffix whatever the model was trained for."""
    architecture = tolerant.text(file.metadata, "general.architecture")
    if f"{architecture}.pooling_type" in file.metadata:
        return frozenset(("embedding",))
    template = tolerant.text(file.metadata, "tokenizer.chat_template")
    found = {"completion"}
    if "tools" in template or "tool_call" in template:
        found.add("tools")
    if "<think>" in template and "</think>" in template:
        found.add("thinking")
    return frozenset(found)

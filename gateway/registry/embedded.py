"""The embedded engine, asked what is on its shelf."""

import asyncio
from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

from gateway.catalog.names import ModelIdentity
from gateway.domain.capabilities import ModelCapabilities
from gateway.domain.metadata import architecture_from
from gateway.domain.model import Model, Provider, Residency
from gateway.domain.ports import GgufFile, GgufShelf, ProviderState
from gateway.registry import tolerant
from gateway.registry.enrich import Enricher, Found, first_known, reported, reported_features

# fmt: off
FILE_TYPES: Final = MappingProxyType(
    {
        0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S",
        12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS",
        20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M",
        28: "IQ2_S", 29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4",
    }
)
# fmt: on
"""The quantisations that ``general.file_type`` numbers in GGUF."""


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
        architecture = architecture_from(
            metadata=metadata, tensors=file.tensors, file_size_bytes=file.size_bytes or None
        )
        features = _abilities(file)
        embeds = "embedding" in features
        number = metadata.get("general.file_type")
        quantization = FILE_TYPES.get(number) if isinstance(number, int) else None
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
                reported_features(features),
                ModelCapabilities(
                    context_length=reported(architecture.trained_context_tokens),
                    quantization_level=reported(quantization),
                    model_size=reported(None if parameters is None else round(parameters / 1e9, 3)),
                    requires_api_key=reported(False),
                ),
            ),
            architecture=architecture,
            digest=file.digest,
            resident=loaded,
        )


def _abilities(file: GgufFile) -> frozenset[str]:
    """What the file can do, in Ollama's words and by Ollama's rules: a pooling type makes it an embedding model, the chat
    template tells of tools and thinking. Images need a second file, which the engine does not load."""
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

"""What `/api/show` says of a model, as far as anybody asks."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from gateway.domain.metadata import MAX_PARAMETERS
from gateway.domain.tensors import Tensor
from gateway.registry import tolerant

_BLOB: Final = re.compile(r"^FROM\s.*sha256[-:]([0-9a-fA-F]{64})\s*$", re.MULTILINE)
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([KMBT])", re.IGNORECASE)
_THOUSANDS: Final = {"K": 1e-6, "M": 1e-3, "B": 1.0, "T": 1e3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """One model, as its server describes it.

    ``capabilities`` are the server's own words, ``None`` when it lists none. ``blob`` is the digest of the weights' file, as
    hex digits; empty where the modelfile names none. ``metadata`` are GGUF's key-value pairs without the tokenizer's and
    without those that the server withholds. ``remote`` says that the server hands requests on to the cloud.
    """

    capabilities: tuple[str, ...] | None = None
    blob: str = ""
    metadata: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    tensors: tuple[Tensor, ...] = ()
    quantization: str = ""
    parameter_size: str = ""
    remote_model: str = ""
    remote_host: str = ""

    @property
    def remote(self) -> bool:
        return bool(self.remote_model or self.remote_host)

    @property
    def architecture(self) -> str:
        return tolerant.text(self.metadata, "general.architecture")

    @property
    def context_length(self) -> int | None:
        """The context that the model was trained for, in tokens."""
        return tolerant.length(self.metadata, f"{self.architecture}.context_length")

    @property
    def parameter_count(self) -> int | None:
        exact = tolerant.whole(self.metadata, "general.parameter_count")
        billions = parameters_b(self.parameter_size)
        return exact if exact is not None or billions is None else round(billions * 1e9)


def parse_show(answer: object) -> Description:
    """The answer of `/api/show`; what is missing, null or odd in it is unknown."""
    details = tolerant.mapping(answer, "details")
    blob = _BLOB.search(tolerant.text(answer, "modelfile"))
    return Description(
        capabilities=tolerant.texts(answer, "capabilities"),
        blob=blob[1].lower() if blob else "",
        metadata=_kept(tolerant.mapping(answer, "model_info")),
        tensors=_tensors(tolerant.objects(answer, "tensors")),
        quantization=tolerant.text(details, "quantization_level"),
        parameter_size=tolerant.text(details, "parameter_size"),
        remote_model=tolerant.text(answer, "remote_model"),
        remote_host=tolerant.text(answer, "remote_host"),
    )


def parse_listed(entry: Mapping[str, object]) -> Description:
    """An entry of `/api/tags`: less than `/api/show` tells, for a model that is not described yet.

    The list misses tools and thinking of models whose template is inside the file, so only what it names is taken over.
    """
    details = tolerant.mapping(entry, "details")
    family = tolerant.text(details, "family")
    lengths = {name: tolerant.whole(details, name) for name in ("context_length", "embedding_length")}
    metadata: dict[str, object] = {f"{family}.{name}": length for name, length in lengths.items() if length}
    if family:
        metadata["general.architecture"] = family
    return Description(
        capabilities=tolerant.texts(entry, "capabilities"),
        metadata=metadata,
        quantization=tolerant.text(details, "quantization_level"),
        parameter_size=tolerant.text(details, "parameter_size"),
        remote_model=tolerant.text(entry, "remote_model"),
        remote_host=tolerant.text(entry, "remote_host"),
    )


def parameters_b(text: str) -> float | None:
    """The parameters, in 10^9, that a label such as ``4.3B`` or ``137M`` tells; ``None`` for more than there can be."""
    found = _SIZE.fullmatch(text.strip())
    billions = float(found[1]) * _THOUSANDS[found[2].upper()] if found else None
    return billions if billions is not None and billions * 1e9 <= MAX_PARAMETERS else None


def _kept(info: Mapping[str, object]) -> dict[str, object]:
    return {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in info.items()
        if not key.startswith("tokenizer.") and isinstance(value, bool | int | float | str | list)
    }


def _tensors(entries: Sequence[Mapping[str, object]]) -> tuple[Tensor, ...]:
    """Every tensor, or none if one of them cannot be read: a sum over the rest would be wrong."""
    tensors: list[Tensor] = []
    for entry in entries:
        name, kind, shape = entry.get("name"), entry.get("type"), entry.get("shape")
        if not isinstance(name, str) or not isinstance(kind, str) or not isinstance(shape, list):
            return ()
        if not all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in shape):
            return ()
        tensors.append((name, kind, tuple(shape)))
    return tuple(tensors)

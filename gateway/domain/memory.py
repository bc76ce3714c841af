"""How much memory a model takes, from metadata alone, with the arithmetic shown.

Figures and formulas: Ollama's and llama.cpp's sources, as cited in docs/architecture.md.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from gateway.domain.resources import GB

CELL_BLOCK_TOKENS: Final = 256
"""llama.cpp rounds the cells of a KV cache up to a multiple of this."""

DEFAULT_UBATCH_TOKENS: Final = 512
"""Tokens that llama.cpp computes at once; a sliding window is kept this much longer."""

ALLOWANCE: Final = 0.1
"""Added where the weights are only known as a parameter count."""

_ASSUMED_BITS_PER_WEIGHT: Final = 4.0
_PARAMETERS_PER_LAYER_CUBED: Final = 12 * 128 * 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """What a model's metadata says that memory depends on. Lengths in elements, ``None`` where the server did not say.

    ``kv_widths`` holds, per layer, the widths (key, value) in elements that one token adds to the KV cache: heads times head
    size; (0, 0) for a layer without attention. ``windows`` holds, per layer, the sliding window in tokens, or ``None`` for
    full attention. Both are empty when unknown. ``active_parameter_count`` is the part that one token uses, all of them
    unless the model is a mixture of experts. ``bits_per_weight`` is the average of the quantisation, for models whose stored
    size is not known.
    """

    name: str
    weights_bytes: int | None = None
    parameter_count: int | None = None
    active_parameter_count: int | None = None
    bits_per_weight: float | None = None
    trained_context_tokens: int | None = None
    kv_widths: tuple[tuple[int, int], ...] = ()
    windows: tuple[int | None, ...] = ()
    embedding_length: int | None = None
    vocabulary_size: int | None = None
    notes: tuple[str, ...] = ()


_LABELS: Final = {"kv_full": "KV cache", "kv_window": "KV cache of sliding windows"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPart:
    """One part of the whole: ``weights``, ``kv_full``, ``kv_window``, ``allowance``. ``arithmetic`` is short text, or empty."""

    name: str
    bytes: int
    arithmetic: str = ""

    def __str__(self) -> str:
        how = f" ({self.arithmetic})" if self.arithmetic else ""
        return f"{_LABELS.get(self.name, self.name)} {_amount(self.bytes)}{how}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEstimate:
    """The memory a model takes at one context, by parts. ``notes`` are sentences on what is not exact."""

    parts: tuple[MemoryPart, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def total_bytes(self) -> int:
        return sum(part.bytes for part in self.parts)

    def arithmetic(self) -> str:
        """The sum on one line: ``weights 4.92 GB + KV cache 0.54 GB (…) = 5.46 GB``, in GB of 10^9 bytes."""
        return f"{' + '.join(str(part) for part in self.parts)} = {_amount(self.total_bytes)}"


def estimate(
    *,
    architecture: Architecture,
    context_tokens: int,
    parallel: int = 1,
    kv_bytes_per_element: float = 2.0,
    ubatch_tokens: int = DEFAULT_UBATCH_TOKENS,
) -> MemoryEstimate | None:
    """Weights and KV cache of a model loaded with ``context_tokens`` in each of ``parallel`` slots.

    ``kv_bytes_per_element`` is 2 for 16-bit cells, 34/32 for q8_0. Where only a parameter count is known, weights are that
    count times bits per weight, the KV cache is a bound, and ``ALLOWANCE`` is added. ``None`` when not even that is known.
    """
    weights = _weights_part(architecture)
    if weights is None:
        return None
    context = context_tokens
    if architecture.trained_context_tokens is not None:
        context = min(context, architecture.trained_context_tokens)
    cells = _padded(context)
    notes = list(architecture.notes)
    if architecture.kv_widths:
        cache = tuple(
            _kv_parts(
                architecture,
                cells=cells,
                parallel=parallel,
                bytes_per_element=kv_bytes_per_element,
                ubatch_tokens=ubatch_tokens,
            )
        )
    else:
        cache = (_kv_bound(architecture, cells=cells, parallel=parallel, bytes_per_element=kv_bytes_per_element),)
        notes.append("the KV cache is a bound from the parameter count: the layers are not known")
    parts = (weights, *cache)
    if architecture.weights_bytes is None:
        spare = round(sum(part.bytes for part in parts) * ALLOWANCE)
        parts = (*parts, MemoryPart(name="allowance", bytes=spare, arithmetic=f"{ALLOWANCE:.0%} of the above"))
        notes.append("the weights are estimated from the parameter count: their stored size is not known")
    return MemoryEstimate(parts=parts, notes=tuple(notes))


def _weights_part(architecture: Architecture) -> MemoryPart | None:
    if architecture.weights_bytes is not None:
        return MemoryPart(name="weights", bytes=architecture.weights_bytes)
    if architecture.parameter_count is None or architecture.bits_per_weight is None:
        return None
    bits = architecture.bits_per_weight
    return MemoryPart(
        name="weights",
        bytes=round(architecture.parameter_count * bits / 8),
        arithmetic=f"{architecture.parameter_count:,} parameters x {bits:g} bits / 8",
    )


def _kv_parts(
    architecture: Architecture, *, cells: int, parallel: int, bytes_per_element: float, ubatch_tokens: int
) -> Iterator[MemoryPart]:
    full: Counter[tuple[int, int, int]] = Counter()
    window: Counter[tuple[int, int, int]] = Counter()
    for layer, (key, value) in enumerate(architecture.kv_widths):
        span = architecture.windows[layer] if layer < len(architecture.windows) else None
        if key + value == 0:
            continue
        if span is None:
            full[cells, key, value] += 1
        else:
            window[_padded(min(cells, span + ubatch_tokens)), key, value] += 1
    for name, layers in (("kv_full", full), ("kv_window", window)):
        if layers:
            yield MemoryPart(
                name=name,
                bytes=sum(
                    round(count * tokens * (key + value) * bytes_per_element * parallel)
                    for (tokens, key, value), count in layers.items()
                ),
                arithmetic=" + ".join(
                    f"{count} layer{'s' if count > 1 else ''} x {tokens:,} tokens x ({key:,} + {value:,})"
                    f" x {bytes_per_element:g} bytes{f' x {parallel} slots' if parallel > 1 else ''}"
                    for (tokens, key, value), count in layers.items()
                ),
            )


def _kv_bound(architecture: Architecture, *, cells: int, parallel: int, bytes_per_element: float) -> MemoryPart:
    """A bound for a dense model of which only the size is known.

    With full heads a token adds 2 x layers x width elements. Transformers are about 128 times as wide as they are deep and
    hold 12 x layers x width^2 parameters, so layers x width is 128 x (parameters / (12 x 128^2))^(2/3).
    """
    parameters = architecture.parameter_count
    if parameters is None:
        bits = architecture.bits_per_weight or _ASSUMED_BITS_PER_WEIGHT
        parameters = round((architecture.weights_bytes or 0) * 8 / bits)
    elements = round(2 * 128 * (parameters / _PARAMETERS_PER_LAYER_CUBED) ** (2 / 3))
    return MemoryPart(
        name="kv_full",
        bytes=round(cells * elements * bytes_per_element * parallel),
        arithmetic=f"at most {cells:,} tokens x {elements:,} x {bytes_per_element:g} bytes"
        f"{f' x {parallel} slots' if parallel > 1 else ''}",
    )


def _padded(tokens: int) -> int:
    return -(-max(tokens, 1) // CELL_BLOCK_TOKENS) * CELL_BLOCK_TOKENS


def _amount(count_bytes: int) -> str:
    return f"{count_bytes / GB:.2f} GB"

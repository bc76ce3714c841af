"""The tensors of a GGUF model: how many bytes they take, how many parameters they hold, how wide their attention is.

A tensor is (name, type name, shape), the shape in ggml order, as Ollama's ``/api/show`` and a GGUF header list it. Types and
shapes are public facts of the ggml format.
"""

import math
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeAlias

Tensor: TypeAlias = tuple[str, str, tuple[int, ...]]

BLOCK_SIZES: Final[Mapping[str, tuple[int, int]]] = MappingProxyType(
    {
        "F64": (1, 8),
        "F32": (1, 4),
        "F16": (1, 2),
        "BF16": (1, 2),
        "I64": (1, 8),
        "I32": (1, 4),
        "I16": (1, 2),
        "I8": (1, 1),
        "Q1_0": (128, 18),
        "Q4_0": (32, 18),
        "Q4_1": (32, 20),
        "Q5_0": (32, 22),
        "Q5_1": (32, 24),
        "Q8_0": (32, 34),
        "Q2_K": (256, 84),
        "Q3_K": (256, 110),
        "Q4_K": (256, 144),
        "Q5_K": (256, 176),
        "Q6_K": (256, 210),
        "Q8_K": (256, 292),
        "IQ1_S": (256, 50),
        "IQ1_M": (256, 56),
        "IQ2_XXS": (256, 66),
        "IQ2_XS": (256, 74),
        "IQ2_S": (256, 82),
        "IQ3_XXS": (256, 98),
        "IQ3_S": (256, 110),
        "IQ4_NL": (32, 18),
        "IQ4_XS": (256, 136),
        "TQ1_0": (256, 54),
        "TQ2_0": (256, 66),
        "MXFP4": (32, 17),
        "NVFP4": (64, 36),
    }
)
"""Per tensor type: elements in a block, bytes of a block."""

MAX_LAYERS: Final = 10_000
"""No model has more; a server that says so is not believed."""

MAX_LENGTH: Final = 2**31
"""The largest side of a matrix, and the largest number of heads, tokens or elements that metadata is believed."""

_MAX_SIDES: Final = 4
_BLOCK: Final = re.compile(r"^blk\.(\d+)\.")
_EXPERTS: Final = "_exps."


def implausible(tensors: Sequence[Tensor]) -> str | None:
    """The name of the first tensor whose block number or shape no model has; ``None`` when there is no such tensor."""
    for name, _, shape in tensors:
        if len(shape) > _MAX_SIDES or not all(0 <= side <= MAX_LENGTH for side in shape):
            return name
        block = _BLOCK.match(name)
        if block is not None and (len(block[1]) > len(str(MAX_LAYERS)) or int(block[1]) >= MAX_LAYERS):
            return name
    return None


def stored_bytes(tensors: Sequence[Tensor]) -> int | None:
    """The exact size of the weights, or ``None`` when there are no tensors or one is of a type not known here."""
    total = 0
    for _, kind, shape in tensors:
        block = BLOCK_SIZES.get(kind.upper())
        if block is None:
            return None
        elements, size_bytes = block
        total += -(-math.prod(shape) // elements) * size_bytes
    return total or None


def unknown_types(tensors: Sequence[Tensor]) -> tuple[str, ...]:
    """The tensor types that ``stored_bytes`` cannot size, by name."""
    return tuple(sorted({kind for _, kind, _ in tensors if kind.upper() not in BLOCK_SIZES}))


def element_count(tensors: Sequence[Tensor]) -> int | None:
    """How many parameters there are; ``None`` without tensors."""
    return sum(math.prod(shape) for _, _, shape in tensors) or None


def expert_element_count(tensors: Sequence[Tensor]) -> int:
    """How many parameters belong to experts of which a token uses only some."""
    return sum(math.prod(shape) for name, _, shape in tensors if _EXPERTS in name)


def layer_count(tensors: Sequence[Tensor]) -> int | None:
    """How many blocks the tensors name; ``None`` without any."""
    layers = {int(found[1]) for name, _, _ in tensors if (found := _BLOCK.match(name))}
    return max(layers) + 1 if layers else None


def vocabulary_size(tensors: Sequence[Tensor]) -> int | None:
    """Rows of the output matrix, or of the token embedding where both are one."""
    sizes = {name: shape[1] for name, _, shape in tensors if len(shape) == 2}
    return sizes.get("output.weight", sizes.get("token_embd.weight"))


def attention_widths(
    tensors: Sequence[Tensor], *, layers: int, query_width: int | None
) -> tuple[tuple[int, int], ...] | None:
    """Per layer, the elements of key and value that one token adds, as the projection matrices are shaped.

    ``query_width`` (heads times head size) is what a fused matrix holds beside keys and values. A layer without a key
    projection is no attention layer: (0, 0). ``None`` when no layer has one, or a fused matrix cannot be split.
    """
    shapes = {name: shape for name, _, shape in tensors if name.startswith("blk.") and len(shape) == 2}
    widths: list[tuple[int, int]] = []
    for layer in range(layers):
        key = shapes.get(f"blk.{layer}.attn_k.weight")
        value = shapes.get(f"blk.{layer}.attn_v.weight", key)
        fused = shapes.get(f"blk.{layer}.attn_qkv.weight")
        if key is not None and value is not None:
            widths.append((key[1], value[1]))
        elif fused is not None:
            if query_width is None or fused[1] <= query_width:
                return None
            half, odd = divmod(fused[1] - query_width, 2)
            widths.append((half + odd, half))
        else:
            widths.append((0, 0))
    return tuple(widths) if any(key for key, _ in widths) else None

"""How a whole file of weights is quantised, by the number or the words that llama.cpp uses for it."""

import re
from types import MappingProxyType
from typing import Final

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

_NAMES: Final = frozenset(FILE_TYPES.values())
_WORDS: Final = re.compile(
    r"(?:all |mostly )?(?P<name>\w+)(?: MoE)?(?: - (?:(?P<size>Small|Medium|Large)|[\d.]+ bpw(?: ternary)?))?",
    re.IGNORECASE,
)


def file_type(told: object) -> str | None:
    """The quantisation's usual name for a number (``15``), a name (``q4_k_m``) or words (``Q4_K - Medium``).

    ``None`` for everything else, among it the words that llama.cpp marks as guessed.
    """
    if isinstance(told, int) and not isinstance(told, bool):
        return FILE_TYPES.get(told)
    found = _WORDS.fullmatch(told.strip()) if isinstance(told, str) else None
    if found is None:
        return None
    name, size = found["name"].upper(), found["size"]
    sized = f"{name}_{size[0].upper()}" if size else name
    return next((one for one in (sized, name) if one in _NAMES), None)

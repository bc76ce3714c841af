"""What quantisation costs: bits per weight and loss of ability, by the names that servers use.

Bits per weight are averages over whole files, measured by llama.cpp on Llama 3.1 8B. Losses come from published comparisons
of one model at several quantisations.
"""

import re
from collections.abc import Mapping
from typing import Final, Self

from gateway.catalog.tables import rows

_PREFIXES: Final = ("UD-", "UD_", "I1-")
_LEVEL: Final = re.compile(r"Q([1-8])(?:_|$)")
_PLAIN_BITS: Final = re.compile(r"^(\d)-?BITS?$")
_LOW_LEVEL: Final = 3
_NATIVE_ONLY: Final = "MXFP4"
"""The table's loss for MXFP4 is that of models trained in it, whose published figures include it."""


def normal_name(quantization: str) -> str:
    """The name as tables spell it: ``ud-q4_k_m`` is ``Q4_K_M``, ``4bit`` is ``INT4``."""
    name = quantization.strip().upper()
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    plain = _PLAIN_BITS.match(name)
    return f"INT{plain[1]}" if plain else name


class Quantizations:
    """The quantisation tables. Names are matched as ``normal_name`` makes them."""

    __slots__ = ("_bits", "_losses")

    def __init__(self, *, bits: Mapping[str, float], losses: Mapping[str, float]) -> None:
        self._bits = dict(bits)
        self._losses = dict(losses)

    @classmethod
    def load(cls) -> Self:
        return cls(
            bits={row["quantization"]: float(row["bits_per_weight"]) for row in rows("bits_per_weight.csv")},
            losses={row["quantization"]: float(row["loss_at_8b"]) for row in rows("quantization_loss.csv")},
        )

    def bits_per_weight(self, quantization: str) -> float | None:
        """Average bits per weight, of the nearest variant for a variant not known (``Q4_K_XL``); ``None`` for other names."""
        name = normal_name(quantization)
        bits = self._bits.get(name)
        if bits is not None:
            return bits
        stem = name.rpartition("_")[0]
        variants = [known for listed, known in self._bits.items() if stem and listed.rpartition("_")[0] == stem]
        return max(variants, default=None)

    def loss_at_8b(self, quantization: str, *, native: bool = False) -> float | None:
        """The relative loss of ability of an 8 B model; of the nearest name by bits per weight where the table has none.

        ``native`` says that the model was published in this quantisation. ``None`` for a name without known bits. Of two
        names equally near the greater loss counts.
        """
        name = normal_name(quantization)
        listed = {known: loss for known, loss in self._losses.items() if native or known != _NATIVE_ONLY}
        if name in listed:
            return listed[name]
        bits = self.bits_per_weight(name)
        if bits is None:
            return None
        nearest = min(listed, key=lambda known: (abs(self._bits[known] - bits), -listed[known]))
        return listed[nearest]

    def low(self, quantization: str) -> bool:
        """Whether this is a three-bit quantisation or lower, where losses vary widely between models."""
        level = _LEVEL.search(normal_name(quantization))
        if level is not None:
            return int(level[1]) <= _LOW_LEVEL
        bits = self.bits_per_weight(quantization)
        return bits is not None and bits < _LOW_LEVEL + 1

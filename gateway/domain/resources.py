"""What the machine that runs the models can hold now."""

from dataclasses import dataclass
from typing import Final

GB: Final = 1_000_000_000
"""What people mean by GB in requirements and flags."""
GIB: Final = 1 << 30

MIN_MARGIN_BYTES: Final = GIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """One sample of this host. ``None`` is unknown. ``assumed`` marks figures an operator gave instead of measured ones."""

    memory_total_bytes: int | None = None
    memory_available_bytes: int | None = None
    vram_available_bytes: int | None = None
    temperature_c: float | None = None
    bandwidth_bytes_s: float | None = None
    """Memory bandwidth class of the host, for speed estimates."""
    memory_assumed: bool = False
    vram_assumed: bool = False
    source: str = ""

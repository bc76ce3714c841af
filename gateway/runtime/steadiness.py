"""The machine as plans see it while the gateway runs: what swings to and fro does not swing the plans."""

from dataclasses import dataclass, replace
from typing import Final

from gateway.domain.fit import gigabytes
from gateway.domain.resources import Resources
from gateway.domain.role import Policy

BAND: Final = 0.05
"""The part of all memory by which what is free may swing without being news."""
MIN_BAND_BYTES: Final = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Steady:
    """The machine to plan for, and what is new of it (a sentence, empty when nothing is)."""

    resources: Resources
    news: str


class Steadiness:
    """Holds on to one view of the machine until another one lasts.

    Memory counts together with what loaded models hold of it, since a plan may have that: a load or unload is no news. It has to
    be off by more than ``BAND`` for ``dwell_s``. A temperature of ``hot_c`` counts at once, and until the machine was at most
    ``cool_c`` for ``dwell_s``.
    """

    def __init__(self) -> None:
        self._room_bytes: int | None = None
        self._vram_bytes: int | None = None
        self._begun = False
        self._off_since_s: float | None = None
        self._hot = False
        self._cool_since_s: float | None = None

    def steady(self, sample: Resources, *, held_bytes: int, policy: Policy, now_s: float) -> Steady:
        """``held_bytes`` is what loaded models take of this machine; ``now_s`` a clock that never goes back. A first sample is
        taken as it is."""
        news = (self._feel(sample, policy=policy, now_s=now_s), self._count(sample, held_bytes, policy, now_s))
        available = self._room_bytes
        temperature = sample.temperature_c
        if self._hot and temperature is not None:
            temperature = max(policy.hot_c, temperature)
        resources = replace(
            sample,
            memory_available_bytes=None if available is None else max(available - held_bytes, 0),
            vram_available_bytes=self._vram_bytes,
            temperature_c=temperature,
        )
        return Steady(resources=resources, news=", ".join(filter(None, news)))

    def _feel(self, sample: Resources, *, policy: Policy, now_s: float) -> str:
        temperature = sample.temperature_c
        if temperature is None:
            self._hot, self._cool_since_s = False, None
            return ""
        if temperature >= policy.hot_c:
            self._cool_since_s = None
            if self._hot:
                return ""
            self._hot = True
            return f"the machine is too hot ({temperature:g} °C)" if self._begun else ""
        if not self._hot or temperature > policy.cool_c:
            self._cool_since_s = None
            return ""
        if self._cool_since_s is None:
            self._cool_since_s = now_s
        if now_s - self._cool_since_s < policy.dwell_s:
            return ""
        self._hot, self._cool_since_s = False, None
        return f"the machine has cooled down ({temperature:g} °C)"

    def _count(self, sample: Resources, held_bytes: int, policy: Policy, now_s: float) -> str:
        available = sample.memory_available_bytes
        room = None if available is None else available + held_bytes
        if not self._begun:
            self._begun = True
            self._room_bytes, self._vram_bytes = room, sample.vram_available_bytes
            return ""
        band = max(round((sample.memory_total_bytes or 0) * BAND), MIN_BAND_BYTES)
        if not (_off(self._room_bytes, room, band) or _off(self._vram_bytes, sample.vram_available_bytes, band)):
            self._off_since_s = None
            return ""
        if self._off_since_s is None:
            self._off_since_s = now_s
        if now_s - self._off_since_s < policy.dwell_s:
            return ""
        before, self._room_bytes, self._vram_bytes = self._room_bytes, room, sample.vram_available_bytes
        self._off_since_s = None
        return f"memory that models may have went from {_said(before)} to {_said(room)}"


def _off(known: int | None, now: int | None, band: int) -> bool:
    if known is None or now is None:
        return known is not now
    return abs(known - now) > band


def _said(count_bytes: int | None) -> str:
    return "unknown" if count_bytes is None else gigabytes(count_bytes)

"""How fast a model writes, from the answers that it gave here."""

from collections.abc import Sequence
from statistics import median
from typing import Final

LEAST_TOKENS: Final = 32
"""A shorter answer says more of the connection than of the model."""
LEAST_S: Final = 0.25
ENOUGH: Final = 3
"""Answers that it takes to believe a figure."""
LATEST: Final = 21
"""Answers that count."""
STEADY: Final = 0.25
"""A figure stands until it is this much off: plans go by it, and must not follow every change of the machine's load."""


def answer_speed(*, tokens: int, generating_s: float) -> float | None:
    """The speed of one answer in tokens/s; ``generating_s`` counts from its first token. ``None`` where it is too short to
    tell."""
    if tokens < LEAST_TOKENS or generating_s < LEAST_S:
        return None
    return (tokens - 1) / generating_s


def measured_speed(answers: Sequence[float], *, before: float | None) -> float | None:
    """The speed of a model from those of its answers, the latest first; ``before`` is what was believed so far."""
    if len(answers) < ENOUGH:
        return before
    now = median(answers[:LATEST])
    if before is not None and abs(now - before) <= STEADY * before:
        return before
    return float(f"{now:.3g}")

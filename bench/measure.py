"""Timing, and results as rows."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

Unit = Literal["ms", "us", "x", "MB", "req/s", "streams"]
"""``x`` is a ratio to a peer of the same round; ``us`` microseconds; ``MB`` 10^6 bytes."""


class CannotMeasure(Exception):
    """What a suite needs is not on this machine; the message says what, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One benchmark over ``runs`` runs, and what it was. The median has to be at most, or at least, what the budget says;
    ``None`` for what has none."""

    name: str
    what: str
    unit: Unit
    runs: int
    min: float
    median: float
    max: float
    at_most: float | None = None
    at_least: float | None = None

    @property
    def holds(self) -> bool:
        return (self.at_most is None or self.median <= self.at_most) and (
            self.at_least is None or self.median >= self.at_least
        )

    def as_data(self) -> dict[str, object]:
        return {**asdict(self), "holds": self.holds}


def measured(
    values: Sequence[float],
    *,
    name: str,
    what: str,
    unit: Unit,
    at_most: float | None = None,
    at_least: float | None = None,
) -> Result:
    """The result of one value per run."""
    return Result(
        name=name,
        what=what,
        unit=unit,
        runs=len(values),
        min=round(min(values), 3),
        median=round(statistics.median(values), 3),
        max=round(max(values), 3),
        at_most=at_most,
        at_least=at_least,
    )


def timed(
    action: Callable[[], object], *, name: str, what: str, runs: int = 7, budget_ms: float | None = None
) -> Result:
    """Run ``action`` once to warm up and ``runs`` times on the clock; quote the median."""
    action()
    taken_ms = []
    for _ in range(runs):
        started = time.perf_counter()
        action()
        taken_ms.append((time.perf_counter() - started) * 1000)
    return measured(taken_ms, name=name, what=what, unit="ms", at_most=budget_ms)

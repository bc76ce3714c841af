"""Timing, and results as rows."""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One benchmark: milliseconds over ``runs`` runs, the budget it has to hold (``None`` for a peer) and what it was."""

    name: str
    what: str
    runs: int
    min_ms: float
    median_ms: float
    max_ms: float
    budget_ms: float | None = None

    @property
    def holds(self) -> bool:
        return self.budget_ms is None or self.median_ms <= self.budget_ms

    def as_data(self) -> dict[str, object]:
        return {**asdict(self), "holds": self.holds}


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
    return Result(
        name=name,
        what=what,
        runs=runs,
        min_ms=round(min(taken_ms), 2),
        median_ms=round(statistics.median(taken_ms), 2),
        max_ms=round(max(taken_ms), 2),
        budget_ms=budget_ms,
    )

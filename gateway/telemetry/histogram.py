"""How a measure is spread: how many of what was observed lie within which bounds."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate


class Histogram:
    """``bounds_ms`` ascend, in milliseconds; what is more than the last of them counts for the sum and the total only."""

    __slots__ = ("_bounds_ms", "_counts", "_sum_ms")

    def __init__(self, bounds_ms: Sequence[float]) -> None:
        self._bounds_ms = bounds_ms
        self._counts = [0] * (len(bounds_ms) + 1)
        self._sum_ms = 0.0

    def observe(self, ms: float) -> None:
        """Once more. A bound is within itself."""
        self._counts[bisect_left(self._bounds_ms, ms)] += 1
        self._sum_ms += ms

    @property
    def sum_s(self) -> float:
        """All that was observed, added up."""
        return self._sum_ms / 1000

    @property
    def total(self) -> int:
        """How often something was observed."""
        return sum(self._counts)

    def within(self) -> Iterator[tuple[float, int]]:
        """Each bound in seconds, with how many were no more than that."""
        return zip((one / 1000 for one in self._bounds_ms), accumulate(self._counts), strict=False)

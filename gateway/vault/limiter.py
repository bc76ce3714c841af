"""How often, and how many at once, each key may ask. Time is an argument, so the same calls give the same answers."""

from dataclasses import dataclass
from typing import Final, Literal

from gateway.vault.client_key import ClientKey

BUSY_RETRY_S: Final = 1.0
"""When to try again where only the end of another request makes room: nobody knows when that is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TooMany:
    """Why a key has to wait. ``retry_after_s`` is when to try again at the earliest, in seconds from now."""

    limit: Literal["requests_per_minute", "concurrency"]
    allowed: int
    retry_after_s: float

    def __str__(self) -> str:
        if self.limit == "concurrency":
            count = "1 request" if self.allowed == 1 else f"{self.allowed:,} requests"
            return f"this key may have {count} under way at once, and has"
        count = "1 request" if self.allowed == 1 else f"{self.allowed:,} requests"
        return f"this key may send {count} per minute; try again in {self.retry_after_s:.1f} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A token bucket: it holds a minute's worth of requests, is full at first, and fills evenly."""

    tokens: float
    at_s: float

    @classmethod
    def full(cls, *, per_minute: int, now_s: float) -> "Bucket":
        return cls(tokens=float(per_minute), at_s=now_s)

    def filled(self, *, per_minute: int, now_s: float) -> "Bucket":
        """As it is at ``now_s``. A clock that goes back fills nothing."""
        passed_s = max(0.0, now_s - self.at_s)
        tokens = min(float(per_minute), self.tokens + passed_s * per_minute / 60)
        return Bucket(tokens=tokens, at_s=max(self.at_s, now_s))

    def drawn(self) -> "Bucket":
        """With one request taken out."""
        return Bucket(tokens=self.tokens - 1, at_s=self.at_s)

    def wait_s(self, *, per_minute: int) -> float:
        """How long until there is one request in it."""
        return max(0.0, (1 - self.tokens) * 60 / per_minute)


class Limiter:
    """The buckets and the requests under way of all keys that have limits. Belongs to one event loop; nothing in it waits."""

    def __init__(self) -> None:
        self._buckets: dict[str, Bucket] = {}
        self._under_way: dict[str, int] = {}

    def enter(self, key: ClientKey, *, now_s: float) -> TooMany | None:
        """Let a request of ``key`` in at ``now_s`` (any clock that does not go back); then ``leave`` is to be called when it is
        over. Or say why not: that counts as nothing. Limits are those of ``key`` as it is now."""
        under_way = self._under_way.get(key.id, 0)
        if key.concurrency is not None and under_way >= key.concurrency:
            return TooMany(limit="concurrency", allowed=key.concurrency, retry_after_s=BUSY_RETRY_S)
        per_minute = key.requests_per_minute
        if per_minute is None:
            self._buckets.pop(key.id, None)
        else:
            bucket = self._buckets.get(key.id) or Bucket.full(per_minute=per_minute, now_s=now_s)
            bucket = bucket.filled(per_minute=per_minute, now_s=now_s)
            if bucket.tokens < 1:
                return TooMany(
                    limit="requests_per_minute", allowed=per_minute, retry_after_s=bucket.wait_s(per_minute=per_minute)
                )
            self._buckets[key.id] = bucket.drawn()
        self._under_way[key.id] = under_way + 1
        return None

    def leave(self, key: ClientKey) -> None:
        """A request of ``key`` that was let in is over."""
        left = self._under_way.get(key.id, 0) - 1
        if left > 0:
            self._under_way[key.id] = left
        else:
            self._under_way.pop(key.id, None)

    def under_way(self, key: ClientKey) -> int:
        """How many of the key's requests are under way."""
        return self._under_way.get(key.id, 0)

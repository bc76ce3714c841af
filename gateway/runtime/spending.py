"""What clouds have cost, as it grows: told to the journal with every answer, and held against the budgets."""

import logging
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from gateway.domain.budget import Budget, Spent, why_over
from gateway.domain.cost import DaySum, Price, Usage, cost_usd, day_of, first_of_month
from gateway.domain.model import Provider
from gateway.domain.ports import Clock, Journal
from gateway.domain.record import RequestRecord, cloud_answered
from gateway.domain.uncounted import uncounted

_log = logging.getLogger(__name__)

_NOTHING: Final[Mapping[int, float]] = MappingProxyType({})
_MOST_DAYS: Final = 62


class Spending:
    """Implements ``Journal`` in front of another one, and ``CloudGate``. Belongs to the event loop.

    ``price_of`` knows what the tokens of a cloud model cost, by its reference; ``providers`` are those of the live configuration,
    by name. Days and months are those of UTC; an answer counts for the day on which it was asked for.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        price_of: Callable[[str], Price | None],
        providers: Callable[[], Mapping[str, Provider]],
        clock: Clock,
    ) -> None:
        self._journal = journal
        self._price_of = price_of
        self._providers = providers
        self._clock = clock
        self._by_day: dict[str, dict[int, float]] = {}
        self._unpriced: dict[str, dict[int, int]] = {}
        self._blind = ""

    def begin(self, sums: Iterable[DaySum]) -> None:
        """Start from what the journal remembers."""
        for one in sums:
            if one.cloud:
                self._add(one.model, day=one.day, usd=one.cost_usd, unpriced=one.requests - one.priced)

    def begin_blind(self, reason: str) -> None:
        """What was spent before cannot be known: nothing that has a budget is asked. ``reason`` is a sentence."""
        self._blind = reason
        if any(one.budget is not None for one in self._providers().values()):
            _log.warning(
                "budgets cannot be counted, so cloud providers that have one are not used", extra={"reason": reason}
            )

    def record(self, request: RequestRecord) -> None:
        """See ``Journal.record``. Of an answer from a cloud the cost is worked out, and counted. What no count came of is counted
        by an estimate; the journal, which knows no estimates, has it as unknown."""
        if request.cloud:
            day = day_of(request.time_s)
            for attempt, about in uncounted(request):
                price = self._price_of(attempt.model)
                estimate = None if price is None else cost_usd(about, price)
                self._add(attempt.model, day=day, usd=estimate or 0.0, unpriced=int(bool(attempt.failure)))
            if cloud_answered(request):
                cost = self._cost(request)
                request = request._replace(cost_usd=cost)
                self._add(request.model, day=day, usd=cost or 0.0, unpriced=int(cost is None))
        self._journal.record(request)

    def closed(self, provider: str) -> str:
        """See ``CloudGate.closed``."""
        known = self._providers().get(provider)
        budget = known.budget if known is not None else None
        if budget is None or (budget.daily_usd is None and budget.monthly_usd is None):
            return ""
        if self._blind:
            return f"the budget of {provider} cannot be counted: {self._blind}"
        return why_over(budget, spent=self.spent(provider), provider=provider)

    def spent(self, provider: str) -> Spent:
        """What one provider has cost."""
        today = day_of(self._clock.time())
        month = first_of_month(today)
        days = self._by_day.get(provider, _NOTHING)
        return Spent(
            today_usd=days.get(today, 0.0),
            month_usd=sum(usd for day, usd in days.items() if day >= month),
            unpriced=sum(count for day, count in self._unpriced.get(provider, {}).items() if day >= month),
        )

    def data(self) -> list[dict[str, object]]:
        """Every cloud provider that costs something or has a budget: what it has cost, and what is left."""
        providers = {name: one for name, one in self._providers().items() if one.cloud}
        told = []
        for name in sorted({*providers, *self._by_day}):
            budget = providers[name].budget if name in providers else None
            if budget is not None or name in self._by_day:
                told.append(self._told(name, budget or Budget()))
        return told

    def _told(self, name: str, budget: Budget) -> dict[str, object]:
        spent = self.spent(name)
        return {
            "provider": name,
            "today_usd": round(spent.today_usd, 6),
            "month_usd": round(spent.month_usd, 6),
            "unpriced_requests": spent.unpriced,
            "daily_usd": budget.daily_usd,
            "monthly_usd": budget.monthly_usd,
            "left_today_usd": _left(budget.daily_usd, spent.today_usd),
            "left_month_usd": _left(budget.monthly_usd, spent.month_usd),
            "closed": self.closed(name),
        }

    def _cost(self, request: RequestRecord) -> float | None:
        price = self._price_of(request.model)
        if price is None:
            return None
        usage = Usage(
            prompt=request.prompt_tokens,
            completion=0 if request.endpoint == "embeddings" else request.completion_tokens,
            cached=request.cached_tokens or 0,
            cache_write=request.cache_write_tokens or 0,
            reasoning=request.reasoning_tokens or 0,
            audio=request.audio_tokens or 0,
        )
        return cost_usd(usage, price)

    def _add(self, model: str, *, day: int, usd: float, unpriced: int) -> None:
        """``model`` is a reference; its provider is what is counted."""
        provider = model.partition(":")[0]
        days = self._by_day.setdefault(provider, {})
        days[day] = days.get(day, 0.0) + usd
        if unpriced:
            counts = self._unpriced.setdefault(provider, {})
            counts[day] = counts.get(day, 0) + unpriced
        for kept in (self._by_day, self._unpriced):
            if len(kept.get(provider, ())) > _MOST_DAYS:
                del kept[provider][min(kept[provider])]


def _left(limit_usd: float | None, spent_usd: float) -> float | None:
    return None if limit_usd is None else round(max(limit_usd - spent_usd, 0.0), 6)

"""What answers cost: prices of tokens, the cost of one answer, and sums over many. Unknown is ``None``, never 0."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

DAY_S: Final = 86_400
_EPOCH: Final = date(1970, 1, 1)
_PER: Final = 1e6
_MOST_TOKENS: Final = 10**12
"""What is more was not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What the tokens of one model cost, in US dollars for 10^6; ``None`` where nobody says.

    ``cached`` are prompt tokens that the provider remembered, ``cache_write`` those it remembers from now on, ``reasoning`` those
    it thought in, ``audio`` those of sound in a prompt. Where there is no price for the first three, they cost what other tokens
    of the prompt or the answer do. ``above`` are the prices for prompts over so many tokens, the largest first. ``declared``:
    the operator says so, else the catalogue.
    """

    input_usd_per_mtok: float | None = None
    output_usd_per_mtok: float | None = None
    cached_usd_per_mtok: float | None = None
    cache_write_usd_per_mtok: float | None = None
    reasoning_usd_per_mtok: float | None = None
    audio_usd_per_mtok: float | None = None
    above: "tuple[tuple[int, Price], ...]" = ()
    declared: bool = False

    def for_prompt(self, tokens: int) -> "Price":
        """The price that holds for a prompt of so many tokens."""
        return next((price for floor, price in self.above if tokens > floor), self)


class Usage(NamedTuple):
    """The tokens of one answer as upstream counted them. ``cached``, ``cache_write`` and ``audio`` are part of ``prompt``,
    ``reasoning`` of ``completion``."""

    prompt: int | None
    completion: int | None
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    audio: int = 0


def cost_usd(usage: Usage, price: Price) -> float | None:
    """What an answer cost, in US dollars; ``None`` where a count or a price that matters is unknown."""
    if usage.prompt is None or usage.completion is None:
        return None
    if (
        max(usage.prompt, usage.completion, usage.cached, usage.cache_write, usage.reasoning, usage.audio)
        > _MOST_TOKENS
    ):
        return None
    price = price.for_prompt(usage.prompt)
    plain = max(usage.prompt - usage.cached - usage.cache_write - usage.audio, 0)
    said = max(usage.completion - usage.reasoning, 0)
    into, out = price.input_usd_per_mtok, price.output_usd_per_mtok
    total = 0.0
    for tokens, usd in (
        (plain, into),
        (usage.cached, _or(price.cached_usd_per_mtok, into)),
        (usage.cache_write, _or(price.cache_write_usd_per_mtok, into)),
        (usage.audio, price.audio_usd_per_mtok),
        (said, out),
        (usage.reasoning, _or(price.reasoning_usd_per_mtok, out)),
    ):
        if tokens > 0:
            if usd is None:
                return None
            total += tokens * usd
    return total / _PER


def declared_over(found: Price, *, into: float | None, out: float | None, cached: float | None) -> Price:
    """The catalogue's price with what the operator declares (US dollars for 10^6 tokens). Once the price of the prompt or of the
    answer is declared, the catalogue's finer ones hold no more: they belong to another price."""
    if into is None and out is None:
        return found if cached is None else replace(found, cached_usd_per_mtok=cached, above=(), declared=True)
    return Price(
        input_usd_per_mtok=_or(into, found.input_usd_per_mtok),
        output_usd_per_mtok=_or(out, found.output_usd_per_mtok),
        cached_usd_per_mtok=cached,
        declared=True,
    )


def _or(usd: float | None, other: float | None) -> float | None:
    return other if usd is None else usd


def day_of(time_s: float) -> int:
    """The day of a time (epoch seconds), counted from 1970 in UTC."""
    return int(time_s // DAY_S)


def date_of(day: int) -> date:
    return _EPOCH + timedelta(days=day)


def first_of_month(day: int) -> int:
    """The first day of the month that ``day`` is in."""
    return day - date_of(day).day + 1


class DaySum(NamedTuple):
    """The answers of one model for one role on one day (``day_of``), those that broke off included.

    ``counted`` of the ``requests`` have both token counts, which ``prompt_tokens`` and ``completion_tokens`` add up; ``priced``
    have a known cost, which ``cost_usd`` adds up. ``cloud``: the model is not on the operator's machines.
    """

    day: int
    role: str
    model: str
    cloud: bool
    requests: int
    counted: int
    priced: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float

    @property
    def provider(self) -> str:
        return self.model.partition(":")[0]


class By(StrEnum):
    """What sums are told apart by."""

    ROLE = "role"
    MODEL = "model"
    PROVIDER = "provider"
    DAY = "day"


_KEY: Final[dict[By, Callable[[DaySum], str]]] = {
    By.ROLE: lambda one: one.role,
    By.MODEL: lambda one: one.model,
    By.PROVIDER: lambda one: one.provider,
    By.DAY: lambda one: date_of(one.day).isoformat(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One line of a report. ``cost_usd`` is what the cloud's answers cost, ``None`` where there were some and no cost is known;
    ``unpriced`` of them are not in it. ``as_if_usd`` is what the local ones would have cost elsewhere, ``None`` where nothing of
    that is known; ``uncounted`` of them are not in it."""

    name: str
    cloud_requests: int
    local_requests: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    unpriced: int
    as_if_usd: float | None
    uncounted: int


def summed(sums: Iterable[DaySum], *, by: By, as_if: Price | None = None) -> tuple[Told, ...]:
    """One line for each role, model, provider or day, by name. ``as_if`` is the price that local answers are told at."""
    groups: dict[str, list[DaySum]] = {}
    for one in sums:
        groups.setdefault(_KEY[by](one), []).append(one)
    return tuple(told(groups[name], name=name, as_if=as_if) for name in sorted(groups))


def told(sums: Sequence[DaySum], *, name: str, as_if: Price | None = None) -> Told:
    """All of ``sums`` as one line."""
    cloud = [one for one in sums if one.cloud]
    local = [one for one in sums if not one.cloud]
    priced = sum(one.priced for one in cloud)
    counted = [one for one in local if one.counted]
    # A price that rises with the length of a prompt cannot be told of sums: what short ones cost is the least.
    flat = None if as_if is None else replace(as_if, above=())
    costs = [
        cost_usd(Usage(prompt=one.prompt_tokens, completion=one.completion_tokens), flat) if flat else None
        for one in counted
    ]
    known = [cost for cost in costs if cost is not None]
    return Told(
        name=name,
        cloud_requests=sum(one.requests for one in cloud),
        local_requests=sum(one.requests for one in local),
        prompt_tokens=sum(one.prompt_tokens for one in sums),
        completion_tokens=sum(one.completion_tokens for one in sums),
        cost_usd=sum((one.cost_usd for one in cloud), 0.0) if priced or not cloud else None,
        unpriced=sum(one.requests - one.priced for one in cloud),
        as_if_usd=None if flat is None or (local and not known) else sum(known, 0.0),
        uncounted=sum(one.requests - one.counted for one in local),
    )


def told_data(one: Told, *, by: By | None) -> dict[str, object]:
    """A line as plain data; ``by`` is ``None`` for the line of all."""
    named = {} if by is None else {by.value: one.name}
    return {
        **named,
        "cloud_requests": one.cloud_requests,
        "local_requests": one.local_requests,
        "prompt_tokens": one.prompt_tokens,
        "completion_tokens": one.completion_tokens,
        "cost_usd": _rounded(one.cost_usd),
        "unpriced_requests": one.unpriced,
        "as_if_usd": _rounded(one.as_if_usd),
        "uncounted_requests": one.uncounted,
    }


def _rounded(usd: float | None) -> float | None:
    return None if usd is None else round(usd, 6)


def report(
    sums: Sequence[DaySum], *, since_day: int, days: int, by: By, as_if: Price | None, as_model: str | None
) -> dict[str, object]:
    """What the command and the route answer with."""
    return {
        "since": date_of(since_day).isoformat(),
        "days": days,
        "by": by.value,
        "as": as_model,
        "costs": [told_data(one, by=by) for one in summed(sums, by=by, as_if=as_if)],
        "total": told_data(told(sums, name="", as_if=as_if), by=None),
    }

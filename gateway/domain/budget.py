"""How much a cloud provider may cost, and whether it has."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """US dollars for one day and for one month, both in UTC; ``None``: no limit."""

    daily_usd: float | None = None
    monthly_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a provider's answers have cost so far, in US dollars. ``unpriced`` answers of this month have no known cost: they are
    in it by an estimate, or not at all where their price is unknown too."""

    today_usd: float = 0.0
    month_usd: float = 0.0
    unpriced: int = 0


def why_over(budget: Budget, *, spent: Spent, provider: str) -> str:
    """Why the provider is not used any more; empty while it may be."""
    key = f"cloud_providers.{provider}.budget"
    if budget.daily_usd is not None and spent.today_usd >= budget.daily_usd:
        return (
            f"the daily budget of {provider} is used up: {usd_text(spent.today_usd)} of {usd_text(budget.daily_usd)}"
            f" (until midnight UTC; {key}.daily_usd)"
        )
    if budget.monthly_usd is not None and spent.month_usd >= budget.monthly_usd:
        return (
            f"the monthly budget of {provider} is used up: {usd_text(spent.month_usd)} of"
            f" {usd_text(budget.monthly_usd)} (until the month ends, in UTC; {key}.monthly_usd)"
        )
    return ""


def usd_text(usd: float | None) -> str:
    """An amount for people: two digits after the point, more where it is small; ``unknown`` for ``None``."""
    if usd is None:
        return "unknown"
    if 0 < abs(usd) < 0.000_001:
        return "$" + f"{usd:.1e}"
    return f"${usd:,.2f}" if usd == 0 or abs(usd) >= 1 else "$" + f"{usd:.6f}".rstrip("0").ljust(4, "0")

"""What the answers of each day add up to: a table beside the requests, which outlives them. Budgets are counted from it."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from gateway.domain.cost import DAY_S, DaySum, day_of

KEPT_DAYS: Final = 400
_MOST_TOKENS: Final = 2**53
_MOST_DAYS: Final = 10**6

_CREATE: Final = """
CREATE TABLE day_sums (
    day INTEGER NOT NULL, role TEXT NOT NULL, model TEXT NOT NULL, cloud INTEGER NOT NULL,
    requests INTEGER NOT NULL, counted INTEGER NOT NULL, priced INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, cost_usd REAL NOT NULL,
    PRIMARY KEY (day, role, model, cloud)
) WITHOUT ROWID
"""
_ADD: Final = """
INSERT INTO day_sums VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (day, role, model, cloud) DO UPDATE SET
    requests = requests + excluded.requests, counted = counted + excluded.counted, priced = priced + excluded.priced,
    prompt_tokens = min(prompt_tokens + excluded.prompt_tokens, 1 << 62),
    completion_tokens = min(completion_tokens + excluded.completion_tokens, 1 << 62), cost_usd = cost_usd + excluded.cost_usd
"""
_OF_ROWS: Final = """
SELECT CAST(time_s AS INTEGER) / 86400 AS day, role, model, cloud, count(*),
    total(prompt_tokens IS NOT NULL AND completion_tokens IS NOT NULL), 0,
    total(CASE WHEN completion_tokens IS NULL THEN 0 ELSE prompt_tokens END),
    total(CASE WHEN prompt_tokens IS NULL THEN 0 ELSE completion_tokens END), 0.0
FROM requests WHERE model <> '' GROUP BY 1, 2, 3, 4
"""


def create_sums(connection: sqlite3.Connection) -> None:
    """Make the table."""
    connection.execute(_CREATE)


def add_sums(connection: sqlite3.Connection, sums: Iterable[DaySum]) -> None:
    """Add ``sums`` to what is there."""
    connection.executemany(_ADD, sums)


def trim_sums(connection: sqlite3.Connection, *, now_s: float) -> None:
    """Let go of days that are too long ago."""
    connection.execute("DELETE FROM day_sums WHERE day < ?", (now_s / DAY_S - KEPT_DAYS,))


def kept_sums(connection: sqlite3.Connection, *, since_day: int) -> Sequence[DaySum]:
    """Those of that day and later."""
    select = "SELECT * FROM day_sums WHERE day >= ? ORDER BY day, role, model, cloud"
    return [_sum(row) for row in connection.execute(select, (since_day,))]


def sums_of_rows(connection: sqlite3.Connection) -> Sequence[DaySum]:
    """Those of the requests in a file that has no sums yet; what they cost is unknown."""
    return [_sum(row) for row in connection.execute(_OF_ROWS)]


class Answered(NamedTuple):
    """What counts of one answer, made fit to be written. Token counts and cost are ``None`` where they are unknown."""

    time_s: float
    role: str
    model: str
    cloud: bool
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_usd: float | None


def sums_of(answers: Iterable[Answered]) -> list[DaySum]:
    """What these answers add to their days."""
    sums: dict[tuple[int, str, str, bool], list[float]] = {}
    for time_s, role, model, cloud, prompt, completion, cost in answers:
        key = (day_of(time_s), role, model, cloud)
        known = sums.get(key)
        if known is None:
            known = sums[key] = [0, 0, 0, 0, 0, 0.0]
        known[0] += 1
        if prompt is not None and completion is not None and 0 <= prompt < _MOST_TOKENS > completion >= 0:
            known[1] += 1
            known[3] += prompt
            known[4] += completion
        if cost is not None:
            known[2] += 1
            known[5] += cost
    return [
        DaySum(*key, int(requests), int(counted), int(priced), int(prompt), int(completion), cost)
        for key, (requests, counted, priced, prompt, completion, cost) in sums.items()
        if 0 <= key[0] < _MOST_DAYS
    ]


def _sum(row: Sequence[Any]) -> DaySum:
    day, role, model, cloud, requests, counted, priced, prompt, completion, cost = row
    return DaySum(
        day=int(day),
        role=str(role),
        model=str(model),
        cloud=bool(cloud),
        requests=int(requests),
        counted=int(counted),
        priced=int(priced),
        prompt_tokens=int(prompt),
        completion_tokens=int(completion),
        cost_usd=float(cost),
    )

"""What answers add up to is kept by day, longer than the answers, and files from before there were costs are taken over."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.domain.cost import DAY_S, DaySum, day_of
from gateway.telemetry.journal import JournalFile
from gateway.telemetry.journal_reader import JournalFileReader
from gateway.telemetry.journal_sums import KEPT_DAYS
from gateway.telemetry.logs import Redactor
from record_builders import NOON_S, a_failed_record, a_record, an_attempt

WITHIN_S = 30.0
GPT = "openai:gpt-4o-mini"
TODAY = day_of(NOON_S)
LAYOUT_1 = """
CREATE TABLE requests (
    seq INTEGER PRIMARY KEY, request_id TEXT NOT NULL, time_s REAL NOT NULL, endpoint TEXT NOT NULL, role TEXT NOT NULL,
    stream INTEGER NOT NULL, status INTEGER NOT NULL, failure TEXT NOT NULL, model TEXT NOT NULL, generation INTEGER,
    cloud INTEGER NOT NULL, attempts TEXT NOT NULL, fallback_reason TEXT NOT NULL, prompt_tokens INTEGER,
    completion_tokens INTEGER, first_token_ms REAL, duration_ms REAL NOT NULL, message TEXT NOT NULL
);
INSERT INTO requests VALUES
    (1, 'old', 1000036800.0, 'chat', 'planner', 0, 200, '', 'openai:gpt-4o-mini', 1, 1, '[]', '', 10, 5, 1.0, 2.0, ''),
    (2, 'failed', 1000036800.0, 'chat', 'planner', 0, 502, 'timeout', '', 1, 0, '[]', '', NULL, NULL, NULL, 2.0, 'no');
PRAGMA user_version = 1;
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def remember(path: Path, *batches: list[object], now_s: float = NOON_S, keep_rows: int = 100_000) -> None:
    """Write each batch of records by a journal of its own, as over restarts."""
    for batch in batches:
        journal = JournalFile(path=path, redactor=Redactor(), now_s=lambda: now_s, keep_rows=keep_rows)
        journal.start()
        for one in batch:
            journal.record(one)  # type: ignore[arg-type]  # records of any kind
        assert journal.flush(within_s=WITHIN_S)
        journal.close(within_s=WITHIN_S)


def from_cloud(request_id: str = "one", **changes: object) -> object:
    told = {"model": GPT, "cloud": True, "attempts": (an_attempt(GPT, cloud=True),), "cost_usd": 0.25, **changes}
    return a_record(request_id, **told)


def test_answers_add_up_over_restarts(path: Path) -> None:
    remember(path, [from_cloud(), from_cloud(cost_usd=None, completion_tokens=None)], [from_cloud(), a_record()])
    assert JournalFileReader(path=path).sums(since_day=TODAY) == (
        DaySum(TODAY, "planner", "ollama:llama3.1:8b", False, 1, 1, 0, 1204, 88, 0.0),
        DaySum(TODAY, "planner", GPT, True, 3, 2, 2, 2408, 176, 0.5),
    )


def test_only_answers_count_and_each_on_its_day(path: Path) -> None:
    yesterday = from_cloud(time_s=NOON_S - DAY_S)
    remember(path, [a_failed_record(), yesterday, from_cloud()])
    reader = JournalFileReader(path=path)
    assert [(one.day, one.requests) for one in reader.sums(since_day=TODAY - 1)] == [(TODAY - 1, 1), (TODAY, 1)]
    assert [one.day for one in reader.sums(since_day=TODAY)] == [TODAY]


def test_the_sums_outlive_the_requests_and_go_after_more_than_a_year(path: Path) -> None:
    remember(path, [from_cloud(str(number)) for number in range(10)], keep_rows=3)
    reader = JournalFileReader(path=path)
    assert len(reader.recent(limit=100)) == 3
    assert [one.requests for one in reader.sums(since_day=0)] == [10]
    later_s = NOON_S + (KEPT_DAYS + 1) * DAY_S
    remember(path, [from_cloud(time_s=later_s)], now_s=later_s)
    assert [one.day for one in reader.sums(since_day=0)] == [day_of(later_s)]


def test_costs_and_kinds_of_tokens_come_back_with_a_request(path: Path) -> None:
    written = from_cloud(cached_tokens=100, cache_write_tokens=1, audio_tokens=2, reasoning_tokens=40)
    remember(path, [written])
    assert JournalFileReader(path=path).find("one") == a_record(
        model=GPT,
        cloud=True,
        attempts=(an_attempt(GPT),),
        cost_usd=0.25,
        cached_tokens=100,
        cache_write_tokens=1,
        audio_tokens=2,
        reasoning_tokens=40,
    )


def test_a_file_from_before_there_were_costs_is_read_as_it_is(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(LAYOUT_1)
    reader = JournalFileReader(path=path)
    told = [(one.request_id, one.key, one.cost_usd) for one in reader.recent(limit=10)]
    assert told == [("failed", "", None), ("old", "", None)]
    assert reader.sums(since_day=TODAY) == (DaySum(TODAY, "planner", GPT, True, 1, 1, 0, 10, 5, 0.0),)
    assert reader.sums(since_day=TODAY + 1) == ()


def test_a_file_from_before_there_were_costs_is_taken_over_when_it_is_written(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(LAYOUT_1)
    remember(path, [from_cloud("new", key="ci")], [from_cloud("newer")])
    reader = JournalFileReader(path=path)
    told = [(one.request_id, one.key) for one in reader.recent(limit=10)]
    assert told == [("newer", ""), ("new", "ci"), ("failed", ""), ("old", "")]
    assert reader.sums(since_day=TODAY) == (DaySum(TODAY, "planner", GPT, True, 3, 3, 2, 2418, 181, 0.5),)


def test_names_and_numbers_that_cannot_be_written_add_up_like_those_that_are(path: Path) -> None:
    odd = from_cloud("odd", role="b\ud800d", prompt_tokens=10**400, cost_usd=float("inf"))
    remember(path, [odd, from_cloud("late", time_s=1e300), from_cloud("never", time_s=float("nan"))])
    (today,) = JournalFileReader(path=path).sums(since_day=0)
    assert today[:7] == (TODAY, "b?d", GPT, True, 1, 0, 0)

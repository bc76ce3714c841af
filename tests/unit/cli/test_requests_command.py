"""How the journal looks on the command line."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.app import main
from gateway.compose.journal import journal_of
from gateway.domain.record import RequestRecord, request_data
from gateway.telemetry.logs import Redactor
from record_builders import a_failed_record, a_record, an_attempt

Ran = tuple[int, str, str]
Rolegate = Callable[..., Ran]

ANOTHER_DAY_S = 86_400 * 2


@pytest.fixture
def rolegate(tmp_path: Path, state: Path, capsys: pytest.CaptureFixture[str]) -> Rolegate:
    """Runs one command line on an empty configuration."""
    (tmp_path / "config").mkdir()

    def run(*arguments: str) -> Ran:
        code = main([*arguments, "--config-dir", str(tmp_path / "config")])
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def then_s(monkeypatch: pytest.MonkeyPatch) -> Iterator[float]:
    """Two days ago, at a minute whose local clock says 12:00."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    now = time.gmtime(time.time() - ANOTHER_DAY_S)
    yield time.time() - ANOTHER_DAY_S - (now.tm_hour * 3600 + now.tm_min * 60 + now.tm_sec) + 43_200
    monkeypatch.undo()
    time.tzset()


def remember(state: Path, *records: RequestRecord) -> None:
    journal = journal_of(state, redactor=Redactor())
    journal.start()
    for one in records:
        journal.record(one)
    assert journal.flush(within_s=30)
    journal.close(within_s=30)


def test_a_failed_request_shows_each_attempt_and_a_served_one_who_answered(
    rolegate: Rolegate, state: Path, then_s: float
) -> None:
    day = time.strftime("%m-%d", time.gmtime(then_s))
    fell_back = (an_attempt(failure="timeout"), an_attempt("openai:gpt-4o-mini"))
    remember(
        state,
        a_record(time_s=then_s),
        a_failed_record(time_s=then_s),
        a_record(
            time_s=then_s,
            attempts=fell_back,
            model="openai:gpt-4o-mini",
            cloud=True,
            first_token_ms=2310.0,
            cost_usd=0.000_233_4,
        ),
        a_record(time_s=then_s, attempts=(), model="", role="", failure="cancelled", prompt_tokens=None),
    )
    code, out, err = rolegate("requests")
    assert (code, err) == (0, "")
    assert [" ".join(line.split()) for line in out.splitlines()] == [
        "TIME ROLE ANSWERED BY OUTCOME TRIES TOKENS FIRST TOOK COST",
        f"{day} 12:00 - - cancelled 0 -/88 120 ms 1.8 s -",
        (
            f"{day} 12:00 planner ollama:llama3.1:8b timeout 2.0 s → openai:gpt-4o-mini ok ok 2 1,204/88 2.3 s 1.8 s"
            " $0.000233"
        ),
        (
            f"{day} 12:00 planner ollama:llama3.1:8b timeout 2.0 s → openai:gpt-4o-mini upstream_error 40 ms "
            "upstream_timeout 2 - - 2.0 s -"
        ),
        f"{day} 12:00 planner ollama:llama3.1:8b ok 1 1,204/88 120 ms 1.8 s -",
    ]


def test_a_request_of_today_is_shown_to_the_second(rolegate: Rolegate, state: Path, then_s: float) -> None:
    # Just after midnight the day may have changed since; the row is then one of yesterday, shown to the minute.
    now_s = time.time()
    remember(state, a_record(time_s=now_s))
    _, out, _ = rolegate("requests")
    shown = out.splitlines()[1]
    assert shown.startswith(
        (time.strftime("%H:%M:%S  ", time.localtime(now_s)), time.strftime("%m-%d %H:%M  ", time.localtime(now_s)))
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "4321"),
        (("--limit", "1"), "4"),
        (("--failed",), "42"),
        (("--role", "planner"), "21"),
        (("--role", "planner", "--failed"), "2"),
    ],
)
def test_the_list_is_filtered(
    arguments: tuple[str, ...], expected: str, rolegate: Rolegate, state: Path, then_s: float
) -> None:
    remember(
        state,
        a_record("1", time_s=then_s),
        a_failed_record("2", time_s=then_s),
        a_record("3", time_s=then_s, role="writer"),
        a_failed_record("4", time_s=then_s, role="writer"),
    )
    code, out, err = rolegate("requests", "--json", *arguments)
    assert (code, err) == (0, "")
    assert "".join(one["id"] for one in json.loads(out)["requests"]) == expected


def test_one_request_is_shown_in_full(rolegate: Rolegate, state: Path, then_s: float) -> None:
    record = a_failed_record("req-7", time_s=then_s, stream=True, fallback_reason="timeout", key="ci")
    remember(state, a_record(time_s=then_s), record)
    code, out, err = rolegate("requests", "req-7")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "req-7  upstream_timeout  status 504",
        f"  at  {time.strftime('%Y-%m-%d', time.gmtime(then_s))} 12:00:00 +0000",
        "  asked  chat of planner  as a stream",
        "  answered by  nobody",
        "  with the key  ci",
        "  fell back for  timeout",
        "  generation  1",
        "  tokens  - in, - out",
        "  first token after  -",
        "  took  2.0 s",
        "  because  no deployment of planner answered",
        "",
        "TRY  MODEL               OUTCOME         STATUS   TOOK",
        "  1  ollama:llama3.1:8b  timeout              -  2.0 s",
        "  2  openai:gpt-4o-mini  upstream_error     500  40 ms",
    ]
    _, as_json, _ = rolegate("requests", "req-7", "--json")
    assert json.loads(as_json) == request_data(record)


def test_an_id_that_is_not_in_the_journal_is_a_usage_error(rolegate: Rolegate) -> None:
    assert rolegate("requests", "req-8") == (
        2,
        "",
        (
            'error: there is no request "req-8" in the journal\n'
            "hint: `rolegate requests --json` lists the latest with their ids\n"
        ),
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no request is in the journal\n"),
        (("--failed",), "no failed request is in the journal\n"),
        (("--role", "planner"), "no request for planner is in the journal\n"),
        (("--role", "planner", "--failed"), "no failed request for planner is in the journal\n"),
    ],
)
def test_a_journal_without_such_requests_is_no_error(arguments: tuple[str, ...], said: str, rolegate: Rolegate) -> None:
    assert rolegate("requests", *arguments) == (0, "", said)
    assert rolegate("requests", "--json", *arguments) == (0, '{\n  "requests": []\n}\n', "")


@pytest.mark.parametrize("limit", ["0", "-1", "100001", "some"])
def test_a_limit_that_is_none_is_a_usage_error(limit: str, rolegate: Rolegate) -> None:
    code, out, err = rolegate("requests", "--limit", limit)
    assert (code, out) == (2, "")
    assert err.startswith("error: Invalid value for '--limit': ")


def test_a_journal_that_cannot_be_read_is_said_plainly(rolegate: Rolegate, state: Path) -> None:
    state.mkdir()
    (state / "journal.sqlite").write_bytes(b"not a database at all" * 100)
    code, out, err = rolegate("requests")
    assert (code, out) == (1, "")
    assert err == (
        f"error: the request journal {state / 'journal.sqlite'} cannot be read: file is not a database\n"
        "hint: if it stays so, move it away: the gateway begins a new one\n"
    )


def test_the_data_of_a_request_has_its_documented_shape() -> None:
    shape: dict[str, Any] = request_data(a_failed_record(first_token_ms=1.26))
    assert list(shape) == [
        "id",
        "time_s",
        "endpoint",
        "role",
        "stream",
        "status",
        "failure",
        "model",
        "cloud",
        "generation",
        "attempts",
        "fallback_reason",
        "prompt_tokens",
        "completion_tokens",
        "cached_tokens",
        "reasoning_tokens",
        "cost_usd",
        "first_token_ms",
        "duration_ms",
        "message",
        "key",
    ]
    assert shape["first_token_ms"] == 1.3
    assert shape["attempts"][0] == {"model": "ollama:llama3.1:8b", "class": "timeout", "status": None, "ms": 2000.0}


def test_where_keys_were_shown_a_column_says_whose(rolegate: Rolegate, state: Path, then_s: float) -> None:
    remember(state, a_record(time_s=then_s, key="ada"), a_record("two", time_s=then_s))
    day = time.strftime("%m-%d", time.gmtime(then_s))
    code, out, _ = rolegate("requests")
    assert code == 0
    assert [" ".join(line.split()) for line in out.splitlines()] == [
        "TIME KEY ROLE ANSWERED BY OUTCOME TRIES TOKENS FIRST TOOK",
        f"{day} 12:00 - planner ollama:llama3.1:8b ok 1 1,204/88 120 ms 1.8 s",
        f"{day} 12:00 ada planner ollama:llama3.1:8b ok 1 1,204/88 120 ms 1.8 s",
    ]

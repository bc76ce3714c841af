"""How fast models answered lately, read from the request journal."""

import os
from pathlib import Path

import pytest

from gateway.domain.record import RequestRecord
from gateway.telemetry.journal import JournalFile
from gateway.telemetry.logs import Redactor
from gateway.telemetry.speed_log import JournalSpeeds
from record_builders import NOON_S, a_record

WITHIN_S = 30.0


def written(path: Path, *records: RequestRecord) -> JournalSpeeds:
    journal = JournalFile(path=path, redactor=Redactor(), now_s=lambda: NOON_S)
    journal.start()
    for one in records:
        journal.record(one)
    assert journal.flush(within_s=WITHIN_S)
    journal.close(within_s=WITHIN_S)
    return JournalSpeeds(path=path)


def answered(
    model: str, *, tokens: int | None, first_ms: float | None, whole_ms: float, failure: str = ""
) -> RequestRecord:
    one = a_record("1")
    return one._replace(
        model=model, completion_tokens=tokens, first_token_ms=first_ms, duration_ms=whole_ms, failure=failure
    )


def test_the_latest_answers_of_each_model_come_first(tmp_path: Path) -> None:
    log = written(
        tmp_path / "journal.sqlite",
        answered("ollama:a", tokens=101, first_ms=500, whole_ms=2500),
        answered("lab:b", tokens=41, first_ms=100, whole_ms=1100),
        answered("ollama:a", tokens=201, first_ms=500, whole_ms=2500),
    )
    assert log.latest() == {"ollama:a": [100.0, 50.0], "lab:b": [40.0]}


@pytest.mark.parametrize(
    "record",
    [
        answered("ollama:a", tokens=None, first_ms=1, whole_ms=2000),
        answered("ollama:a", tokens=8, first_ms=1, whole_ms=2000),
        answered("ollama:a", tokens=100, first_ms=None, whole_ms=2000),
        answered("ollama:a", tokens=100, first_ms=1999, whole_ms=2000),
        answered("ollama:a", tokens=100, first_ms=1, whole_ms=2000, failure="stream_truncated"),
    ],
    ids=["no counts", "short", "no first token", "at once", "broken off"],
)
def test_what_does_not_tell_of_a_speed_is_left_out(record: RequestRecord, tmp_path: Path) -> None:
    assert written(tmp_path / "journal.sqlite", record).latest() == {}


@pytest.mark.parametrize("there", ["nothing", "rubbish", "a pipe", "a folder"])
def test_without_a_journal_there_are_no_speeds(there: str, tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    match there:
        case "rubbish":
            path.write_bytes(b"no database at all, however long it may be" * 100)
        case "a pipe":
            os.mkfifo(path)
        case "a folder":
            path.mkdir()
    assert JournalSpeeds(path=path).latest() == {}
    assert path.exists() is (there != "nothing")

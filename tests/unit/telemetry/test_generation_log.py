"""Generations are remembered over restarts, and no swap depends on it."""

import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.domain.generation_record import GenerationRecord, Outcome, generation_data
from gateway.domain.secret import Secret
from gateway.telemetry.generations import GenerationFile, GenerationLogUnreadable
from gateway.telemetry.logs import Redactor

ONE = GenerationRecord(
    number=2,
    cause="models.json changed",
    profile="coding",
    digest="ab" * 32,
    changed_roles=("critic", "planner"),
    started_s=1_700_000_000.1234,
    ms=12.3456,
    outcome=Outcome.ADOPTED,
)


def test_what_was_recorded_is_read_again_the_newest_first(tmp_path: Path) -> None:
    file = tmp_path / "state" / "generations.sqlite"
    failed = replace(ONE, outcome=Outcome.FAILED, error="it is broken", digest="", changed_roles=(), profile=None)
    GenerationFile(path=file).record(ONE)
    GenerationFile(path=file).record(failed)
    assert list(GenerationFile(path=file).recent(10)) == [failed, ONE]
    assert list(GenerationFile(path=file).recent(1)) == [failed]
    assert file.stat().st_mode & 0o077 == 0


def test_a_log_that_was_never_written_to_is_empty(tmp_path: Path) -> None:
    assert GenerationFile(path=tmp_path / "generations.sqlite").recent(10) == ()
    (tmp_path / "generations.sqlite").touch()
    assert GenerationFile(path=tmp_path / "generations.sqlite").recent(10) == ()


def test_the_oldest_are_forgotten(tmp_path: Path) -> None:
    log = GenerationFile(path=tmp_path / "generations.sqlite", keep_rows=3)
    for number in range(5):
        log.record(replace(ONE, number=number))
    assert [one.number for one in log.recent(10)] == [4, 3, 2]


def test_secrets_are_masked_and_long_texts_cut(tmp_path: Path) -> None:
    log = GenerationFile(path=tmp_path / "generations.sqlite", redactor=Redactor([Secret("sk-made-up")]))
    log.record(replace(ONE, error="upstream said sk-made-up", cause="x" * 5_000))
    [kept] = log.recent(1)
    assert kept.error == "upstream said [secret]"
    assert (len(kept.cause), kept.cause[-1]) == (4_000, "…")


def test_a_log_that_cannot_be_written_is_told_of_once_and_raises_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "generations.sqlite"
    file.mkdir()
    log = GenerationFile(path=file)
    log.record(ONE)
    log.record(ONE)
    assert [one.getMessage() for one in caplog.records] == [
        f"the log of generations {file} cannot be written: it is not a regular file"
    ]
    file.rmdir()
    log.record(ONE)
    assert list(log.recent(1)) == [ONE]


def test_a_named_pipe_in_its_place_is_told_and_not_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "generations.sqlite"
    os.mkfifo(file)
    log = GenerationFile(path=file)
    with pytest.raises(GenerationLogUnreadable) as raised:
        log.recent(1)
    assert str(raised.value) == f"the log of generations {file} cannot be read: it is not a regular file"
    log.record(ONE)
    assert caplog.messages == [f"the log of generations {file} cannot be written: it is not a regular file"]


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("PRAGMA user_version = 9", "its layout is 9, and this version knows layout 1"),
        ("CREATE TABLE others (x)", "it is the database of something else"),
    ],
)
def test_another_database_is_neither_read_nor_written(tmp_path: Path, statement: str, words: str) -> None:
    file = tmp_path / "generations.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(statement)
    before = file.read_bytes()
    with pytest.raises(GenerationLogUnreadable) as raised:
        GenerationFile(path=file).recent(1)
    assert str(raised.value) == f"the log of generations {file} cannot be read: {words}"
    assert raised.value.hint == "if it stays so, move it away: the gateway begins a new one"
    GenerationFile(path=file).record(ONE)
    assert file.read_bytes() == before


def test_what_is_no_database_is_told(tmp_path: Path) -> None:
    file = tmp_path / "generations.sqlite"
    file.write_text("nonsense " * 1_000, encoding="utf-8")
    with pytest.raises(GenerationLogUnreadable, match="file is not a database"):
        GenerationFile(path=file).recent(1)


def test_a_record_as_plain_data() -> None:
    assert generation_data(ONE) == {
        "generation": 2,
        "cause": "models.json changed",
        "profile": "coding",
        "digest": "ab" * 32,
        "changed_roles": ["critic", "planner"],
        "started_s": 1_700_000_000.123,
        "ms": 12.3,
        "outcome": "adopted",
        "error": "",
    }

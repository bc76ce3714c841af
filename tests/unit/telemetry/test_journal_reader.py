"""The journal is read with or without a gateway that writes it."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.file_errors import JournalUnreadable
from gateway.telemetry.journal import JournalFile
from gateway.telemetry.journal_reader import JournalFileReader
from gateway.telemetry.logs import Redactor
from record_builders import NOON_S, a_failed_record, a_record

WITHIN_S = 30.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a folder?x=1#2%41" / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[JournalFile]:
    """A journal with four requests in it, which is still open."""
    journal = JournalFile(path=path, redactor=Redactor(), now_s=lambda: NOON_S)
    journal.start()
    journal.record(a_record("1", time_s=NOON_S - 30))
    journal.record(a_failed_record("2", time_s=NOON_S - 20))
    journal.record(a_record("3", role="writer", time_s=NOON_S - 10))
    journal.record(a_failed_record("4", role="writer", time_s=NOON_S))
    assert journal.flush(within_s=WITHIN_S)
    yield journal
    journal.close(within_s=WITHIN_S)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, "4321"),
        ({"limit": 2}, "43"),
        ({"failed": True}, "42"),
        ({"role": "planner"}, "21"),
        ({"role": "planner", "failed": True}, "2"),
        ({"role": "nobody"}, ""),
        ({"since_s": NOON_S - 10}, "43"),
        ({"before": "3"}, "21"),
        ({"before": "3", "failed": True}, "2"),
        ({"before": "unknown"}, ""),
    ],
)
@pytest.mark.parametrize("gateway_runs", [True, False])
def test_the_newest_come_first_and_are_filtered(
    asked: dict[str, Any], expected: str, gateway_runs: bool, journal: JournalFile, path: Path
) -> None:
    if not gateway_runs:
        journal.close(within_s=WITHIN_S)
    found = JournalFileReader(path=path).recent(**{"limit": 10, **asked})
    assert "".join(one.request_id for one in found) == expected


def test_one_request_is_found_by_its_id(journal: JournalFile, path: Path) -> None:
    reader = JournalFileReader(path=path)
    assert reader.find("2") == a_failed_record("2", time_s=NOON_S - 20)
    assert reader.find("5") is None
    journal.record(a_record("2", role="again"))
    assert journal.flush(within_s=WITHIN_S)
    again = reader.find("2")
    assert again is not None
    assert again.role == "again"


def test_a_reader_sees_a_whole_state_while_the_gateway_writes(journal: JournalFile, path: Path) -> None:
    reader = JournalFileReader(path=path)
    for number in range(5, 60):
        journal.record(a_record(str(number)))
        if number % 7 == 0:
            assert journal.flush(within_s=WITHIN_S)
        found = [int(one.request_id) for one in reader.recent(limit=1000)]
        assert found == list(range(found[0], 0, -1))


def test_a_file_that_is_not_there_holds_no_requests(path: Path) -> None:
    reader = JournalFileReader(path=path)
    assert reader.recent(limit=1) == ()
    assert reader.find("1") is None
    assert not path.parent.exists()


def test_a_file_that_was_just_made_holds_no_requests(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    assert JournalFileReader(path=path).recent(limit=1) == ()


def test_a_damaged_file_is_an_error_that_says_what_to_do(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(JournalUnreadable) as caught:
        JournalFileReader(path=path).recent(limit=1)
    assert caught.value.message == f"the request journal {path} cannot be read: file is not a database"
    assert caught.value.hint == "if it stays so, move it away: the gateway begins a new one"


def test_rows_that_are_not_as_they_were_written_are_an_error(journal: JournalFile, path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE requests SET attempts = '[[1]]' WHERE request_id = '2'")
    with pytest.raises(JournalUnreadable, match="cannot be read: not enough values to unpack"):
        JournalFileReader(path=path).recent(limit=10)


def test_a_file_of_another_layout_is_an_error(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 7")
    with pytest.raises(JournalUnreadable) as caught:
        JournalFileReader(path=path).find("1")
    assert caught.value.message == (
        f"the request journal {path} cannot be read: its layout is 7, and this version knows layout 2"
    )


def test_a_named_pipe_in_its_place_is_told_and_not_waited_for(path: Path) -> None:
    path.parent.mkdir()
    os.mkfifo(path)
    with pytest.raises(JournalUnreadable) as caught:
        JournalFileReader(path=path).recent(limit=1)
    assert caught.value.message == f"the request journal {path} cannot be read: it is not a regular file"

"""Requests are remembered beside the hot path, within bounds, whatever happens to the file."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.record import RequestRecord
from gateway.domain.secret import Secret
from gateway.telemetry.journal import BATCH, JournalFile
from gateway.telemetry.journal_reader import JournalFileReader
from gateway.telemetry.journal_table import MOST_MESSAGE
from gateway.telemetry.logs import Redactor
from record_builders import NOON_S, a_failed_record, a_record

WITHIN_S = 30.0
DAY_S = 86_400

NewJournal = Callable[..., JournalFile]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite"


@pytest.fixture
def new_journal(path: Path) -> Iterator[NewJournal]:
    """Makes journals on ``path``, started, at noon; closes them."""
    made = []

    def make(**changes: Any) -> JournalFile:
        told = {"path": path, "redactor": Redactor(), "now_s": lambda: NOON_S}
        made.append(JournalFile(**{**told, **changes}))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.close(within_s=WITHIN_S)


def kept(path: Path) -> list[RequestRecord]:
    return list(JournalFileReader(path=path).recent(limit=1_000_000))


def ids(path: Path) -> list[str]:
    return [one.request_id for one in kept(path)]


def test_what_is_recorded_comes_back_as_it_was(new_journal: NewJournal, path: Path) -> None:
    journal = new_journal()
    records = [a_record("1"), a_failed_record("2"), a_record("3", stream=True, cloud=True, generation=None)]
    for one in records:
        journal.record(one)
    assert journal.flush(within_s=WITHIN_S)
    assert kept(path) == records[::-1]
    assert journal.dropped == 0


def test_requests_are_written_without_being_asked_for(new_journal: NewJournal, path: Path) -> None:
    journal = new_journal()
    for number in range(BATCH):
        journal.record(a_record(str(number)))
    until_s = time.monotonic() + WITHIN_S
    while len(ids(path)) < BATCH:
        assert time.monotonic() < until_s


def test_what_waits_is_written_when_the_journal_is_closed(new_journal: NewJournal, path: Path) -> None:
    journal = new_journal()
    for number in range(3):
        journal.record(a_record(str(number)))
    journal.close(within_s=WITHIN_S)
    journal.close(within_s=WITHIN_S)
    assert ids(path) == ["2", "1", "0"]
    assert not journal.flush(within_s=WITHIN_S)
    journal.record(a_record("late"))
    assert journal.dropped == 1


def test_a_journal_that_was_never_started_loses_what_it_was_given(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = JournalFile(path=path, redactor=Redactor())
    journal.record(a_record())
    assert not journal.flush(within_s=WITHIN_S)
    journal.close()
    assert journal.dropped == 1
    assert caplog.messages == [f"the request journal {path} could not be finished; missing in it: 1 request"]
    assert not path.exists()


def test_a_gateway_that_nobody_asked_anything_leaves_no_file(new_journal: NewJournal, path: Path) -> None:
    new_journal().close(within_s=WITHIN_S)
    assert not path.exists()


def test_the_file_is_for_its_owner_only(new_journal: NewJournal, path: Path) -> None:
    journal = new_journal()
    journal.record(a_record())
    assert journal.flush(within_s=WITHIN_S)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_only_the_newest_rows_are_kept(new_journal: NewJournal, path: Path) -> None:
    journal = new_journal(keep_rows=10)
    for start in (0, 7, 14, 21):
        for number in range(start, start + 7):
            journal.record(a_record(str(number)))
        assert journal.flush(within_s=WITHIN_S)
    assert ids(path) == [str(number) for number in range(27, 17, -1)]


def test_rows_go_when_they_are_too_old(new_journal: NewJournal, path: Path) -> None:
    journal = new_journal(keep_days=2)
    for days_ago in (5, 3, 1, 0):
        journal.record(a_record(f"{days_ago} days ago", time_s=NOON_S - days_ago * DAY_S))
    assert journal.flush(within_s=WITHIN_S)
    assert ids(path) == ["0 days ago", "1 days ago"]
    later = new_journal(keep_days=2, now_s=lambda: NOON_S + 9 * DAY_S)
    assert later.flush(within_s=WITHIN_S)
    assert ids(path) == []


def test_a_row_from_a_wrong_clock_does_not_keep_the_old_ones(new_journal: NewJournal, path: Path) -> None:
    journal = new_journal(keep_rows=2)
    for name, time_s in (("future", NOON_S + 900 * DAY_S), ("a", NOON_S), ("b", NOON_S)):
        journal.record(a_record(name, time_s=time_s))
    assert journal.flush(within_s=WITHIN_S)
    assert ids(path) == ["b", "a"]


def test_the_oldest_are_left_out_when_too_many_wait_and_the_log_says_so_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = JournalFile(path=path, redactor=Redactor(), queue=1_200, now_s=lambda: NOON_S)
    for number in range(1_500):
        journal.record(a_record(str(number)))
    assert journal.dropped == 300
    journal.start()
    assert journal.flush(within_s=WITHIN_S)
    journal.close(within_s=WITHIN_S)
    assert ids(path) == [str(number) for number in range(1_499, 299, -1)]
    assert caplog.messages == [
        f"requests come faster than the request journal {path} can be written; missing in it so far: 300 requests"
    ]


def test_secrets_are_masked_in_every_text(new_journal: NewJournal, path: Path) -> None:
    journal = new_journal(redactor=Redactor([Secret("sk-hidden")]))
    journal.record(
        a_failed_record(role="sk-hidden", message="upstream said: bad key sk-hidden", fallback_reason="sk-hidden")
    )
    assert journal.flush(within_s=WITHIN_S)
    [one] = kept(path)
    assert (one.role, one.message) == ("[secret]", "upstream said: bad key [secret]")
    journal.close(within_s=WITHIN_S)
    assert b"sk-hidden" not in path.read_bytes()


def test_long_texts_are_cut(new_journal: NewJournal, path: Path) -> None:
    journal = new_journal()
    journal.record(a_failed_record(role="r" * 10_000, message="m" * 10_000))
    assert journal.flush(within_s=WITHIN_S)
    [one] = kept(path)
    assert one.role == "r" * 299 + "…"
    assert one.message == "m" * (MOST_MESSAGE - 1) + "…"


def test_a_folder_that_cannot_be_written_costs_one_line_and_requests_wait_for_it(
    tmp_path: Path, new_journal: NewJournal, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "journal.sqlite"
    journal = new_journal(path=path, queue=2)
    for number in range(3):
        journal.record(a_record(str(number)))
        assert not journal.flush(within_s=WITHIN_S)
    assert journal.dropped == 1
    [line] = caplog.messages
    assert line.startswith(f"the request journal {path} cannot be written: ")
    assert line.endswith(" (requests are served without it; it is tried again)")
    (tmp_path / "file").unlink()
    assert journal.flush(within_s=WITHIN_S)
    assert ids(path) == ["2", "1"]
    assert caplog.messages[1:] == [f"the request journal {path} is written again; missing in it: 1 request"]


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_damaged_file_is_left_alone_until_it_is_moved_away(
    content: bytes, path: Path, new_journal: NewJournal, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    journal = new_journal()
    for number in range(3):
        journal.record(a_record(str(number)))
        assert not journal.flush(within_s=WITHIN_S)
        assert journal.dropped == number + 1
    assert path.read_bytes() == content
    [line] = caplog.messages
    assert line == (
        f"the request journal {path} cannot be written: file is not a database "
        "(requests are served without it; move it away and a new one is begun)"
    )
    path.rename(path.with_name("aside"))
    journal.record(a_record("after"))
    assert journal.flush(within_s=WITHIN_S)
    assert ids(path) == ["after"]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("PRAGMA user_version = 7", "its layout is 7, and this version knows layout 2"),
        ("CREATE TABLE other (one)", "it is the database of something else"),
    ],
)
def test_a_file_of_another_layout_is_left_alone(
    statement: str, said: str, path: Path, new_journal: NewJournal, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
    before = path.read_bytes()
    journal = new_journal()
    journal.record(a_record())
    assert not journal.flush(within_s=WITHIN_S)
    assert journal.dropped == 1
    assert caplog.messages == [
        (
            f"the request journal {path} cannot be written: {said} "
            "(requests are served without it; move it away and a new one is begun)"
        )
    ]
    assert path.read_bytes() == before


def test_a_named_pipe_in_its_place_is_left_alone_until_it_is_moved_away(
    path: Path, new_journal: NewJournal, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    os.mkfifo(path)
    journal = new_journal()
    journal.record(a_record())
    assert not journal.flush(within_s=WITHIN_S)
    assert caplog.messages == [
        (
            f"the request journal {path} cannot be written: it is not a regular file "
            "(requests are served without it; move it away and a new one is begun)"
        )
    ]
    path.rename(path.with_name("aside"))
    journal.record(a_record("after"))
    assert journal.flush(within_s=WITHIN_S)
    assert ids(path) == ["after"]


def test_a_file_that_is_removed_while_it_is_written_is_begun_anew(new_journal: NewJournal, path: Path) -> None:
    journal = new_journal()
    journal.record(a_record("1"))
    assert journal.flush(within_s=WITHIN_S)
    for one in path.parent.iterdir():
        one.unlink()
    journal.record(a_record("2"))
    assert journal.flush(within_s=WITHIN_S)
    assert ids(path) == ["2"]


def test_two_gateways_share_one_file(new_journal: NewJournal, path: Path) -> None:
    journals = [new_journal(), new_journal()]
    for number in range(20):
        for name, journal in zip("ab", journals, strict=True):
            journal.record(a_record(f"{name}{number}"))
    for journal in journals:
        while not journal.flush(within_s=WITHIN_S):
            pass
    assert sorted(ids(path)) == sorted(f"{name}{number}" for name in "ab" for number in range(20))


FILL_A_DISK = """
import resource, signal, sys
from pathlib import Path
from gateway.telemetry.journal import JournalFile
from gateway.telemetry.logs import Redactor
from record_builders import NOON_S, a_record

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
journal = JournalFile(path=Path(sys.argv[1]), redactor=Redactor(), now_s=lambda: NOON_S)
journal.start()
journal.record(a_record("before"))
assert journal.flush(within_s=30)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
for number in range(3_000):
    journal.record(a_record(str(number)))
assert not journal.flush(within_s=30)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
assert journal.flush(within_s=30)
journal.close(within_s=30)
print(journal.dropped)
"""


def in_a_child(script: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{script}", *map(str, arguments)]


def test_a_disk_without_room_is_waited_for(path: Path) -> None:
    ran = subprocess.run(in_a_child(FILL_A_DISK, path), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "0\n"
    trouble, mended = ran.stderr.splitlines()
    assert trouble.startswith(f"the request journal {path} cannot be written: ")
    assert mended == f"the request journal {path} is written again; missing in it: none"
    assert set(ids(path)) == {"before", *map(str, range(3_000))}


WRITE_UNTIL_KILLED = """
import itertools, sys, time
from pathlib import Path
from gateway.telemetry.journal import JournalFile
from gateway.telemetry.logs import Redactor
from record_builders import a_record

journal = JournalFile(path=Path(sys.argv[1]), redactor=Redactor(), keep_rows=300)
journal.start()
for number in itertools.count():
    journal.record(a_record(f"{sys.argv[2]} {number}", time_s=time.time()))
    if number % 50 == 49:
        journal.flush(within_s=30)
        print(number, flush=True)
"""


def test_a_writer_killed_at_any_moment_leaves_a_file_that_can_be_read_and_written(path: Path) -> None:
    for life, written in enumerate((0, 0, 1, 2, 5, 9, 17, 31)):
        with subprocess.Popen(in_a_child(WRITE_UNTIL_KILLED, path, life), stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            lines = [child.stdout.readline() for _ in range(written)]
            child.send_signal(signal.SIGKILL)
        found = [tuple(map(int, one.split())) for one in ids(path)]
        assert found == sorted(found, reverse=True)
        assert len(found) <= 300
        if lines:
            assert found[0] >= (life, int(lines[-1]))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]

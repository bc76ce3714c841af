"""Files for their owner's eyes: read without waiting, replaced whole, by one editor at a time."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gateway.errors import RolegateError
from gateway.file_errors import CannotWrite, EditConflict
from gateway.files import lock
from gateway.files.etag import ABSENT
from gateway.vault import private_file
from gateway.vault.private_file import Content, Unreadable, editing, make_folder, read, replace, require

AS_NOBODY = """
import os, sys
from pathlib import Path
from gateway.file_errors import CannotWrite
from gateway.vault.private_file import Unreadable, editing, make_folder, read
folder = Path(sys.argv[1])
os.setgid(65534); os.setuid(65534)
for attempt in (
    lambda: editing(folder / "a").__enter__(),
    lambda: make_folder(folder / "b"),
    lambda: read(folder / "kept"),
):
    try:
        attempt()
    except (CannotWrite, Unreadable) as exc:
        print(exc, exc.hint, sep="; ")
"""

administrator = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="drops the administrator's rights first"
)
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX files")


def content(path: Path) -> bytes | None:
    found = read(path)
    return None if found is None else found.data


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert content(path) is None
    with editing(path):
        replace(path, Content(data=b"one"))
        replace(path, Content(data=b"two"))
    assert content(path) == b"two"
    assert sorted(one.name for one in tmp_path.iterdir()) == [".a.json.lock", "a.json"]


@posix
def test_a_file_is_for_its_owner_whatever_it_was_before(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"")
    path.chmod(0o666)
    replace(path, Content(data=b"x"))
    found = read(path)
    assert found is not None
    assert (found.mode, found.others_may_read, found.others_may_write) == (0o600, False, False)


def test_what_killed_writers_left_is_swept_away_and_nothing_else(tmp_path: Path) -> None:
    for name in (".a.json.abcd1234.tmp", ".a.json.abcd1234.tmp.mine", ".b.json.abcd1234.tmp"):
        (tmp_path / name).write_bytes(b"x")
    replace(tmp_path / "a.json", Content(data=b"one"))
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        ".a.json.abcd1234.tmp.mine",
        ".b.json.abcd1234.tmp",
        "a.json",
    ]


@posix
def test_a_pipe_and_a_folder_and_a_broken_link_are_named_at_once(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(tmp_path / "nowhere")
    for path, told in (
        (pipe, "it is not a regular file"),
        (tmp_path, "it is not a regular file"),
        (link, "it is a symbolic link to nothing"),
    ):
        with pytest.raises(Unreadable) as raised:
            read(path)
        assert raised.value.reason == told


def test_too_much_is_neither_read_nor_written(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(bytes(private_file.MAX_BYTES + 1))
    with pytest.raises(Unreadable, match=r"^it has more than 4,194,304 bytes$"):
        read(path)
    with pytest.raises(CannotWrite) as raised:
        replace(path, Content(data=bytes(private_file.MAX_BYTES + 1)))
    assert str(raised.value) == f"cannot write {path}: it would have more than 4,194,304 bytes"


def test_what_is_not_as_expected_is_a_conflict(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    require(path, None, expected=None)
    require(path, None, expected=ABSENT)
    path.write_bytes(b"new")
    found = read(path)
    assert found is not None
    require(path, found, expected=found.etag)
    for there, expected, told in (
        (found, ABSENT, "is there already"),
        (found, "0" * 64, "has changed since it was read (it was 000000000000, it is 11507a0e2f5e)"),
        (None, "0" * 64, "is gone since it was read"),
    ):
        with pytest.raises(EditConflict) as raised:
            require(path, there, expected=expected)
        assert str(raised.value) == f"{path} {told}"


def test_without_a_folder_nothing_is_written_and_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "a.json"
    with pytest.raises(CannotWrite) as raised, editing(path):
        pass
    assert str(raised.value) == f"cannot write {path}: there is no folder {path.parent}"
    assert raised.value.hint == "create it and try again"


@administrator
def test_without_permission_nothing_is_read_or_written_and_the_way_out_is_named(tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(b"x")
    (tmp_path / "kept").chmod(0)
    for folder in (tmp_path, *tmp_path.parents):
        if folder == Path("/tmp"):
            break
        folder.chmod(0o755)
    finished = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(tmp_path)], capture_output=True, text=True, check=True
    )
    hint = f"give the user that runs rolegate write access to {tmp_path}"
    assert finished.stdout.splitlines() == [
        f"cannot write {tmp_path}/a: no permission; {hint}",
        f"cannot write {tmp_path}/b: no permission; {hint}",
        "it may not be read; give the user that runs rolegate read access to it",
    ]


@administrator
def test_a_file_stays_with_whom_it_belongs_to(tmp_path: Path) -> None:
    path = tmp_path / "theirs.json"
    path.write_bytes(b"old")
    os.chown(path, 65534, 65534)
    replace(path, Content(data=b"new"))
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)


def test_a_write_that_fails_leaves_the_old_content_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    replace(path, Content(data=b"old"))

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CannotWrite) as raised:
        replace(path, Content(data=b"new"))
    assert str(raised.value) == f"cannot write {path}: the disk is full"
    assert raised.value.hint == "make room and try again; nothing was changed"
    assert content(path) == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["a.json"]


def test_one_editor_waits_for_the_other(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    inside, order = threading.Event(), []

    def second() -> None:
        inside.set()
        with editing(path):
            order.append("second")

    thread = threading.Thread(target=second)
    with editing(path):
        thread.start()
        assert inside.wait(10)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_who_waits_too_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_PATIENCE_S", 0.0)
    path = tmp_path / "a.json"
    with editing(path), pytest.raises(RolegateError) as raised, editing(path):
        pass
    assert str(raised.value) == f"{path} is being edited by somebody else, and has been for 0 s"


def test_a_lock_file_that_was_removed_meanwhile_is_not_held_for_good(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with editing(path):
        (tmp_path / ".a.json.lock").unlink()
    with editing(path):
        replace(path, Content(data=b"x"))
    assert content(path) == b"x"


def test_a_folder_is_made_for_its_owner_and_left_as_it_is_if_there(tmp_path: Path) -> None:
    folder = tmp_path / "one" / "two"
    make_folder(folder)
    if sys.platform != "win32":
        assert folder.stat().st_mode & 0o777 == 0o700
    make_folder(folder)
    make_folder(tmp_path)

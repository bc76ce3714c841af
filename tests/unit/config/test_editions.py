"""Replacing a file: only what the edit started from, by one editor at a time, whole or not at all."""

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gateway.config.edition import (
    EditsBlocked,
    cannot_write,
    current_etag,
    locked,
    remove_checked,
    replace_checked,
)
from gateway.file_errors import CannotWrite, EditConflict
from gateway.files import lock
from gateway.files.etag import ABSENT, etag


def test_what_is_as_expected_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    first = replace_checked(file, b"one", expected=ABSENT)
    assert first == etag(b"one") == current_etag(file)
    assert replace_checked(file, b"two", expected=first) == etag(b"two")
    replace_checked(file, b"three", expected=None)
    assert file.read_bytes() == b"three"
    remove_checked(file, expected=etag(b"three"))
    assert current_etag(file) is None


@pytest.mark.parametrize(
    ("there", "expected", "told"),
    [
        (b"new", etag(b"old"), "has changed since it was read (it was cba06b5736fa, it is 11507a0e2f5e)"),
        (b"new", ABSENT, "is there already"),
        (None, etag(b"old"), "is gone since it was read"),
    ],
)
def test_what_somebody_else_changed_is_left_as_it_is(
    there: bytes | None, expected: str, told: str, tmp_path: Path
) -> None:
    file = tmp_path / "a.json"
    if there is not None:
        file.write_bytes(there)
    for edit in (
        lambda: replace_checked(file, b"mine", expected=expected),
        lambda: remove_checked(file, expected=expected),
    ):
        with pytest.raises(EditConflict) as refused:
            edit()
        assert refused.value.message == f"{file} {told}"
        assert refused.value.hint == "nothing was written; read it again and repeat the edit"
        assert (refused.value.code, refused.value.http_status, refused.value.exit_code) == ("edit_conflict", 412, 3)
    assert (file.read_bytes() if file.exists() else None) == there


def test_a_file_keeps_its_mode_and_a_new_one_is_as_open_as_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "kept.json"
    file.write_bytes(b"old")
    file.chmod(0o640)
    replace_checked(file, b"new", expected=None)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    for mode, expected in ((0o755, 0o644), (0o700, 0o600), (0o770, 0o660)):
        tmp_path.chmod(mode)
        fresh = tmp_path / f"{mode:o}.json"
        replace_checked(fresh, b"new", expected=ABSENT)
        assert stat.S_IMODE(fresh.stat().st_mode) == expected


def test_what_killed_writers_left_of_a_file_goes_with_its_next_write(tmp_path: Path) -> None:
    left = [".a.json.abcd_123.tmp", ".a.json.00000000.tmp"]
    others = [".b.json.abcd_123.tmp", ".a.json.swp", "a.json.abcd_123.tmp"]
    for name in (*left, *others):
        (tmp_path / name).write_bytes(b"half")
    replace_checked(tmp_path / "a.json", b"{}", expected=ABSENT)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["a.json", *others])


def test_edits_in_one_folder_wait_for_each_other(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")

    def add() -> None:
        for _ in range(20):
            with locked(tmp_path):
                counter.write_text(str(int(counter.read_text()) + 1))

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.read_text() == "160"


def test_a_wait_for_the_lock_ends_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_PATIENCE_S", 0.0)
    with locked(tmp_path), pytest.raises(EditsBlocked) as refused, locked(tmp_path):
        pass
    assert (refused.value.code, refused.value.http_status) == ("edits_blocked", 503)
    assert refused.value.message == f"{tmp_path} is being edited by somebody else, and has been for 0 s"
    assert refused.value.hint == "try again; if nobody else is editing, look for a rolegate process that hangs"


def test_a_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(CannotWrite) as refused, locked(tmp_path / "gone"):
        pass
    assert refused.value.message == f"cannot write {tmp_path}/gone: there is no folder {tmp_path}/gone"
    assert refused.value.hint == "create it, or use another --config-dir"
    assert (refused.value.code, refused.value.http_status, refused.value.exit_code) == ("cannot_write", 500, 1)


def test_a_full_disk_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(b"old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CannotWrite) as refused:
        replace_checked(file, b"new", expected=etag(b"old"))
    assert refused.value.message == f"cannot write {file}: the disk is full"
    assert refused.value.hint == "make room and try again; nothing was changed"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert file.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.EROFS, "cannot write c/a: it is on a read-only file system"),
        (errno.EACCES, "cannot write c/a: no permission"),
        (errno.ENOTDIR, "cannot write c/a: c is no folder"),
        (errno.EDQUOT, "cannot write c/a: the disk quota is used up"),
        (errno.ENAMETOOLONG, "cannot write c/a: the name is too long"),
        (errno.EIO, "cannot write c/a: input/output error"),
    ],
)
def test_what_the_system_refuses_is_told_in_words(number: int, told: str) -> None:
    error = cannot_write(Path("c/a"), OSError(number, os.strerror(number)))
    assert error.message == told
    assert error.hint


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.json").mkdir()
    with pytest.raises(CannotWrite) as refused:
        replace_checked(tmp_path / "a.json", b"new", expected=None)
    assert refused.value.message == f"cannot write {tmp_path}/a.json: it is a directory"
    with pytest.raises(CannotWrite) as unread:
        replace_checked(tmp_path / "a.json", b"new", expected=ABSENT)
    assert unread.value.message == f"cannot write {tmp_path}/a.json: found a directory"


@pytest.mark.skipif(os.geteuid() != 0, reason="drops the administrator's rights first")
def test_without_permission_the_way_out_is_named(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder == Path("/tmp"):
            break
        folder.chmod(0o755)
    code = (
        "import os, sys; from pathlib import Path; from gateway.config.edition import locked\n"
        "from gateway.file_errors import CannotWrite\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try:\n    locked(Path(sys.argv[1])).__enter__()\n"
        "except CannotWrite as exc:\n    print(exc.message, exc.hint, sep='; ')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    hint = f"give the user that runs rolegate write access to {tmp_path}"
    assert done.stdout == f"cannot write {tmp_path}: no permission; {hint}\n"

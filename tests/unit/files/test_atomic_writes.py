"""Writing a file whole or not at all, past whatever lies in the way."""

import os
import stat
from pathlib import Path

import pytest

from gateway.files.atomic import replacing, sweep, write_atomically


def test_what_is_no_regular_file_is_never_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    link = tmp_path / "link"
    link.symlink_to(pipe)
    for target in (pipe, link):
        with pytest.raises(OSError, match="it is not a regular file"):
            write_atomically(target, b"new")
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert link.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "pipe"]


@pytest.mark.parametrize("before", [b"old", None])
def test_a_link_stays_and_what_it_leads_to_is_written(before: bytes | None, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "file"
    if before is not None:
        target.write_bytes(before)
    link = tmp_path / "link"
    link.symlink_to(target)
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert [path.name for path in target.parent.iterdir()] == ["file"]


def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomically(target, b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_write_keeps_to_its_mode(tmp_path: Path) -> None:
    write_atomically(tmp_path / "open", b"x", mode=0o644)
    assert stat.S_IMODE((tmp_path / "open").stat().st_mode) == 0o644


@pytest.mark.skipif(os.geteuid() != 0, reason="only an administrator can write for somebody else")
def test_a_file_stays_with_whom_it_belongs_to(tmp_path: Path) -> None:
    file = tmp_path / "theirs.json"
    file.write_bytes(b"old")
    os.chown(file, 65534, 65534)
    write_atomically(file, b"new")
    assert (file.stat().st_uid, file.stat().st_gid) == (65534, 65534)


def test_what_is_written_in_a_block_that_fails_is_dropped(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def halfway() -> None:
        with replacing(target) as file:
            file.write(b"new")
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        halfway()
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_killed_writers_left_of_a_file_is_swept_away_wherever_a_link_leads(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "file")
    for name in (".file.abcd_123.tmp", ".file.abcd_123.tmp.mine", ".other.abcd_123.tmp"):
        (tmp_path / "elsewhere" / name).write_bytes(b"half")
    sweep(tmp_path / "link")
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == [
        ".file.abcd_123.tmp.mine",
        ".other.abcd_123.tmp",
    ]

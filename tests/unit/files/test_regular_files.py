"""Reading a file, and saying what else lies in its place."""

import os
from pathlib import Path

import pytest

from gateway.files.regular_file import Obstacle, Unreadable, read_regular_file, read_with_mode


def test_a_file_is_read_with_its_mode_and_shows_nothing_of_what_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"canary")
    path.chmod(0o640)
    found = read_with_mode(path, at_most_bytes=6)
    assert (found.content, found.mode) == (b"canary", 0o640)
    assert repr(found) == "RegularFile(mode=416)"
    assert read_regular_file(path, at_most_bytes=6) == b"canary"


@pytest.mark.parametrize(
    ("name", "obstacle", "found", "allowed"),
    [
        ("nowhere", Obstacle.NOTHING_THERE, "no file", "a file"),
        ("link", Obstacle.BROKEN_LINK, "a symbolic link to nothing", "a file"),
        ("folder", Obstacle.NO_REGULAR_FILE, "a directory", "a file"),
        ("pipe", Obstacle.NO_REGULAR_FILE, "something that is not a regular file", "a file"),
        ("long", Obstacle.TOO_LARGE, "5 bytes", "at most 4 bytes"),
        (
            "loop",
            Obstacle.FAULT,
            "a file that cannot be read (Too many levels of symbolic links)",
            "a readable file",
        ),
    ],
)
def test_what_lies_in_the_place_of_a_file_is_named_at_once(
    name: str, obstacle: Obstacle, found: str, allowed: str, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "long").write_bytes(b"12345")
    with pytest.raises(Unreadable) as raised:
        read_regular_file(tmp_path / name, at_most_bytes=4)
    told = raised.value
    assert (told.obstacle, told.found, told.allowed) == (obstacle, found, allowed)

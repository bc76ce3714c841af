"""One editor at a time, and a wait that ends."""

import os
import sys
from pathlib import Path

import pytest

from gateway.files import lock
from gateway.files.lock import StillHeld, take_lock


def test_a_lock_whose_file_was_removed_is_not_taken_for_one(tmp_path: Path) -> None:
    place = tmp_path / ".lock"
    descriptor = take_lock(place, of=tmp_path)
    assert lock._lies_at(place, descriptor)
    place.unlink()
    assert not lock._lies_at(place, descriptor)
    other = take_lock(place, of=tmp_path)
    assert not lock._lies_at(place, descriptor)
    os.close(other)
    os.close(descriptor)


def test_a_wait_that_was_in_vain_names_what_is_being_edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_PATIENCE_S", 0.0)
    descriptor = take_lock(tmp_path / ".lock", of=Path("c/a"))
    with pytest.raises(StillHeld) as raised:
        take_lock(tmp_path / ".lock", of=Path("c/a"))
    os.close(descriptor)
    assert str(raised.value) == "c/a is being edited by somebody else, and has been for 0 s"
    assert raised.value.hint == "try again; if nobody else is editing, look for a rolegate process that hangs"
    os.close(take_lock(tmp_path / ".lock", of=Path("c/a")))


def test_a_link_is_not_taken_for_a_lock(tmp_path: Path) -> None:
    (tmp_path / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        take_lock(tmp_path / ".lock", of=tmp_path)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
@pytest.mark.parametrize(("folder", "most"), [(0o700, 0o600), (0o755, 0o600), (0o775, 0o660), (0o777, 0o666)])
def test_nobody_can_open_a_lock_who_may_not_write_beside_it(folder: int, most: int, tmp_path: Path) -> None:
    tmp_path.chmod(folder)
    for path in (tmp_path / "new", tmp_path / "old"):
        if path.name == "old":
            path.touch()
            path.chmod(0o666)
        os.close(take_lock(path, of=path))
        assert path.stat().st_mode & 0o777 & ~most == 0

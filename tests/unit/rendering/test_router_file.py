"""router.yaml on disk."""

import stat
from pathlib import Path

import pytest
import yaml

from gateway.rendering.output import write


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "state" / "router.yaml"
    write(path, {"model_list": []})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == (
        "# Written by Rolegate and overwritten by it: edit router_templates/ instead. Keys are references, never values.\n"
        "model_list: []\n"
    )


def test_a_file_that_others_could_read_is_replaced_by_one_they_cannot(tmp_path: Path) -> None:
    path = tmp_path / "router.yaml"
    path.write_text("old")
    path.chmod(0o644)
    write(path, {"a": 1})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert yaml.safe_load(path.read_text()) == {"a": 1}


def test_a_failure_keeps_the_old_file_and_leaves_no_other(tmp_path: Path) -> None:
    path = tmp_path / "router.yaml"
    write(path, {"a": 1})
    with pytest.raises(yaml.YAMLError):
        write(path, {"a": object()})
    assert yaml.safe_load(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]

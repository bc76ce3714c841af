"""Older versions of the format: brought up to date step by step, with a backup beside the file."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.config.document import SCHEMA_VERSION
from gateway.config.migrate import STEPS, current, keep_backup, migrate_file, migrated, outdated
from gateway.config.profile_edits import read_file
from gateway.errors import ConfigInvalid
from unit.config.sandbox import Sandbox

OLD = '{"schema_version": 1, "preferred": ["mistral"]}'


def renamed(data: Mapping[str, object]) -> dict[str, object]:
    return {"models" if key == "preferred" else key: value for key, value in data.items()}


def counted(data: Mapping[str, object]) -> dict[str, object]:
    models = data.get("models")
    return {**data, "count": len(models) if isinstance(models, list) else 0}


TO_THREE = {1: renamed, 2: counted}


def test_every_step_from_the_first_version_to_this_one_is_there() -> None:
    assert sorted(STEPS) == list(range(1, SCHEMA_VERSION))


def test_every_step_from_the_version_of_the_data_on_is_taken() -> None:
    done = migrated({"preferred": ["mistral"]}, steps=TO_THREE)
    assert done.data == {"schema_version": 3, "models": ["mistral"], "count": 1}
    assert (done.before, done.changed) == (1, True)
    later = migrated({"schema_version": 2, "models": []}, steps=TO_THREE)
    assert later.data == {"schema_version": 3, "models": [], "count": 0}


@pytest.mark.parametrize("version", [0, 3, 4, -1, "1.5", None, True])
def test_what_no_step_leads_from_stays_as_it_is(version: object) -> None:
    data = {"schema_version": version}
    steps = {2: counted}
    assert migrated(data, steps=steps).data is data


def test_a_file_is_rewritten_and_what_was_in_it_is_kept_beside_it(sandbox: Sandbox) -> None:
    sandbox.write({"user_profiles/old.json": OLD})
    path = sandbox.folder / "user_profiles/old.json"
    assert outdated(path, steps=TO_THREE) == 1
    done = migrate_file(path, folder=sandbox.folder, steps=TO_THREE)
    assert done is not None
    assert (done.path, done.backup.name, done.before, done.after) == (path, "old.json.v1.bak", 1, 3)
    assert json.loads(path.read_text()) == {"schema_version": 3, "models": ["mistral"], "count": 1}
    assert done.backup.read_text() == OLD
    assert migrate_file(path, folder=sandbox.folder, steps=TO_THREE) is None
    assert outdated(path, steps=TO_THREE) is None


def test_yaml_stays_yaml(sandbox: Sandbox) -> None:
    sandbox.write({"models.yaml": "# mine\npreferred: [mistral]\n"})
    migrate_file(sandbox.folder / "models.yaml", folder=sandbox.folder, steps={1: renamed})
    assert (sandbox.folder / "models.yaml").read_text() == "schema_version: 2\nmodels:\n- mistral\n"
    assert (sandbox.folder / "models.yaml.v1.bak").read_text() == "# mine\npreferred: [mistral]\n"


def test_no_backup_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    kept = []
    for content in (b"one", b"two", b"one", b"three"):
        path.write_bytes(content)
        kept.append(keep_backup(path, version=1).name)
    assert kept == ["a.json.v1.bak", "a.json.v1.2.bak", "a.json.v1.bak", "a.json.v1.3.bak"]
    assert [(tmp_path / name).read_bytes() for name in kept[:2]] == [b"one", b"two"]


def test_what_cannot_be_read_is_left_alone(sandbox: Sandbox) -> None:
    sandbox.write({"models.json": "{"})
    with pytest.raises(ConfigInvalid, match="broken JSON"):
        migrate_file(sandbox.folder / "models.json", folder=sandbox.folder, steps=TO_THREE)
    assert [path.name for path in sandbox.folder.iterdir() if path.suffix == ".bak"] == []


def test_a_document_in_memory_keeps_its_text_and_lines(sandbox: Sandbox) -> None:
    sandbox.write({"models.json": OLD})
    _content, document = read_file(sandbox.folder / "models.json")
    now = current(document, steps=TO_THREE)
    assert now.data == {"schema_version": 3, "models": ["mistral"], "count": 1}
    assert now.text == OLD
    assert current(now, steps=TO_THREE) is now


def test_a_backup_is_no_profile_and_no_stray(sandbox: Sandbox) -> None:
    sandbox.write({"models.json": "{}", "models.json.v1.bak": "x", "user_profiles/a.json.v1.bak": "x"})
    assert sandbox.load().warnings == ()

"""Rewriting the files of an older version: all of them or none, each with a backup beside it."""

import json
import os
from pathlib import Path

import pytest

from gateway.config.backup import keep_backup
from gateway.config.edition import LOCK_FILE
from gateway.config.upgrade import old_files, rewrite_old_files
from gateway.file_errors import ConfigInvalid
from older_format import NEW_PROFILE, OLD_LAYER, OLD_PROFILE, know_an_older_format
from unit.config.sandbox import Sandbox

YAML = "# mine\nschema_version: 0\nroles: {planner: {models: [mistral]}}\n"


@pytest.fixture
def old(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    know_an_older_format(monkeypatch)
    sandbox.write(
        {
            "models.yaml": YAML,
            "user_models.json": "{}",
            "user_profiles/a.json": json.dumps(OLD_PROFILE),
            "user_profiles/b.json": '{"schema_version": 1}',
        }
    )
    return sandbox


def contents(sandbox: Sandbox) -> dict[str, str]:
    return {
        path.relative_to(sandbox.folder).as_posix(): path.read_text()
        for path in sorted(sandbox.folder.rglob("*.*"))
        if path.is_file() and not path.name.startswith(".")
    }


def test_all_are_rewritten_with_what_was_in_them_kept_beside_them(old: Sandbox) -> None:
    before = old.load().values
    named = [(one.path.name, one.version, one.loses_comments, one.backup) for one in old_files(old.folder)]
    assert named == [("models.yaml", 0, True, None), ("a.json", 0, False, None)]
    done = rewrite_old_files(old.folder)
    assert [one.backup.name for one in done if one.backup] == ["models.yaml.v0.bak", "a.json.v0.bak"]
    after = contents(old)
    assert json.loads(after.pop("user_profiles/a.json")) == NEW_PROFILE
    assert after == {
        "models.yaml": "schema_version: 1\nrole_mappings:\n  planner:\n    preferred:\n    - mistral\n",
        "models.yaml.v0.bak": YAML,
        "user_models.json": "{}",
        "user_profiles/a.json.v0.bak": json.dumps(OLD_PROFILE),
        "user_profiles/b.json": '{"schema_version": 1}',
    }
    assert old.load().values == before
    assert old.load().warnings == ()


def test_doing_it_again_changes_nothing(old: Sandbox) -> None:
    rewrite_old_files(old.folder)
    before = contents(old)
    (old.folder / LOCK_FILE).unlink()
    assert (old_files(old.folder), rewrite_old_files(old.folder)) == ((), ())
    assert contents(old) == before
    assert not (old.folder / LOCK_FILE).exists()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "found broken JSON at column 2: expecting property name enclosed in double quotes; allowed: JSON"),
        ('{"roles": {}, "roles": {}}', "roles: found the same key again (first on line 1); allowed: each key once"),
        (
            '{"schema_version": 2, "unheard_of": 1}',
            (
                "schema_version: found 2, which is newer than this rolegate; allowed: 1; "
                "upgrade rolegate, or use a file of schema_version 1"
            ),
        ),
    ],
)
def test_nothing_is_rewritten_where_one_file_cannot_be_read(old: Sandbox, content: str, problem: str) -> None:
    old.write({"user_profiles/c.json": content})
    before = contents(old)
    for work in (old_files, rewrite_old_files):
        with pytest.raises(ConfigInvalid) as refused:
            work(old.folder)
        assert old.told(refused.value.problems) == [f"config/user_profiles/c.json:1: {problem}"]
    assert contents(old) == before


def test_nothing_is_rewritten_where_two_files_are_one_layer(old: Sandbox) -> None:
    old.write({"user_profiles/a.yaml": "{}", "user_models.yml": "{}"})
    with pytest.raises(ConfigInvalid) as refused:
        rewrite_old_files(old.folder)
    assert len(refused.value.problems) == 2


def test_what_was_not_rewritten_when_it_was_broken_off_is_done_the_next_time(old: Sandbox) -> None:
    keep_backup(old.folder / "models.yaml", version=0)
    old.write({"user_profiles/a.json.v0.bak": "something else"})
    done = rewrite_old_files(old.folder)
    assert [one.backup.name for one in done if one.backup] == ["models.yaml.v0.bak", "a.json.v0.2.bak"]


def test_what_a_link_leads_to_is_rewritten_and_the_backup_lies_beside_the_link(old: Sandbox, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text(json.dumps(OLD_LAYER))
    (old.folder / "user_models.json").unlink()
    (old.folder / "user_models.json").symlink_to(elsewhere)
    rewrite_old_files(old.folder)
    assert (old.folder / "user_models.json").is_symlink()
    assert json.loads(elsewhere.read_text())["schema_version"] == 1
    assert json.loads((old.folder / "user_models.json.v0.bak").read_text()) == OLD_LAYER


@pytest.mark.skipif(os.name == "nt", reason="there are no such modes")
def test_whoever_may_not_read_a_file_may_not_read_its_backup(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("{}")
    path.chmod(0o600)
    assert keep_backup(path, version=1).stat().st_mode & 0o777 == 0o600


def test_no_backup_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    kept = []
    for content in (b"one", b"two", b"one", b"three"):
        path.write_bytes(content)
        kept.append(keep_backup(path, version=1).name)
    assert kept == ["a.json.v1.bak", "a.json.v1.2.bak", "a.json.v1.bak", "a.json.v1.3.bak"]
    assert [(tmp_path / name).read_bytes() for name in kept[:2]] == [b"one", b"two"]


def test_a_backup_is_no_profile_and_no_stray(sandbox: Sandbox) -> None:
    sandbox.write({"models.json": "{}", "models.json.v1.bak": "x", "user_profiles/a.json.v1.bak": "x"})
    assert sandbox.load().warnings == ()

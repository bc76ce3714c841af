"""`rolegate config migrate`, and the other commands on files of an older version of the format."""

import json
import sys
from pathlib import Path

import pytest

from admin_builders import an_admin_gateway, write_layers, write_profile
from command_builders import Run, a_command
from fakes.ollama import FakeOllama
from older_format import NEW_PROFILE, OLD_LAYER, OLD_PROFILE, an_old_export, know_an_older_format

WARNING = (
    "warning: {folder}: found user_models.yaml, user_profiles/old.json in an older form; allowed: schema_version 1; they are "
    "read all the same; `rolegate config migrate --write` rewrites them and keeps what was in them\n"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    know_an_older_format(monkeypatch)
    place = write_layers(tmp_path, url="http://127.0.0.1:9", old=OLD_PROFILE)
    (place / "user_models.yaml").write_text(f"# mine\n{json.dumps(OLD_LAYER)}\n", encoding="utf-8")
    return place


@pytest.fixture
def rolegate(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    return a_command(folder, capsys)


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


async def test_the_files_of_an_older_version_are_named_before_they_are_rewritten(rolegate: Run, folder: Path) -> None:
    ran = await rolegate("config", "migrate")
    assert ran.code == 0
    assert lines(ran.out) == [
        "FILE SCHEMA_VERSION BACKUP",
        f"{folder}/user_models.yaml 0 -",
        f"{folder}/user_profiles/old.json 0 -",
    ]
    assert ran.err == (
        "--write rewrites them in the form of schema_version 1, each with a backup\n"
        "comments would then be in the backups only: user_models.yaml\n"
    )
    assert json.loads((folder / "user_profiles/old.json").read_text(encoding="utf-8")) == OLD_PROFILE


async def test_they_are_rewritten_once(rolegate: Run, folder: Path) -> None:
    ran = await rolegate("config", "migrate", "--write")
    assert ran.code == 0
    assert lines(ran.out)[1:] == [
        f"{folder}/user_models.yaml 0 user_models.yaml.v0.bak",
        f"{folder}/user_profiles/old.json 0 old.json.v0.bak",
    ]
    assert ran.err == "comments are in the backups only: user_models.yaml\n"
    assert json.loads((folder / "user_profiles/old.json").read_text(encoding="utf-8")) == NEW_PROFILE
    assert json.loads((folder / "user_profiles/old.json.v0.bak").read_text(encoding="utf-8")) == OLD_PROFILE
    again = await rolegate("config", "migrate", "--write")
    assert (again.code, again.out) == (0, "")
    assert again.err == f"{folder}: every file is in the form of schema_version 1 already\n"


async def test_the_same_is_told_as_json(rolegate: Run, folder: Path) -> None:
    layer, profile = str(folder / "user_models.yaml"), str(folder / "user_profiles/old.json")
    told = (await rolegate("config", "migrate", "--json")).json
    assert told == {
        "schema_version": 1,
        "written": False,
        "files": [{"file": layer, "from": 0, "backup": None}, {"file": profile, "from": 0, "backup": None}],
    }
    told = (await rolegate("config", "migrate", "--write", "--json")).json
    assert [one["backup"] for one in told["files"]] == [f"{layer}.v0.bak", f"{profile}.v0.bak"]
    assert (await rolegate("config", "migrate", "--json")).json["files"] == []


async def test_a_file_of_a_newer_version_keeps_all_as_they_are(rolegate: Run, folder: Path) -> None:
    write_profile(folder, "newer", {"schema_version": 2, "unheard_of": True})
    ran = await rolegate("config", "migrate", "--write")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err == (
        "error: 1 problem in the configuration:\n"
        f"  {folder}/user_profiles/newer.json:1: schema_version: found 2, which is newer than this rolegate; allowed: 1; "
        "upgrade rolegate, or use a file of schema_version 1\n"
        "hint: nothing was written\n"
    )
    assert json.loads((folder / "user_profiles/old.json").read_text(encoding="utf-8")) == OLD_PROFILE


async def test_they_are_valid_and_warned_of(rolegate: Run, folder: Path) -> None:
    ran = await rolegate("config", "validate")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err == WARNING.format(folder=folder) + f"{folder}: no problem in any layer, profile or template\n"
    shown = (await rolegate("config", "show", "--json")).json
    assert shown["role_mappings"]["planner"]["preferred"] == ["llama3.1:8b"]
    used = await rolegate("profiles", "use", "old")
    assert (used.code, used.out) == (0, "active profile: old\n")


async def test_a_profile_of_an_older_version_is_shown_in_this_one(rolegate: Run) -> None:
    assert (await rolegate("profiles", "show", "old", "--json")).json["values"] == NEW_PROFILE


async def test_an_edit_of_one_says_where_the_older_form_is_kept(rolegate: Run, folder: Path) -> None:
    path = folder / "user_profiles/old.json"
    ran = await rolegate("profiles", "set", "old", "description=new")
    assert (ran.code, ran.out) == (0, f"wrote {path}\n")
    kept = "it was in the form of an older version; what was in it is kept in"
    assert ran.err.startswith(f"{kept} {path}.v0.bak\n")
    ran = await rolegate("roles", "set", "planner", "discover=true", "--json")
    assert ran.json["backup"] == f"{folder}/user_models.yaml.v0.bak"


async def test_an_editor_gets_the_text_as_it_is(
    rolegate: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "editor.py"
    program.write_text(
        "import pathlib, sys\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "path.write_text(path.read_text().replace('mistral:latest', 'qwen3:8b'))\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("EDITOR", f"'{sys.executable}' '{program}'")
    ran = await rolegate("profiles", "edit", "old")
    assert ran.code == 0
    changed = {"schema_version": 0, "roles": {"planner": {"models": ["qwen3:8b"]}}}
    assert json.loads((folder / "user_profiles/old.json").read_text(encoding="utf-8")) == changed
    assert (await rolegate("config", "show", "--json")).code == 0


async def test_an_exported_file_of_an_older_version_is_imported_in_this_one(
    rolegate: Run, folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "child.bundle"
    file.write_bytes(an_old_export("child", {"parent": "base"}, parents={"base": {"roles": OLD_LAYER["roles"]}}))
    ran = await rolegate("profiles", "import", str(file))
    assert ran.code == 0
    assert lines(ran.out) == [f"wrote {folder / 'user_profiles' / name}.json" for name in ("base", "child")]
    assert ran.err.startswith(f"{file} is in the form of schema_version 0, and was brought up to date\n")
    assert json.loads((folder / "user_profiles/child.json").read_text(encoding="utf-8")) == {
        "schema_version": 1,
        "extends": "base",
    }
    again = (await rolegate("profiles", "import", str(file), "--json")).json
    assert (again["changed"], again["migrated_from"]) == (False, 0)


async def test_a_gateway_that_serves_by_them_notices_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    know_an_older_format(monkeypatch)
    async with FakeOllama(models=["llama3.1:8b", "mistral"]) as server:
        folder = write_layers(tmp_path, url=server.url, old=OLD_PROFILE)
        async with an_admin_gateway(folder) as gateway:
            assert (await gateway.client.post("/admin/v1/swap", json={"profile": "old"})).json()["swapped"]
            before = gateway.switchboard.live
            assert (await a_command(folder, capsys)("config", "migrate", "--write")).code == 0
            await gateway.controller.edited(cause="user_profiles/old.json changed")
            assert gateway.switchboard.live is before
            assert gateway.controller.last_error == ""

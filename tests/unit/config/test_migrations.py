"""Older versions of the format: read as if they were of this one, by everybody who reads a file."""

import json
from collections.abc import Mapping

import pytest

from gateway.config import profile_edits, profiles, role_edits
from gateway.config.document import SCHEMA_VERSION
from gateway.config.load import check, merged_values
from gateway.config.migrate import STEPS, current, migrated, stamped
from gateway.config.profile_edits import read_file
from older_format import NEW_PROFILE, OLD_LAYER, OLD_PROFILE, know_an_older_format
from unit.config.sandbox import Sandbox

OLD = '{"schema_version": 1, "preferred": ["mistral"]}'


def renamed(data: Mapping[str, object]) -> dict[str, object]:
    return {"models" if key == "preferred" else key: value for key, value in data.items()}


def counted(data: Mapping[str, object]) -> dict[str, object]:
    models = data.get("models")
    return {**data, "count": len(models) if isinstance(models, list) else 0}


TO_THREE = {1: renamed, 2: counted}


@pytest.fixture
def old(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A layer and a profile of version 0, and a profile of this one that extends it."""
    know_an_older_format(monkeypatch)
    sandbox.write(
        {
            "models.json": json.dumps(OLD_LAYER),
            "user_profiles/old.json": json.dumps(OLD_PROFILE),
            "user_profiles/young.json": '{"extends": "old"}',
            "user_profiles/older.yaml": "# by hand\nschema_version: 0\nparent: young\n",
        }
    )
    return sandbox


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


def test_a_document_in_memory_keeps_its_text_and_lines(sandbox: Sandbox) -> None:
    sandbox.write({"models.json": OLD})
    _content, document = read_file(sandbox.folder / "models.json")
    now = current(document, steps=TO_THREE)
    assert now.data == {"schema_version": 3, "models": ["mistral"], "count": 1}
    assert (now.text, now.migrated_from) == (OLD, 1)
    assert current(now, steps=TO_THREE) is now


def test_a_new_file_names_its_version_from_the_second_on() -> None:
    assert stamped({"selection": {}}) == {"selection": {}}
    assert list(stamped({"selection": {}}, version=2).items()) == [("schema_version", 2), ("selection", {})]
    assert stamped({"schema_version": 1}, version=2) == {"schema_version": 1}


def test_files_of_an_older_version_are_used_as_they_are(old: Sandbox) -> None:
    configuration = old.load(profile="older")
    assert configuration.roles["planner"].preferred == ("mistral:latest",)
    assert old.load().roles["planner"].preferred == ("llama3.1:8b",)
    assert (old.folder / "models.json").read_text() == json.dumps(OLD_LAYER)


def test_they_are_warned_of_together(old: Sandbox) -> None:
    warning = (
        "config: found models.json, user_profiles/old.json, user_profiles/older.yaml in an older form; "
        "allowed: schema_version 1; they are read all the same; `rolegate config migrate --write` rewrites them and keeps "
        "what was in them"
    )
    assert old.told(old.load().warnings) == [warning]
    checked = check(folder=old.folder, state_folder=old.state, environment=old.check().environment)
    assert (old.told(checked.problems), old.told(checked.warnings)) == ([], [warning])
    old.write({"user_profiles/another.json": '{"schema_version": 0}'})
    assert "models.json, user_profiles/another.json, user_profiles/old.json and 1 more in" in str(
        old.load().warnings[0]
    )


def test_profiles_of_an_older_version_are_listed_and_shown_like_any_other(old: Sandbox) -> None:
    listed = profiles.overview(folder=old.folder, active_name=None)
    assert [(one.name, one.extends, one.problems) for one in listed] == [
        ("old", None, ()),
        ("older", "young", ()),
        ("young", "old", ()),
    ]
    shown = profiles.show("older", folder=old.folder, active_name=None)
    assert (shown.chain, shown.values) == (("older", "young", "old"), {"schema_version": 1, "extends": "young"})
    assert merged_values(folder=old.folder, profile="older")["role_mappings"] == NEW_PROFILE["role_mappings"]


def test_a_mistake_in_one_says_in_which_form_it_is_one(old: Sandbox) -> None:
    old.write({"user_profiles/old.json": '{\n"schema_version": 0,\n"roles": {"planner": {"max_deployments": 0}}}'})
    assert old.problems(profile="old") == [
        (
            "config/user_profiles/old.json: role_mappings.planner.max_deployments: found 0; allowed: a whole number from 1 to "
            "64; the file has schema_version 0, and this is what it says in 1"
        )
    ]


def test_a_version_that_no_step_leads_from_is_refused(old: Sandbox) -> None:
    old.write({"user_profiles/old.json": '{"schema_version": -1}'})
    assert old.problems(profile="old") == ["config/user_profiles/old.json:1: schema_version: found -1; allowed: 1"]


def test_an_edit_writes_the_newest_form_and_keeps_the_older(old: Sandbox) -> None:
    path = old.folder / "user_profiles/old.json"
    edited = profile_edits.assign("old", ["description=new"], folder=old.folder, check=old.check())
    assert json.loads(path.read_text()) == {**NEW_PROFILE, "description": "new"}
    assert edited.backup == path.with_name("old.json.v0.bak")
    assert edited.backup.read_text() == json.dumps(OLD_PROFILE)
    again = profile_edits.assign("old", ["description=newer"], folder=old.folder, check=old.check())
    assert again.backup is None


def test_an_edit_that_says_what_is_there_leaves_the_older_form_alone(old: Sandbox) -> None:
    edited = profile_edits.put("old", NEW_PROFILE, folder=old.folder, check=old.check())
    assert (edited.changed, edited.backup) == (False, None)
    assert (old.folder / "user_profiles/old.json").read_text() == json.dumps(OLD_PROFILE)


def test_a_text_in_the_older_form_needs_no_backup(old: Sandbox) -> None:
    text = json.dumps({**OLD_PROFILE, "description": "by hand"})
    edited = profile_edits.put_text("old", text, folder=old.folder, check=old.check())
    assert (edited.changed, edited.backup) == (True, None)
    assert (old.folder / "user_profiles/old.json").read_text() == text


def test_an_edited_role_keeps_the_older_form_of_the_layer_too(old: Sandbox) -> None:
    old.write({"user_models.json": json.dumps(OLD_LAYER)})
    edited = role_edits.set_role("planner", ["discover=false"], folder=old.folder, check=old.check())
    assert edited.backup is not None
    assert edited.backup.read_text() == json.dumps(OLD_LAYER)
    assert json.loads(edited.path.read_text()) == {
        "schema_version": 1,
        "role_mappings": {"planner": {"preferred": ["llama3.1:8b"], "discover": False}},
    }

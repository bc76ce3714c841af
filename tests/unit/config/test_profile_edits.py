"""Creating, copying, changing and deleting profiles: judged as a whole first, and nothing lost."""

import errno
import json
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from gateway.config import profile_edits, profiles
from gateway.config.drafts import Check, Draft
from gateway.errors import BadRequest, NameTaken, Problem, ProfileInUse, RolegateError, UnknownName
from gateway.file_errors import CannotWrite, ConfigInvalid, EditConflict
from gateway.files.etag import ABSENT, etag
from unit.config.sandbox import Sandbox

BASE = """\
role_mappings:
  planner: {preferred: ["llama3.1:8b", "mistral:latest"]}
"""
NOTED = """\
# mine
extends: coding   # as ever
role_mappings:
  planner:
    weights: {speed: 1}
"""


@pytest.fixture
def house(sandbox: Sandbox) -> Sandbox:
    sandbox.write(
        {
            "models.yaml": BASE,
            "user_profiles/coding.json": '{"description": "code", "role_mappings": {"planner": {"max_deployments": 2}}}',
            "user_profiles/noted.yaml": NOTED,
        }
    )
    return sandbox


def everything(sandbox: Sandbox) -> dict[str, bytes]:
    """What lies in the configuration folder, but for the lock."""
    return {
        str(path.relative_to(sandbox.folder)): path.read_bytes()
        for path in sandbox.folder.rglob("*")
        if path.is_file() and path.name != ".rolegate.lock"
    }


def refused(house: Sandbox, edit: Callable[[], object]) -> str:
    """What an edit is refused with; nothing may have changed."""
    before = everything(house)
    with pytest.raises(RolegateError) as error:
        edit()
    assert everything(house) == before
    return error.value.message.replace(f"{house.root}/", "")


def test_a_profile_is_read_with_its_own_text(house: Sandbox) -> None:
    edition = profile_edits.read("noted", folder=house.folder)
    assert edition.text == NOTED
    assert edition.etag == etag(NOTED.encode())
    assert edition.values == {"extends": "coding", "role_mappings": {"planner": {"weights": {"speed": 1}}}}
    assert edition.problems == ()


def test_a_broken_profile_is_read_so_that_it_can_be_mended(house: Sandbox) -> None:
    house.write({"user_profiles/broken.json": '{"extends": ', "user_profiles/binary.json": b"\xff{}"})
    edition = profile_edits.read("broken", folder=house.folder)
    assert (edition.text, edition.values) == ('{"extends": ', {})
    assert house.told(edition.problems) == [
        "config/user_profiles/broken.json:1: found broken JSON at column 13: expecting value; allowed: JSON"
    ]
    with pytest.raises(ConfigInvalid):
        profile_edits.read("binary", folder=house.folder)
    with pytest.raises(UnknownName) as unknown:
        profile_edits.read("noeted", folder=house.folder)
    assert unknown.value.hint == 'did you mean "noted"?'


def test_a_new_profile_is_empty_or_holds_what_it_is_given(house: Sandbox) -> None:
    empty = profile_edits.create("empty", folder=house.folder, check=house.check())
    assert (empty.created, empty.changed, empty.path.name) == (True, True, "empty.json")
    assert empty.path.read_bytes() == b"{}\n"
    values = {"extends": "coding", "role_mappings": {"planner": {"weights": {"speed": 1}, "preferred": ["mistral"]}}}
    full = profile_edits.create("full", folder=house.folder, check=house.check(), values=values)
    assert full.path.read_text() == (
        "{\n"
        '  "extends": "coding",\n'
        '  "role_mappings": {\n'
        '    "planner": {\n'
        '      "weights": {"speed": 1},\n'
        '      "preferred": ["mistral"]\n'
        "    }\n"
        "  }\n"
        "}\n"
    )
    assert full.etag == etag(full.path.read_bytes())
    assert house.load(profile="full").values["role_mappings"] == {
        "planner": {"preferred": ["mistral"], "max_deployments": 2, "weights": {"speed": 1}}
    }


def test_the_first_profile_makes_the_folder(sandbox: Sandbox) -> None:
    profile_edits.create("first", folder=sandbox.folder, check=sandbox.check())
    assert profiles.names(folder=sandbox.folder) == ("first",)


def test_a_name_that_is_taken_or_is_none_is_refused(house: Sandbox) -> None:
    check = house.check()
    assert refused(house, lambda: profile_edits.create("noted", folder=house.folder, check=check)) == (
        'there is a profile "noted" already, in config/user_profiles/noted.yaml'
    )
    assert refused(house, lambda: profile_edits.copy("noted", "coding", folder=house.folder, check=check)) == (
        'there is a profile "coding" already, in config/user_profiles/coding.json'
    )
    for name in ("../evil", ".hidden", "", "a b", "-x", "x" * 129):
        told = refused(house, partial(profile_edits.create, name, folder=house.folder, check=check))
        assert told.startswith("found the profile name ")
        assert told.endswith("; allowed: letters, digits, _, - and . (the last two not first), at most 128 of them")
    with pytest.raises(NameTaken) as taken:
        profile_edits.create("noted", folder=house.folder, check=check)
    assert (taken.value.code, taken.value.http_status) == ("name_taken", 409)


def test_a_copy_has_the_text_of_the_original(house: Sandbox) -> None:
    copied = profile_edits.copy("noted", "again", folder=house.folder, check=house.check())
    assert copied.path.name == "again.yaml"
    assert copied.path.read_text() == NOTED
    with pytest.raises(UnknownName):
        profile_edits.copy("nothing", "x", folder=house.folder, check=house.check())


def test_text_is_put_just_as_it_is(house: Sandbox) -> None:
    text = NOTED.replace("speed: 1", "speed: 0.5").replace("\n", "\r\n")
    edited = profile_edits.put_text("noted", text, folder=house.folder, check=house.check())
    assert edited.path.read_bytes() == text.encode()
    assert (edited.created, edited.changed, edited.rewritten) == (False, True, False)
    again = profile_edits.put_text("noted", text, folder=house.folder, check=house.check())
    assert (again.changed, again.etag) == (False, edited.etag)


@pytest.mark.parametrize(("text", "file"), [("{}\n", "new.json"), ("# x\nextends: coding\n", "new.yaml")])
def test_new_text_is_json_where_it_begins_like_it(text: str, file: str, house: Sandbox) -> None:
    edited = profile_edits.put_text("new", text, folder=house.folder, check=house.check(), expected=ABSENT)
    assert (edited.path.name, edited.created) == (file, True)


def test_wrong_text_changes_nothing_and_every_problem_is_told(house: Sandbox) -> None:
    wrong = "extends: nobody\nrole_mappings:\n  planner: {weights: {sped: 1}, max_deployments: 0}\n"
    told = refused(
        house, lambda: profile_edits.put_text("noted", wrong, folder=house.folder, check=house.check())
    ).splitlines()
    assert told[0] == "3 problems in the configuration:"
    assert [line.split(": found")[0].strip() for line in told[1:]] == [
        "config/user_profiles/noted.yaml:1: extends",
        "config/user_profiles/noted.yaml:3: role_mappings.planner.max_deployments",
        "config/user_profiles/noted.yaml:3: role_mappings.planner.weights.sped",
    ]
    half = refused(house, lambda: profile_edits.put_text("coding", "{", folder=house.folder, check=house.check()))
    assert "broken JSON" in half
    assert "surrogate" in refused(
        house,
        lambda: profile_edits.put_text("coding", '{"description": "\ud800"}', folder=house.folder, check=house.check()),
    )


def test_what_only_the_whole_shows_is_refused_too(house: Sandbox) -> None:
    values = {"role_mappings": {"planner": {"cloud_fallback": "openai:gpt-4o-mini"}}}
    told = refused(house, lambda: profile_edits.put("coding", values, folder=house.folder, check=house.check()))
    assert 'found the unknown provider "openai"' in told


def test_an_edit_that_breaks_a_profile_that_extends_the_edited_one_is_refused(house: Sandbox) -> None:
    house.write({"user_profiles/child.json": '{"extends": "coding", "selection": {"thermal": {"cool_c": 80}}}'})
    values = {"selection": {"thermal": {"hot_c": 78, "cool_c": 70}}}
    told = refused(house, lambda: profile_edits.put("coding", values, folder=house.folder, check=house.check()))
    assert told == (
        "1 problem in the configuration:\n"
        "  config/user_profiles/child.json:1: selection.thermal.cool_c: found cool_c 80 and hot_c 78; "
        'allowed: cool_c below hot_c; when the profile "child" is active'
    )
    house.write({"user_profiles/child.json": '{"extends": "coding", "unheard_of": 1}'})
    assert profile_edits.put("coding", values, folder=house.folder, check=house.check()).changed


def test_values_are_put_in_the_syntax_of_the_file_and_comments_that_go_are_told(house: Sandbox) -> None:
    values = {
        "extends": "coding",
        "description": "yes: no # 0o17",
        "role_mappings": {"planner": {"weights": {"speed": 2}}},
    }
    edited = profile_edits.put("noted", values, folder=house.folder, check=house.check())
    assert edited.rewritten
    assert profile_edits.read("noted", folder=house.folder).values == values
    assert edited.path.read_text().startswith('extends: coding\ndescription: "yes: no # 0o17"\n')
    assert edited.backup == edited.path.with_name("noted.yaml.bak")
    assert edited.backup.read_text() == NOTED
    assert not profile_edits.put("coding", {}, folder=house.folder, check=house.check()).rewritten


def test_comments_that_somebody_takes_out_by_hand_are_not_kept(house: Sandbox) -> None:
    edited = profile_edits.put_text("noted", "{}", folder=house.folder, check=house.check())
    assert (edited.changed, edited.rewritten, edited.backup) == (True, False, None)


def test_values_that_a_file_says_already_leave_its_text(house: Sandbox) -> None:
    values = profile_edits.read("noted", folder=house.folder).values
    edited = profile_edits.put("noted", values, folder=house.folder, check=house.check())
    assert (edited.changed, edited.rewritten) == (False, False)
    assert edited.path.read_text() == NOTED


def test_values_that_no_file_can_hold_are_refused(house: Sandbox) -> None:
    for value in (float("nan"), "\ud800"):
        values = {"description": value}
        told = refused(house, partial(profile_edits.put, "x", values, folder=house.folder, check=house.check()))
        assert told.startswith("the values cannot be written as JSON: ")


def test_an_edit_of_what_somebody_changed_meanwhile_is_refused(house: Sandbox) -> None:
    started = profile_edits.read("coding", folder=house.folder).etag
    profile_edits.put("coding", {"description": "theirs"}, folder=house.folder, check=house.check(), expected=started)
    for edit in (
        lambda: profile_edits.put("coding", {}, folder=house.folder, check=house.check(), expected=started),
        lambda: profile_edits.put_text("coding", "{}", folder=house.folder, check=house.check(), expected=started),
        lambda: profile_edits.assign(
            "coding", ["gateway={}"], folder=house.folder, check=house.check(), expected=started
        ),
        lambda: profile_edits.put("coding", {}, folder=house.folder, check=house.check(), expected=ABSENT),
        lambda: profile_edits.put("gone", {}, folder=house.folder, check=house.check(), expected=started),
        lambda: profile_edits.delete("coding", folder=house.folder, check=house.check(), expected=started),
    ):
        with pytest.raises(EditConflict):
            edit()
    assert profile_edits.read("coding", folder=house.folder).values == {"description": "theirs"}


def test_single_values_are_set_and_taken_out(house: Sandbox) -> None:
    edited = profile_edits.assign(
        "coding",
        [
            "role_mappings.planner.max_deployments=3",
            'role_mappings.planner.weights={"speed": 1}',
            'model_profiles["a=b:8b"].capabilities.reasoning_strength=0.5',
            "description=",
        ],
        folder=house.folder,
        check=house.check(),
    )
    assert json.loads(edited.path.read_text()) == {
        "role_mappings": {"planner": {"max_deployments": 3, "weights": {"speed": 1}}},
        "model_profiles": {"a=b:8b": {"capabilities": {"reasoning_strength": 0.5}}},
    }


def test_a_place_in_a_list_that_lies_below_changes_a_copy_of_it(house: Sandbox) -> None:
    profile_edits.assign(
        "coding", ["role_mappings.planner.preferred[0]=qwen3:8b"], folder=house.folder, check=house.check()
    )
    assert house.load(profile="coding").roles["planner"].preferred == ("qwen3:8b", "mistral:latest")
    profile_edits.assign(
        "noted", ["role_mappings.planner.preferred[2]=gemma3"], folder=house.folder, check=house.check()
    )
    assert house.load(profile="noted").roles["planner"].preferred == ("qwen3:8b", "mistral:latest", "gemma3")
    profile_edits.assign("noted", ["role_mappings.planner.preferred[0]="], folder=house.folder, check=house.check())
    assert house.load(profile="noted").roles["planner"].preferred == ("mistral:latest", "gemma3")
    assert house.load().roles["planner"].preferred == ("llama3.1:8b", "mistral:latest")


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ("gateway", '"gateway" is no assignment'),
        ("=1", '"=1" is no assignment'),
        (
            "a..b=1",
            (
                '"a..b" is not a set path: character 3 does not fit; write dots between keys, [0] for a place in a list, '
                'and ["a.b"] for a key with dots'
            ),
        ),
        ("gateway.port=[1", "gateway.port: \"[1\" is not JSON (Expecting ',' delimiter: line 1 column 3 (char 2))"),
        ("gateway.port=", "gateway.port is not set here"),
        (
            "role_mappings.planner.preferred[3]=x",
            "role_mappings.planner.preferred[3]: the list has 2 values, counted from 0",
        ),
        ("role_mappings[0]=x", "role_mappings is a mapping and has no such thing as a place"),
        ("description.a=x", 'description is "code" and has no such thing as a key'),
    ],
)
def test_an_assignment_that_does_not_fit_is_said(assignment: str, told: str, house: Sandbox) -> None:
    with pytest.raises(BadRequest) as error:
        profile_edits.assign("coding", [assignment], folder=house.folder, check=house.check())
    assert error.value.message == told
    assert error.value.hint or "set path" in told


def test_an_assignment_that_the_schema_refuses_changes_nothing(house: Sandbox) -> None:
    told = refused(
        house,
        lambda: profile_edits.assign(
            "coding", ["role_mappings.planner.max_deployments=many"], folder=house.folder, check=house.check()
        ),
    )
    assert told.endswith('role_mappings.planner.max_deployments: found "many"; allowed: a whole number from 1 to 64')
    assert refused(house, lambda: profile_edits.assign("coding", [], folder=house.folder, check=house.check())) == (
        "nothing to set"
    )


def test_many_threads_that_set_values_lose_none(house: Sandbox) -> None:
    def add(worker: int) -> None:
        for number in range(5):
            profile_edits.assign(
                "coding",
                [f"role_mappings.r{worker}-{number}.max_deployments={number + 1}"],
                folder=house.folder,
                check=house.check(),
            )

    threads = [threading.Thread(target=add, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    roles = profile_edits.read("coding", folder=house.folder).values["role_mappings"]
    assert isinstance(roles, dict)
    assert set(roles) == {"planner", *(f"r{worker}-{number}" for worker in range(8) for number in range(5))}


def test_a_profile_that_nothing_needs_is_deleted(house: Sandbox) -> None:
    profile_edits.delete("noted", folder=house.folder, check=house.check())
    profile_edits.delete("coding", folder=house.folder, check=house.check())
    assert profiles.names(folder=house.folder) == ()
    with pytest.raises(UnknownName):
        profile_edits.delete("coding", folder=house.folder, check=house.check())


def test_a_profile_that_others_extend_is_not_deleted(house: Sandbox) -> None:
    house.write({"user_profiles/a.json": '{"extends": "coding"}'})
    with pytest.raises(ProfileInUse) as used:
        profile_edits.delete("coding", folder=house.folder, check=house.check(), successor="a")
    assert used.value.message == 'the profile "coding" is needed: a, noted extend it'
    assert used.value.hint == "let them extend another profile, or delete them first"
    assert (used.value.code, used.value.http_status, used.value.exit_code) == ("profile_in_use", 409, 2)


def _active(house: Sandbox) -> str | None:
    return house.check().active.name


def test_the_active_profile_is_deleted_for_a_successor_only(house: Sandbox) -> None:
    profiles.use("noted", folder=house.folder, state_folder=house.state)
    check = house.check()
    assert refused(house, lambda: profile_edits.delete("noted", folder=house.folder, check=check)) == (
        'the profile "noted" is needed: it is the active one'
    )
    for successor, told in (
        ("noted", 'the profile "noted" cannot be its own successor'),
        ("nobody", 'there is no profile "nobody"; known: coding, noted'),
    ):
        edit = partial(profile_edits.delete, "noted", folder=house.folder, check=check, successor=successor)
        assert refused(house, edit) == told
    house.write({"user_profiles/wrong.json": '{"unheard_of": 1}'})
    assert 'found the unknown key "unheard_of"' in refused(
        house, lambda: profile_edits.delete("noted", folder=house.folder, check=check, successor="wrong")
    )
    assert _active(house) == "noted"
    profile_edits.delete("noted", folder=house.folder, check=check, successor="coding")
    assert _active(house) == "coding"
    profile_edits.delete("coding", folder=house.folder, check=check, successor="")
    assert _active(house) is None
    assert profiles.names(folder=house.folder) == ("wrong",)


def test_a_successor_that_cannot_be_written_down_keeps_the_profile(
    house: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    profiles.use("noted", folder=house.folder, state_folder=house.state)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    edit = partial(profile_edits.delete, "noted", folder=house.folder, check=house.check(), successor="coding")
    assert refused(house, edit) == "cannot write state/active_profile: the disk is full"
    assert _active(house) == "noted"


def test_one_folder_may_be_for_configuration_and_state(house: Sandbox) -> None:
    check = Check(state_folder=house.folder, environment=house.check().environment)
    profiles.use("noted", folder=house.folder, state_folder=house.folder)
    profile_edits.delete("noted", folder=house.folder, check=check, successor="coding")
    assert check.active.name == "coding"


def test_a_profile_that_cannot_be_removed_stays_the_active_one(house: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    profiles.use("noted", folder=house.folder, state_folder=house.state)
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.parent.name == "user_profiles":
            raise OSError(errno.EROFS, "Read-only file system")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(CannotWrite) as refused:
        profile_edits.delete("noted", folder=house.folder, check=house.check(), successor="coding")
    assert refused.value.reason == "it is on a read-only file system"
    assert house.check().active.name == "noted"


def test_a_name_that_dots_would_cut_is_to_be_quoted(house: Sandbox) -> None:
    cut = "model_profiles.llama3.1:8b.capabilities.context_length=4096"
    with pytest.raises(BadRequest) as refused:
        profile_edits.assign("coding", [cut], folder=house.folder, check=house.check())
    assert refused.value.message == (
        "model_profiles.llama3.1:8b.capabilities.context_length: the dots in llama3.1:8b would cut the name"
    )
    meant = 'model_profiles["llama3.1:8b"].capabilities.context_length'
    assert refused.value.hint == f"write it in brackets and quotes: '{meant}=…'"
    edited = profile_edits.assign("coding", [f"{meant}=4096"], folder=house.folder, check=house.check())
    assert edited.changed


def test_a_profile_that_a_variable_makes_the_active_one_is_not_deleted(house: Sandbox) -> None:
    check = house.check(ROLEGATE_PROFILE="noted")
    assert refused(
        house, lambda: profile_edits.delete("noted", folder=house.folder, check=check, successor="coding")
    ) == ('the profile "noted" is needed: it is the active one, by ROLEGATE_PROFILE (environment)')


def test_a_profile_with_two_spellings_is_not_edited(house: Sandbox) -> None:
    house.write({"user_profiles/noted.json": "{}"})
    for edit in (
        lambda: profile_edits.put("noted", {}, folder=house.folder, check=house.check()),
        lambda: profile_edits.read("noted", folder=house.folder),
        lambda: profile_edits.delete("noted", folder=house.folder, check=house.check()),
    ):
        with pytest.raises(ConfigInvalid) as doubled:
            edit()
        assert "two spellings of the profile" in doubled.value.message


def test_what_is_doubtful_is_told_after_the_edit(house: Sandbox) -> None:
    edited = profile_edits.put(
        "coding",
        {"role_mappings": {"planner": {"preferred": ["olama:llama3.1:8b"]}}},
        folder=house.folder,
        check=house.check(),
    )
    assert [one.split(": found")[0] for one in house.told(edited.warnings)] == [
        "config/user_profiles/coding.json:3: role_mappings.planner.preferred[0]"
    ]


def test_a_profile_behind_a_link_is_edited_where_it_lies(house: Sandbox) -> None:
    there = house.root / "elsewhere.json"
    (house.folder / "user_profiles/coding.json").rename(there)
    (house.folder / "user_profiles/coding.json").symlink_to(there)
    profile_edits.put("coding", {"description": "new"}, folder=house.folder, check=house.check())
    assert (house.folder / "user_profiles/coding.json").is_symlink()
    assert json.loads(there.read_text()) == {"description": "new"}


def test_a_deleted_folder_is_said(house: Sandbox) -> None:
    gone = house.folder / "gone"
    with pytest.raises(CannotWrite) as error:
        profile_edits.create("x", folder=gone, check=house.check())
    assert error.value.message == f"cannot write {gone}: there is no folder {gone}"


def test_the_configuration_that_comes_with_the_package_is_not_edited(
    house: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = house.root / "package"
    (package / "_shipped").mkdir(parents=True)
    house.folder.rename(package / "_shipped" / "config")
    monkeypatch.setattr("gateway.config.folders._PACKAGE", package)
    with pytest.raises(CannotWrite) as error:
        profile_edits.create("x", folder=package / "_shipped" / "config", check=house.check())
    assert error.value.message == (
        f"cannot write {package}/_shipped/config: it is the configuration that comes with rolegate, and an upgrade would "
        "undo the edit"
    )


class SlowCheck(Check):
    """An editor saves while it judges."""

    def judge(self, draft: Draft) -> tuple[Problem, ...]:
        for path in draft.files:
            path.write_text('{"description": "saved"}')
        return super().judge(draft)


def test_an_editor_that_takes_no_lock_and_saves_meanwhile_is_not_overwritten(house: Sandbox) -> None:
    file = house.folder / "user_profiles/coding.json"
    check = SlowCheck(state_folder=house.state, environment=house.check().environment)
    with pytest.raises(EditConflict):
        profile_edits.assign("coding", ["description=mine"], folder=house.folder, check=check)
    assert file.read_text() == '{"description": "saved"}'


def test_edits_leave_nothing_but_the_lock(house: Sandbox) -> None:
    profile_edits.put("coding", {}, folder=house.folder, check=house.check())
    assert sorted(path.name for path in house.folder.iterdir()) == [".rolegate.lock", "models.yaml", "user_profiles"]
    assert sorted(path.name for path in Path(house.folder / "user_profiles").iterdir()) == ["coding.json", "noted.yaml"]

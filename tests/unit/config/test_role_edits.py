"""Setting, adding and removing roles in `user_models`, over and under what the other layers say."""

import json
import threading
from functools import partial

import pytest

from gateway.config import profiles
from gateway.config.role_edits import add_role, remove_role, set_role
from gateway.errors import BadRequest, NameTaken, UnknownName
from gateway.file_errors import ConfigInvalid, EditConflict
from gateway.files.etag import ABSENT, etag
from unit.config.sandbox import Sandbox


@pytest.fixture
def house(sandbox: Sandbox) -> Sandbox:
    sandbox.write(
        {
            "models.json": '{"role_mappings": {"planner": {"preferred": ["llama3.1:8b", "mistral"]}}}',
            "user_profiles/coding.json": '{"role_mappings": {"planner": {"max_deployments": 2}, "coder": {}}}',
        }
    )
    return sandbox


def own(house: Sandbox) -> object:
    return json.loads((house.folder / "user_models.json").read_text())


def test_a_role_is_set_over_what_the_layers_below_say(house: Sandbox) -> None:
    edited = set_role(
        "planner",
        ["preferred[1]=qwen3:8b", "requirements.reasoning_strength=0.7"],
        folder=house.folder,
        check=house.check(),
    )
    assert (edited.path.name, edited.changed, edited.profiles) == ("user_models.json", True, ("coding",))
    assert edited.etag == etag(edited.path.read_bytes())
    assert own(house) == {
        "role_mappings": {
            "planner": {"preferred": ["llama3.1:8b", "qwen3:8b"], "requirements": {"reasoning_strength": 0.7}}
        }
    }
    assert house.load().roles["planner"].preferred == ("llama3.1:8b", "qwen3:8b")
    set_role("planner", ["preferred="], folder=house.folder, check=house.check())
    assert house.load().roles["planner"].preferred == ("llama3.1:8b", "mistral")


def test_a_role_is_added_and_removed(house: Sandbox) -> None:
    add_role("critic", ['preferred=["mistral"]'], folder=house.folder, check=house.check())
    add_role("judge.2", folder=house.folder, check=house.check())
    assert sorted(house.load().roles) == ["critic", "judge.2", "planner"]
    with pytest.raises(NameTaken) as taken:
        add_role("critic", folder=house.folder, check=house.check())
    assert taken.value.message == f'there is a role "critic" already, in {house.folder}'
    assert taken.value.hint == "change it with `rolegate roles set critic`"
    edited = remove_role("critic", folder=house.folder, check=house.check())
    assert edited.profiles == ()
    assert own(house) == {"role_mappings": {"judge.2": {}}}


def test_a_role_of_a_lower_layer_is_removed_by_null_and_comes_back_new_when_added(house: Sandbox) -> None:
    edited = remove_role("planner", folder=house.folder, check=house.check())
    assert own(house) == {"role_mappings": {"planner": None}}
    assert edited.profiles == ("coding",)
    assert list(house.load().roles) == []
    assert sorted(house.load(profile="coding").roles) == ["coder", "planner"]
    with pytest.raises(UnknownName) as unknown:
        set_role("planner", ["discover=true"], folder=house.folder, check=house.check())
    assert unknown.value.message == 'there is no role "planner"; known: none'
    add_role("planner", ["discover=true"], folder=house.folder, check=house.check())
    assert list(house.load().roles) == ["planner"]
    assert house.load().roles["planner"].preferred == ()
    assert own(house) == {"role_mappings": {"planner": {"preferred": None, "discover": True}}}


def test_what_is_taken_out_of_a_role_leaves_nothing_empty_behind(house: Sandbox) -> None:
    for change in ("requirements.memory_gb_max=6", "requirements.memory_gb_max="):
        set_role("planner", [change], folder=house.folder, check=house.check())
    assert own(house) == {"role_mappings": {"planner": {}}}


def test_a_role_that_only_the_active_profile_has_is_removed_there(house: Sandbox) -> None:
    profiles.use("coding", folder=house.folder, state_folder=house.state)
    with pytest.raises(BadRequest) as refused:
        remove_role("coder", folder=house.folder, check=house.check())
    assert refused.value.message == 'the role "coder" is set by profiles only: coding'
    set_role("coder", ["discover=true"], folder=house.folder, check=house.check())
    assert house.load().roles["coder"].discover


def test_an_unknown_role_is_named_with_the_nearest(house: Sandbox) -> None:
    for edit in (
        partial(set_role, "planer", ["discover=true"], folder=house.folder, check=house.check()),
        partial(remove_role, "planer", folder=house.folder, check=house.check()),
    ):
        with pytest.raises(UnknownName) as unknown:
            edit()
        assert unknown.value.hint == 'did you mean "planner"?'


def test_a_wrong_value_or_name_changes_nothing(house: Sandbox) -> None:
    with pytest.raises(ConfigInvalid) as wrong:
        set_role("planner", ["max_deployments=0", "weights.sped=1"], folder=house.folder, check=house.check())
    assert len(wrong.value.problems) == 2
    with pytest.raises(ConfigInvalid) as unnamed:
        add_role("a b", folder=house.folder, check=house.check())
    assert house.told(unnamed.value.problems) == [
        (
            'config/user_models.json:2: role_mappings["a b"]: found the name "a b"; '
            "allowed: a role name of letters, digits, _, . and -"
        )
    ]
    assert not (house.folder / "user_models.json").exists()
    with pytest.raises(BadRequest, match="nothing to set"):
        set_role("planner", [], folder=house.folder, check=house.check())


def test_a_profile_that_the_edit_would_break_is_told(house: Sandbox) -> None:
    house.write(
        {
            "models.yaml": "cloud_providers: {openai: {}}\n",
            "user_profiles/loud.json": '{"role_mappings": {"planner.cloud": {"preferred": ["mistral"]}}}',
        }
    )
    with pytest.raises(ConfigInvalid) as refused:
        set_role("planner", ["cloud_fallback=openai:gpt-4o"], folder=house.folder, check=house.check())
    assert [str(one).endswith('; when the profile "loud" is active') for one in refused.value.problems] == [True]


def test_the_yaml_spelling_is_edited_where_it_is_used_and_lost_comments_are_told(house: Sandbox) -> None:
    house.write({"user_models.yml": "# mine\nrole_mappings:\n  critic: {}\n"})
    edited = set_role("critic", ["discover=true"], folder=house.folder, check=house.check())
    assert (edited.path.name, edited.rewritten) == ("user_models.yml", True)
    assert edited.backup is not None
    assert edited.backup.read_text() == "# mine\nrole_mappings:\n  critic: {}\n"
    assert edited.path.read_text() == "role_mappings:\n  critic:\n    discover: true\n"
    house.write({"user_models.json": "{}"})
    with pytest.raises(ConfigInvalid, match="two spellings of the layer user_models"):
        set_role("critic", ["discover=false"], folder=house.folder, check=house.check())


def test_an_edit_of_what_somebody_changed_meanwhile_is_refused(house: Sandbox) -> None:
    started = add_role("critic", folder=house.folder, check=house.check()).etag
    set_role("critic", ["discover=true"], folder=house.folder, check=house.check(), expected=started)
    for edit in (
        partial(set_role, "critic", ["discover=false"], folder=house.folder, check=house.check(), expected=started),
        partial(add_role, "judge", folder=house.folder, check=house.check(), expected=ABSENT),
        partial(remove_role, "critic", folder=house.folder, check=house.check(), expected=started),
    ):
        with pytest.raises(EditConflict):
            edit()
    assert own(house) == {"role_mappings": {"critic": {"discover": True}}}


def test_a_broken_layer_is_not_written_over(house: Sandbox) -> None:
    house.write({"user_models.json": "{"})
    with pytest.raises(ConfigInvalid, match="broken JSON"):
        set_role("planner", ["discover=true"], folder=house.folder, check=house.check())
    with pytest.raises(EditConflict):
        set_role("planner", ["discover=true"], folder=house.folder, check=house.check(), expected=etag(b"{}"))
    assert (house.folder / "user_models.json").read_text() == "{"


def test_many_threads_that_add_roles_lose_none(house: Sandbox) -> None:
    def add(worker: int) -> None:
        for number in range(4):
            add_role(f"r{worker}-{number}", folder=house.folder, check=house.check())

    threads = [threading.Thread(target=add, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(house.load().roles) == 1 + 8 * 4

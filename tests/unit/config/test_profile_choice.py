"""Listing, showing and choosing profiles."""

import stat

import pytest

from gateway.config import profiles
from gateway.config.environ import Environment
from gateway.errors import UnknownName
from gateway.file_errors import ConfigInvalid
from unit.config.sandbox import Sandbox

NOTHING_SET = Environment(variables={"HOME": "/"})


@pytest.fixture
def three(sandbox: Sandbox) -> Sandbox:
    sandbox.write(
        {
            "user_profiles/coding.json": '{"description": "code", "gateway": {"port": 1}}',
            "user_profiles/deep.yaml": "extends: coding\n",
            "user_profiles/broken.json": "{",
        }
    )
    return sandbox


def test_profiles_are_listed_by_name_with_what_they_say_of_themselves(three: Sandbox) -> None:
    assert profiles.names(folder=three.folder) == ("broken", "coding", "deep")
    listed = profiles.overview(folder=three.folder, active_name="deep")
    assert [(one.name, one.active, one.extends, one.description, len(one.problems)) for one in listed] == [
        ("broken", False, None, "", 1),
        ("coding", False, None, "code", 0),
        ("deep", True, "coding", "", 0),
    ]


def test_a_profile_is_shown_with_what_it_extends(three: Sandbox) -> None:
    shown = profiles.show("deep", folder=three.folder, active_name=None)
    assert shown.chain == ("deep", "coding")
    assert shown.values == {"extends": "coding"}
    assert profiles.show("broken", folder=three.folder, active_name=None).values == {}


def test_an_unknown_profile_cannot_be_shown_or_used(three: Sandbox) -> None:
    with pytest.raises(UnknownName) as shown:
        profiles.show("codng", folder=three.folder, active_name=None)
    assert shown.value.message == 'there is no profile "codng"; known: broken, coding, deep'
    assert shown.value.hint == 'did you mean "coding"?'
    with pytest.raises(UnknownName):
        profiles.use("../coding", folder=three.folder, state_folder=three.state)
    assert not three.state.exists()


def test_profiles_that_cannot_be_listed_are_not_taken_for_none(sandbox: Sandbox) -> None:
    sandbox.write({"user_profiles": "a file in the folder's place"})
    for ask in (profiles.names, lambda *, folder: profiles.overview(folder=folder, active_name=None)):
        with pytest.raises(ConfigInvalid) as refused:
            ask(folder=sandbox.folder)
        assert sandbox.told(refused.value.problems) == ["config/user_profiles: found a file; allowed: a folder"]


def test_use_persists_for_the_next_start(three: Sandbox) -> None:
    profiles.use("coding", folder=three.folder, state_folder=three.state)
    profiles.use("deep", folder=three.folder, state_folder=three.state)
    chosen = profiles.active(state_folder=three.state, environment=NOTHING_SET)
    assert (chosen.name, chosen.chosen_by) == ("deep", "persisted")
    assert (three.state / "active_profile").read_text() == "deep\n"
    assert stat.S_IMODE((three.state / "active_profile").stat().st_mode) == 0o600
    assert sorted(path.name for path in three.state.iterdir()) == [".active_profile.lock", "active_profile"]


def test_use_of_none_goes_back_to_no_profile(three: Sandbox) -> None:
    profiles.use("coding", folder=three.folder, state_folder=three.state)
    profiles.use(None, folder=three.folder, state_folder=three.state)
    profiles.use(None, folder=three.folder, state_folder=three.state)
    chosen = profiles.active(state_folder=three.state, environment=NOTHING_SET)
    assert (chosen.name, chosen.chosen_by) == (None, "nobody")

"""Exported profiles: what is in the file, what is refused, and what an import leaves alone."""

import hashlib
import json
from pathlib import Path

import pytest

from gateway.config import profile_edits, profiles
from gateway.config.bundle import Bundle, export, import_, packed, unpacked
from gateway.errors import BadRequest, NameTaken, RolegateError, UnknownName
from gateway.file_errors import ConfigInvalid
from older_format import an_old_export, know_an_older_format
from unit.config.sandbox import Sandbox

CODING = {"description": "code", "role_mappings": {"planner": {"max_deployments": 2}}}
DEEP = {"extends": "coding", "role_mappings": {"planner": {"weights": {"speed": None}}}}


@pytest.fixture
def house(sandbox: Sandbox) -> Sandbox:
    sandbox.write(
        {
            "user_profiles/coding.json": json.dumps(CODING),
            "user_profiles/deep.yaml": "# mine\n" + json.dumps(DEEP),
        }
    )
    return sandbox


@pytest.fixture
def other(tmp_path: Path) -> Sandbox:
    (tmp_path / "other/config").mkdir(parents=True)
    return Sandbox(tmp_path / "other")


def test_an_exported_file_says_what_it_is(house: Sandbox) -> None:
    content = export("deep", folder=house.folder)
    told = {
        "format": "rolegate-profile",
        "schema_version": 1,
        "name": "deep",
        "profile": DEEP,
        "parents": [{"name": "coding", "profile": CODING}],
    }
    canonical = json.dumps(told, sort_keys=True, separators=(",", ":")).encode()
    assert json.loads(content) == {**told, "checksum": f"sha256:{hashlib.sha256(canonical).hexdigest()}"}
    assert export("deep", folder=house.folder) == content


def test_an_import_elsewhere_brings_the_profile_and_what_it_extends(house: Sandbox, other: Sandbox) -> None:
    done = import_(export("deep", folder=house.folder), folder=other.folder, check=other.check())
    assert (done.profile.name, done.profile.created) == ("deep", True)
    assert [one.name for one in done.parents] == ["coding"]
    assert profile_edits.read("deep", folder=other.folder).values == DEEP
    assert profile_edits.read("coding", folder=other.folder).values == CODING
    assert other.load(profile="deep").values == house.load(profile="deep").values


def test_an_import_of_what_is_there_already_leaves_the_files_as_they_are(house: Sandbox) -> None:
    before = (house.folder / "user_profiles/deep.yaml").read_text()
    done = import_(export("deep", folder=house.folder), folder=house.folder, check=house.check())
    assert (done.profile.changed, done.parents) == (False, ())
    assert (house.folder / "user_profiles/deep.yaml").read_text() == before


def test_an_import_overwrites_only_where_it_is_told_to(house: Sandbox) -> None:
    content = export("deep", folder=house.folder)
    mine = {"description": "mine"}
    profile_edits.put("deep", mine, folder=house.folder, check=house.check())
    with pytest.raises(NameTaken) as taken:
        import_(content, folder=house.folder, check=house.check())
    assert taken.value.message == f'there is a profile "deep" already, in {house.folder}/user_profiles/deep.yaml'
    assert taken.value.hint == (
        "import it under another name (--name on the command line, ?name= over HTTP); or have it replaced (--replace, "
        "?replace=1 over HTTP)"
    )
    import_(content, folder=house.folder, check=house.check(), name="deeper")
    assert profile_edits.read("deep", folder=house.folder).values == mine
    assert profile_edits.read("deeper", folder=house.folder).values == DEEP
    done = import_(content, folder=house.folder, check=house.check(), overwrite=True)
    assert (done.profile.created, done.profile.changed) == (False, True)
    assert profile_edits.read("deep", folder=house.folder).values == DEEP


def test_a_parent_that_is_another_one_here_is_not_overwritten_either(house: Sandbox) -> None:
    content = export("deep", folder=house.folder)
    profile_edits.put("coding", {}, folder=house.folder, check=house.check())
    with pytest.raises(NameTaken) as taken:
        import_(content, folder=house.folder, check=house.check())
    assert taken.value.hint == (
        "the imported profile extends another one of that name; import it under a name of its own (--name on the command line, "
        "?name= over HTTP), and that comes along under another, too; or have it replaced (--replace, ?replace=1 over HTTP)"
    )
    assert profiles.names(folder=house.folder) == ("coding", "deep")
    with pytest.raises(BadRequest, match='brings a profile "coding" along'):
        import_(content, folder=house.folder, check=house.check(), name="coding", overwrite=True)


def test_under_a_name_of_its_own_a_profile_brings_its_parents_along_beside_those_that_are_there(house: Sandbox) -> None:
    before = profile_edits.read("coding", folder=house.folder).values
    content = export("deep", folder=house.folder)
    profile_edits.put("coding", {}, folder=house.folder, check=house.check())
    done = import_(content, folder=house.folder, check=house.check(), name="theirs")
    assert (done.profile.name, [one.name for one in done.parents]) == ("theirs", ["theirs-coding"])
    assert profile_edits.read("theirs", folder=house.folder).values == {**DEEP, "extends": "theirs-coding"}
    assert profile_edits.read("theirs-coding", folder=house.folder).values == before
    assert profile_edits.read("coding", folder=house.folder).values == {}
    again = import_(content, folder=house.folder, check=house.check(), name="theirs")
    assert (again.profile.changed, again.parents) == (False, ())


def test_a_broken_file_under_the_name_counts_as_something_else(house: Sandbox) -> None:
    content = export("coding", folder=house.folder)
    house.write({"user_profiles/coding.json": "{"})
    with pytest.raises(NameTaken):
        import_(content, folder=house.folder, check=house.check())
    assert import_(content, folder=house.folder, check=house.check(), overwrite=True).profile.changed


def changed(content: bytes, **what: object) -> bytes:
    return json.dumps(json.loads(content) | what).encode()


@pytest.mark.parametrize(
    ("what", "told", "hint"),
    [
        (
            {"profile": {}},
            "x.json is not as it was exported: its checksum is that of another content",
            "it was changed or damaged on the way; export it again, and edit the profile after the import",
        ),
        (
            {"checksum": None},
            "x.json is not as it was exported: its checksum is that of another content",
            "it was changed or damaged on the way; export it again, and edit the profile after the import",
        ),
        (
            {"schema_version": 2},
            "x.json has schema_version 2, which is newer than this rolegate; allowed: at most 1",
            "upgrade rolegate here, or export the profile with a rolegate of this version",
        ),
        (
            {"schema_version": "1"},
            'x.json is no exported profile: schema_version is "1"',
            "`rolegate profiles export` writes one",
        ),
        (
            {"format": None},
            'x.json is no exported profile: found null as its format; allowed: "rolegate-profile"',
            "`rolegate profiles export` writes one",
        ),
    ],
)
def test_a_file_that_is_not_what_was_exported_is_refused(
    what: dict[str, object], told: str, hint: str, house: Sandbox, other: Sandbox
) -> None:
    content = changed(export("deep", folder=house.folder), **what)
    with pytest.raises(BadRequest) as refused:
        import_(content, folder=other.folder, check=other.check(), source="x.json")
    assert (refused.value.message, refused.value.hint) == (told, hint)
    assert not (other.folder / "user_profiles").exists()


@pytest.mark.parametrize(
    ("bundle", "told"),
    [
        (Bundle(name="../a", values={}, parents={}), 'found the profile name "../a"'),
        (Bundle(name="a", values={}, parents={"b": {}}), "the profiles in it do not extend each other"),
        (Bundle(name="a", values={"extends": "b"}, parents={}), "the profiles in it do not extend each other"),
        (Bundle(name="a", values={"extends": "a"}, parents={"a": {}}), "the profiles in it do not extend each other"),
        (Bundle(name="a", values={"unheard_of": 1}, parents={}), 'found the unknown key "unheard_of"'),
    ],
)
def test_a_file_that_somebody_made_up_is_judged_like_any_edit(bundle: Bundle, told: str, other: Sandbox) -> None:
    with pytest.raises(RolegateError) as refused:
        import_(packed(bundle), folder=other.folder, check=other.check())
    assert told in refused.value.message
    assert not (other.folder / "user_profiles").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"format": 1, "format": 2}'])
def test_what_is_no_json_is_told_with_the_file(content: bytes, other: Sandbox) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        import_(content, folder=other.folder, check=other.check(), source="x.json")
    assert all(str(one).startswith("x.json") for one in refused.value.problems)


def test_what_is_broken_or_unknown_is_not_exported(house: Sandbox) -> None:
    house.write({"user_profiles/deep.yaml": "extends: nobody\nunheard_of: 1\n"})
    with pytest.raises(ConfigInvalid) as broken:
        export("deep", folder=house.folder)
    assert len(broken.value.problems) == 2
    with pytest.raises(UnknownName):
        export("nobody", folder=house.folder)


def test_a_secret_is_not_carried_away(house: Sandbox) -> None:
    values = {"role_mappings": {"planner": {"parameters": {"api_key": "hunter2", "user": "sk-abcdefghijklmnop"}}}}
    profile_edits.put("coding", values, folder=house.folder, check=house.check())
    with pytest.raises(ConfigInvalid) as refused:
        export("deep", folder=house.folder)
    assert house.told(refused.value.problems) == [
        f"config/user_profiles/coding.json:4: role_mappings.planner.parameters.{key}: found something that looks like a "
        "secret; allowed: what anybody may read; take it out: keys come from variables such as OPENAI_API_KEY"
        for key in ("api_key", "user")
    ]


def test_a_file_of_an_older_version_is_brought_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    content = an_old_export("a", {"parent": "b", "roles": {}}, parents={"b": {"roles": {}}})
    with pytest.raises(BadRequest, match="x is no exported profile: schema_version is 0"):
        unpacked(content, source="x")
    know_an_older_format(monkeypatch)
    bundle = unpacked(content, source="x")
    assert bundle.values == {"schema_version": 1, "extends": "b", "role_mappings": {}}
    assert bundle.parents == {"b": {"schema_version": 1, "role_mappings": {}}}
    assert bundle.version == 0

"""`rolegate profiles create`, `copy`, `set`, `delete`, `export`, `import`, `diff` and `validate`, without a running gateway."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from admin_builders import MISTRAL, write_profile
from command_builders import Answers, Run


def stored(folder: Path, name: str) -> Any:
    return json.loads((folder / "user_profiles" / f"{name}.json").read_text(encoding="utf-8"))


async def test_an_empty_profile_is_created(rolegate: Run, folder: Path) -> None:
    ran = await rolegate("profiles", "create", "new", "--extends", "fast", "--description", "a new one")
    assert (ran.code, ran.out) == (0, f"created {folder / 'user_profiles' / 'new.json'}\n")
    assert ran.err == "`rolegate profiles edit new` changes it, `rolegate profiles use new` makes it active\n"
    assert stored(folder, "new") == {"description": "a new one", "extends": "fast"}


async def test_a_name_that_is_taken_is_refused(rolegate: Run, folder: Path) -> None:
    ran = await rolegate("profiles", "create", "fast", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (2, "name_taken")
    assert stored(folder, "fast") == MISTRAL


async def test_nothing_is_created_from_a_gateway_that_does_not_run(rolegate: Run, folder: Path) -> None:
    ran = await rolegate("profiles", "create", "new", "--from-running")
    assert (ran.code, ran.out) == (5, "")
    assert not (folder / "user_profiles" / "new.json").exists()


async def test_a_profile_is_copied_as_it_is_written(rolegate: Run, folder: Path) -> None:
    (folder / "user_profiles" / "own.yaml").write_text("# mine\ndescription: own\n", encoding="utf-8")
    ran = await rolegate("profiles", "copy", "own", "other")
    assert (ran.code, ran.err) == (0, "")
    assert (folder / "user_profiles" / "other.yaml").read_text(encoding="utf-8") == "# mine\ndescription: own\n"


async def test_single_values_are_set_by_their_paths(rolegate: Run, folder: Path) -> None:
    ran = await rolegate(
        "profiles", "set", "fast", "role_mappings.planner.preferred[0]=llama3.1:8b", "selection.memory_margin=0.2"
    )
    assert (ran.code, ran.out, ran.err) == (0, f"wrote {folder / 'user_profiles' / 'fast.json'}\n", "")
    assert stored(folder, "fast") == {
        "role_mappings": {"planner": {"preferred": ["llama3.1:8b"]}},
        "selection": {"memory_margin": 0.2},
    }
    again = await rolegate("profiles", "set", "fast", "selection.memory_margin=0.2", "--json")
    assert (again.code, again.json["changed"], again.json["running"]) == (0, False, None)
    assert list(again.json) == [
        "profile",
        "file",
        "etag",
        "created",
        "changed",
        "rewritten",
        "backup",
        "warnings",
        "running",
    ]


async def test_what_would_not_be_sound_is_refused_as_a_whole(rolegate: Run, folder: Path) -> None:
    ran = await rolegate("profiles", "set", "fast", "selection.memory_margin=0.2", "role_mappings.planner.preferd=[]")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.startswith("error: 1 problem in the configuration:\n")
    assert 'did you mean "preferred"?' in ran.err
    assert ran.err.endswith("hint: nothing was written\n")
    assert stored(folder, "fast") == MISTRAL


async def test_an_assignment_that_is_none_is_a_usage_error(rolegate: Run) -> None:
    ran = await rolegate("profiles", "set", "fast", "selection")
    assert ran.code == 2
    assert ran.err.startswith('error: "selection" is no assignment\nhint: write KEY=JSON')


async def test_a_profile_is_deleted_when_that_is_confirmed(
    rolegate: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "user_profiles" / "fast.json"
    refused = await rolegate("profiles", "delete", "fast")
    assert (refused.code, path.exists()) == (2, True)
    assert refused.err == (f"error: {path} would be deleted, and there is no terminal to ask at\nhint: give --yes\n")
    monkeypatch.setattr(sys, "stdin", Answers("no", "what?", "yes"))
    kept = await rolegate("profiles", "delete", "fast")
    assert (kept.code, kept.out, kept.err) == (0, "", f"delete {path}? [y/N] nothing was deleted\n")
    gone = await rolegate("profiles", "delete", "fast")
    assert (gone.code, gone.out) == (0, f"deleted {path}\n")
    assert gone.err == f"delete {path}? [y/N] delete {path}? [y/N] "
    assert not path.exists()


async def test_the_active_profile_is_deleted_only_with_a_successor(rolegate: Run, folder: Path) -> None:
    write_profile(folder, "next", {})
    await rolegate("profiles", "use", "fast")
    refused = await rolegate("profiles", "delete", "fast", "--yes")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith('error: the profile "fast" is needed: it is the active one\n')
    ran = await rolegate("profiles", "delete", "fast", "--yes", "--successor", "next", "--json")
    assert ran.json == {"profile": "fast", "deleted": True, "successor": "next", "swap": None}
    assert (await rolegate("profiles", "list", "--json")).json["active"] == "next"


async def test_a_successor_takes_the_place_of_the_active_profile_only(rolegate: Run, folder: Path) -> None:
    write_profile(folder, "next", {})
    write_profile(folder, "other", {})
    ran = await rolegate("profiles", "delete", "fast", "--yes", "--successor", "next")
    assert (ran.code, ran.err) == (0, "")
    ran = await rolegate("profiles", "delete", "other", "--yes", "--successor", "next", "--json")
    assert ran.json["successor"] is None
    await rolegate("profiles", "use", "next")
    ran = await rolegate("profiles", "delete", "next", "--yes", "--successor", "")
    assert (ran.code, ran.err) == (0, "active profile: none\n")


async def test_comments_that_give_way_are_kept_in_a_file(rolegate: Run, folder: Path) -> None:
    path = folder / "user_profiles" / "own.yaml"
    path.write_text("# mine\ndescription: own\n", encoding="utf-8")
    ran = await rolegate("profiles", "set", "own", "description=other")
    assert (ran.code, ran.err) == (0, f"the comments in it gave way; what was in it is kept in {path}.bak\n")
    assert path.with_name("own.yaml.bak").read_text(encoding="utf-8") == "# mine\ndescription: own\n"
    assert (await rolegate("profiles", "list")).out.count("own") == 1


async def test_nobody_is_asked_for_a_profile_whose_name_is_taken(
    rolegate: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Answers())
    ran = await rolegate("profiles", "create", "fast", "--interactive")
    assert (ran.code, ran.err.startswith('error: there is a profile "fast" already')) == (2, True)


async def test_a_file_that_says_nothing_is_shown_as_what_is_wrong_with_it(rolegate: Run, folder: Path) -> None:
    path = folder / "user_profiles" / "fast.json"
    path.write_text("", encoding="utf-8")
    ran = await rolegate("profiles", "show", "fast")
    assert (ran.code, ran.out) == (0, "")
    assert f"warning: {path}: found an empty file" in ran.err


async def test_a_profile_that_cannot_be_used_is_listed_as_broken(rolegate: Run, folder: Path) -> None:
    write_profile(folder, "odd", {"description": 3, "extends": "fast"})
    write_profile(folder, "orphan", {"extends": "nobody"})
    write_profile(folder, "grandchild", {"extends": "orphan"})
    ran = await rolegate("profiles", "list")
    assert [line.split()[::-1][0] for line in ran.out.splitlines()[1:]] == ["ok", "broken", "broken", "broken"]
    listed = {one["name"]: one["problems"] for one in (await rolegate("profiles", "list", "--json")).json["profiles"]}
    place = folder / "user_profiles"
    orphan = (
        f'{place}/orphan.json:1: extends: found the unknown profile "nobody"; allowed: fast, grandchild, odd, orphan'
    )
    assert listed == {
        "fast": [],
        "odd": [f"{place}/odd.json:1: description: found 3; allowed: text"],
        "orphan": [orphan],
        "grandchild": [orphan],
    }
    shown = await rolegate("profiles", "show", "grandchild")
    assert (shown.code, shown.out) == (0, "extends: orphan\n")
    assert shown.err == f"{place}/grandchild.json\nextends orphan\nwarning: {orphan}\n"


async def test_a_list_cuts_what_would_fill_the_screen(rolegate: Run, folder: Path) -> None:
    write_profile(folder, "wordy", {"description": "x" * 1000})
    ran = await rolegate("profiles", "list")
    assert max(map(len, ran.out.splitlines())) < 300
    assert (await rolegate("profiles", "show", "wordy", "--json")).json["description"] == "x" * 1000


async def test_a_profile_goes_out_and_comes_in_as_it_was(rolegate: Run, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "fast.bundle"
    ran = await rolegate("profiles", "export", "fast", str(file))
    assert (ran.code, ran.out, ran.err) == (0, f"wrote {file}\n", "")
    taken = await rolegate("profiles", "export", "fast", str(file))
    assert (taken.code, taken.err) == (
        2,
        f"error: {file} is there already\nhint: choose another name, or give --replace\n",
    )
    (folder / "user_profiles" / "fast.json").unlink()
    ran = await rolegate("profiles", "import", str(file))
    assert (ran.code, ran.out) == (0, f"wrote {folder / 'user_profiles' / 'fast.json'}\n")
    assert stored(folder, "fast") == MISTRAL
    again = await rolegate("profiles", "import", str(file), "--json")
    assert (again.code, again.json["changed"], again.json["parents"]) == (0, False, [])


async def test_an_import_replaces_nothing_unless_it_is_told_to(rolegate: Run, folder: Path, tmp_path: Path) -> None:
    file = str(tmp_path / "fast.bundle")
    await rolegate("profiles", "export", "fast", file)
    write_profile(folder, "fast", {"description": "another one"})
    refused = await rolegate("profiles", "import", file, "--json")
    assert (refused.code, refused.json["error"]["code"]) == (2, "name_taken")
    assert (await rolegate("profiles", "import", file, "--name", "faster")).code == 0
    assert (stored(folder, "faster"), stored(folder, "fast")) == (MISTRAL, {"description": "another one"})
    assert (await rolegate("profiles", "import", file, "--replace")).code == 0
    assert stored(folder, "fast") == MISTRAL


async def test_a_profile_goes_through_pipes_too(rolegate: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = await rolegate("profiles", "export", "fast", "-")
    assert (ran.code, ran.json["format"]) == (0, "rolegate-profile")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(ran.out.encode())))
    assert (await rolegate("profiles", "import", "-", "--name", "piped")).code == 0
    assert stored(folder, "piped") == MISTRAL


async def test_a_file_that_is_not_there_cannot_be_imported(rolegate: Run, tmp_path: Path) -> None:
    ran = await rolegate("profiles", "import", str(tmp_path / "nothing"))
    assert (ran.code, ran.err) == (2, f"error: {tmp_path / 'nothing'}: found no file; allowed: a file\n")


async def test_a_difference_is_told_in_settings_and_in_who_would_serve(rolegate: Run, folder: Path) -> None:
    write_profile(folder, "small", {"extends": "fast", "selection": {"memory_margin": 0.2}})
    write_profile(folder, "slow", {"role_mappings": {"planner": {"discover": True}, "writer": {"discover": True}}})
    ran = await rolegate("profiles", "diff", "fast", "slow")
    assert (ran.code, ran.err) == (0, "")
    assert [" ".join(line.split()) for line in ran.out.splitlines()] == [
        "SETTING IN fast IN slow",
        "role_mappings.planner.discover false true",
        'role_mappings.planner.preferred ["mistral:latest"] ["llama3.1:8b", "mistral:latest"]',
        "role_mappings.writer.discover - true",
        "",
        "ROLE UNDER fast UNDER slow",
        "planner ollama:mistral:latest ollama:llama3.1:8b > ollama:mistral:latest",
        "writer no such role ollama:llama3.1:8b > ollama:mistral:latest",
    ]
    told = (await rolegate("profiles", "diff", "fast", "small", "--json")).json
    assert told["settings"] == [
        {"path": "selection.memory_margin", "left": None, "right": 0.2, "in_left": False, "in_right": True}
    ]
    assert told["roles"] == {
        "planner": {"left": ["ollama:mistral:latest"], "right": ["ollama:mistral:latest"], "same": True}
    }
    assert told["digests"]["left"] == told["digests"]["right"]


async def test_equal_profiles_do_not_differ(rolegate: Run) -> None:
    ran = await rolegate("profiles", "diff", "fast", "fast")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err == "no setting differs\nevery role is served by the same models under both\n"
    assert (await rolegate("profiles", "diff", "fast", "fast", "--json")).json["settings"] == []


async def test_secrets_in_a_difference_are_masked(rolegate: Run, folder: Path) -> None:
    headers = {"extra_headers": {"Authorization": "Bearer hunter2"}}
    write_profile(folder, "keyed", {"role_mappings": {"planner": {"parameters": headers}}})
    for form in ((), ("--json",)):
        ran = await rolegate("profiles", "diff", "fast", "keyed", *form)
        assert ran.code == 0
        assert "hunter2" not in ran.out
        assert "**********" in ran.out


async def test_a_profile_is_validated_against_what_is_installed(rolegate: Run, folder: Path) -> None:
    write_profile(folder, "grand", {"role_mappings": {"planner": {"preferred": ["gone:70b", "mistral:latest"]}}})
    ran = await rolegate("profiles", "validate", "grand")
    assert (ran.code, ran.err) == (0, "")
    assert [" ".join(line.split()) for line in ran.out.splitlines()] == [
        "PROFILE FILES ROLES WITHOUT A MODEL NAMED AND NOT USED",
        "grand valid - gone:70b (not_installed)",
    ]
    write_profile(folder, "grand", {"role_mappings": {"planner": {"preferred": ["gone:70b"]}}})
    ran = await rolegate("profiles", "validate", "--json")
    assert ran.code == 4
    told = {one["profile"]: one for one in ran.json["profiles"]}
    assert (told["fast"]["degraded"], told["grand"]["degraded"]) == ([], ["planner"])
    assert [(one["role"], one["model"], one["verdict"]) for one in told["grand"]["missing"]] == [
        ("planner", "gone:70b", "not_installed")
    ]


async def test_validation_finds_the_mistakes_of_every_profile(rolegate: Run, folder: Path) -> None:
    write_profile(folder, "one", {"gateway": {"port": 0}})
    write_profile(folder, "two", {"extends": "nobody"})
    ran = await rolegate("profiles", "validate")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.startswith("error: 2 problems in the configuration:\n")
    assert (await rolegate("profiles", "validate", "fast")).code == 0
    assert (await rolegate("profiles", "validate", "one")).code == 3


@pytest.mark.parametrize(
    "line", ["copy nope other", "set nope a=1", "delete nope --yes", "diff nope fast", "validate nope", "export nope x"]
)
async def test_a_profile_that_there_is_not_is_answered_with_those_there_are(line: str, rolegate: Run) -> None:
    ran = await rolegate("profiles", *line.split(), "--json")
    assert (ran.code, ran.json["error"]["code"]) == (2, "not_found")
    assert ran.json["error"]["message"] == 'there is no profile "nope"; known: fast'

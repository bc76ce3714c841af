"""`rolegate roles set`, `add` and `remove`, and the dialogue that makes a profile, without a running gateway."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from command_builders import Answers, Run


def stored(folder: Path, name: str = "user_models") -> Any:
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


async def test_a_setting_of_a_role_goes_into_the_operators_own_layer(rolegate: Run, folder: Path) -> None:
    ran = await rolegate("roles", "set", "planner", "preferred[1]=mistral", "requirements.memory_gb_max=9")
    assert (ran.code, ran.out) == (0, f"wrote {folder / 'user_models.json'}\n")
    assert ran.err == "profiles that speak of planner stand above it: fast\n"
    assert stored(folder) == {
        "role_mappings": {"planner": {"preferred": ["llama3.1:8b", "mistral"], "requirements": {"memory_gb_max": 9}}}
    }
    shown = (await rolegate("roles", "show", "planner", "--json")).json
    assert ("requirements.memory_gb_max", 9, "user_models") in [
        (one["setting"], one["value"], one["layer"]) for one in shown["settings"]
    ]
    told = (await rolegate("roles", "set", "planner", "requirements.memory_gb_max=9", "--json")).json
    assert (told["role"], told["changed"], told["profiles"], told["running"]) == ("planner", False, ["fast"], None)


async def test_a_role_is_added_and_removed(rolegate: Run, folder: Path) -> None:
    ran = await rolegate("roles", "add", "writer", 'preferred=["mistral"]')
    assert (ran.code, ran.out, ran.err) == (0, f"wrote {folder / 'user_models.json'}\n", "")
    assert [one["role"] for one in (await rolegate("roles", "list", "--json")).json["roles"]] == ["planner", "writer"]
    taken = await rolegate("roles", "add", "writer")
    assert (taken.code, taken.err.splitlines()[0]) == (2, f'error: there is a role "writer" already, in {folder}')
    assert (await rolegate("roles", "remove", "writer", "--yes")).code == 0
    assert [one["role"] for one in (await rolegate("roles", "list", "--json")).json["roles"]] == ["planner"]


async def test_a_role_of_a_lower_layer_is_removed_for_good(rolegate: Run, folder: Path) -> None:
    (folder / "user_profiles" / "fast.json").unlink()
    assert (await rolegate("roles", "remove", "planner", "--yes")).code == 0
    assert stored(folder) == {"role_mappings": {"planner": None}}
    assert (await rolegate("roles", "list", "--json")).json == {"roles": []}


async def test_a_removal_is_confirmed(rolegate: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = await rolegate("roles", "remove", "planner")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == (
        "error: the role planner would be removed, and there is no terminal to ask at\nhint: give --yes\n"
    )
    monkeypatch.setattr(sys, "stdin", Answers(""))
    kept = await rolegate("roles", "remove", "planner")
    assert (kept.code, kept.err) == (0, "remove the role planner? [y/N] nothing was removed\n")
    assert not (folder / "user_models.json").exists()


async def test_a_setting_that_is_none_is_refused(rolegate: Run, folder: Path) -> None:
    ran = await rolegate("roles", "set", "planner", "preferd=[]")
    assert (ran.code, ran.out) == (3, "")
    assert 'found the unknown key "preferd"' in ran.err
    assert ran.err.endswith("hint: nothing was written\n")
    assert not (folder / "user_models.json").exists()


async def test_a_role_that_there_is_not_is_answered_with_the_nearest(rolegate: Run) -> None:
    for line in (("set", "planer", "discover=true"), ("remove", "planer", "--yes")):
        ran = await rolegate("roles", *line)
        assert ran.code == 2
        assert ran.err == 'error: there is no role "planer"; known: planner\nhint: did you mean "planner"?\n'


async def test_a_profile_is_made_role_by_role(rolegate: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = ("for the train", "mistral, lama3.1:8b", "n", "mistral llama3.1:8b", "y", "", "16000", "yes")
    monkeypatch.setattr(sys, "stdin", Answers(*typed))
    ran = await rolegate("profiles", "create", "train", "--interactive")
    assert (ran.code, ran.out) == (0, f"created {folder / 'user_profiles' / 'train.json'}\n")
    assert stored(folder, "user_profiles/train") == {
        "description": "for the train",
        "role_mappings": {
            "planner": {
                "preferred": ["mistral", "llama3.1:8b"],
                "discover": True,
                "requirements": {"context_length_min": 16000},
            }
        },
    }
    assert "planner: answered by ollama:llama3.1:8b > ollama:mistral:latest\n" in ran.err
    assert "  models, in order [llama3.1:8b, mistral:latest] " in ran.err
    assert "no provider has lama3.1:8b; did you mean ollama:llama3.1:8b?\n" in ran.err


async def test_what_is_left_as_it_is_is_left_out(rolegate: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Answers("", "", "", "", ""))
    ran = await rolegate("profiles", "create", "same", "--interactive", "--description", "as ever")
    assert ran.code == 0
    assert stored(folder, "user_profiles/same") == {"description": "as ever"}


async def test_the_questions_are_about_what_the_new_profile_lies_over(
    rolegate: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rolegate("profiles", "use", "fast")
    monkeypatch.setattr(sys, "stdin", Answers("", "", "", "", ""))
    ran = await rolegate("profiles", "create", "same", "--interactive", "--description", "as ever")
    assert ran.err.startswith(
        "the new profile lies over the files alone, not over the active one; --extends fast has it lie over that\n"
    )
    assert "  models, in order [llama3.1:8b, mistral:latest] " in ran.err
    monkeypatch.setattr(sys, "stdin", Answers("", "", "", "", ""))
    ran = await rolegate("profiles", "create", "faster", "--interactive", "--description", "", "--extends", "fast")
    assert "  models, in order [mistral:latest] " in ran.err
    assert "the new profile lies over" not in ran.err


async def test_whoever_breaks_a_dialogue_off_is_told_that_nothing_was_written(
    rolegate: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Impatient(Answers):
        def readline(self, *_: Any) -> Any:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", Impatient())
    ran = await rolegate("profiles", "create", "half", "--interactive")
    assert (ran.code, ran.out) == (130, "")
    assert ran.err.endswith("\nnothing was written\n")
    assert not (folder / "user_profiles" / "half.json").exists()


@pytest.mark.parametrize("typed", [("",), ("", "mistral", "", "", "", "no")])
async def test_a_dialogue_that_is_broken_off_writes_nothing(
    typed: tuple[str, ...], rolegate: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Answers(*typed))
    ran = await rolegate("profiles", "create", "half", "--interactive")
    assert (ran.code, ran.out) == (2, "")
    assert "nothing was written" in ran.err
    assert not (folder / "user_profiles" / "half.json").exists()


async def test_two_ways_to_begin_are_one_too_many(rolegate: Run) -> None:
    ran = await rolegate("profiles", "create", "x", "--interactive", "--from-running")
    assert (ran.code, ran.err.splitlines()[0]) == (2, "error: --from-running and --interactive are two ways to begin")
    assert (await rolegate("profiles", "create", "x", "--interactive", "--json")).code == 2

"""`rolegate profiles edit`: what the editor leaves is checked before it is saved, and is never lost."""

import asyncio
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from admin_builders import write_layers, write_profile
from command_builders import Answers, Run, a_command

FAST = {"role_mappings": {"planner": {"preferred": ["mistral:latest"]}}}
GOOD = {"description": "edited"}
WRONG = '{"gateway": {"port": 0}}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_layers(tmp_path, url="http://127.0.0.1:9", fast=FAST)


@pytest.fixture
def rolegate(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    return a_command(folder, capsys)


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Make an editor that writes each of these texts, one at each start; what it found is in the file that is returned, one
    text on a line."""
    found, program, texts = tmp_path / "found", tmp_path / "editor.py", tmp_path / "texts"

    def make(*contents: str, code: int = 0) -> Path:
        texts.write_text(json.dumps(contents), encoding="utf-8")
        program.write_text(
            "import json, pathlib, sys\n"
            f"texts, found, path = pathlib.Path({str(texts)!r}), pathlib.Path({str(found)!r}), pathlib.Path(sys.argv[-1])\n"
            "with found.open('a') as log: log.write(json.dumps([path.name, path.read_text()]) + '\\n')\n"
            "first, *rest = json.loads(texts.read_text()) or [path.read_text()]\n"
            "path.write_text(first)\n"
            "texts.write_text(json.dumps(rest))\n"
            f"sys.exit({code})\n",
            encoding="utf-8",
        )
        monkeypatch.setenv("EDITOR", f"'{sys.executable}' '{program}'")
        return found

    return make


def starts(found: Path) -> list[Any]:
    return [json.loads(line) for line in found.read_text(encoding="utf-8").splitlines()]


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def there(path: Path) -> bool:
    return path.exists()


def content_of(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def stored(folder: Path) -> Any:
    return json.loads((folder / "user_profiles" / "fast.json").read_text(encoding="utf-8"))


@pytest.fixture
def kept(home: Path) -> Path:
    """Where a refused text of the profile is kept."""
    return home / ".local/state/rolegate/refused/fast.json"


async def test_what_the_editor_leaves_is_saved(rolegate: Run, folder: Path, editor: Callable[..., Path]) -> None:
    found = editor(json.dumps(GOOD))
    ran = await rolegate("profiles", "edit", "fast")
    assert (ran.code, ran.out) == (0, f"wrote {folder / 'user_profiles' / 'fast.json'}\n")
    assert stored(folder) == GOOD
    assert starts(found) == [["fast.json", json.dumps(FAST)]]


async def test_visual_comes_before_editor(
    rolegate: Run, editor: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = editor()
    monkeypatch.setenv("VISUAL", "true")
    ran = await rolegate("profiles", "edit", "fast")
    assert (ran.code, ran.out, ran.err) == (0, "", "nothing was changed\n")
    assert not found.exists()


async def test_a_wrong_text_is_kept_and_the_next_edit_begins_with_it(
    rolegate: Run, folder: Path, editor: Callable[..., Path], kept: Path
) -> None:
    found = editor(WRONG, json.dumps(GOOD))
    ran = await rolegate("profiles", "edit", "fast")
    assert (ran.code, ran.out) == (3, "")
    assert f"{folder / 'user_profiles' / 'fast.json'}:1: gateway.port: found 0" in ran.err
    assert ran.err.endswith(f"hint: your text is kept in {kept}; `rolegate profiles edit fast` goes on with it\n")
    assert (stored(folder), text_of(kept)) == (FAST, WRONG)
    ran = await rolegate("profiles", "edit", "fast")
    assert (ran.code, ran.err) == (0, f"a text that was refused is kept in {kept}\n")
    assert starts(found)[1] == ["fast.json", WRONG]
    assert stored(folder) == GOOD
    assert list(kept.parent.iterdir()) == []


async def test_a_kept_text_can_be_passed_over(rolegate: Run, editor: Callable[..., Path], kept: Path) -> None:
    found = editor(WRONG)
    await rolegate("profiles", "edit", "fast")
    ran = await rolegate("profiles", "edit", "fast", "--fresh")
    assert (ran.code, ran.err) == (0, "nothing was changed\n")
    assert starts(found)[1] == ["fast.json", json.dumps(FAST)]
    assert text_of(kept) == WRONG
    told = (await rolegate("profiles", "edit", "fast", "--fresh", "--json")).json
    assert (told["profile"], told["changed"], told["running"]) == ("fast", False, None)


async def test_at_a_terminal_it_can_be_mended_at_once(
    rolegate: Run, folder: Path, editor: Callable[..., Path], kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Answers(""))
    found = editor(WRONG, json.dumps(GOOD))
    ran = await rolegate("profiles", "edit", "fast")
    assert ran.code == 0
    assert "gateway.port: found 0" in ran.err
    assert ran.err.endswith("edit it again? [Y/n] ")
    assert starts(found)[1] == ["fast.json", WRONG]
    assert stored(folder) == GOOD
    assert not there(kept)


async def test_at_a_terminal_it_can_be_left_for_later(
    rolegate: Run, folder: Path, editor: Callable[..., Path], kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Answers("n", "n"))
    found = editor(WRONG)
    ran = await rolegate("profiles", "edit", "fast")
    assert ran.code == 3
    assert ran.err.endswith(
        f"edit it again? [Y/n] nothing was saved; your text is kept in {kept}; `rolegate profiles edit fast` goes on "
        "with it\n"
    )
    ran = await rolegate("profiles", "edit", "fast")
    assert (ran.code, stored(folder)) == (0, FAST)
    assert ran.err == f"a text that was refused is kept in {kept}\ngo on with it? [Y/n] nothing was changed\n"
    assert starts(found)[1] == ["fast.json", json.dumps(FAST)]


async def test_a_change_by_somebody_else_is_not_undone(
    rolegate: Run,
    folder: Path,
    editor: Callable[..., Path],
    kept: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    theirs = {"description": "theirs"}
    path = folder / "user_profiles" / "fast.json"
    both = tmp_path / "both.sh"
    both.write_text(f"echo '{json.dumps(theirs)}' > '{path}'\necho '{json.dumps(GOOD)}' > \"$1\"\n", encoding="utf-8")
    monkeypatch.setenv("EDITOR", f"sh '{both}'")
    ran = await rolegate("profiles", "edit", "fast", "--json")
    assert (ran.code, ran.json["error"]["code"], stored(folder)) == (3, "edit_conflict", theirs)
    assert ran.json["error"]["hint"] == (
        f"your text is kept in {kept}; `rolegate profiles edit fast` begins with the profile as it is now"
    )
    assert json.loads(text_of(kept)) == GOOD
    found = editor(json.dumps({"description": "both"}))
    ran = await rolegate("profiles", "edit", "fast")
    assert (ran.code, ran.err) == (
        0,
        (
            f"a text that was refused is kept in {kept}.1\n"
            "it was made from another version of the profile, so this begins with the profile as it is now\n"
        ),
    )
    assert json.loads(starts(found)[0][1]) == theirs
    assert (there(kept), json.loads(text_of(kept.with_name("fast.json.1")))) == (False, GOOD)


async def test_no_kept_text_gives_way_to_another(
    rolegate: Run, folder: Path, editor: Callable[..., Path], kept: Path
) -> None:
    other = '{"gateway": {"port": -1}}'
    editor(WRONG, other, json.dumps(GOOD))
    await rolegate("profiles", "edit", "fast")
    ran = await rolegate("profiles", "edit", "fast", "--fresh")
    assert ran.code == 3
    assert (text_of(kept), text_of(kept.with_name("fast.json.1"))) == (other, WRONG)
    ran = await rolegate("profiles", "edit", "fast", "--fresh")
    assert (ran.code, stored(folder)) == (0, GOOD)
    assert (text_of(kept), text_of(kept.with_name("fast.json.1"))) == (other, WRONG)


async def test_the_text_of_a_profile_in_another_folder_is_not_gone_on_with(
    rolegate: Run, tmp_path: Path, editor: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    found = editor(WRONG, json.dumps(GOOD))
    await rolegate("profiles", "edit", "fast")
    elsewhere = a_command(write_layers(tmp_path / "other", url="http://127.0.0.1:9", fast=FAST), capsys)
    ran = await elsewhere("profiles", "edit", "fast")
    assert (ran.code, starts(found)[1]) == (0, ["fast.json", json.dumps(FAST)])
    assert "it was made from another version of the profile" in ran.err


async def test_an_editor_that_fails_saves_nothing(
    rolegate: Run, folder: Path, editor: Callable[..., Path], kept: Path
) -> None:
    editor(json.dumps(GOOD), code=7)
    ran = await rolegate("profiles", "edit", "fast")
    assert (ran.code, stored(folder)) == (2, FAST)
    assert ran.err.endswith(
        f"ended with exit code 7\nhint: nothing was saved; what the editor left is kept in {kept}\n"
    )
    assert json.loads(text_of(kept)) == GOOD


async def test_an_editor_that_changes_nothing_and_fails_leaves_nothing(
    rolegate: Run, editor: Callable[..., Path], kept: Path
) -> None:
    editor(json.dumps(FAST), code=7)
    ran = await rolegate("profiles", "edit", "fast")
    assert (ran.code, there(kept)) == (2, False)
    assert ran.err.endswith("ended with exit code 7\nhint: nothing was saved\n")


@pytest.mark.parametrize(
    ("script", "said", "left"),
    [
        (
            r'''printf '{\377}' > "$1"''',
            (
                "what the editor left is not UTF-8 text: 'utf-8' codec can't decode byte 0xff in position 1: invalid start byte\n"
                "hint: nothing was saved; what the editor left is kept in {kept}\n"
            ),
            b"{\xff}",
        ),
        ('rm "$1"', "the editor left no file: No such file or directory\nhint: nothing was saved\n", None),
    ],
)
async def test_what_is_no_text_is_kept_too(
    rolegate: Run,
    kept: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    said: str,
    left: bytes | None,
) -> None:
    program = tmp_path / "editor.sh"
    program.write_text(script, encoding="utf-8")
    monkeypatch.setenv("EDITOR", f"sh '{program}'")
    ran = await rolegate("profiles", "edit", "fast")
    assert (ran.code, ran.err) == (2, "error: " + said.format(kept=kept))
    assert content_of(kept) == left
    monkeypatch.setenv("EDITOR", "true")
    assert (await rolegate("profiles", "edit", "fast")).err == "nothing was changed\n"


async def test_a_text_that_cannot_be_kept_in_the_state_folder_is_kept_elsewhere(
    rolegate: Run, editor: Callable[..., Path], kept: Path
) -> None:
    kept.parent.parent.mkdir(parents=True)
    kept.parent.write_text("in the way", encoding="utf-8")
    editor(WRONG)
    ran = await rolegate("profiles", "edit", "fast", "--json")
    place = re.fullmatch(r"your text is kept in (\S+)", ran.json["error"]["hint"])
    assert place is not None
    assert text_of(Path(place[1])) == WRONG
    shutil.rmtree(Path(place[1]).parent)


async def test_what_was_saved_in_an_editor_that_was_broken_off_is_kept(
    folder: Path, kept: Path, tmp_path: Path
) -> None:
    program = tmp_path / "editor.py"
    program.write_text(
        "import os, pathlib, signal, sys\n"
        'pathlib.Path(sys.argv[1]).write_text(\'{"description": "half"}\')\n'
        "os.kill(os.getppid(), signal.SIGINT)\n",
        encoding="utf-8",
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "profiles", "edit", "fast", "--config-dir", str(folder),
        env={**os.environ, "EDITOR": f"'{sys.executable}' '{program}'"}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()
    assert process.returncode == 130
    assert said.decode() == f"nothing was saved; what the editor left is kept in {kept}\n"
    assert json.loads(text_of(kept)) == {"description": "half"}
    assert stored(folder) == FAST


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("", "error: no editor is known: neither VISUAL nor EDITOR is set\n"),
        ("/no/such/editor", "error: the editor /no/such/editor cannot be started: No such file or directory\n"),
        ("vi '", 'error: the editor "vi \'" is no command: No closing quotation\n'),
    ],
)
async def test_an_editor_that_cannot_be_started_is_said_plainly(
    command: str, said: str, rolegate: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", command)
    ran = await rolegate("profiles", "edit", "fast")
    assert (ran.code, ran.err.startswith(said)) == (2, True)


async def test_the_operators_own_text_stays_comments_and_all(
    rolegate: Run, folder: Path, editor: Callable[..., Path]
) -> None:
    text = "# why\ndescription:  mine   # and so on\n"
    (folder / "user_profiles" / "own.yaml").write_text("description: own\n", encoding="utf-8")
    found = editor(text)
    assert (await rolegate("profiles", "edit", "own")).code == 0
    assert (folder / "user_profiles" / "own.yaml").read_text(encoding="utf-8") == text
    assert starts(found)[0][0] == "own.yaml"


async def test_a_broken_profile_can_be_mended(rolegate: Run, folder: Path, editor: Callable[..., Path]) -> None:
    path = write_profile(folder, "fast", {})
    path.write_text("{ not JSON", encoding="utf-8")
    editor(json.dumps(GOOD))
    assert (await rolegate("profiles", "edit", "fast")).code == 0
    assert stored(folder) == GOOD

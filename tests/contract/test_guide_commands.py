"""The commands on profiles in the user guide run one after the other, as they stand there."""

import asyncio
import json
import re
import shlex
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from admin_builders import MISTRAL, write_layers
from command_builders import Answers, Run, a_command
from fakes.ollama import FakeOllama
from gateway_process import free_port

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide.md"


@pytest.fixture
async def fake() -> AsyncIterator[FakeOllama]:
    async with FakeOllama(models=["llama3.1:8b", "mistral"]) as server:
        yield server


@pytest.fixture
def rolegate(tmp_path: Path, fake: FakeOllama, capsys: pytest.CaptureFixture[str]) -> Run:
    folder = write_layers(tmp_path, url=fake.url, port=free_port(), memory_gb=64, coding=MISTRAL)
    return a_command(folder, capsys)


def commands(heading: str) -> list[list[str]]:
    """Those in the indented lines of a section and in its sentences, without what is optional in them."""
    section = re.split(
        r"^### ", GUIDE.read_text(encoding="utf-8").partition(f"\n### {heading}\n")[2], flags=re.MULTILINE
    )
    shown = re.findall(r"^    (rolegate .*)$", section[0], flags=re.MULTILINE)
    said = re.findall(r"`(rolegate [a-z]+ set [^`]+)`", section[0])
    return [shlex.split(one, comments=True)[1:] for one in (*shown, *said)]


async def test_the_commands_of_the_guide_on_profiles_can_be_run(
    rolegate: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDITOR", "true")
    monkeypatch.setattr(sys, "stdin", Answers("y"))
    run = commands("Profiles")
    assert [one[1] for one in run] == [
        "list", "create", "copy", "edit", "set", "validate", "diff", "use", "export", "import", "delete", "set",
    ]  # fmt: skip
    for one in run:
        ran = await rolegate(*one)
        assert ran.code == 0, (one, ran.err)
    bundle = await asyncio.to_thread((tmp_path / "mine.bundle").read_text, encoding="utf-8")
    assert json.loads(bundle)["name"] == "mine"
    left = (await rolegate("profiles", "list", "--json")).json
    assert (left["active"], [one["name"] for one in left["profiles"]]) == ("coding", ["coding", "deep", "theirs"])

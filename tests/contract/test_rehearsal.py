"""Another release of a pinned package, tried from end to end in a project that has only one: locks, environment, gate."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from requirements.rehearsal import Rehearsal, rehearse, told

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("environment.py", "lock.py", "build.in", "tool.in")
LOCKS = ("dev.lock", "run.lock", "tool.lock")
PYPROJECT = """
[build-system]
requires = ["hatchling>=1.27,<2"]
build-backend = "hatchling.build"

[project]
name = "small"
version = "1.0"
requires-python = ">=3.11,<3.15"
dependencies = ["iniconfig==2.0.0"]

[project.optional-dependencies]
embedded = []
dev = ["pytest>=9,<10"]

[tool.hatch.build.targets.wheel]
only-include = ["test_facts.py"]

[tool.pytest.ini_options]
markers = ["iniconfig_facts: one"]
"""
FACTS = """
import os
from importlib.metadata import version
import pytest

@pytest.mark.iniconfig_facts
def test_a_file_is_read():
    import iniconfig
    assert iniconfig.IniConfig("x", data="[a]\\nb = 1")["a"]["b"] == "1"

@pytest.mark.iniconfig_facts
def test_it_is_the_release_that_is_built_on():
    assert version("iniconfig") == "2.0.0", "another release"

@pytest.mark.iniconfig_facts
def test_no_secret_is_at_hand():
    assert "MADE_UP_API_KEY" not in os.environ

def test_that_is_no_fact():
    assert False
"""

pytestmark = pytest.mark.registry


def tried(project: Path, version: str, *, scratch: Path) -> Rehearsal:
    return rehearse(
        project=project,
        scratch=scratch,
        package="iniconfig",
        version=version,
        variables={**os.environ, "MADE_UP_API_KEY": "sk-made-up"},
        python=Path(sys.executable),
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the tools of this one, locked by them with the release that it pins."""
    top = tmp_path_factory.mktemp("rehearsal")
    folder = top / "project"
    (folder / "requirements").mkdir(parents=True)
    for name in TOOLS:
        shutil.copy2(ROOT / "requirements" / name, folder / "requirements" / name)
    for name in LOCKS:
        (folder / "requirements" / name).touch()
    shutil.copy2(ROOT / "requirements" / "tool.lock", folder / "requirements" / "tool.lock")
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "test_facts.py").write_text(FACTS)
    first = tried(folder, "2.0.0", scratch=top / "first")
    assert first.passed
    assert "iniconfig 2.0.0 is new" in first.moved
    for name in LOCKS:
        shutil.copy2(top / "first" / "requirements" / name, folder / "requirements" / name)
    return folder


def test_a_release_that_breaks_a_fact_is_locked_installed_and_told_and_the_project_stays_as_it_is(
    project: Path, tmp_path: Path
) -> None:
    before = contents(project)
    rehearsal = tried(project, "2.1.0", scratch=tmp_path / "copy")
    assert contents(project) == before
    assert not rehearsal.passed
    assert told(rehearsal, package="iniconfig", version="2.1.0").splitlines() == [
        "With iniconfig 2.1.0 the lock changes so:",
        "  iniconfig 2.0.0 becomes 2.1.0",
        "iniconfig 2.1.0: 1 of 3 tests of what is taken for a fact do not hold:",
        "  1 x AssertionError: another release",
        "      first in test_facts::test_it_is_the_release_that_is_built_on",
    ]


def test_a_release_that_cannot_be_locked_is_tried_over_what_is_locked_today(project: Path, tmp_path: Path) -> None:
    unlockable = tmp_path / "project"
    shutil.copytree(project, unlockable)
    (unlockable / "requirements" / "lock.py").write_text('import sys\nsys.exit("no such release is to be had")\n')
    rehearsal = tried(unlockable, "2.1.0", scratch=tmp_path / "copy")
    assert not rehearsal.passed
    assert told(rehearsal, package="iniconfig", version="2.1.0").splitlines() == [
        "iniconfig 2.1.0 cannot be locked:",
        "  no such release is to be had",
        "It was tried over the packages that are locked today.",
        "iniconfig 2.1.0: 1 of 3 tests of what is taken for a fact do not hold:",
        "  1 x AssertionError: another release",
        "      first in test_facts::test_it_is_the_release_that_is_built_on",
    ]

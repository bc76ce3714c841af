"""Try another release of a pinned package in a copy of the project: ``python -m requirements.rehearsal litellm==1.2.3``.

The copy gets the new pin, locks of its own and an environment from them; then the package is held against what is taken for
facts about it (``gate.py``). Where no lock can be made, the release is put over the packages that are locked today, so that
what it changes is known all the same. The project itself is not touched.

Exit codes: 0, the release can be locked and everything holds; 1, not so; 2, it could not be tried.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from requirements import environment, gate
from requirements.advisories import AdvisoriesInvalid, read
from requirements.locked import differences, pins

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = {
    ".git",
    "build",
    "dist",
    "__pycache__",
    ".hypothesis",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".image",
}
LOCKED = ("pyproject.toml", "requirements/dev.lock", "requirements/run.lock", "requirements/tool.lock")


class RehearsalFailed(Exception):
    """The release could not be tried; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What came of it. ``unlockable`` has the resolver's words where no lock can be made, and ``moved`` is empty then."""

    unlockable: str
    moved: tuple[str, ...]
    findings: gate.Findings

    @property
    def passed(self) -> bool:
        """Whether the release can be taken as it is."""
        return not self.unlockable and not self.findings.broken


def wanted(text: str) -> tuple[str, str]:
    """``name==version`` as its two parts. Raises ``RehearsalFailed`` for anything else."""
    try:
        requirement = Requirement(text)
        [exact] = requirement.specifier
    except (InvalidRequirement, ValueError) as exc:
        raise RehearsalFailed(f"{text!r} is not one exact release; name it like litellm==1.2.3") from exc
    if exact.operator != "==" or exact.version.endswith("*"):
        raise RehearsalFailed(f"{text!r} is not one exact release; name it like litellm==1.2.3")
    return canonicalize_name(requirement.name), exact.version


def repinned(text: str, *, package: str, version: str) -> str:
    """``pyproject.toml`` with every exact pin of the package moved. Raises ``RehearsalFailed`` if it has none."""
    pin = re.compile(rf'("{re.escape(package)}(?:\[[^\]]*\])?==)[^",;\s]+')
    moved, count = pin.subn(rf"\g<1>{version}", text)
    if not count:
        raise RehearsalFailed(f"pyproject.toml does not pin {package} to one version")
    return moved


def copied(project: Path, into: Path) -> Path:
    """The project's files in a folder of their own, without its environments, its history and what was made from it."""

    def left_out(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if name in LEFT_OUT or (Path(folder) / name / "pyvenv.cfg").exists()]

    shutil.copytree(project, into, symlinks=True, ignore=left_out)
    return into


def carry_out(command: Sequence[str | Path], *, folder: Path) -> None:
    """Run one step. Raises ``RehearsalFailed`` with the last of what it said on stderr."""
    print(f"+ {' '.join(Path(each).name for each in command)}", file=sys.stderr, flush=True)
    done = subprocess.run([str(each) for each in command], cwd=folder, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RehearsalFailed(done.stderr.strip())


def rehearse(
    *, project: Path, scratch: Path, package: str, version: str, variables: Mapping[str, str], python: Path
) -> Rehearsal:
    """Try a release in ``scratch``, which must not exist yet; ``python`` makes the environment.

    Raises ``RehearsalFailed`` where the package is not pinned or cannot be installed, ``gate.GateFailed`` where no test runs.
    """
    copy = copied(project, scratch)
    pyproject = copy / "pyproject.toml"
    pyproject.write_text(
        repinned(pyproject.read_text(encoding="utf-8"), package=package, version=version), encoding="utf-8"
    )
    unlockable = ""
    try:
        carry_out([python, "requirements/lock.py"], folder=copy)
    except RehearsalFailed as exc:
        unlockable = str(exc)
        for name in LOCKED:
            shutil.copy2(project / name, copy / name)
    venv = copy / ".venv"
    carry_out([python, "requirements/environment.py", "dev", "--venv", venv], folder=copy)
    inside = environment.interpreter(venv)
    if unlockable:
        over: list[str | Path] = [inside, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
        carry_out([*over, f"{package}=={version}"], folder=copy)
    home = copy / ".home"
    home.mkdir()
    bare = {**gate.without_secrets(variables), "HOME": str(home)}
    findings = gate.hold(python=inside, project=copy, package=package, environment=bare)
    dev = Path("requirements") / "dev.lock"
    before, after = (pins((folder / dev).read_text(encoding="utf-8")) for folder in (project, copy))
    return Rehearsal(unlockable=unlockable, moved=differences(before, after), findings=findings)


def told(rehearsal: Rehearsal, *, package: str, version: str) -> str:
    """A rehearsal in words."""
    lines: list[str] = []
    if rehearsal.unlockable:
        lines += [f"{package} {version} cannot be locked:", *_indented(rehearsal.unlockable)]
        lines.append("It was tried over the packages that are locked today.")
    else:
        lines += [f"With {package} {version} the lock changes so:", *_indented("\n".join(rehearsal.moved))]
    lines.append(gate.told(rehearsal.findings, package=package, version=version))
    return "\n".join(lines)


def _indented(text: str) -> list[str]:
    return [f"  {line.strip()}" for line in text.splitlines() if line.strip()]


def main(arguments: Sequence[str], *, variables: Mapping[str, str], today: date) -> int:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(prog="rehearsal", description="Try another release of a pinned package in a copy.")
    parser.add_argument("release", help="for instance litellm==1.2.3")
    try:
        package, version = wanted(parser.parse_args(arguments).release)
        reason = read(ROOT / "requirements" / "advisories.toml", today=today).refusal(package=package, version=version)
        if reason:
            raise RehearsalFailed(f"{package} {version} may not be installed: {reason}")
        with tempfile.TemporaryDirectory() as folder:
            rehearsal = rehearse(
                project=ROOT,
                scratch=Path(folder) / "project",
                package=package,
                version=version,
                variables=variables,
                python=Path(sys.executable),
            )
    except (AdvisoriesInvalid, RehearsalFailed, gate.GateFailed) as exc:
        print(exc, file=sys.stderr)
        return 2
    print(told(rehearsal, package=package, version=version))
    return 0 if rehearsal.passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], variables=os.environ, today=datetime.now(tz=UTC).date()))

"""Hold an installed package against what this project takes for facts about it: ``python -m requirements.gate litellm``.

Runs the tests that carry the mark ``litellm_facts`` and says what no longer holds, by its cause: one change of the package
breaks many tests. Where a warning is among the causes they run once more with warnings passed over, because a call that is
merely deprecated ends a test before it comes to what matters.

Exit codes: 0, all of it holds; 1, some of it does not; 2, the tests could not be run.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parent.parent
SECRET = ("KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL")
LONGEST_CAUSE = 200
_WARNING = re.compile(r"[\w.]*Warning: ")
WRAPPING = ("failed on setup with ", "failed on teardown with ")


class GateFailed(Exception):
    """The tests did not run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A test that failed: its file and name, and the first line of why."""

    test: str
    cause: str

    @property
    def warned(self) -> bool:
        """Whether it was a warning that failed it."""
        return _WARNING.match(self.cause) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """How many tests ran, how many were skipped instead, and those that failed, in their order.

    ``beneath``: the same with warnings passed over, where a warning was among the causes.
    """

    count: int
    broken: tuple[Broken, ...]
    skipped: int = 0
    beneath: "Findings | None" = None

    @property
    def tests(self) -> int:
        """How many tests failed: one may do so twice, in itself and after its end."""
        return len({each.test for each in self.broken})


def hold(*, python: Path, project: Path, package: str, environment: Mapping[str, str]) -> Findings:
    """Run the tests with an interpreter, and again where warnings hide what lies beneath them. Raises as ``run`` does."""
    command = [str(python), "-m", "pytest", "-m", f"{package}_facts and not soak", "-q", "-rN", "--tb=no"]
    command += ["-p", "no:cacheprovider", "--continue-on-collection-errors"]
    findings = run(command, folder=project, environment=environment)
    if not findings.count:
        raise GateFailed(f"no test in {project} carries the mark {package}_facts")
    if not any(each.warned for each in findings.broken):
        return findings
    return replace(findings, beneath=run([*command, "-W", "ignore"], folder=project, environment=environment))


def run(command: Sequence[str], *, folder: Path, environment: Mapping[str, str]) -> Findings:
    """Run pytest once and read its report. Raises ``GateFailed`` if it writes none."""
    with tempfile.TemporaryDirectory() as place:
        report = Path(place) / "report.xml"
        done = subprocess.run([*command, f"--junitxml={report}"], cwd=folder, env=dict(environment), check=False)
        if not report.exists():
            raise GateFailed(f"pytest ended with exit code {done.returncode}; its own message stands above")
        return read_report(report.read_text(encoding="utf-8"))


def read_report(text: str) -> Findings:
    """pytest's report in JUnit's XML."""
    cases = [(f"{case.get('classname')}::{case.get('name')}", case) for case in ET.fromstring(text).iter("testcase")]
    broken = [
        Broken(test=name, cause=_cause(child))
        for name, case in cases
        for child in case
        if child.tag in {"failure", "error"}
    ]
    skipped = {name for name, case in cases if case.find("skipped") is not None}
    names = {name for name, _ in cases} - skipped
    return Findings(count=len(names), broken=tuple(broken), skipped=len(skipped))


def _cause(trouble: ET.Element) -> str:
    """The first line of why, without what pytest puts around it; for a file that cannot be imported, the last."""
    message = trouble.get("message") or ""
    if message == "collection failure":
        message = (trouble.text or "").rpartition("\nE ")[2]
    for words in WRAPPING:
        message = message.removeprefix(words)
    return message.strip().strip('"').partition("\n")[0].strip()[:LONGEST_CAUSE]


def told(findings: Findings, *, package: str, version: str) -> str:
    """Findings in words."""
    name = f"{package} {version}"
    skipped = f" ({findings.skipped} more could not run here)" if findings.skipped else ""
    if not findings.broken:
        return f"{name}: all {findings.count} tests of what is taken for a fact hold{skipped}."
    lines = [f"{name}: {findings.tests} of {findings.count} tests of what is taken for a fact do not hold{skipped}:"]
    lines += by_cause(findings)
    if findings.beneath is not None:
        lines.append(f"With warnings passed over, {findings.beneath.tests or 'none'} of them:")
        lines += by_cause(findings.beneath)
    return "\n".join(lines)


def by_cause(findings: Findings) -> list[str]:
    """The causes, that of most tests first, each with the first test that met it."""
    causes: dict[str, list[str]] = {}
    for each in findings.broken:
        causes.setdefault(each.cause, []).append(each.test)
    lines: list[str] = []
    for cause, tests in sorted(causes.items(), key=lambda item: -len(item[1])):
        lines += [f"  {len(tests)} x {cause}", f"      first in {tests[0]}"]
    return lines


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of an environment but those whose names speak of secrets."""
    return {name: value for name, value in environment.items() if not any(word in name.upper() for word in SECRET)}


def main(arguments: Sequence[str], *, environment: Mapping[str, str]) -> int:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="gate", description="Hold an installed package against what is taken for facts."
    )
    parser.add_argument("package")
    package = str(parser.parse_args(arguments).package)
    try:
        findings = hold(
            python=Path(sys.executable), project=ROOT, package=package, environment=without_secrets(environment)
        )
    except GateFailed as exc:
        print(exc, file=sys.stderr)
        return 2
    print(told(findings, package=package, version=metadata.version(package)))
    return 1 if findings.broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], environment=os.environ))

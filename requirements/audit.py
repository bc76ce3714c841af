"""Ask an advisory database about every locked release: ``python -m requirements.audit [--required]
[--index-only | --osv-url URL]``.

pip-audit asks, first at OSV, then through PyPI's JSON API. Each is asked about an old release whose advisories are public
before its word about ours counts: an index without that API answers as if it had never heard of anything, which pip-audit
alone reports as "no known vulnerabilities", with exit code 0.

Exit codes: 0, nothing is wrong, or no database could be asked (1 with ``--required``); 1, something has to be done; 2, the
audit itself cannot be carried out.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from requirements.advisories import AdvisoriesInvalid, Finding, Rules, before_asking, judge, read
from requirements.locked import Pin, pins

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("dev", "tool")
"""``run.lock`` is resolved within ``dev.lock``."""
ADVISORIES = ROOT / "requirements" / "advisories.toml"
KNOWN_BAD = ("flask", "0.5")
"""A release of 2010 with several advisories; every database that is one knows of it."""
WITHDRAWN = "it knows of others, so this release may have been withdrawn"
ANSWER_S = 20
ALL_ANSWERS_S = 900


class AuditFailed(Exception):
    """pip-audit is not what it is taken for here."""


class NoAnswer(Exception):
    """A database could not be asked; the message says why, in pip-audit's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """An advisory database that pip-audit can ask; ``url`` only where it is not at its usual address."""

    name: str
    url: str = ""

    def __str__(self) -> str:
        return f"{self.name} at {self.url}" if self.url else self.name

    @property
    def arguments(self) -> list[str]:
        """How pip-audit is told of it."""
        return ["--vulnerability-service", self.name, *(["--osv-url", self.url] if self.url else [])]


INDEX = Database(name="pypi")
USUAL = (Database(name="osv"), INDEX)
"""OSV first: it also knows of malicious releases, which PyPI's answers leave out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a database says. ``unknown`` has a line for each release that it has never heard of."""

    findings: tuple[Finding, ...]
    unknown: tuple[str, ...] = ()


def read_answer(text: str) -> Answer:
    """pip-audit's JSON as an ``Answer``. Raises ``AuditFailed`` where it is something else."""
    try:
        entries = json.loads(text)["dependencies"]
        return Answer(
            findings=tuple(_finding(entry, one) for entry in entries for one in entry.get("vulns", ())),
            unknown=tuple(entry["skip_reason"] for entry in entries if "skip_reason" in entry),
        )
    except (ValueError, LookupError, TypeError) as exc:
        raise AuditFailed(f"what pip-audit wrote is not what version 2 of it writes: {text[:200]!r}") from exc


def _finding(entry: Any, one: Any) -> Finding:
    return Finding(
        package=entry["name"],
        version=entry["version"],
        advisory=one["id"],
        also_known_as=tuple(sorted(one["aliases"])),
        fixed_in=tuple(one["fix_versions"]),
    )


def ask(database: Database, requirements: Path, *options: str, limit_s: float) -> Answer:
    """Have pip-audit ask a database about a file of exact requirements.

    Raises ``NoAnswer``, and ``AuditFailed`` if pip-audit is not there or refuses to be asked so.
    """
    if importlib.util.find_spec("pip_audit") is None:
        raise AuditFailed("pip-audit is not installed here; make audit installs it from requirements/dev.lock")
    command = [sys.executable, "-m", "pip_audit", *database.arguments, "--requirement", str(requirements)]
    command += ["--disable-pip", "--format=json", "--desc=off", "--aliases=on", "--progress-spinner=off", *options]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit_s)
    except subprocess.TimeoutExpired as exc:
        raise NoAnswer(f"no answer within {limit_s:g} s") from exc
    if done.returncode not in {0, 1}:
        raise AuditFailed(f"pip-audit ended with exit code {done.returncode}: {_last_words(done.stderr)}")
    if not done.stdout:
        raise NoAnswer(_last_words(done.stderr))
    return read_answer(done.stdout)


def _last_words(text: str) -> str:
    """The last line that says something of an error, as tracebacks do: ``Kind: words``. Cut to what fits on a screen."""
    lines = [line for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if ": " in line and not line.startswith((" ", "WARNING"))]
    return (telling or lines or [""])[-1].strip()[:300]


def trouble(database: Database) -> str:
    """Why a database's word does not count, or an empty string: it has to know of ``KNOWN_BAD``."""
    name, version = KNOWN_BAD
    with tempfile.TemporaryDirectory() as folder:
        question = Path(folder) / "known-bad.txt"
        question.write_text(f"{name}=={version}\n")
        try:
            answer = ask(database, question, "--no-deps", f"--timeout={ANSWER_S}", limit_s=3 * ANSWER_S)
        except NoAnswer as exc:
            return str(exc)
    if any(finding.package == name for finding in answer.findings):
        return ""
    return f"it answers, but knows nothing of {name} {version}, whose advisories are public: it is no advisory database"


def rounds(locked: Iterable[Pin]) -> list[list[Pin]]:
    """The releases in as few lists as possible with no package twice in one: pip-audit takes a package once at a time."""
    found: list[list[Pin]] = []
    for pin in dict.fromkeys(locked):
        for each in found:
            if all(pin.name != other.name for other in each):
                each.append(pin)
                break
        else:
            found.append([pin])
    return found


def releases(texts: Iterable[str]) -> list[Pin]:
    """What locks name between them, each release once, for every platform: without the markers, which pip-audit goes by."""
    named = {(pin.name, pin.version): pin for text in texts for pin in pins(text)}
    return [named[each] for each in sorted(named)]


def ask_about(database: Database, locked: Sequence[Pin]) -> Answer:
    """Ask about all releases, with the hashes of their files. Raises as ``ask`` does."""
    answers: list[Answer] = []
    with tempfile.TemporaryDirectory() as folder:
        for number, each in enumerate(rounds(locked)):
            question = Path(folder) / f"{number}.txt"
            question.write_text("".join(f"{pin.name}=={pin.version} {_hashes(pin)}\n" for pin in each))
            options = ("--require-hashes", f"--timeout={ANSWER_S}")
            answers.append(ask(database, question, *options, limit_s=ALL_ANSWERS_S))
    return Answer(
        findings=tuple(finding for answer in answers for finding in answer.findings),
        unknown=tuple(line for answer in answers for line in answer.unknown),
    )


def _hashes(pin: Pin) -> str:
    return " ".join(f"--hash=sha256:{each}" for each in pin.sha256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """An audit as it ended. ``asked`` is empty if no database could be asked, and ``silent`` then says why, one by one."""

    asked: str = ""
    silent: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    said: tuple[str, ...] = ()


def audit(locked: Sequence[Pin], rules: Rules, *, databases: Sequence[Database], in_gateway: frozenset[str]) -> Outcome:
    """Judge the releases by the first database that answers all questions and whose word counts. Raises ``AuditFailed``."""
    known = before_asking(locked, rules)
    silent: list[str] = []
    for database in databases:
        why = trouble(database)
        if not why:
            try:
                answer = ask_about(database, locked)
            except NoAnswer as exc:
                why = str(exc)
            else:
                verdict = judge(answer.findings, rules, in_gateway=in_gateway)
                withdrawn = tuple(f"{line}: {WITHDRAWN}" for line in answer.unknown)
                return Outcome(asked=str(database), wrong=(*known, *verdict.wrong, *withdrawn), said=verdict.said)
        silent.append(f"{database}: {why}")
    return Outcome(silent=tuple(silent), wrong=known)


def told(outcome: Outcome, *, count: int) -> str:
    """An outcome in words."""
    lines = [f"  {line}" for line in (*outcome.wrong, *outcome.said)]
    if outcome.asked:
        summary = f"{count} locked releases were looked up ({outcome.asked})"
        lines.append(f"{summary}: {len(outcome.wrong) or 'nothing'} to be done.")
    else:
        lines.append(f"Not audited: no advisory database could be asked about the {count} locked releases.")
        lines += [f"  {line}" for line in outcome.silent]
        lines.append('Run it where one of them answers, or name a mirror of OSV: make audit ARGS="--osv-url URL"')
    if outcome.wrong:
        lines.append(
            'A newer release: make lock ARGS="--upgrade-package NAME". One that does no harm here: an entry in '
            "requirements/advisories.toml."
        )
    return "\n".join(lines)


def main(arguments: Sequence[str], *, today: date) -> int:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(prog="audit", description="Ask an advisory database about every locked release.")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--osv-url", default="", help="a mirror of OSV, which alone is asked then")
    where.add_argument("--index-only", action="store_true", help="ask nobody but the package index")
    parser.add_argument("--required", action="store_true", help="fail where no database can be asked")
    given = parser.parse_args(arguments)
    databases = (Database(name="osv", url=given.osv_url),) if given.osv_url else (INDEX,) if given.index_only else USUAL
    texts = {name: (ROOT / "requirements" / f"{name}.lock").read_text() for name in ("run", *LOCKS)}
    locked = releases(texts[name] for name in LOCKS)
    try:
        rules = read(ADVISORIES, today=today)
        in_gateway = frozenset(pin.name for pin in pins(texts["run"]))
        outcome = audit(locked, rules, databases=databases, in_gateway=in_gateway)
    except (AdvisoriesInvalid, AuditFailed) as exc:
        print(exc, file=sys.stderr)
        return 2
    print(told(outcome, count=len(locked)))
    return 1 if outcome.wrong or (given.required and not outcome.asked) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], today=datetime.now(tz=UTC).date()))

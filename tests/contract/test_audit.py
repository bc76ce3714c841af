"""Locked releases audited by the real pip-audit: against a database that knows, one that knows nothing, and none at all."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from fakes.osv import FLASK, FakeOsv, an_advisory
from requirements.advisories import Ignored, Refused, Rules
from requirements.audit import Database, Outcome, audit, releases

ROOT = Path(__file__).resolve().parents[2]
NOBODY = "http://127.0.0.1:9/v1/query"
HASH = "--hash=sha256:" + "0" * 64
LOCK = f"""
harmless==1.0 \\
    {HASH}
litellm==1.82.7 \\
    {HASH}
    # via rolegate (pyproject.toml)
numpy==2.4.6 ; python_full_version < '3.12' \\
    {HASH}
numpy==2.5.5 ; python_full_version >= '3.12' \\
    {HASH}
windowish==3.0 ; sys_platform == 'win32' \\
    {HASH}
"""
LOCKED = releases([LOCK])
BAD = an_advisory("GHSA-1", package="litellm", aliases=["CVE-2026-1", "PYSEC-2026-1"], fixed_in="1.83.0")


@pytest.fixture
def osv() -> Iterator[FakeOsv]:
    with FakeOsv().in_thread() as fake:
        fake.know("flask", "0.5", FLASK)
        yield fake


def audited(*databases: Database, rules: Rules | None = None) -> Outcome:
    return audit(LOCKED, rules or Rules(), databases=databases, in_gateway=frozenset({"litellm"}))


def at(osv: FakeOsv) -> Database:
    return Database(name="osv", url=osv.query_url)


def test_every_release_is_looked_up_whatever_platform_it_is_for(osv: FakeOsv) -> None:
    assert audited(at(osv)) == Outcome(asked=f"osv at {osv.query_url}")
    assert osv.asked == {(pin.name, pin.version) for pin in LOCKED}
    assert {("numpy", "2.4.6"), ("numpy", "2.5.5"), ("windowish", "3.0")} < osv.asked


def test_a_finding_names_the_release_its_advisory_and_where_it_is_fixed(osv: FakeOsv) -> None:
    osv.know("litellm", "1.82.7", BAD)
    osv.know("windowish", "3.0", an_advisory("MAL-2026-2", package="windowish"))
    assert audited(at(osv)).wrong == (
        "litellm 1.82.7: PYSEC-2026-1 (CVE-2026-1, GHSA-1), fixed in 1.83.0 (the gateway runs on it)",
        "windowish 3.0: MAL-2026-2, no fixed version is known (in the workshop only)",
    )


def test_a_withdrawn_advisory_is_none(osv: FakeOsv) -> None:
    osv.know("harmless", "1.0", an_advisory("GHSA-3", package="harmless", withdrawn=True))
    assert audited(at(osv)).wrong == ()


def test_an_ignored_advisory_is_told_with_its_reason_under_any_of_its_names(osv: FakeOsv) -> None:
    osv.know("litellm", "1.82.7", BAD)
    entry = Ignored(advisory="CVE-2026-1", package="litellm", reason="never called", until=date(2027, 1, 31))
    outcome = audited(at(osv), rules=Rules(ignored=(entry,)))
    assert outcome.wrong == ()
    assert outcome.said == (
        "litellm 1.82.7: PYSEC-2026-1 (CVE-2026-1, GHSA-1), fixed in 1.83.0; ignored until 2027-01-31: never called",
    )


def test_a_database_that_knows_nothing_is_not_believed(osv: FakeOsv) -> None:
    osv.know("flask", "0.5")
    outcome = audited(at(osv))
    assert outcome.asked == ""
    [reason] = outcome.silent
    assert reason == (
        f"osv at {osv.query_url}: it answers, but knows nothing of flask 0.5, whose advisories are public: "
        "it is no advisory database"
    )
    assert not osv.asked


def test_the_next_database_is_asked_where_the_first_does_not_answer(osv: FakeOsv) -> None:
    assert audited(Database(name="osv", url=NOBODY), at(osv)).asked == f"osv at {osv.query_url}"


@pytest.mark.parametrize("database", [Database(name="osv"), Database(name="pypi")], ids=str)
def test_without_a_network_nothing_is_claimed(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    outcome = audited(database)
    assert (outcome.asked, outcome.wrong) == ("", ())
    assert len(outcome.silent) == 1
    assert outcome.silent[0].startswith(f"{database}: ")
    assert "Cannot connect to proxy" in outcome.silent[0] or "ProxyError" in outcome.silent[0]


def test_refused_releases_and_expired_entries_are_wrong_without_a_network_too() -> None:
    refused = Refused(package="litellm", versions=frozenset({"1.82.7"}), reason="it collects secrets")
    expired = Ignored(advisory="GHSA-4", package="numpy", reason="never called", until=date(2026, 1, 31))
    outcome = audited(Database(name="osv", url=NOBODY), rules=Rules(refused=(refused,), expired=(expired,)))
    assert outcome.asked == ""
    in_lock, in_file = outcome.wrong
    assert in_lock == "litellm 1.82.7 may not be installed: it collects secrets"
    assert in_file == (
        "GHSA-4 for numpy was to be ignored until 2026-01-31 (never called): see whether it can be fixed now, "
        "or say anew why it does no harm"
    )


def test_a_database_that_leaves_a_question_open_has_audited_nothing(osv: FakeOsv) -> None:
    osv.know("litellm", "1.82.7", BAD)
    osv.stumbles_at.add("numpy")
    outcome = audited(at(osv))
    assert (outcome.asked, outcome.wrong) == ("", ())
    [reason] = outcome.silent
    assert reason == (
        f"osv at {osv.query_url}: requests.exceptions.HTTPError: 500 Server Error: Internal Server Error "
        f"for url: {osv.query_url}"
    )


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "requirements.audit", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_command_fails_for_a_finding_in_the_locks_of_this_project(osv: FakeOsv) -> None:
    [certifi] = [pin for pin in releases([(ROOT / "requirements" / "run.lock").read_text()]) if pin.name == "certifi"]
    osv.know("certifi", certifi.version, an_advisory("GHSA-5", package="certifi", fixed_in="2099.1.1"))
    finished = run("--osv-url", osv.query_url)
    assert finished.returncode == 1, finished.stderr
    finding, summary, way_out = finished.stdout.splitlines()
    assert finding == f"  certifi {certifi.version}: GHSA-5, fixed in 2099.1.1 (the gateway runs on it)"
    assert summary == f"{len(osv.asked)} locked releases were looked up (osv at {osv.query_url}): 1 to be done."
    assert way_out == (
        'A newer release: make lock ARGS="--upgrade-package NAME". One that does no harm here: an entry in '
        "requirements/advisories.toml."
    )


def test_the_command_passes_where_nothing_is_wrong(osv: FakeOsv) -> None:
    finished = run("--osv-url", osv.query_url, "--required")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stdout == (
        f"{len(osv.asked)} locked releases were looked up (osv at {osv.query_url}): nothing to be done.\n"
    )


@pytest.mark.parametrize(("more", "code"), [((), 0), (("--required",), 1)])
def test_the_command_says_that_nothing_was_audited_and_fails_for_it_only_if_asked_to(
    more: tuple[str, ...], code: int
) -> None:
    finished = run("--osv-url", NOBODY, *more)
    assert finished.returncode == code, finished.stderr
    first, reason, way_out = finished.stdout.splitlines()
    assert first.startswith("Not audited: no advisory database could be asked about the ")
    assert reason.startswith(f"  osv at {NOBODY}: ")
    assert way_out == 'Run it where one of them answers, or name a mirror of OSV: make audit ARGS="--osv-url URL"'

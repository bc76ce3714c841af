import os
import sys
from pathlib import Path

import pytest

from requirements.gate import Broken, Findings, GateFailed, hold, read_report, told, without_secrets

REPORT = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest">
<testcase classname="tests.contract.test_seam" name="test_one"><error message="failed on setup with &quot;DeprecationWarning: old&quot;">x</error></testcase>
<testcase classname="tests.contract.test_seam" name="test_two"><failure message="AssertionError: no&#10;assert 1">x</failure></testcase>
<testcase classname="tests.contract.test_seam" name="test_three"><failure message="DeprecationWarning: old">x</failure>
<error message="failed on teardown with &quot;OSError: late&quot;">x</error></testcase>
<testcase classname="tests.contract.test_seam" name="test_four"/>
<testcase classname="tests.contract.test_seam" name="test_five"><skipped message="not here"/></testcase>
</testsuite></testsuites>
"""  # noqa: E501


def test_a_report_is_read_by_test_and_cause() -> None:
    seam = "tests.contract.test_seam::test"
    assert read_report(REPORT) == Findings(
        count=4,
        skipped=1,
        broken=(
            Broken(test=f"{seam}_one", cause="DeprecationWarning: old"),
            Broken(test=f"{seam}_two", cause="AssertionError: no"),
            Broken(test=f"{seam}_three", cause="DeprecationWarning: old"),
            Broken(test=f"{seam}_three", cause="OSError: late"),
        ),
    )


def test_what_no_longer_holds_is_told_by_cause_the_most_frequent_first() -> None:
    assert told(read_report(REPORT), package="litellm", version="2.0").splitlines() == [
        "litellm 2.0: 3 of 4 tests of what is taken for a fact do not hold (1 more could not run here):",
        "  2 x DeprecationWarning: old",
        "      first in tests.contract.test_seam::test_one",
        "  1 x AssertionError: no",
        "      first in tests.contract.test_seam::test_two",
        "  1 x OSError: late",
        "      first in tests.contract.test_seam::test_three",
    ]


def test_that_all_holds_is_one_line() -> None:
    findings = Findings(count=7, broken=())
    assert told(findings, package="litellm", version="2.0") == (
        "litellm 2.0: all 7 tests of what is taken for a fact hold."
    )


def test_a_release_on_trial_sees_no_secret_of_the_environment() -> None:
    variables = {"PATH": "/bin", "OPENAI_API_KEY": "x", "github_token": "x", "DB_PASSWORD": "x", "HOME": "/home/a"}
    assert without_secrets(variables) == {"PATH": "/bin", "HOME": "/home/a"}


def test_a_gate_without_any_test_does_not_pass(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text("def test_other(): pass\n")
    with pytest.raises(GateFailed) as caught:
        hold(python=Path(sys.executable), project=tmp_path, package="litellm", environment=os.environ)
    assert str(caught.value) == f"no test in {tmp_path} carries the mark litellm_facts"


def test_a_file_of_tests_that_can_no_longer_be_imported_is_told(tmp_path: Path) -> None:
    (tmp_path / "test_gone.py").write_text("from json import gone\n")
    findings = hold(python=Path(sys.executable), project=tmp_path, package="litellm", environment=os.environ)
    [broken] = findings.broken
    assert broken.test == "::test_gone"
    assert broken.cause.startswith("ImportError: cannot import name 'gone' from 'json'")


def test_what_lies_beneath_a_warning_is_found_too(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error:old way\nmarkers = litellm_facts: one\n")
    (tmp_path / "test_seam.py").write_text(
        "import pytest, warnings\n"
        "pytestmark = pytest.mark.litellm_facts\n"
        "def test_old():\n    warnings.warn('old way', DeprecationWarning)\n"
        "def test_worse():\n    warnings.warn('old way', DeprecationWarning)\n    assert False, 'lost'\n"
        "def test_fine(): pass\n"
    )
    findings = hold(python=Path(sys.executable), project=tmp_path, package="litellm", environment=os.environ)
    assert told(findings, package="litellm", version="2.0").splitlines() == [
        "litellm 2.0: 2 of 3 tests of what is taken for a fact do not hold:",
        "  2 x DeprecationWarning: old way",
        "      first in test_seam::test_old",
        "With warnings passed over, 1 of them:",
        "  1 x AssertionError: lost",
        "      first in test_seam::test_worse",
    ]

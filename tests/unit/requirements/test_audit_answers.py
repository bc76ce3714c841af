import json

import pytest

from requirements.advisories import Finding
from requirements.audit import AuditFailed, read_answer, rounds
from requirements.locked import Pin


def a_pin(name: str, version: str) -> Pin:
    return Pin(name=name, version=version, marker="", sha256=(), asked_by=())


def test_an_index_without_an_advisory_api_is_not_taken_for_an_all_clear() -> None:
    text = (
        '{"dependencies": [{"name": "flask", "skip_reason": "Dependency not found on PyPI and could not be audited: '
        'flask (0.5)"}], "fixes": []}\n'
    )
    answer = read_answer(text)
    assert answer.findings == ()
    assert answer.unknown == ("Dependency not found on PyPI and could not be audited: flask (0.5)",)


def test_findings_are_read_with_all_their_names_and_fixes() -> None:
    one = {"id": "PYSEC-1", "fix_versions": ["1.1", "2.0"], "aliases": ["GHSA-1", "CVE-1"]}
    entries = [{"name": "a", "version": "1.0", "vulns": [one]}, {"name": "b", "version": "2.0", "vulns": []}]
    assert read_answer(json.dumps({"dependencies": entries, "fixes": []})).findings == (
        Finding(
            package="a", version="1.0", advisory="PYSEC-1", also_known_as=("CVE-1", "GHSA-1"), fixed_in=("1.1", "2.0")
        ),
    )


@pytest.mark.parametrize("text", ["", "<html>", "[]", '{"dependencies": [{"name": "a", "vulns": [{}]}]}'])
def test_what_pip_audit_does_not_write_is_an_error(text: str) -> None:
    with pytest.raises(AuditFailed) as caught:
        read_answer(text)
    assert str(caught.value) == f"what pip-audit wrote is not what version 2 of it writes: {text!r}"


def test_no_package_comes_twice_in_a_question() -> None:
    first, second, other = a_pin("a", "1"), a_pin("a", "2"), a_pin("b", "1")
    assert rounds([first, second, other]) == [[first, other], [second]]
    assert rounds([]) == []

from datetime import date
from pathlib import Path

import pytest

from requirements.advisories import AdvisoriesInvalid, Finding, Ignored, Rules, judge, read
from requirements.audit import ADVISORIES

TODAY = date(2026, 11, 23)
FINDING = Finding(package="some-thing", version="1.0", advisory="PYSEC-1", also_known_as=("CVE-1", "GHSA-1"))


def rules(folder: Path, text: str) -> Rules:
    path = folder / "advisories.toml"
    path.write_text(text, encoding="utf-8")
    return read(path, today=TODAY)


def an_entry(*, until: date, advisory: str = "GHSA-1", package: str = "Some_Thing") -> str:
    return f'[[ignored]]\nadvisory = "{advisory}"\npackage = "{package}"\nreason = "never called"\nuntil = {until}\n'


def test_the_file_of_this_project_is_valid_and_refuses_the_releases_that_were_taken_over() -> None:
    found = read(ADVISORIES, today=date(2026, 11, 1))
    for version in ("1.82.7", "1.82.8", "1.107.0"):
        assert "secrets" in found.refusal(package="litellm", version=version)
    assert found.refusal(package="litellm", version="1.106.2") == ""
    assert found.refusal(package="openai", version="1.107.0") == ""


def test_an_empty_file_ignores_and_refuses_nothing(tmp_path: Path) -> None:
    assert rules(tmp_path, "") == Rules()


def test_an_entry_holds_to_the_end_of_its_last_day(tmp_path: Path) -> None:
    found = rules(tmp_path, an_entry(until=TODAY) + an_entry(until=date(2026, 11, 22), advisory="GHSA-2"))
    assert [each.advisory for each in found.ignored] == ["GHSA-1"]
    assert [each.advisory for each in found.expired] == ["GHSA-2"]
    assert found.ignored[0].package == "some-thing"


def test_nothing_can_be_ignored_for_longer_than_a_year(tmp_path: Path) -> None:
    rules(tmp_path, an_entry(until=date(2027, 11, 24)))
    with pytest.raises(AdvisoriesInvalid) as caught:
        rules(tmp_path, an_entry(until=date(2027, 11, 25)))
    assert str(caught.value) == (
        f"{tmp_path / 'advisories.toml'}: GHSA-1 would be ignored until 2027-11-25; 2027-11-24 is the latest day allowed"
    )


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    text = (
        an_entry(until=TODAY).replace("until", "untill") + '[[refused]]\npackage = "x"\nversions = "1"\nreason = " "\n'
    )
    with pytest.raises(AdvisoriesInvalid) as caught:
        rules(tmp_path, text)
    path = tmp_path / "advisories.toml"
    assert str(caught.value).splitlines() == [
        f"{path}: ignored 1: until: Field required",
        f"{path}: ignored 1: untill: Extra inputs are not permitted",
        f"{path}: refused 1: versions: Input should be a valid list",
        f"{path}: refused 1: reason: String should have at least 1 character",
    ]


def test_a_file_that_is_no_toml_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(AdvisoriesInvalid, match=r"advisories\.toml: .*line 1, column 10"):
        rules(tmp_path, "[[ignored]")


@pytest.mark.parametrize("name", ["PYSEC-1", "CVE-1", "GHSA-1"])
def test_an_advisory_is_ignored_under_each_of_its_names_for_its_package_only(name: str) -> None:
    entry = Ignored(advisory=name, package="some-thing", reason="never called", until=TODAY)
    assert entry.covers(FINDING)
    assert not entry.covers(
        Finding(package="other", version="1.0", advisory="PYSEC-1", also_known_as=("CVE-1", "GHSA-1"))
    )


def test_an_entry_that_nothing_needs_any_more_is_told() -> None:
    entry = Ignored(advisory="GHSA-9", package="gone", reason="never called", until=TODAY)
    verdict = judge([], Rules(ignored=(entry,)), in_gateway=frozenset())
    assert (verdict.wrong, verdict.said) == ((), ("GHSA-9 for gone is ignored, but was not found: the entry can go",))

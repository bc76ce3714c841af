"""The bill of materials: what it says of every locked release, that it is valid CycloneDX, and that it stays the same."""

import json
import subprocess
import sys
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.model.license import License, LicenseExpression
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from gateway import __version__
from requirements.locked import Pin, pins
from requirements.sbom import LOCK, bill, licences, text

LOCKED = pins(LOCK.read_text(encoding="utf-8"))
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def document() -> Any:
    return json.loads(text(bill(LOCKED)))


def entries(document: Any) -> dict[str, Any]:
    return {each["bom-ref"]: each for each in document["components"]}


def hashes(entry: Any) -> list[str]:
    return [each["content"] for reference in entry["externalReferences"] for each in reference["hashes"]]


def a_release(name: str, *, marker: str = "", asked_by: tuple[str, ...] = ("",)) -> Pin:
    return Pin(name=name, version="1.0", marker=marker, sha256=("0" * 64,), asked_by=asked_by)


def metadata(**headers: str | list[str]) -> Any:
    told = Message()
    for name, values in headers.items():
        for value in [values] if isinstance(values, str) else values:
            told[name.replace("_", "-")] = value
    return told


def test_it_is_valid_by_the_schema_of_cyclonedx() -> None:
    found = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text(bill(LOCKED)), all_errors=True)
    assert [str(each) for each in found or ()] == []


def test_the_schema_refuses_what_does_not_belong(document: Any) -> None:
    wrong = json.dumps({**document, "components": [{"name": "nameless kind"}]})
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(wrong) is not None


def test_every_locked_release_is_in_it_with_its_version_address_and_hashes(document: Any) -> None:
    found = entries(document)
    assert len(found) == len(LOCKED)
    for pin in LOCKED:
        entry = found[f"pkg:pypi/{pin.name}@{pin.version}"]
        assert (entry["name"], entry["version"], entry["purl"]) == (pin.name, pin.version, entry["bom-ref"])
        assert hashes(entry) == list(pin.sha256)


def test_it_says_what_it_is_about_and_names_no_index(document: Any) -> None:
    about = document["metadata"]["component"]
    assert (about["name"], about["version"], about["type"]) == ("rolegate", __version__, "application")
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert "https:" not in text(bill(LOCKED))


def test_who_asks_for_whom_leads_from_the_project_to_every_release(document: Any) -> None:
    edges = {each["ref"]: set(each.get("dependsOn", ())) for each in document["dependencies"]}
    assert "pkg:pypi/httpcore@1.0.9" in edges["pkg:pypi/httpx@0.28.1"]
    reached, open_ends = set[str](), {"rolegate"}
    while open_ends:
        reached |= open_ends
        open_ends = set[str]().union(*(edges[each] for each in open_ends)) - reached
    assert reached == {"rolegate", *entries(document)}


def test_a_release_for_some_platforms_only_says_for_which() -> None:
    marked = a_release("windowish", marker='sys_platform == "win32"')
    found = entries(json.loads(text(bill([a_release("plain"), marked], about=lambda _: None))))
    assert found["pkg:pypi/plain@1.0"]["scope"] == "required"
    assert found["pkg:pypi/windowish@1.0"]["scope"] == "optional"
    assert found["pkg:pypi/windowish@1.0"]["properties"] == [
        {"name": "rolegate:marker", "value": 'sys_platform == "win32"'}
    ]


def test_licences_are_those_of_the_version_that_is_locked() -> None:
    [installed] = [pin for pin in LOCKED if pin.name == "httpx"]
    other = Pin(name="httpx", version="0.1", marker="", sha256=(), asked_by=("",))
    found = entries(json.loads(text(bill([installed, other]))))
    assert found[f"pkg:pypi/httpx@{installed.version}"]["licenses"] == [
        {"license": {"acknowledgement": "declared", "id": "BSD-3-Clause"}}
    ]
    assert "licenses" not in found["pkg:pypi/httpx@0.1"]


def name(licence: License) -> str | None:
    return licence.value if isinstance(licence, LicenseExpression) else licence.id or licence.name


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"License_Expression": "MIT"}, ["MIT"]),
        ({"License_Expression": "MPL-2.0 AND MIT", "License": "see above"}, ["MPL-2.0 AND MIT"]),
        (
            {"License": "Apache-2.0", "Classifier": ["License :: OSI Approved :: Apache Software License"]},
            ["Apache-2.0"],
        ),
        ({"License": "Dual", "Classifier": ["License :: A", "Topic :: X", "License :: B"]}, ["A", "B"]),
        ({"License": "MIT License\n\nCopyright (c) somebody"}, ["MIT License"]),
        ({"License": "Permission is hereby granted, free of charge, to any person obtaining a copy"}, []),
        ({}, []),
    ],
)
def test_a_licence_is_taken_from_where_it_is_said_most_exactly(headers: dict[str, Any], expected: list[str]) -> None:
    assert [name(each) for each in licences(metadata(**headers))] == expected


def test_the_same_lock_gives_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    for name in ("one", "two"):
        command = [sys.executable, "-m", "requirements.sbom", "--output", str(tmp_path / name / "sbom.cdx.json")]
        finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert finished.returncode == 0, finished.stderr
        assert finished.stdout == f"{tmp_path / name / 'sbom.cdx.json'}: {len(LOCKED)} packages\n"
    one, two = ((tmp_path / name / "sbom.cdx.json").read_bytes() for name in ("one", "two"))
    assert one == two
    assert one.decode() == text(bill(reversed(LOCKED)))
    assert not {"serialNumber", "timestamp"} & set(json.loads(one) | json.loads(one)["metadata"])

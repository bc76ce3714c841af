"""What is known to be wrong with locked releases, and what is done about it: the file ``advisories.toml``, and the judgement."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

from packaging.utils import canonicalize_name
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from requirements.locked import Pin

LONGEST = timedelta(days=366)
"""How far ahead an advisory can be ignored."""


class AdvisoriesInvalid(Exception):
    """The file cannot be used; the message names everything that is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """An advisory for a locked release. ``fixed_in`` is empty where no release is known to be without it."""

    package: str
    version: str
    advisory: str
    also_known_as: tuple[str, ...] = ()
    fixed_in: tuple[str, ...] = ()

    def __str__(self) -> str:
        names = f"{self.advisory} ({', '.join(self.also_known_as)})" if self.also_known_as else self.advisory
        fix = f"fixed in {', '.join(self.fixed_in)}" if self.fixed_in else "no fixed version is known"
        return f"{self.package} {self.version}: {names}, {fix}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """An advisory that the project lives with until a day, that day included, and why."""

    advisory: str
    package: str
    reason: str
    until: date

    def covers(self, finding: Finding) -> bool:
        """Whether it speaks of this finding, under whichever of its names."""
        return self.package == finding.package and self.advisory in {finding.advisory, *finding.also_known_as}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Releases that may never be installed, and why."""

    package: str
    versions: frozenset[str]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The file as read. ``expired`` are those of ``ignored`` whose day has passed."""

    ignored: tuple[Ignored, ...] = ()
    expired: tuple[Ignored, ...] = ()
    refused: tuple[Refused, ...] = ()

    def refusal(self, *, package: str, version: str) -> str:
        """Why this release may not be installed, or an empty string."""
        of_package = (one for one in self.refused if one.package == package)
        return next((one.reason for one in of_package if version in one.versions), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What an audit comes to: ``wrong`` has a line for each thing that has to be done, ``said`` for each that is good to know."""

    wrong: tuple[str, ...] = ()
    said: tuple[str, ...] = ()


Words = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Ignored(_Entry):
    advisory: Words
    package: Words
    reason: Words
    until: date


class _Refused(_Entry):
    package: Words
    versions: list[Words]
    reason: Words


class _File(_Entry):
    ignored: list[_Ignored] = []
    refused: list[_Refused] = []


def read(path: Path, *, today: date) -> Rules:
    """Read the file, on a day.

    Raises ``AdvisoriesInvalid`` with every problem at once: what is no TOML, what does not belong there or is missing, and
    what would be ignored for longer than ``LONGEST``.
    """
    try:
        file = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as exc:
        raise AdvisoriesInvalid(f"{path}: {exc}") from exc
    except ValidationError as exc:
        problems = [f"{path}: {_place(each['loc'])}: {each['msg']}" for each in exc.errors()]
        raise AdvisoriesInvalid("\n".join(problems)) from exc
    ignored = [
        Ignored(advisory=each.advisory, package=canonicalize_name(each.package), reason=each.reason, until=each.until)
        for each in file.ignored
    ]
    latest = today + LONGEST
    endless = [
        f"{path}: {each.advisory} would be ignored until {each.until}; {latest} is the latest day allowed"
        for each in ignored
        if each.until > latest
    ]
    if endless:
        raise AdvisoriesInvalid("\n".join(endless))
    return Rules(
        ignored=tuple(each for each in ignored if each.until >= today),
        expired=tuple(each for each in ignored if each.until < today),
        refused=tuple(
            Refused(package=canonicalize_name(each.package), versions=frozenset(each.versions), reason=each.reason)
            for each in file.refused
        ),
    )


def _place(where: tuple[int | str, ...]) -> str:
    """``("ignored", 0, "until")`` as a person counts: ``ignored 1: until``."""
    words: list[str] = []
    for each in where:
        if isinstance(each, int):
            words[-1] += f" {each + 1}"
        else:
            words.append(each)
    return ": ".join(words)


def before_asking(locked: Iterable[Pin], rules: Rules) -> tuple[str, ...]:
    """What is wrong without any database: refused releases, and entries whose day has passed."""
    refused = [
        f"{pin} may not be installed: {reason}"
        for pin in locked
        if (reason := rules.refusal(package=pin.name, version=pin.version))
    ]
    expired = [
        f"{each.advisory} for {each.package} was to be ignored until {each.until} ({each.reason}): "
        "see whether it can be fixed now, or say anew why it does no harm"
        for each in rules.expired
    ]
    return (*refused, *expired)


def judge(findings: Iterable[Finding], rules: Rules, *, in_gateway: frozenset[str]) -> Verdict:
    """What findings come to under the rules. ``in_gateway`` names the packages that the gateway itself runs on."""
    wrong: list[str] = []
    said: list[str] = []
    used: set[Ignored] = set()
    for finding in findings:
        cover = next((each for each in rules.ignored if each.covers(finding)), None)
        if cover is None:
            where = "the gateway runs on it" if finding.package in in_gateway else "in the workshop only"
            wrong.append(f"{finding} ({where})")
        else:
            used.add(cover)
            said.append(f"{finding}; ignored until {cover.until}: {cover.reason}")
    said += [
        f"{each.advisory} for {each.package} is ignored, but was not found: the entry can go"
        for each in rules.ignored
        if each not in used
    ]
    return Verdict(wrong=tuple(wrong), said=tuple(said))

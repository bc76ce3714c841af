"""A lock file as data: which release of what, where it is installed, which files are admitted, and who asked for it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_ASKER = re.compile(r"^    # (?:via |  )(\S.*)$", flags=re.MULTILINE)
_FIRST_LINE = re.compile(r"^(?=[A-Za-z0-9])", flags=re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One locked release.

    ``marker`` says for which platforms and Pythons, and is empty where it is for all. ``asked_by`` holds the names of the
    packages that ask for it, and an empty string where the project itself does.
    """

    name: str
    version: str
    marker: str
    sha256: tuple[str, ...]
    asked_by: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def pins(text: str) -> tuple[Pin, ...]:
    """The releases that a lock names, in its order; a package may come more than once, under markers that exclude each other."""
    return tuple(_pin(block) for block in _FIRST_LINE.split(text)[1:])


def _pin(block: str) -> Pin:
    requirement = Requirement(block.splitlines()[0].rstrip("\\ "))
    [exact] = requirement.specifier
    return Pin(
        name=canonicalize_name(requirement.name),
        version=exact.version,
        marker=str(requirement.marker or ""),
        sha256=tuple(sorted(_HASH.findall(block))),
        asked_by=tuple(sorted({_asker(words) for words in _ASKER.findall(block) if not words.startswith("-c ")})),
    )


def _asker(words: str) -> str:
    """A package's name; nothing for the project's own files, which are named as ``-r file`` or ``name (file)``."""
    return "" if words.startswith("-r ") or words.endswith(")") else canonicalize_name(words)


def differences(before: Iterable[Pin], after: Iterable[Pin]) -> tuple[str, ...]:
    """What a new lock changes, a line for each package: its versions, or other files for the same version."""
    old, new = _files(before), _files(after)
    return tuple(line for name in sorted(old | new) if (line := _difference(name, old.get(name), new.get(name))))


def _files(locked: Iterable[Pin]) -> dict[str, dict[str, frozenset[str]]]:
    found: dict[str, dict[str, frozenset[str]]] = {}
    for pin in locked:
        found.setdefault(pin.name, {})[pin.version] = frozenset(pin.sha256)
    return found


def _difference(name: str, old: dict[str, frozenset[str]] | None, new: dict[str, frozenset[str]] | None) -> str:
    if old is None:
        return f"{name} {' and '.join(new or ())} is new"
    if new is None:
        return f"{name} {' and '.join(old)} is gone"
    if list(old) != list(new):
        return f"{name} {' and '.join(old)} becomes {' and '.join(new)}"
    changed = [version for version in old if old[version] != new[version]]
    lost = [version for version in changed if old[version] - new[version]]
    if lost:
        return f"{name} {' and '.join(lost)} has lost files that were locked, under the same version"
    return f"{name} {' and '.join(changed)} has more files" if changed else ""

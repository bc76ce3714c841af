"""From older versions of the configuration format to this one, in memory: whoever reads a file sees its newest form.

Version 1 is the first, so the table of steps is empty: whoever makes version 2 adds what leads from 1 to it. A file that names no
version is of the first.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from gateway.config.document import SCHEMA_VERSION, Document, read_document
from gateway.errors import Problem

_FIRST: Final = 1
_KEY: Final = "schema_version"

Step = Callable[[Mapping[str, object]], Mapping[str, object]]
"""What leads from one version to the next. Pure, and total: what it does not understand stays as it is, for the schema to refuse.
``schema_version`` is not its business."""

STEPS: Final[Mapping[int, Step]] = MappingProxyType({})
"""Version → the step that leads from it to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migrated:
    """Values in the newest form there is a way to, and the version that they were in."""

    data: Mapping[str, object]
    before: int
    changed: bool


def migrated(data: Mapping[str, object], *, steps: Mapping[int, Step] | None = None) -> Migrated:
    """``data`` after every step from its version on (``STEPS`` unless others are given); itself where there is none, as for a
    version that is none. Pure."""
    table = STEPS if steps is None else steps
    before = version = version_of(data)
    while version in table:
        data = {_KEY: version + 1} | dict(table[version](data)) | {_KEY: version + 1}
        version += 1
    return Migrated(data=data, before=before, changed=version != before)


def current(document: Document, *, steps: Mapping[int, Step] | None = None) -> Document:
    """``document`` with its values in the newest form; its text and lines stay those of the file."""
    if document.data is None:
        return document
    now = migrated(document.data, steps=steps)
    return document.holding(now.data, migrated_from=now.before) if now.changed else document


def read_current(path: Path) -> Document:
    """``read_document``, in the newest form."""
    return current(read_document(path))


def stamped(values: Mapping[str, object], *, version: int = SCHEMA_VERSION) -> Mapping[str, object]:
    """``values`` of this version as a new file holds them: one that names no version would be taken for the first."""
    return values if version == _FIRST or _KEY in values else {_KEY: version, **values}


def oldest() -> int:
    """The oldest version from which there is a way to this one."""
    return min(STEPS, default=SCHEMA_VERSION)


def version_of(data: Mapping[str, object]) -> int:
    """The version that ``data`` names; the first where it names none."""
    version = data.get(_KEY)
    return version if isinstance(version, int) and not isinstance(version, bool) else _FIRST


def old_form_warning(folder: Path, documents: Sequence[Document]) -> tuple[Problem, ...]:
    """One warning for all of ``documents`` that are in an older form."""
    old = [Path(one.file).relative_to(folder).as_posix() for one in documents if one.migrated_from is not None]
    if not old:
        return ()
    it, them = ("it is", "it") if len(old) == 1 else ("they are", "them")
    return (
        Problem(
            file=str(folder),
            found=f"{_some(old)} in an older form",
            allowed=f"schema_version {SCHEMA_VERSION}",
            hint=f"{it} read all the same; `rolegate config migrate --write` rewrites {them} and keeps what was in {them}",
        ),
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more

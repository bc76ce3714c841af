"""From older versions of the configuration format to this one.

Version 1 is the first, so the table of steps is empty: whoever makes version 2 adds what leads from 1 to it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from gateway.config.document import Document, read_document
from gateway.config.edition import ABSENT, cannot_write, current_etag, etag, locked, replace_checked
from gateway.config.regular_file import Unreadable, read_regular_file
from gateway.config.values_text import text_of
from gateway.errors import CannotWrite, ConfigInvalid

_FIRST: Final = 1
_KEY: Final = "schema_version"

Step = Callable[[Mapping[str, object]], Mapping[str, object]]
"""What leads from one version to the next. Pure; ``schema_version`` is not its business."""

STEPS: Final[Mapping[int, Step]] = MappingProxyType({})
"""Version → the step that leads from it to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migrated:
    """Values in the newest form there is a way to, and the version that they were in."""

    data: Mapping[str, object]
    before: int
    changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MigratedFile:
    """A file that was rewritten, and the file beside it that keeps what was in it."""

    path: Path
    backup: Path
    before: int
    after: int


def migrated(data: Mapping[str, object], *, steps: Mapping[int, Step] = STEPS) -> Migrated:
    """``data`` after every step from its version on; itself where there is none, as for a version that is none. Pure."""
    before = version = _version(data)
    while version in steps:
        data = {_KEY: version + 1} | dict(steps[version](data)) | {_KEY: version + 1}
        version += 1
    return Migrated(data=data, before=before, changed=version != before)


def current(document: Document, *, steps: Mapping[int, Step] = STEPS) -> Document:
    """``document`` with its values in the newest form; its lines stay those of the file."""
    if document.data is None:
        return document
    now = migrated(document.data, steps=steps)
    return document.holding(now.data) if now.changed else document


def migrate_file(path: Path, *, folder: Path, steps: Mapping[int, Step] = STEPS) -> MigratedFile | None:
    """Rewrite one file of the configuration ``folder`` in the newest form; ``None`` where it has it already.

    What was in the file is kept beside it first, as ``NAME.v1.bak``. Raises ``ConfigInvalid`` for a file that cannot be read,
    ``CannotWrite``, and ``EditConflict`` where somebody changed the file meanwhile.
    """
    with locked(folder):
        expected = current_etag(path)
        document = read_document(path)
        if document.data is None:
            raise ConfigInvalid(document.problems)
        now = migrated(document.data, steps=steps)
        if not now.changed:
            return None
        backup = keep_backup(path, version=now.before)
        replace_checked(path, text_of(now.data, syntax=document.syntax).encode(), expected=expected or ABSENT)
    return MigratedFile(path=path, backup=backup, before=now.before, after=_version(now.data))


def outdated(path: Path, *, steps: Mapping[int, Step] = STEPS) -> int | None:
    """The version of the file at ``path`` where it is an older one."""
    document = read_document(path)
    now = None if document.data is None else migrated(document.data, steps=steps)
    return now.before if now is not None and now.changed else None


def keep_backup(path: Path, *, version: int) -> Path:
    """Copy ``path`` to a name beside it that no layer or profile can have, and that nothing else has yet."""
    try:
        content = read_regular_file(path, at_most_bytes=path.stat().st_size)
    except Unreadable as exc:
        raise CannotWrite(path=str(path), reason=f"found {exc.found}", hint=exc.hint) from exc
    except OSError as exc:
        raise cannot_write(path, exc) from exc
    number = 1
    while True:
        backup = path.with_name(f"{path.name}.v{version}{'' if number == 1 else f'.{number}'}.bak")
        there = current_etag(backup)
        if there == etag(content):
            return backup
        if there is None:
            replace_checked(backup, content, expected=ABSENT)
            return backup
        number += 1


def _version(data: Mapping[str, object]) -> int:
    version = data.get(_KEY)
    return version if isinstance(version, int) and not isinstance(version, bool) else _FIRST

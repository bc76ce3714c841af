"""Writing one configuration file: judged as a whole first, then replaced or left alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.config.compare import differences
from gateway.config.document import Document
from gateway.config.drafts import Check, Draft
from gateway.config.edition import ABSENT, cannot_write, current_etag, etag, replace_checked, require
from gateway.config.migrate import keep_backup, outdated
from gateway.config.values_text import text_of
from gateway.errors import BadRequest, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a write did to one file."""

    etag: str
    created: bool
    changed: bool
    warnings: tuple[Problem, ...]


def write(
    path: Path, content: bytes, *, folder: Path, check: Check, profile: str | None, expected: str | None
) -> Written:
    """Replace ``path`` by ``content`` if it is as ``expected`` and the whole holds with it. The caller holds the lock."""
    return write_all({path: content}, folder=folder, check=check, profile=profile, expected={path: expected})[path]


def write_all(
    files: Mapping[Path, bytes],
    *,
    folder: Path,
    check: Check,
    profile: str | None,
    expected: Mapping[Path, str | None],
) -> dict[Path, Written]:
    """Replace several files, in their order; they are judged together before the first is touched."""
    before = {path: _before(path, expected=expected.get(path)) for path in files}
    warnings = check.judge(Draft(folder=folder, files=files, profile=profile))
    return {path: _replace(path, content, before=before[path], warnings=warnings) for path, content in files.items()}


def content_of(values: Mapping[str, object], *, document: Document) -> bytes:
    """``values`` as the content of ``document``'s file: its own text where it says just that, however it is laid out."""
    try:
        if says(document, values):
            return document.text.encode()
        return text_of(values, syntax=document.syntax).encode()
    except (ValueError, RecursionError) as exc:
        raise BadRequest(f"the values cannot be written as JSON: {exc}") from exc


def says(document: Document, values: Mapping[str, object]) -> bool:
    """Whether ``document``'s file is sound and holds just ``values``."""
    if not document.text or document.data is None or document.problems:
        return False
    return not differences(document.data, values)


def _before(path: Path, *, expected: str | None) -> str | None:
    require(path, expected=expected)
    return current_etag(path)


def _replace(path: Path, content: bytes, *, before: str | None, warnings: tuple[Problem, ...]) -> Written:
    now = etag(content)
    if now != before:
        if before is not None:
            version = outdated(path)
            if version is not None:
                keep_backup(path, version=version)
        try:
            path.parent.mkdir(exist_ok=True)
        except OSError as exc:
            raise cannot_write(path.parent, exc) from exc
        replace_checked(path, content, expected=before or ABSENT)
    return Written(etag=now, created=before is None, changed=now != before, warnings=warnings)

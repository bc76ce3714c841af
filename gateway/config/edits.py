"""Writing one configuration file: judged as a whole first, then replaced or left alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.config.backup import keep_backup
from gateway.config.compare import differences
from gateway.config.document import Document, document_of
from gateway.config.drafts import Check, Draft
from gateway.config.edition import cannot_write, current_etag, replace_checked, require
from gateway.config.migrate import current, read_current
from gateway.config.values_text import text_of
from gateway.errors import BadRequest, Problem
from gateway.files.etag import ABSENT, etag


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a write did to one file. ``rewritten`` says that comments gave way; ``backup`` keeps what was in it where they did, or
    where that was in an older form than what is now."""

    etag: str
    created: bool
    changed: bool
    rewritten: bool = False
    backup: Path | None = None
    warnings: tuple[Problem, ...]


def write(
    path: Path,
    content: bytes,
    *,
    folder: Path,
    check: Check,
    profile: str | None,
    expected: str | None,
    own_text: bool = False,
) -> Written:
    """Replace ``path`` by ``content`` if it is as ``expected`` and the whole holds with it. The caller holds the lock."""
    files, seen = {path: content}, {path: expected}
    return write_all(files, folder=folder, check=check, profile=profile, expected=seen, own_text=own_text)[path]


def write_all(
    files: Mapping[Path, bytes],
    *,
    folder: Path,
    check: Check,
    profile: str | None,
    expected: Mapping[Path, str | None],
    own_text: bool = False,
) -> dict[Path, Written]:
    """Replace several files, in their order; they are judged together before the first is touched. ``own_text``: somebody wrote
    them as they are, so that no comment is missing against their will."""
    before = {path: _before(path, expected=expected.get(path)) for path in files}
    warnings = check.judge(Draft(folder=folder, files=files, profile=profile))
    return {
        path: _replace(path, content, before=before[path], warnings=warnings, own_text=own_text)
        for path, content in files.items()
    }


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


def loses_comments(document: Document) -> bool:
    """Whether writing values over ``document`` may lose what people wrote beside them."""
    return document.syntax == "yaml" and "#" in document.text


def _replace(
    path: Path, content: bytes, *, before: str | None, warnings: tuple[Problem, ...], own_text: bool
) -> Written:
    now, rewritten, backup = etag(content), False, None
    if now != before:
        if before is not None:
            there = read_current(path)
            rewritten = not own_text and loses_comments(there)
            version = _older_form(there, content)
            backup = keep_backup(path, version=version) if rewritten or version is not None else None
        try:
            path.parent.mkdir(exist_ok=True)
        except OSError as exc:
            raise cannot_write(path.parent, exc) from exc
        replace_checked(path, content, expected=before or ABSENT)
    return Written(
        etag=now,
        created=before is None,
        changed=now != before,
        rewritten=rewritten,
        backup=backup,
        warnings=warnings,
    )


def _older_form(there: Document, content: bytes) -> int | None:
    """The version that ``there`` is in, where ``content`` is in another."""
    now = current(document_of(content, file=there.file, syntax=there.syntax)).migrated_from
    return None if now == there.migrated_from else there.migrated_from

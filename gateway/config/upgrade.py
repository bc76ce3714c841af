"""The files of a configuration folder that are in an older form of the format, and writing them in the newest."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.config.backup import keep_backup
from gateway.config.complaints import newer_version
from gateway.config.document import Document
from gateway.config.edition import editing, replace_checked
from gateway.config.edits import loses_comments
from gateway.config.layers import scan
from gateway.config.profile_edits import read_file
from gateway.config.values_text import text_of
from gateway.errors import Problem
from gateway.file_errors import ConfigInvalid
from gateway.files.etag import etag


@dataclass(frozen=True, slots=True, kw_only=True)
class OldFile:
    """A file in the form of an older version. ``loses_comments`` says that what people wrote beside the values gives way when it
    is rewritten; ``backup`` is the file that keeps what was in it, once it was."""

    path: Path
    version: int
    loses_comments: bool = False
    backup: Path | None = None


def old_files(folder: Path) -> tuple[OldFile, ...]:
    """Every layer and profile that is in an older form, the layers first. Raises ``ConfigInvalid`` with every file that cannot be
    read, or is of a version that is newer than this rolegate."""
    return tuple(old for old, _content, _document in _old(folder))


def rewrite_old_files(folder: Path) -> tuple[OldFile, ...]:
    """Write them all in the newest form, each with what was in it kept beside it first. None is written where one cannot be read.

    Whatever ends this half-way, every file is whole, and doing it again does the rest. Raises as ``old_files`` does,
    ``CannotWrite``, and ``EditConflict`` where somebody changed a file meanwhile.
    """
    if not _old(folder):
        return ()  # so that a folder in which there is nothing to write need not be one that can be written
    with editing(folder):
        return tuple(_rewritten(*one) for one in _old(folder))


def _old(folder: Path) -> Sequence[tuple[OldFile, bytes, Document]]:
    files = scan(folder)
    problems = [*files.problems, *files.profile_problems.values()]
    found: list[tuple[OldFile, bytes, Document]] = []
    for path in (*(path for _layer, path in files.layers), *files.profiles.values()):
        content, document = read_file(path)
        problems += _not_to_be_judged(document)
        if content is not None and document.migrated_from is not None:
            old = OldFile(path=path, version=document.migrated_from, loses_comments=loses_comments(document))
            found.append((old, content, document))
    if problems:
        raise ConfigInvalid(problems)
    return found


def _not_to_be_judged(document: Document) -> Sequence[Problem]:
    """What keeps anybody from saying which form a file is in, or from writing it anew without losing something."""
    newer = newer_version(document)
    return document.problems if newer is None else (newer,)


def _rewritten(old: OldFile, content: bytes, document: Document) -> OldFile:
    backup = keep_backup(old.path, version=old.version)
    text = text_of(document.data or {}, syntax=document.syntax)
    replace_checked(old.path, text.encode(), expected=etag(content))
    return replace(old, backup=backup)

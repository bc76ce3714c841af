"""One state of one file, and replacing it so that no edit is lost: an etag, a lock between processes, an atomic write."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Final

from gateway.config.document import MAX_FILE_BYTES
from gateway.config.folders import SHIPPED, packaged
from gateway.errors import RolegateError
from gateway.file_errors import CannotWrite
from gateway.files import lock
from gateway.files.atomic import mode_of_new, sweep, write_atomically
from gateway.files.etag import etag, require_etag
from gateway.files.refused_write import Words, refused_write
from gateway.files.regular_file import Unreadable, read_regular_file

LOCK_FILE: Final = ".rolegate.lock"
"""Lies in every folder that was edited, stays there, and holds nothing."""

_WORDS: Final[Words] = MappingProxyType(
    {
        errno.EROFS: ("it is on a read-only file system", "edit it where it comes from, or use another --config-dir"),
        errno.ENOENT: ("there is no folder {folder}", "create it, or use another --config-dir"),
        errno.ENOTDIR: ("{folder} is no folder", "move away what is in its place, or use another --config-dir"),
        errno.ENAMETOOLONG: ("the name is too long", "choose a shorter one"),
        errno.ELOOP: ("a symbolic link is in its place", "remove the link"),
    }
)


def cannot_write(path: Path, exc: OSError, *, folder: Path | None = None) -> CannotWrite:
    """The error of a write that the system refused. ``folder`` is the one to speak of, the path's own unless given."""
    return refused_write(path, exc, folder=folder or path.parent, words=_WORDS)


class EditsBlocked(RolegateError):
    """Somebody else holds the lock of the configuration, and has for longer than an edit takes."""

    code = "edits_blocked"
    http_status = 503


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep every other process and thread from editing in ``folder`` until the block ends.

    Waits for its turn, at most 10 s. Not to be entered twice by one thread. Raises ``CannotWrite`` where the folder cannot be
    written, ``EditsBlocked`` when the wait was in vain.
    """
    try:
        descriptor = take_lock(folder)
    except OSError as exc:
        raise cannot_write(folder, exc, folder=folder) from exc
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def editing(folder: Path) -> Iterator[None]:
    """``locked``, for a folder that is the operator's own: what came with the package goes with its next version."""
    require_own(folder)
    with locked(folder):
        yield


def require_own(folder: Path) -> None:
    """Raise ``CannotWrite`` for the configuration that comes with the package."""
    if folder.parent.name == SHIPPED and folder.resolve() == packaged(folder.name).resolve():
        raise CannotWrite(
            path=str(folder),
            reason="it is the configuration that comes with rolegate, and an upgrade would undo the edit",
            hint="copy it to ./config, or to a folder that --config-dir names, and edit it there",
        )


def take_lock(folder: Path, *, name: str = LOCK_FILE) -> int:
    """Like ``locked``, for callers that speak of ``OSError`` in words of their own; closing the descriptor lets go. Locks of
    other names have nothing to do with each other."""
    try:
        return lock.take_lock(folder / name, of=folder)
    except lock.StillHeld as exc:
        raise EditsBlocked(exc.message, hint=exc.hint) from exc


def replace_checked(path: Path, content: bytes, *, expected: str | None, mode: int | None = None) -> str:
    """Replace ``path`` by ``content`` if it still is what the edit started from, and return the new etag.

    ``expected`` is the etag it must have, ``ABSENT`` where it must not be there, ``None`` where whatever is there may go. The
    caller holds the lock. A file keeps its mode unless another is given; a new one is as open as its folder. What killed writers
    left of this file is swept away. Raises ``EditConflict`` and ``CannotWrite``; the old content is then untouched.
    """
    try:
        require(path, expected=expected)
        sweep(path)
        write_atomically(path, content, mode=_mode_of(path) if mode is None else mode)
    except OSError as exc:
        raise cannot_write(path, exc) from exc
    return etag(content)


def remove_checked(path: Path, *, expected: str | None) -> None:
    """Remove ``path`` if it still is what the caller saw. The rest is as with ``replace_checked``."""
    try:
        require(path, expected=expected)
        sweep(path)
        path.unlink(missing_ok=True)
    except OSError as exc:
        raise cannot_write(path, exc) from exc


def require(path: Path, *, expected: str | None) -> None:
    """Raise ``EditConflict`` unless ``path`` is what is expected, as ``replace_checked`` has it."""
    if expected is not None:
        require_etag(path, current_etag(path), expected=expected)


def current_etag(path: Path) -> str | None:
    """The etag of what lies at ``path``; ``None`` where no file is. Raises ``CannotWrite`` for what cannot be compared."""
    try:
        if not path.exists():
            return None
        return etag(read_regular_file(path, at_most_bytes=MAX_FILE_BYTES))
    except Unreadable as exc:
        raise CannotWrite(
            path=str(path), reason=f"found {exc.found}", hint=exc.hint or f"put {exc.allowed} there"
        ) from exc
    except OSError as exc:
        raise cannot_write(path, exc) from exc


def _mode_of(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_mode & 0o777
    return mode_of_new(path.parent)

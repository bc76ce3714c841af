"""A file that is its owner's business: read as it is, replaced in one step, edited by one process at a time."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from gateway.errors import RolegateError
from gateway.file_errors import CannotWrite
from gateway.files import regular_file
from gateway.files.atomic import replacing, sweep
from gateway.files.etag import etag, require_etag
from gateway.files.lock import StillHeld, take_lock
from gateway.files.refused_write import Words, refused_write
from gateway.files.regular_file import Obstacle

MAX_BYTES: Final = 4 * 1024 * 1024
"""More is neither read nor written."""

_OTHERS_READ: Final = stat.S_IRGRP | stat.S_IROTH
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH

_WORDS: Final[Words] = MappingProxyType(
    {
        errno.EROFS: ("it is on a read-only file system", "make the change where it can be written"),
        errno.ENOENT: ("there is no folder {folder}", "create it and try again"),
        errno.ENOTDIR: ("{folder} is no folder", "move away what is in its place"),
    }
)


class Unreadable(Exception):
    """Why a file cannot be read, and what to do about it."""

    def __init__(self, reason: str, *, hint: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a file holds, or is to hold. ``mode`` are the permission bits it was found with, 0 where there are none.

    Not shown: the key file passes through here, and a traceback with local variables would have it.
    """

    data: bytes = field(repr=False)
    mode: int = 0

    @property
    def etag(self) -> str:
        """What tells one content from another: sha256, as hexadecimal digits."""
        return etag(self.data)

    @property
    def others_may_read(self) -> bool:
        return bool(self.mode & _OTHERS_READ)

    @property
    def others_may_write(self) -> bool:
        return bool(self.mode & _OTHERS_WRITE)


def read(path: Path) -> Content | None:
    """What ``path`` holds, ``None`` where nothing is. Raises ``Unreadable``; never waits for a pipe."""
    try:
        found = regular_file.read_with_mode(path, at_most_bytes=MAX_BYTES)
    except regular_file.Unreadable as exc:
        if exc.obstacle is Obstacle.NOTHING_THERE:
            return None
        raise _unreadable(exc) from exc
    return Content(data=found.content, mode=found.mode)


def _unreadable(exc: regular_file.Unreadable) -> Unreadable:
    match exc.obstacle:
        case Obstacle.BROKEN_LINK:
            return Unreadable("it is a symbolic link to nothing", hint="mend or remove the link")
        case Obstacle.NO_REGULAR_FILE:
            return Unreadable("it is not a regular file", hint="move away what is in its place")
        case Obstacle.TOO_LARGE:
            return Unreadable(f"it has more than {MAX_BYTES:,} bytes", hint="move away what is in its place")
        case Obstacle.FORBIDDEN:
            return Unreadable("it may not be read", hint="give the user that runs rolegate read access to it")
    return Unreadable(f"it cannot be read ({exc.reason.lower()})", hint="mend what is in its place")


def require(path: Path, content: Content | None, *, expected: str | None) -> None:
    """Raise ``EditConflict`` unless ``content`` is what an edit started from: an etag, ``ABSENT``, or ``None`` for anything."""
    require_etag(path, None if content is None else content.etag, expected=expected)


def make_folder(folder: Path) -> None:
    """Make ``folder``, for its owner only, unless it is there. Raises ``CannotWrite``."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as exc:
        raise _cannot_write(folder, exc) from exc


def replace(path: Path, content: Content) -> None:
    """Put ``content`` in the place of what ``path`` holds, readable for the owner only, so that a kill at any moment leaves the
    old content or the new. The caller is ``editing``; what killed writers left is swept away. Raises ``CannotWrite``."""
    if len(content.data) > MAX_BYTES:
        raise CannotWrite(
            path=str(path), reason=f"it would have more than {MAX_BYTES:,} bytes", hint="remove something"
        )
    try:
        path = Path(os.path.realpath(path))
        sweep(path)
        # Not handed on by itself: frames of a traceback would show it.
        with replacing(path, mode=0o600) as file:
            file.write(content.data)
    except OSError as exc:
        raise _cannot_write(path, exc) from exc


def _cannot_write(path: Path, exc: OSError) -> CannotWrite:
    return refused_write(path, exc, folder=path.parent, words=_WORDS)


@contextmanager
def editing(path: Path) -> Iterator[None]:
    """Keep every other process and thread from editing ``path`` until the block ends, by a lock file beside it.

    Waits for its turn, at most 10 s. Not to be entered twice by one thread. Raises ``CannotWrite`` where the folder cannot be
    written, ``RolegateError`` when the wait was in vain.
    """
    real = Path(os.path.realpath(path))
    try:
        descriptor = take_lock(real.with_name(f".{real.name}.lock"), of=real)
    except OSError as exc:
        raise _cannot_write(path, exc) from exc
    except StillHeld as exc:
        raise RolegateError(exc.message, hint=exc.hint) from exc
    try:
        yield
    finally:
        os.close(descriptor)

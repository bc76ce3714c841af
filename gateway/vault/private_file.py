"""A file that is its owner's business: read as it is, replaced in one step, edited by one process at a time."""

import errno
import hashlib
import os
import re
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from gateway.errors import CannotWrite, EditConflict, RolegateError

MAX_BYTES: Final = 4 * 1024 * 1024
"""More is neither read nor written."""

ABSENT: Final = "absent"
"""What to expect of a file that must not be there yet."""

_SUFFIX: Final = ".tmp"
_PATIENCE_S: Final = 10.0
_PAUSE_S: Final = 0.005
_OTHERS_READ: Final = stat.S_IRGRP | stat.S_IROTH
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH

_REASONS: Final[Mapping[int, tuple[str, str]]] = MappingProxyType(
    {
        errno.ENOSPC: ("the disk is full", "make room and try again; nothing was changed"),
        errno.EDQUOT: ("the disk quota is used up", "make room and try again; nothing was changed"),
        errno.EROFS: ("it is on a read-only file system", "make the change where it can be written"),
        errno.EACCES: ("no permission", "give the user that runs rolegate write access to {folder}"),
        errno.EPERM: ("no permission", "give the user that runs rolegate write access to {folder}"),
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
        return hashlib.sha256(self.data).hexdigest()

    @property
    def others_may_read(self) -> bool:
        return bool(self.mode & _OTHERS_READ)

    @property
    def others_may_write(self) -> bool:
        return bool(self.mode & _OTHERS_WRITE)


def read(path: Path) -> Content | None:
    """What ``path`` holds, ``None`` where nothing is. Raises ``Unreadable``; never waits for a pipe."""
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        if path.is_symlink():
            raise Unreadable("it is a symbolic link to nothing", hint="mend or remove the link") from None
        return None
    except OSError as exc:
        raise _unreadable(exc) from exc
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable("it is not a regular file", hint="move away what is in its place")
        with os.fdopen(descriptor, "rb", closefd=False) as handle:
            data = handle.read(MAX_BYTES + 1)
    except OSError as exc:
        raise _unreadable(exc) from exc
    finally:
        os.close(descriptor)
    if len(data) > MAX_BYTES:
        raise Unreadable(f"it has more than {MAX_BYTES:,} bytes", hint="move away what is in its place")
    return Content(data=data, mode=0 if sys.platform == "win32" else stat.S_IMODE(status.st_mode))


def _unreadable(exc: OSError) -> Unreadable:
    if isinstance(exc, PermissionError):
        return Unreadable("it may not be read", hint="give the user that runs rolegate read access to it")
    reason = (exc.strerror or type(exc).__name__).lower()
    return Unreadable(f"it cannot be read ({reason})", hint="mend what is in its place")


def require(path: Path, content: Content | None, *, expected: str | None) -> None:
    """Raise ``EditConflict`` unless ``content`` is what an edit started from: an etag, ``ABSENT``, or ``None`` for anything."""
    found = None if content is None else content.etag
    if expected is not None and (found or ABSENT) != expected:
        raise EditConflict(file=str(path), expected=None if expected == ABSENT else expected, found=found)


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
        _sweep(path)
        _write(path, content)
    except OSError as exc:
        raise _cannot_write(path, exc) from exc


def _write(path: Path, content: Content) -> None:
    # The temporary file is 0600 from its first moment on.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_SUFFIX)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content.data)
            handle.flush()
            os.fsync(handle.fileno())
        _keep_owner(Path(temporary), path)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _keep_owner(temporary: Path, path: Path) -> None:
    """Where an administrator writes for somebody else, the file stays theirs."""
    if sys.platform == "win32":
        return
    with suppress(OSError):
        before = path.stat()
        if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(temporary, before.st_uid, before.st_gid)


def _sweep(path: Path) -> None:
    left = re.compile(re.escape(f".{path.name}.") + r"[a-z0-9_]{8}" + re.escape(_SUFFIX))
    for one in path.parent.iterdir():
        if left.fullmatch(one.name):
            one.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot_write(path: Path, exc: OSError) -> CannotWrite:
    reason, hint = _REASONS.get(
        exc.errno or 0,
        ((exc.strerror or type(exc).__name__).lower(), "mend what is in its place and try again; nothing was changed"),
    )
    return CannotWrite(path=str(path), reason=reason.format(folder=path.parent), hint=hint.format(folder=path.parent))


@contextmanager
def editing(path: Path) -> Iterator[None]:
    """Keep every other process and thread from editing ``path`` until the block ends, by a lock file beside it.

    Waits for its turn, at most 10 s. Not to be entered twice by one thread. Raises ``CannotWrite`` where the folder cannot be
    written, ``RolegateError`` when the wait was in vain.
    """
    real = Path(os.path.realpath(path))
    try:
        descriptor = _take_lock(real)
    except OSError as exc:
        raise _cannot_write(path, exc) from exc
    try:
        yield
    finally:
        os.close(descriptor)


def _take_lock(path: Path) -> int:
    lock = path.with_name(f".{path.name}.lock")
    until_s = time.monotonic() + _PATIENCE_S
    while True:
        # Whoever may write in the folder may take the lock, whoever made it.
        mode = path.parent.stat().st_mode & 0o666
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), mode)
        try:
            if _acquired(descriptor) and _lies_at(lock, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        if time.monotonic() >= until_s:
            raise RolegateError(
                f"{path} is being edited by somebody else, and has been for {_PATIENCE_S:g} s",
                hint="try again; if nobody else is editing, look for a rolegate process that hangs",
            )
        time.sleep(_PAUSE_S)


if sys.platform == "win32":
    import msvcrt

    def _acquired(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

else:
    import fcntl

    def _acquired(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _lies_at(path: Path, descriptor: int) -> bool:
    """Whether the lock that was taken is still the one that others will find: somebody may have removed the file."""
    try:
        return os.path.samestat(path.stat(follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False

"""Locks between processes: files beside what is edited, each held by one editor at a time."""

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from gateway.files.atomic import mode_of_new

_PATIENCE_S: Final = 10.0
_PAUSE_S: Final = 0.005


class StillHeld(Exception):
    """Somebody else holds a lock, and has for longer than an edit takes."""

    hint: Final = "try again; if nobody else is editing, look for a rolegate process that hangs"

    def __init__(self, edited: Path, *, waited_s: float) -> None:
        self.message = f"{edited} is being edited by somebody else, and has been for {waited_s:g} s"
        super().__init__(self.message)


def take_lock(lock: Path, *, of: Path) -> int:
    """Take the lock file ``lock`` for an edit ``of`` what a message names; closing the descriptor lets go. The file stays.

    Waits for its turn, at most 10 s. Not to be taken twice by one thread. Raises ``OSError`` where the folder cannot be written,
    ``StillHeld`` when the wait was in vain.
    """
    until_s = time.monotonic() + _PATIENCE_S
    while True:
        mode = _writers_only(mode_of_new(lock.parent))
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), mode)
        try:
            _shut(descriptor, mode=mode)
            if _acquired(descriptor) and _lies_at(lock, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        if time.monotonic() >= until_s:
            raise StillHeld(of, waited_s=_PATIENCE_S)
        time.sleep(_PAUSE_S)


def _writers_only(mode: int) -> int:
    """Whoever may write in the folder may take the lock, whoever made it; nobody else may, since whoever can open it can take it,
    and keep it."""
    may_write = mode & 0o222
    return may_write | may_write << 1


def _shut(descriptor: int, *, mode: int) -> None:
    """Take from a lock file, which stays for good, what others were given when it was made."""
    if sys.platform != "win32" and os.fstat(descriptor).st_mode & 0o777 & ~mode:
        with suppress(OSError):  # it is somebody else's
            os.fchmod(descriptor, mode)


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


def _lies_at(lock: Path, descriptor: int) -> bool:
    """Whether the lock that was taken is still the one that others will find: somebody may have removed the file."""
    try:
        return os.path.samestat(lock.stat(follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False

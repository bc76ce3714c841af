"""Reading a regular file of bounded size, and nothing else that may lie in its place."""

import os
import stat
import sys
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class Obstacle(StrEnum):
    """What keeps a file from being read."""

    NOTHING_THERE = "nothing_there"
    BROKEN_LINK = "broken_link"
    NO_REGULAR_FILE = "no_regular_file"
    TOO_LARGE = "too_large"
    FORBIDDEN = "forbidden"
    FAULT = "fault"


class Unreadable(Exception):
    """Why a file cannot be read, in the words of a problem; ``obstacle`` is for whoever has words of their own, and ``reason``
    is the system's word, where there is one."""

    def __init__(self, obstacle: Obstacle, *, found: str, allowed: str, hint: str = "", reason: str = "") -> None:
        super().__init__(found)
        self.obstacle = obstacle
        self.found = found
        self.allowed = allowed
        self.hint = hint
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class RegularFile:
    """What a file holds, and the permission bits that it was found with, 0 where there are none.

    The content is not shown: keys pass through here, and a traceback with local variables would have them.
    """

    content: bytes = field(repr=False)
    mode: int


def read_regular_file(path: Path, *, at_most_bytes: int) -> bytes:
    """The content of ``path``. Raises ``Unreadable``; never waits for a pipe, never reads more than asked for."""
    return read_with_mode(path, at_most_bytes=at_most_bytes).content


def read_with_mode(path: Path, *, at_most_bytes: int) -> RegularFile:
    """As ``read_regular_file``, with the file's mode as it was when it was read."""
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise Unreadable(Obstacle.NO_REGULAR_FILE, found="a directory", allowed="a file")
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable(Obstacle.NO_REGULAR_FILE, found="something that is not a regular file", allowed="a file")
        if status.st_size > at_most_bytes:
            raise _too_large(f"{status.st_size} bytes", at_most_bytes=at_most_bytes)
        with os.fdopen(descriptor, "rb", closefd=False) as handle:
            content = handle.read(at_most_bytes + 1)
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    finally:
        os.close(descriptor)
    if len(content) > at_most_bytes:
        raise _too_large(f"more than {at_most_bytes} bytes", at_most_bytes=at_most_bytes)
    return RegularFile(content=content, mode=0 if sys.platform == "win32" else stat.S_IMODE(status.st_mode))


def _too_large(found: str, *, at_most_bytes: int) -> Unreadable:
    return Unreadable(Obstacle.TOO_LARGE, found=found, allowed=f"at most {at_most_bytes} bytes")


def _unreadable(path: Path, exc: OSError) -> Unreadable:
    reason = exc.strerror or type(exc).__name__
    if isinstance(exc, PermissionError):
        return Unreadable(
            Obstacle.FORBIDDEN,
            found="a file that may not be read",
            allowed="a readable file",
            hint="give the user that runs rolegate read access",
            reason=reason,
        )
    if isinstance(exc, IsADirectoryError):
        return Unreadable(Obstacle.NO_REGULAR_FILE, found="a directory", allowed="a file", reason=reason)
    if isinstance(exc, FileNotFoundError):
        if path.is_symlink():
            return Unreadable(
                Obstacle.BROKEN_LINK,
                found="a symbolic link to nothing",
                allowed="a file",
                hint="mend or remove the link",
                reason=reason,
            )
        return Unreadable(Obstacle.NOTHING_THERE, found="no file", allowed="a file", reason=reason)
    return Unreadable(
        Obstacle.FAULT, found=f"a file that cannot be read ({reason})", allowed="a readable file", reason=reason
    )

"""Reading a regular file of bounded size, and nothing else that may lie in its place."""

import os
import stat
from pathlib import Path


class Unreadable(Exception):
    """Why a file cannot be read, in the words of a problem."""

    def __init__(self, *, found: str, allowed: str, hint: str = "") -> None:
        super().__init__(found)
        self.found = found
        self.allowed = allowed
        self.hint = hint


def read_regular_file(path: Path, *, at_most_bytes: int) -> bytes:
    """The content of ``path``. Raises ``Unreadable``; never waits for a pipe, never reads more than asked for."""
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise Unreadable(found="a directory", allowed="a file")
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable(found="something that is not a regular file", allowed="a file")
        if status.st_size > at_most_bytes:
            raise Unreadable(found=f"{status.st_size} bytes", allowed=f"at most {at_most_bytes} bytes")
        with os.fdopen(descriptor, "rb", closefd=False) as handle:
            content = handle.read(at_most_bytes + 1)
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    finally:
        os.close(descriptor)
    if len(content) > at_most_bytes:
        raise Unreadable(found=f"more than {at_most_bytes} bytes", allowed=f"at most {at_most_bytes} bytes")
    return content


def _unreadable(path: Path, exc: OSError) -> Unreadable:
    if isinstance(exc, PermissionError):
        hint = "give the user that runs rolegate read access"
        return Unreadable(found="a file that may not be read", allowed="a readable file", hint=hint)
    if isinstance(exc, IsADirectoryError):
        return Unreadable(found="a directory", allowed="a file")
    if isinstance(exc, FileNotFoundError):
        if path.is_symlink():
            return Unreadable(found="a symbolic link to nothing", allowed="a file", hint="mend or remove the link")
        return Unreadable(found="no file", allowed="a file")
    reason = exc.strerror or type(exc).__name__
    return Unreadable(found=f"a file that cannot be read ({reason})", allowed="a readable file")

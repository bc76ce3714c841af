"""Writing a file so that a kill at any moment leaves the old content or the new, never half of either."""

import errno
import os
import re
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

_SUFFIX: Final = ".tmp"


def write_atomically(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace ``path`` by ``content``, as ``replacing`` does. Raises ``OSError``."""
    with replacing(path, mode=mode) as file:
        file.write(content)


@contextmanager
def replacing(path: Path, *, mode: int = 0o600) -> Iterator[BinaryIO]:
    """A temporary file beside ``path``, which takes its place when the block ends: synced, renamed, and the folder synced. A
    symbolic link stays, and what it leads to is replaced. Raises ``OSError``, also where something other than a regular file is
    in the way; whatever is raised, the old content stays."""
    _refuse_what_is_no_file(path)
    path = Path(os.path.realpath(path))
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_SUFFIX)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(mode)
        _keep_owner(Path(temporary), path)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sweep(path: Path) -> None:
    """Remove what writers of ``path`` that were killed left beside it. For whoever keeps other writers of it out meanwhile."""
    path = Path(os.path.realpath(path))
    left = re.compile(re.escape(f".{path.name}.") + r"[a-z0-9_]{8}" + re.escape(_SUFFIX))
    for one in path.parent.iterdir():
        if left.fullmatch(one.name):
            one.unlink(missing_ok=True)


def mode_of_new(folder: Path) -> int:
    """That of a file as open as its folder: whoever may enter the folder may read the file, whoever may write in it may write
    to it. Raises ``OSError``."""
    return folder.stat().st_mode & 0o666


def _keep_owner(temporary: Path, path: Path) -> None:
    """Where an administrator writes for somebody else, the file stays theirs."""
    if sys.platform == "win32":
        return
    with suppress(OSError):
        before = path.stat()
        if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(temporary, before.st_uid, before.st_gid)


def _refuse_what_is_no_file(path: Path) -> None:
    """A rename would put a file in the place of a device or a pipe, which then is gone."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a directory", str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def sync_folder(folder: Path) -> None:
    """Make a rename inside ``folder`` survive a power cut, where the system lets a folder be opened for that."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

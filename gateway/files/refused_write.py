"""A write that the system refused, in words."""

import errno
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from gateway.file_errors import CannotWrite

Words = Mapping[int, tuple[str, str]]
"""Reason and hint for numbers of ``errno``; ``{folder}`` in them is the folder to speak of."""

_EVERYWHERE: Final[Words] = MappingProxyType(
    {
        errno.ENOSPC: ("the disk is full", "make room and try again; nothing was changed"),
        errno.EDQUOT: ("the disk quota is used up", "make room and try again; nothing was changed"),
        errno.EACCES: ("no permission", "give the user that runs rolegate write access to {folder}"),
        errno.EPERM: ("no permission", "give the user that runs rolegate write access to {folder}"),
    }
)
_MEND: Final = "mend what is in its place and try again; nothing was changed"


def refused_write(path: Path, exc: OSError, *, folder: Path, words: Words) -> CannotWrite:
    """The error of a write to ``path`` that failed with ``exc``. ``words`` are for what can be done about it there only."""
    number = exc.errno or 0
    reason, hint = words.get(number) or _EVERYWHERE.get(number) or ((exc.strerror or type(exc).__name__).lower(), _MEND)
    return CannotWrite(path=str(path), reason=reason.format(folder=folder), hint=hint.format(folder=folder))

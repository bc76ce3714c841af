"""Which content of a file an edit started from, and whether it still is that."""

import hashlib
from pathlib import Path
from typing import Final

from gateway.file_errors import EditConflict

ABSENT: Final = "absent"
"""What to expect of a file that must not be there yet."""


def etag(content: bytes) -> str:
    """What tells one content of a file from another: sha256, as hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def require_etag(path: Path, found: str | None, *, expected: str | None) -> None:
    """Raise ``EditConflict`` unless the content of ``path``, whose etag is ``found`` (``None``: it is not there), is what an edit
    started from: an etag, ``ABSENT``, or ``None`` for anything."""
    if expected is not None and (found or ABSENT) != expected:
        raise EditConflict(file=str(path), expected=None if expected == ABSENT else expected, found=found)

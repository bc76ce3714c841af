"""What an SQLite file of ours is, and which layout it has, before anything is read from it or written to it."""

import sqlite3
import stat
from collections.abc import Sequence
from pathlib import Path


class UnknownLayout(Exception):
    """There is something, but no database that this version writes; the text says what was found."""


def is_there(path: Path) -> bool:
    """Whether there is a file. Raises ``OSError``, and ``UnknownLayout`` for what is no regular file: to open a named pipe is to
    wait for its other end."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(mode):
        raise UnknownLayout("it is not a regular file")
    return True


def laid_out(connection: sqlite3.Connection, *, layout: int) -> bool:
    """Whether its tables are there, as ``layout`` has them; not so in a file that nothing was written to yet. Raises
    ``UnknownLayout``."""
    return layout_of(connection, known=(layout,)) == layout


def layout_of(connection: sqlite3.Connection, *, known: Sequence[int]) -> int:
    """Which of the ``known`` layouts (the latest last) it has; 0 for a file that nothing was written to yet. Raises
    ``UnknownLayout``."""
    # One statement sees one state of the file: a gateway may be laying it out at this moment.
    ((found, filled),) = connection.execute(
        "SELECT user_version, EXISTS (SELECT 1 FROM sqlite_master) FROM pragma_user_version"
    ).fetchall()
    if found in known:
        return int(found)
    if found:
        raise UnknownLayout(f"its layout is {found}, and this version knows layout {known[-1]}")
    if filled:
        raise UnknownLayout("it is the database of something else")
    return 0

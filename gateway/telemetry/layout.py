"""Which layout an SQLite file of ours has, before anything is read from it or written to it."""

import sqlite3


class UnknownLayout(Exception):
    """The file is a database, but none that this version writes; the text says what was found."""


def laid_out(connection: sqlite3.Connection, *, layout: int) -> bool:
    """Whether its tables are there, as ``layout`` has them; not so in a file that nothing was written to yet. Raises
    ``UnknownLayout``."""
    # One statement sees one state of the file: a gateway may be laying it out at this moment.
    ((found, filled),) = connection.execute(
        "SELECT user_version, EXISTS (SELECT 1 FROM sqlite_master) FROM pragma_user_version"
    ).fetchall()
    if found == layout:
        return True
    if found:
        raise UnknownLayout(f"its layout is {found}, and this version knows layout {layout}")
    if filled:
        raise UnknownLayout("it is the database of something else")
    return False

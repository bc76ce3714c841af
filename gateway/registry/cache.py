"""What Ollama models are like, kept by digest so that each is described once; and what models' failures have taught."""

import json
import logging
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeVar

from gateway.domain.tensors import Tensor
from gateway.registry.description import Description

T = TypeVar("T")
_log = logging.getLogger(__name__)

_DESCRIPTIONS: Final = (
    "CREATE TABLE descriptions"
    " (digest TEXT NOT NULL, version TEXT NOT NULL, content BLOB NOT NULL, PRIMARY KEY (digest, version))"
)
_LESSONS: Final = (
    "CREATE TABLE lessons"
    " (place TEXT NOT NULL, digest TEXT NOT NULL, content TEXT NOT NULL, PRIMARY KEY (place, digest))"
)
_LAYOUTS: Final = (("descriptions", 1, _DESCRIPTIONS), ("lessons", 2, _LESSONS))
"""Each table's name, layout and shape. A layout is raised when the shape changes; rows of another one are begun again."""

_PASSING: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    }
)
"""What may be over without anybody touching the file: somebody makes room, or gives us leave."""

_BUSY_TIMEOUT_S: Final = 0.5
_BUSY_PAUSE_S: Final = 0.01


class CapabilityCache:
    """Descriptions by manifest digest and server version, and lessons by place and digest, in an SQLite file that other parts
    and processes may share.

    A file that is no database is put aside and begun anew; one that cannot be opened, read or written is done without until it
    can, with a line in the log: a lost cache costs time, nothing else. Methods block, so they belong off an event loop; any
    thread may call them. What cannot be written down is not kept.
    """

    def __init__(self, *, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._file: int | None = None
        self._given_up = False
        self._told = ""

    def descriptions(self, *, digests: Iterable[str], version: str) -> dict[str, Description]:
        """What is known of ``digests``, as a server of ``version`` described them."""
        wanted = sorted({one for one in digests if _storable(one)}) if _storable(version) else []
        nothing: list[tuple[str, bytes]] = []
        rows = self._guarded(lambda connection: _read(connection, wanted, version), otherwise=nothing) if wanted else ()
        unpacked = {digest: _unpacked(content) for digest, content in rows}
        return {digest: one for digest, one in unpacked.items() if one is not None}

    def keep(self, descriptions: Mapping[str, Description], *, version: str) -> None:
        """Remember descriptions by digest, instead of those that another server version gave."""
        rows = [
            (digest, version, content)
            for digest, one in descriptions.items()
            if _storable(digest) and _storable(version) and (content := _packed(one)) is not None
        ]
        if rows:
            self._kept(lambda connection: _write(connection, rows))

    def lessons(self) -> dict[tuple[str, str], str]:
        """Every lesson that is kept, by place and digest."""
        nothing: list[tuple[str, str, object]] = []
        rows = self._guarded(
            lambda connection: connection.execute("SELECT place, digest, content FROM lessons").fetchall(),
            otherwise=nothing,
        )
        return {(place, digest): content for place, digest, content in rows if isinstance(content, str)}

    def keep_lessons(self, changed: Mapping[tuple[str, str], str]) -> bool:
        """Keep these instead of what was kept under the same keys; empty text removes. False where it is worth another try."""
        rows = [(*key, content) for key, content in changed.items() if all(map(_storable, (*key, content)))]
        return not rows or self._kept(lambda connection: _write_lessons(connection, rows)) or self._given_up

    def close(self) -> None:
        """Let go of the file. The cache may be used again afterwards."""
        with self._lock:
            self._disconnect()

    def _kept(self, write: Callable[[sqlite3.Connection], None]) -> bool:
        def written(connection: sqlite3.Connection) -> bool:
            write(connection)
            self._told = ""
            return True

        return self._guarded(written, otherwise=False)

    def _guarded(self, work: Callable[[sqlite3.Connection], T], *, otherwise: T) -> T:
        """What ``work`` returns, or ``otherwise`` if the file does not let it."""
        with self._lock:
            if self._given_up:
                return otherwise
            try:
                return self._attempt(work)
            except (sqlite3.Error, OSError) as error:
                self._disconnect()
                self._given_up = isinstance(error, sqlite3.Error) and not _is(error, *_PASSING)
                if str(error) != self._told:
                    _log.warning("the model cache %s cannot be used: %s", self._path, error)
                self._told = str(error)
                return otherwise

    def _attempt(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return work(self._connected())
        except sqlite3.DatabaseError as error:
            if not _is(error, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                raise
            self._disconnect()
            self._put_aside(error)
            return work(self._connected())

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._inode()
            connection = sqlite3.connect(self._path, timeout=_BUSY_TIMEOUT_S, check_same_thread=False)
            try:
                _prepare(connection)
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _inode(self) -> int | None:
        try:
            return self._path.stat().st_ino
        except FileNotFoundError:
            return None

    def _put_aside(self, error: sqlite3.DatabaseError) -> None:
        if self._inode() != self._file:
            return  # another process has just done so
        aside = self._path.with_name(f"{self._path.name}.broken-{int(time.time())}")
        _log.warning("the model cache %s is broken (%s): it is kept as %s and begun anew", self._path, error, aside)
        self._path.replace(aside)
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


def _is(error: Exception, *codes: int) -> bool:
    found = getattr(error, "sqlite_errorcode", None)
    return found is not None and found & 0xFF in codes


def _prepare(connection: sqlite3.Connection) -> None:
    """Lay the tables out, as one transaction: another process may be doing the same to the same new file."""
    _switch_to_wal(connection)
    connection.execute("PRAGMA synchronous=NORMAL")
    if not _missing(connection):
        return
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        connection.execute("CREATE TABLE IF NOT EXISTS layouts (part TEXT PRIMARY KEY, layout INTEGER NOT NULL)")
        for part, layout, shape in _missing(connection):
            connection.execute(f"DROP TABLE IF EXISTS {part}")
            connection.execute(shape)
            connection.execute("INSERT OR REPLACE INTO layouts VALUES (?, ?)", (part, layout))


def _missing(connection: sqlite3.Connection) -> list[tuple[str, int, str]]:
    """The tables that are not there, or have another layout."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'layouts'").fetchone() is None:
        return list(_LAYOUTS)
    found = dict(connection.execute("SELECT part, layout FROM layouts").fetchall())
    return [one for one in _LAYOUTS if found.get(one[0]) != one[1]]


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """SQLite does not wait for its busy timeout here, so this does."""
    until_s = time.monotonic() + _BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if not _is(error, sqlite3.SQLITE_BUSY) or time.monotonic() > until_s:
                raise
            time.sleep(_BUSY_PAUSE_S)
        else:
            return


def _read(connection: sqlite3.Connection, wanted: Sequence[str], version: str) -> list[tuple[str, bytes]]:
    rows: list[tuple[str, bytes]] = []
    for digest in wanted:
        rows += connection.execute(
            "SELECT digest, content FROM descriptions WHERE digest = ? AND version = ?", (digest, version)
        ).fetchall()
    return rows


def _write(connection: sqlite3.Connection, rows: Sequence[tuple[str, str, bytes]]) -> None:
    with connection:
        connection.executemany("DELETE FROM descriptions WHERE digest = ?", [(row[0],) for row in rows])
        connection.executemany("INSERT INTO descriptions VALUES (?, ?, ?)", rows)


def _write_lessons(connection: sqlite3.Connection, rows: Sequence[tuple[str, str, str]]) -> None:
    with connection:
        connection.executemany("DELETE FROM lessons WHERE place = ? AND digest = ?", [row[:2] for row in rows])
        connection.executemany("INSERT INTO lessons VALUES (?, ?, ?)", [row for row in rows if row[2]])


def _storable(text: str) -> bool:
    """Whether SQLite takes ``text``, which has to be encoded for it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _packed(description: Description) -> bytes | None:
    """The bytes of a description; ``None`` for one that holds what JSON has no way to say."""
    told = {field.name: getattr(description, field.name) for field in fields(description)}
    told["metadata"] = dict(description.metadata)
    told["tensors"] = [[f"{name} {kind}", *shape] for name, kind, shape in description.tensors]
    try:
        return zlib.compress(json.dumps(told).encode(), level=1)
    except (TypeError, ValueError, RecursionError):
        return None


def _unpacked(content: object) -> Description | None:
    """The description in ``content``; ``None`` for bytes that hold none, which then count as never kept."""
    try:
        told = json.loads(zlib.decompress(content)) if isinstance(content, bytes) else None
        if not isinstance(told, dict):
            return None
        capabilities = told.pop("capabilities")
        metadata = {key: tuple(one) if isinstance(one, list) else one for key, one in told.pop("metadata").items()}
        return Description(
            tensors=tuple(_tensor(*row) for row in told.pop("tensors")),
            capabilities=None if capabilities is None else tuple(capabilities),
            metadata=MappingProxyType(metadata),
            **told,
        )
    except (zlib.error, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _tensor(told: str, *shape: int) -> Tensor:
    name, _, kind = told.rpartition(" ")
    return name, kind, shape

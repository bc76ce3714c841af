"""The generations of a gateway over its restarts: what was to change, why, and what became of it."""

import json
import logging
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from gateway.domain.generation_record import GenerationRecord, Outcome
from gateway.errors import RolegateError
from gateway.telemetry.layout import UnknownLayout, is_there, laid_out
from gateway.telemetry.logs import Redactor

_log = logging.getLogger(__name__)

LAYOUT: Final = 1
"""Raised when the rows change their shape. It is kept as the file's ``user_version``."""
KEPT: Final = 10_000
"""How many generations are remembered."""
MOST_TEXT: Final = 4_000
"""Characters kept of a cause and of an error."""
_BUSY_S: Final = 1.0

_CREATE: Final = """
CREATE TABLE generations (
    seq INTEGER PRIMARY KEY, number INTEGER NOT NULL, cause TEXT NOT NULL, profile TEXT, digest TEXT NOT NULL,
    changed_roles TEXT NOT NULL, started_s REAL NOT NULL, ms REAL NOT NULL, outcome TEXT NOT NULL, error TEXT NOT NULL
)
"""
_COLUMNS: Final = "number, cause, profile, digest, changed_roles, started_s, ms, outcome, error"


class GenerationLogUnreadable(RolegateError):
    """The log of generations is damaged, of another version, or not ours to read."""

    code = "generations_unreadable"


class GenerationFile:
    """The log in an SQLite file that is opened for each call, by any thread. Implements ``GenerationLog``.

    While it cannot be written swaps go on without it; the log says so once.
    """

    def __init__(self, *, path: Path, redactor: Redactor | None = None, keep_rows: int = KEPT) -> None:
        self._path = path
        self._redactor = redactor or Redactor()
        self._keep_rows = keep_rows
        self._trouble = False

    def record(self, one: GenerationRecord) -> None:
        try:
            self._write(one)
        except (sqlite3.Error, OSError, UnknownLayout) as error:
            if not self._trouble:
                _log.warning("the log of generations %s cannot be written: %s", self._path, error)
            self._trouble = True
        else:
            self._trouble = False

    def recent(self, limit: int) -> Sequence[GenerationRecord]:
        try:
            if not is_there(self._path):
                return ()
            uri = f"{self._path.absolute().as_uri()}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_S)) as connection:
                if not laid_out(connection, layout=LAYOUT):
                    return ()
                rows = connection.execute(
                    f"SELECT {_COLUMNS} FROM generations ORDER BY seq DESC LIMIT ?",  # noqa: S608  (our names)
                    (limit,),
                ).fetchall()
            return tuple(map(_record_of, rows))
        except (sqlite3.Error, OSError, UnknownLayout, ValueError, TypeError) as exc:
            raise GenerationLogUnreadable(
                f"the log of generations {self._path} cannot be read: {exc}",
                hint="if it stays so, move it away: the gateway begins a new one",
            ) from exc

    def _write(self, one: GenerationRecord) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not is_there(self._path):
            self._path.touch(mode=0o600)
        with closing(sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                if not laid_out(connection, layout=LAYOUT):
                    connection.execute(_CREATE)
                    connection.execute(f"PRAGMA user_version = {LAYOUT}")
                connection.execute(
                    f"INSERT INTO generations ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608  (our names)
                    self._row(one),
                )
                connection.execute(
                    "DELETE FROM generations WHERE seq <= (SELECT max(seq) FROM generations) - ?", (self._keep_rows,)
                )

    def _row(self, one: GenerationRecord) -> Sequence[Any]:
        return (
            one.number,
            self._text(one.cause),
            one.profile,
            one.digest,
            json.dumps(one.changed_roles),
            one.started_s,
            one.ms,
            one.outcome.value,
            self._text(one.error),
        )

    def _text(self, text: str) -> str:
        clean = self._redactor.clean(text).encode("utf-8", "replace").decode()
        return clean if len(clean) <= MOST_TEXT else clean[: MOST_TEXT - 1] + "…"


def _record_of(row: Sequence[Any]) -> GenerationRecord:
    number, cause, profile, digest, changed, started_s, ms, outcome, error = row
    return GenerationRecord(
        number=number,
        cause=cause,
        profile=profile,
        digest=digest,
        changed_roles=tuple(json.loads(changed)),
        started_s=started_s,
        ms=ms,
        outcome=Outcome(outcome),
        error=error,
    )

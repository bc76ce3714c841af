"""The request journal as it is read: by commands with or without a gateway, and by the gateway's own admin route."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from gateway.domain.cost import DaySum
from gateway.domain.record import RequestRecord
from gateway.file_errors import JournalUnreadable
from gateway.telemetry.journal_sums import kept_sums, sums_of_rows
from gateway.telemetry.journal_table import LAYOUT, LAYOUTS, columns_of, opened_to_read, record_of
from gateway.telemetry.layout import UnknownLayout, is_there, layout_of

_UNREADABLE: Final = (sqlite3.Error, OSError, UnknownLayout, ValueError, TypeError)


class JournalFileReader:
    """Reads the file that ``JournalFile`` writes, in this process or another. Implements ``JournalReader``.

    Each call opens the file anew and never changes a row. Calls block, so they belong off an event loop; any thread may make
    them.
    """

    def __init__(self, *, path: Path) -> None:
        self._path = path

    def recent(
        self,
        *,
        limit: int,
        failed: bool = False,
        role: str | None = None,
        since_s: float | None = None,
        before: str | None = None,
    ) -> Sequence[RequestRecord]:
        conditions: list[tuple[str, Any]] = []
        if failed:
            conditions.append(("failure <> ?", ""))
        if role is not None:
            conditions.append(("role = ?", role))
        if since_s is not None:
            conditions.append(("time_s >= ?", since_s))
        if before is not None:
            conditions.append(("seq < (SELECT max(seq) FROM requests WHERE request_id = ?)", before))
        where = f"WHERE {' AND '.join(one for one, _ in conditions)} " if conditions else ""
        return self._rows(f"{where}ORDER BY seq DESC LIMIT ?", *(value for _, value in conditions), limit)

    def find(self, request_id: str) -> RequestRecord | None:
        return next(iter(self._rows("WHERE request_id = ? ORDER BY seq DESC LIMIT 1", request_id)), None)

    def sums(self, *, since_day: int) -> Sequence[DaySum]:
        with self._opened() as journal:
            if journal is None:
                return ()
            connection, layout = journal
            found = kept_sums(connection, since_day=since_day) if layout == LAYOUT else sums_of_rows(connection)
            return tuple(one for one in found if one.day >= since_day)

    def _rows(self, clauses: str, *values: Any) -> tuple[RequestRecord, ...]:
        with self._opened() as journal:
            if journal is None:
                return ()
            connection, layout = journal
            # The clauses are written above; what was asked for is only ever among the values.
            select = f"SELECT {columns_of(layout)} FROM requests {clauses}"  # noqa: S608
            return tuple(map(record_of, connection.execute(select, values).fetchall()))

    @contextmanager
    def _opened(self) -> Iterator[tuple[sqlite3.Connection, int] | None]:
        """The file, and the layout that it is in; ``None`` where there is none yet. Raises ``JournalUnreadable``."""
        try:
            if not is_there(self._path):
                yield None
                return
            with closing(opened_to_read(self._path)) as connection:
                layout = layout_of(connection, known=LAYOUTS)
                yield (connection, layout) if layout else None
        except _UNREADABLE as exc:
            raise self._unreadable(exc) from exc

    def _unreadable(self, exc: Exception) -> JournalUnreadable:
        return JournalUnreadable(
            f"the request journal {self._path} cannot be read: {exc}",
            hint="if it stays so, move it away: the gateway begins a new one",
        )

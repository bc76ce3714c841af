"""The request journal: who asked for what, who answered, how long it took; written in batches beside the hot path."""

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from gateway.domain.record import RequestRecord
from gateway.telemetry.journal_table import opened_to_write, rows_of, sums_of_batch, write
from gateway.telemetry.layout import UnknownLayout
from gateway.telemetry.logs import Redactor

_log = logging.getLogger(__name__)

FLUSH_S: Final = 1.0
BATCH: Final = 500
"""Requests written in one transaction; when so many wait, they are written before their time."""
RETRY_S: Final = 5.0
"""Pause between attempts while the file cannot be written."""
TRIM_S: Final = 3600.0
"""How often a journal that nothing is added to is looked at for rows that are too old."""
CLOSE_S: Final = 2.0
_DAY_S: Final = 86_400

_PASSING: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)
"""What may be over in a moment without anybody touching the file; requests wait for that. Others do not get better."""


class JournalFile:
    """The journal in an SQLite file. Implements ``Journal`` and ``JournalState``.

    Requests wait in memory, at most ``queue`` of them, for a thread that writes them. When they come faster than they can be
    written, or the file cannot be written at all, the oldest are left out and counted, and the log says so once. The file
    keeps the newest ``keep_rows`` requests of the last ``keep_days`` days, and their daily sums for longer.
    """

    def __init__(
        self,
        *,
        path: Path,
        redactor: Redactor,
        keep_rows: int = 100_000,
        keep_days: float = 30,
        queue: int = 5_000,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._redactor = redactor
        self._keep_rows = keep_rows
        self._keep_s = keep_days * _DAY_S
        self._most = queue
        self._now_s = now_s
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        # Under the lock of ``_changed``:
        self._changed = threading.Condition(threading.Lock())
        self._waiting: deque[RequestRecord] = deque()
        self._dropped = 0
        self._asked = 0
        self._answered = 0
        self._closing = False
        self._trouble = ""
        # The thread's own:
        self._connection: sqlite3.Connection | None = None
        self._inode: int | None = None
        self._told_dropped = 0
        self._behind = False

    def start(self) -> None:
        """Begin to write. Requests recorded before wait until then."""
        self._thread.start()

    def record(self, request: RequestRecord) -> None:
        with self._changed:
            if self._closing:
                self._dropped += 1
                return
            self._waiting.append(request)
            count = len(self._waiting)
            if count > self._most:
                self._waiting.popleft()
                self._dropped += 1
            if count in {1, BATCH}:
                self._changed.notify_all()

    @property
    def dropped(self) -> int:
        """Requests that were recorded since the start and will never be in the file."""
        return self._dropped

    def flush(self, *, within_s: float) -> bool:
        """Write what waits now, and wait for that; whether all of it is in the file. Blocks."""
        with self._changed:
            if self._closing or not self._thread.is_alive():
                return False
            self._asked += 1
            mine = self._asked
            self._changed.notify_all()
            done = self._changed.wait_for(lambda: self._answered >= mine, within_s)
            return done and not self._trouble

    def close(self, *, within_s: float = CLOSE_S) -> None:
        """Write what waits, for so long at most, and let go of the file. What cannot be written is counted and logged. Blocks;
        harmless when called again."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(within_s)
        with self._changed:
            left = len(self._waiting)
            self._waiting.clear()
            self._dropped += left
        if left:
            _log.warning("the request journal %s could not be finished; missing in it: %s", self._path, _requests(left))

    def _run(self) -> None:
        """What the thread does: wait, write all there is, and again."""
        over = False
        while not over:
            asked, over = self._wait()
            self._write_all()
            with self._changed:
                self._answered = asked
                self._changed.notify_all()
        self._disconnect()

    def _wait(self) -> tuple[int, bool]:
        """Until it is time to write: how many have asked for that, and whether it is the last time."""
        with self._changed:

            def pressed() -> bool:
                return self._closing or self._asked > self._answered

            if self._changed.wait_for(lambda: pressed() or bool(self._waiting), TRIM_S):
                if self._trouble:
                    self._changed.wait_for(pressed, RETRY_S)
                else:
                    self._changed.wait_for(lambda: pressed() or len(self._waiting) >= BATCH, FLUSH_S)
            return self._asked, self._closing

    def _write_all(self) -> None:
        while True:
            batch = self._take()
            if not batch and self._found() is None:
                return
            try:
                self._write(batch)
            except (sqlite3.Error, OSError, UnknownLayout) as error:
                self._disconnect()
                self._failed(error, batch=batch)
                return
            self._wrote()
            if not self._waiting:
                self._behind = False
                return

    def _take(self) -> list[RequestRecord]:
        with self._changed:
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH))]

    def _write(self, batch: list[RequestRecord]) -> None:
        rows = rows_of(batch, redactor=self._redactor)
        if self._connection is not None and self._found() != self._inode:
            self._disconnect()  # somebody removed or replaced the file
        if self._connection is None:
            self._connection = opened_to_write(self._path)
            self._inode = self._found()
        now_s = self._now_s()
        write(
            self._connection,
            rows,
            sums=sums_of_batch(batch, rows),
            now_s=now_s,
            keep_rows=self._keep_rows,
            keep_after_s=now_s - self._keep_s,
        )

    def _failed(self, error: Exception, *, batch: list[RequestRecord]) -> None:
        """Keep the batch for the next attempt as far as there is room, or give up on all that waits."""
        passing = _passing(error)
        with self._changed:
            first, self._trouble = not self._trouble, str(error) or type(error).__name__
            self._waiting.extendleft(reversed(batch))
            room = self._most if passing else 0
            while len(self._waiting) > room:
                self._waiting.popleft()
                self._dropped += 1
        if first:
            advice = "it is tried again" if passing else "move it away and a new one is begun"
            _log.warning(
                "the request journal %s cannot be written: %s (requests are served without it; %s)",
                self._path,
                error,
                advice,
            )

    def _wrote(self) -> None:
        with self._changed:
            mended = bool(self._trouble) and not self._waiting
            if self._trouble and not mended:
                return  # a disk may have room for one batch and not for the next
            self._trouble = ""
            lost, self._told_dropped = self._dropped - self._told_dropped, self._dropped
        if mended:
            _log.warning("the request journal %s is written again; missing in it: %s", self._path, _requests(lost))
        elif lost and not self._behind:
            self._behind = True
            _log.warning(
                "requests come faster than the request journal %s can be written; missing in it so far: %s",
                self._path,
                _requests(lost),
            )

    def _found(self) -> int | None:
        try:
            return self._path.stat().st_ino
        except OSError:
            return None

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


def _passing(error: Exception) -> bool:
    """Whether the trouble may be over without anybody touching the file."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        return code is not None and code & 0xFF in _PASSING
    return isinstance(error, OSError)


def _requests(count: int) -> str:
    if not count:
        return "none"
    return "1 request" if count == 1 else f"{count:,} requests"

"""The journal's file: its layout, how it is opened, and requests as its rows.

It is a file of its own beside the registry's, not a table in it: a registry file found broken is put aside with its write-ahead
log, which would cut that log from under a journal that is open all the time.
"""

import math
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.domain.cost import DaySum
from gateway.domain.record import RequestRecord, cloud_answered
from gateway.errors import AttemptFacts
from gateway.telemetry.journal_sums import Answered, add_sums, create_sums, sums_of, sums_of_rows, trim_sums
from gateway.telemetry.layout import is_there, layout_of
from gateway.telemetry.logs import Redactor

LAYOUT: Final = 2
"""Raised when the rows change their shape. It is kept as the file's ``user_version``. Files of layout 1, which knew neither keys
nor costs, are read as they are, and taken over when they are next written."""
LAYOUTS: Final = (1, LAYOUT)

MOST_TEXT: Final = 300
MOST_MESSAGE: Final = 2_000
"""Characters kept of a name and of a message: callers and upstreams choose their length."""

_COLUMNS: Final = (
    ("request_id", "TEXT NOT NULL"),
    ("time_s", "REAL NOT NULL"),
    ("endpoint", "TEXT NOT NULL"),
    ("role", "TEXT NOT NULL"),
    ("stream", "INTEGER NOT NULL"),
    ("status", "INTEGER NOT NULL"),
    ("failure", "TEXT NOT NULL"),
    ("model", "TEXT NOT NULL"),
    ("generation", "INTEGER"),
    ("cloud", "INTEGER NOT NULL"),
    ("attempts", "TEXT NOT NULL"),
    ("fallback_reason", "TEXT NOT NULL"),
    ("prompt_tokens", "INTEGER"),
    ("completion_tokens", "INTEGER"),
    ("first_token_ms", "REAL"),
    ("duration_ms", "REAL NOT NULL"),
    ("message", "TEXT NOT NULL"),
)
_SINCE_2: Final = (
    ("key", "TEXT NOT NULL DEFAULT ''"),
    ("cached_tokens", "INTEGER"),
    ("cache_write_tokens", "INTEGER"),
    ("audio_tokens", "INTEGER"),
    ("reasoning_tokens", "INTEGER"),
    ("cost_usd", "REAL"),
)
_IN_1: Final = ("''", *("NULL" for _ in _SINCE_2[1:]))
"""What a file of layout 1 would say in those columns."""
_ALL_COLUMNS: Final = (*_COLUMNS, *_SINCE_2)
_PLACES: Final = {name: place for place, (name, _) in enumerate(_ALL_COLUMNS)}
_summed = itemgetter(
    *(_PLACES[name] for name in ("time_s", "role", "model", "prompt_tokens", "completion_tokens", "cost_usd"))
)
"""The columns that daily sums are made of, out of a row."""
_NAMES_OF_1: Final = ", ".join(name for name, _ in _COLUMNS)
NAMES: Final = ", ".join(name for name, _ in _ALL_COLUMNS)

_CREATE: Final = f"CREATE TABLE requests (seq INTEGER PRIMARY KEY, {', '.join(map(' '.join, _ALL_COLUMNS))})"
_INSERT: Final = f"INSERT INTO requests ({NAMES}) VALUES ({', '.join('?' * len(_ALL_COLUMNS))})"  # noqa: S608  (our names)

_BUSY_TIMEOUT_S: Final = 1.0
_BUSY_PAUSE_S: Final = 0.01
_MOST_INTEGER: Final = 2**63 - 1

Row = Sequence[Any]


def opened_to_write(path: Path) -> sqlite3.Connection:
    """A connection that any one thread may use, the file made and laid out if need be. Raises ``UnknownLayout``, ``OSError``
    and ``sqlite3.Error``."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not is_there(path):
        path.touch(mode=0o600)
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, check_same_thread=False, isolation_level=None)
    try:
        if layout_of(connection, known=LAYOUTS) != LAYOUT:
            _lay_out(connection)
        connection.execute("PRAGMA synchronous=NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def opened_to_read(path: Path) -> sqlite3.Connection:
    """A connection that cannot change a row. Raises ``sqlite3.Error`` also when there is no file."""
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None
    )


def columns_of(layout: int) -> str:
    """The columns ``NAMES`` as a file of that layout has them."""
    return NAMES if layout == LAYOUT else ", ".join((_NAMES_OF_1, *_IN_1))


def write(
    connection: sqlite3.Connection,
    rows: Iterable[Row],
    *,
    sums: Iterable[DaySum],
    now_s: float,
    keep_rows: int,
    keep_after_s: float,
) -> None:
    """Append ``rows``, add ``sums`` to those of their days, and remove the rows over either bound, all or nothing. What it costs
    to remove follows the number of rows removed, not of those kept: they are the oldest, so they lie together."""
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        connection.executemany(_INSERT, rows)
        add_sums(connection, sums)
        trim_sums(connection, now_s=now_s)
        connection.execute("DELETE FROM requests WHERE seq <= (SELECT max(seq) FROM requests) - ?", (keep_rows,))
        first = connection.execute(
            "SELECT seq FROM requests WHERE time_s >= ? ORDER BY seq LIMIT 1", (keep_after_s,)
        ).fetchone()
        if first is None:
            connection.execute("DELETE FROM requests")
        else:
            connection.execute("DELETE FROM requests WHERE seq < ?", first)


def rows_of(records: Iterable[RequestRecord], *, redactor: Redactor) -> list[Row]:
    """Records as SQLite takes them whatever callers and upstreams put in them, with secrets masked."""
    known: dict[str, str] = {}

    def text(value: str) -> str:
        # Most of what they say is the same words again.
        clean = known.get(value)
        if clean is None:
            clean = known[value] = _text(value, redactor=redactor, most=MOST_TEXT)
        return clean

    return [_row(one, text=text, redactor=redactor) for one in records]


def _row(record: RequestRecord, *, text: Callable[[str], str], redactor: Redactor) -> Row:
    attempts = [
        (text(one.model), text(one.failure), _integer(one.status), _number(one.ms) or 0.0) for one in record.attempts
    ]
    return (
        _text(record.request_id, redactor=redactor, most=MOST_TEXT),
        _number(record.time_s) or 0.0,
        text(record.endpoint),
        text(record.role),
        int(record.stream),
        _integer(record.status) or 0,
        text(record.failure),
        text(record.model),
        _integer(record.generation),
        int(record.cloud),
        orjson.dumps(attempts).decode(),
        text(record.fallback_reason),
        _integer(record.prompt_tokens),
        _integer(record.completion_tokens),
        _number(record.first_token_ms),
        _number(record.duration_ms) or 0.0,
        _text(record.message, redactor=redactor, most=MOST_MESSAGE),
        text(record.key),
        _integer(record.cached_tokens),
        _integer(record.cache_write_tokens),
        _integer(record.audio_tokens),
        _integer(record.reasoning_tokens),
        _number(record.cost_usd),
    )


def sums_of_batch(records: Sequence[RequestRecord], rows: Sequence[Row]) -> list[DaySum]:
    """What these requests add to their days; ``rows`` are theirs. Who was not answered costs nothing."""
    return sums_of(_answered(one, row) for one, row in zip(records, rows, strict=True) if one.model)


def _answered(record: RequestRecord, row: Row) -> Answered:
    time_s, role, model, prompt, completion, cost = _summed(row)
    # Vectors are no answer in tokens.
    return Answered(
        time_s, role, model, cloud_answered(record), prompt, 0 if record.endpoint == "embeddings" else completion, cost
    )


def record_of(row: Row) -> RequestRecord:
    """The record of a row with the columns ``NAMES``."""
    told = dict(zip((name for name, _ in _ALL_COLUMNS), row, strict=True))
    attempts = tuple(
        AttemptFacts(model=model, failure=failure, status=status, ms=ms)
        for model, failure, status, ms in orjson.loads(told.pop("attempts"))
    )
    stream, cloud = bool(told.pop("stream")), bool(told.pop("cloud"))
    return RequestRecord(attempts=attempts, stream=stream, cloud=cloud, **told)


def _lay_out(connection: sqlite3.Connection) -> None:
    """Make the tables, or those of an older layout what they are now, as one transaction: another process may be doing the same
    to the same file."""
    _switch_to_wal(connection)
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        found = layout_of(connection, known=LAYOUTS)
        if found == LAYOUT:
            return
        create_sums(connection)
        if found:
            for column in _SINCE_2:
                connection.execute(f"ALTER TABLE requests ADD COLUMN {' '.join(column)}")
            add_sums(connection, sums_of_rows(connection))
        else:
            connection.execute(_CREATE)
        connection.execute(f"PRAGMA user_version = {LAYOUT}")


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """SQLite does not wait for its busy timeout here, so this does."""
    until_s = time.monotonic() + _BUSY_TIMEOUT_S
    while True:
        try:
            with closing(connection.execute("PRAGMA journal_mode=WAL")):
                return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until_s:
                raise
            time.sleep(_BUSY_PAUSE_S)


def _text(value: str, *, redactor: Redactor, most: int) -> str:
    clean = redactor.clean(value)
    if not clean.isascii():
        clean = clean.encode("utf-8", "replace").decode()
    return clean if len(clean) <= most else clean[: most - 1] + "…"


def _integer(value: int | None) -> int | None:
    return value if value is not None and abs(value) <= _MOST_INTEGER else None


def _number(value: float | None) -> float | None:
    """Finite, or unknown. An integer may be too large to be a float at all."""
    if type(value) is float and math.isfinite(value):
        return value
    try:
        number = math.nan if value is None else float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None

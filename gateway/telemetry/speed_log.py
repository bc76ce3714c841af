"""How fast models answered lately, read from the request journal."""

import logging
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from gateway.domain.speed import LATEST, LEAST_TOKENS, answer_speed
from gateway.telemetry.journal_table import LAYOUTS, opened_to_read
from gateway.telemetry.layout import UnknownLayout, is_there, layout_of

_log = logging.getLogger(__name__)

LOOKED_AT: Final = 5_000
"""The latest requests that are looked at, whatever models they were for."""
_ANSWERS: Final = """
SELECT model, completion_tokens, (duration_ms - first_token_ms) / 1000
FROM (SELECT * FROM requests ORDER BY seq DESC LIMIT ?)
WHERE failure = '' AND completion_tokens >= ? AND first_token_ms IS NOT NULL
ORDER BY seq DESC
"""


class JournalSpeeds:
    """Implements ``SpeedLog`` for the journal at ``path``. Calls block."""

    def __init__(self, *, path: Path) -> None:
        self._path = path

    def latest(self) -> Mapping[str, Sequence[float]]:
        """See ``SpeedLog.latest``. Empty where the journal cannot be read: a speed is good to know, and nothing depends on it."""
        try:
            rows = self._rows()
        except (sqlite3.Error, OSError, UnknownLayout) as error:
            _log.debug("no speeds were read from the request journal", extra={"reason": str(error)})
            return {}
        speeds: dict[str, list[float]] = {}
        for model, tokens, generating_s in rows:
            speed = answer_speed(tokens=tokens, generating_s=generating_s)
            if speed is not None and len(known := speeds.setdefault(model, [])) < LATEST:
                known.append(speed)
        return speeds

    def _rows(self) -> list[tuple[str, int, float]]:
        if not is_there(self._path):
            return []
        with closing(opened_to_read(self._path)) as connection:
            if not layout_of(connection, known=LAYOUTS):
                return []
            return connection.execute(_ANSWERS, (LOOKED_AT, LEAST_TOKENS)).fetchall()

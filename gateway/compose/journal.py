"""The request journal of one installation: where it lies, who writes it, who reads it."""

from pathlib import Path
from typing import Final

from gateway.telemetry.journal import JournalFile
from gateway.telemetry.journal_reader import JournalFileReader
from gateway.telemetry.logs import Redactor
from gateway.telemetry.speed_log import JournalSpeeds

JOURNAL_FILE: Final = "journal.sqlite"


def journal_of(state_folder: Path, *, redactor: Redactor) -> JournalFile:
    """The journal that a gateway writes; not started yet. The caller closes it."""
    return JournalFile(path=state_folder / JOURNAL_FILE, redactor=redactor)


def journal_reader_of(state_folder: Path) -> JournalFileReader:
    """The same journal as commands and routes read it."""
    return JournalFileReader(path=state_folder / JOURNAL_FILE)


def speed_log_of(state_folder: Path) -> JournalSpeeds:
    """What the same journal says of how fast models answer."""
    return JournalSpeeds(path=state_folder / JOURNAL_FILE)

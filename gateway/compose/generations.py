"""The log of generations of one installation: where it lies."""

from pathlib import Path
from typing import Final

from gateway.telemetry.generations import GenerationFile
from gateway.telemetry.logs import Redactor

GENERATIONS_FILE: Final = "generations.sqlite"


def generation_log_of(state_folder: Path, *, redactor: Redactor | None = None) -> GenerationFile:
    """The log, for the gateway that writes it and for whoever reads it."""
    return GenerationFile(path=state_folder / GENERATIONS_FILE, redactor=redactor)

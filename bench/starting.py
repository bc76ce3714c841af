"""Command start: how long `rolegate --help` takes as a whole process, beside a bare interpreter."""

import subprocess
import sys
from collections.abc import Iterator

from bench.measure import Result, timed


def results() -> Iterator[Result]:
    yield timed(
        lambda: _run("-m", "gateway", "--help"), name="help", what="rolegate --help, a whole process", budget_ms=500
    )
    yield timed(lambda: _run("-c", "pass"), name="python", what="the interpreter alone, for comparison")


def _run(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)

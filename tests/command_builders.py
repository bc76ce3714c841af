"""What tests of the commands need: one command line run as a person would, with what it wrote and how it ended."""

import asyncio
import io
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.app import main


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Coroutine[Any, Any, Ran]]


class Answers(io.StringIO):
    """A terminal at which these lines are typed, one after the other."""

    def __init__(self, *lines: str) -> None:
        super().__init__("".join(f"{line}\n" for line in lines))

    def isatty(self) -> bool:
        return True


def a_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs command lines on that configuration folder, in a thread beside the loop of the test."""

    async def run(*arguments: str) -> Ran:
        code = await asyncio.to_thread(main, ["--config-dir", str(folder), *arguments])
        out, err = capsys.readouterr()
        return Ran(code=code, out=out, err=err)

    return run

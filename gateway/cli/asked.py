"""Questions to the person at the terminal: asked on stderr, answered on stdin."""

import sys
from typing import Final

from gateway.cli.console import Console
from gateway.cli.tables import printable
from gateway.errors import BadRequest

_YES: Final = frozenset({"y", "yes"})
_NO: Final = frozenset({"n", "no"})


def can_ask(console: Console) -> bool:
    """Is a person there to answer, and may we talk to them?"""
    return sys.stdin.isatty() and not console.json


def ask(question: str) -> str:
    """One line, without surrounding space. Raises ``BadRequest`` when there are no more."""
    sys.stderr.write(printable(question))
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise BadRequest("the answers ended before the questions did", hint="nothing was written")
    return line.strip()


def ask_yes(question: str, *, usually: bool) -> bool:
    """Ask until it is yes or no; an empty line is what is usual."""
    while True:
        given = ask(f"{question} [{'Y/n' if usually else 'y/N'}] ").casefold()
        if not given:
            return usually
        if given in _YES | _NO:
            return given in _YES


def must_confirm(question: str, *, what: str, console: Console) -> bool:
    """Whether to go on with what cannot be undone. Raises ``BadRequest`` where nobody can be asked; ``what`` would happen."""
    if not can_ask(console):
        raise BadRequest(f"{what}, and there is no terminal to ask at", hint="give --yes")
    return ask_yes(question, usually=False)

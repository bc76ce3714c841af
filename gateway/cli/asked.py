"""Questions to the person at the terminal: asked on stderr, answered on stdin."""

import sys
from typing import Final

from gateway.cli.console import Console
from gateway.cli.tables import printable
from gateway.domain.secret import Secret
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


def ask_secret(question: str) -> Secret:
    """One line that is not shown while it is typed. Raises as ``ask`` does."""
    try:
        import termios
    except ImportError:
        from getpass import getpass

        return Secret(getpass(question))
    try:
        before = termios.tcgetattr(sys.stdin)
    except (termios.error, OSError, ValueError):
        return Secret(ask(question))  # what is no terminal shows nothing
    silent = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    try:
        termios.tcsetattr(sys.stdin, termios.TCSAFLUSH, silent)
        return Secret(ask(question))
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSAFLUSH, before)
        sys.stderr.write("\n")


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

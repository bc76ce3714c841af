"""The ``rolegate`` command: all groups assembled, and the one seam where errors become messages and exit codes."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

import typer

from gateway.cli import (
    configuration,
    costs,
    keys,
    models,
    plan,
    profiles,
    providers,
    requests,
    roles,
    router,
    serve,
    status,
)
from gateway.cli.command import USAGE, new_group
from gateway.cli.console import Console, OutputLost, open_closed_streams
from gateway.errors import RolegateError

UNEXPECTED: Final = 1
INTERRUPTED: Final = 130

_EXIT_CODES: Final = """Exit codes: 0 done, 1 unexpected, 2 usage, 3 configuration invalid, 4 no model can serve a role,
5 gateway not reachable, 6 provider failed, 7 vault locked."""


def application() -> typer.Typer:
    """Every command in its group."""
    app = new_group(about=f"An OpenAI-compatible gateway in which a role is a model name.\n\n{_EXIT_CODES}")
    rooms = (serve, plan, models, roles, profiles, providers, configuration, keys, router, requests, costs, status)
    for room in rooms:
        room.add_to(app)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Errors are told on stderr, with ``--json`` on stdout as an object."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    open_closed_streams()
    _never_fail_to_write()
    try:
        return _run(given, console=Console(json="--json" in given, quiet=False))
    except OutputLost as lost:
        Console(json=False, quiet=False).error(str(lost))
        return UNEXPECTED
    except typer.Exit as left:
        return left.exit_code


def _run(given: list[str], *, console: Console) -> int:
    try:
        return int(application()(args=given, prog_name="rolegate", standalone_mode=False) or 0)
    except RolegateError as error:
        _tell(error, console=console)
        return error.exit_code
    except typer.TyperException as error:
        return _usage(error, console=console)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except OutputLost:
        raise
    except Exception as error:
        if "--debug" in given:
            raise
        message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        _tell(
            RolegateError(f"unexpected: {message}", hint="run it again with --debug for a traceback"), console=console
        )
        return UNEXPECTED


def _tell(error: RolegateError, *, console: Console) -> None:
    if not console.json:
        console.error(error.message, hint=error.hint)
        return
    told: dict[str, object] = {"code": error.code, "message": error.message, "hint": error.hint}
    if error.problems:
        told["problems"] = [asdict(one) for one in error.problems]
    console.value({"error": told})


def _usage(error: typer.TyperException, *, console: Console) -> int:
    """A command line that cannot be parsed: what is wrong with it, and where the help is."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "rolegate"
    # The words of the library that checks values stand before its caller's own.
    message = error.format_message().replace(": Value error, ", ": ")
    if console.json:
        console.value({"error": {"code": "usage", "message": message, "hint": f"see `{path} --help`"}})
    else:
        console.error(message, hint=f"see `{path} --help`")
    return USAGE


def _never_fail_to_write() -> None:
    """A character that the terminal's encoding lacks is shown as an escape instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")

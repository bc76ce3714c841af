"""`rolegate models pull`, `load`, `unload` and `remove`: what is done to models."""

import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gateway.cli.command import Call, add_command
from gateway.cli.pulling import LayerDisplay, PullDisplay, waiting
from gateway.cli.tables import Cell, printable
from gateway.errors import BadRequest, ProviderFailed, RolegateError

if TYPE_CHECKING:
    from gateway.compose.keeping import ModelDesk

FOR_EVER_YEAR: Final = 2200
"""Ollama writes "for ever" as a time in the 24th century."""

Reference = Annotated[str, typer.Argument(metavar="MODEL", show_default=False)]


def add_to(group: typer.Typer) -> None:
    add_command(group, pull, name="pull", asks=True)
    add_command(group, load, name="load", asks=True)
    add_command(group, unload, name="unload", asks=True)
    add_command(group, remove, name="remove", asks=True)


def pull(call: Call, *, model: Reference) -> None:
    """Fetch a model: by the embedded engine, or by an Ollama provider.

    A bare name goes to the embedded engine if it knows that, else to the first Ollama provider. A pull that was broken off goes
    on where it stopped when it is run again. Exits with 6 when it fails.
    """
    from gateway.domain.model import ProviderKind

    desk = _desk(call)
    target = desk.pull_target(model)
    told: dict[str, object] = {"model": str(target)}
    if target.provider.kind is ProviderKind.EMBEDDED:
        with PullDisplay(name=target.name, console=call.console) as display:
            path = desk.pull_file(target, progress=display.progress)
        told["path"] = str(path)
    else:
        with LayerDisplay(name=str(target), console=call.console) as layers:
            call.run(desk.pull(target, progress=layers.progress))
    if call.console.json:
        call.console.value(told)
    else:
        call.console.text(str(told.get("path") or f"{target} is there"))
    _have_it_seen(call)


def load(
    call: Call,
    *,
    model: Reference,
    keep_alive: Annotated[
        str | None,
        typer.Option(
            "--keep-alive",
            metavar="TIME",
            help="How long it stays without requests: 30m, or -1 for ever. [default: the server's own]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Load a model as the plan has it, and wait until it is there.

    Asks the running gateway; where none runs, the provider itself. Models of the embedded engine live inside the gateway: without
    one the exit code is 5.
    """
    from gateway.domain.keeping import checked_keep_alive

    stay = None if keep_alive is None else checked_keep_alive(keep_alive)
    desk = _desk(call)
    without = call.run(desk.missing_gateway())
    if without is None:
        with waiting(f"loading {model}", console=call.console):
            told = call.run(desk.ask_to_load(model, keep_alive=stay))
    else:
        survey = call.survey(call.workspace())
        with waiting(f"loading {model}", console=call.console):
            told = call.run(desk.load_here(model, keep_alive=stay, survey=survey, without=without))
    if call.console.json:
        call.console.value(told)
    else:
        call.console.line(Cell(text=str(told["model"]), style="bold"), *_loaded(told))


def unload(call: Call, *, model: Reference) -> int:
    """Let go of a model, and wait until it is out of memory.

    Asks the running gateway; where none runs, the provider itself. Exits with 6 when requests in flight keep the model in memory:
    it goes when they are done.
    """
    desk = _desk(call)
    without = call.run(desk.missing_gateway())
    if without is None:
        with waiting(f"unloading {model}", console=call.console):
            told = call.run(desk.ask_to_unload(model))
    else:
        survey = call.survey(call.workspace())
        with waiting(f"unloading {model}", console=call.console):
            told = call.run(desk.unload_here(model, survey=survey, without=without))
    gone = bool(told["unloaded"])
    if call.console.json:
        call.console.value(told)
    else:
        call.console.line(Cell(text=str(told["model"]), style="bold"), _unloaded(told))
    return 0 if gone else ProviderFailed.exit_code


def remove(
    call: Call,
    *,
    model: Reference,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Remove it even if roles use it.")] = False,
) -> int:
    """Delete a model from its provider's disk.

    Refuses a model that roles use, unless --force is given; asks before it deletes, unless --yes is. Of the embedded engine only
    files that were pulled are removed, never one that the configuration names by its path.
    """
    desk = _desk(call)
    if not yes and not _confirmed(call, model):
        call.console.talk("nothing was removed")
        return 0
    if call.run(desk.missing_gateway()) is None:
        told = call.run(desk.ask_to_remove(model, force=force))
    else:
        told = call.run(desk.remove_here(model, force=force, survey=call.survey(call.workspace())))
    if call.console.json:
        call.console.value(told)
    else:
        call.console.text(f"{told['model']} is removed")
    return 0


def _have_it_seen(call: Call) -> None:
    """Have the running gateway look now; where none does, it will find the model by itself."""
    from gateway.cli.taking_up import asked

    with suppress(RolegateError):
        asked(call, call.workspace(), "POST", "/admin/v1/look")


def _desk(call: Call) -> "ModelDesk":
    from gateway.compose.keeping import ModelDesk

    return ModelDesk(call.workspace())


def _confirmed(call: Call, model: str) -> bool:
    """Raises ``BadRequest`` where nobody can be asked."""
    if call.console.json or not sys.stdin.isatty():
        raise BadRequest(f"{model} would be deleted, and there is no terminal to ask at", hint="give --yes")
    sys.stderr.write(printable(f"delete {model}? [y/N] "))
    sys.stderr.flush()
    return sys.stdin.readline().strip().casefold() in ("y", "yes")


def _loaded(told: Mapping[str, Any]) -> list[str]:
    """``loaded in 3.2 s``, and what the server says of it."""
    words = [
        f"was loaded already ({told['seconds']:.1f} s)" if told["already"] else f"loaded in {told['seconds']:.1f} s"
    ]
    resident = told.get("resident")
    if not resident:
        return words
    from gateway.domain.fit import gigabytes

    size = resident.get("bytes") or 0
    on_gpu = resident.get("vram_bytes") or 0
    if size:
        words.append(gigabytes(size) + _where(on_gpu / size))
    if resident.get("context"):
        words.append(f"context {resident['context']:,}")
    stays = _stays(resident.get("expires"))
    return [*words, stays] if stays else words


def _where(share_on_gpu: float) -> str:
    if share_on_gpu >= 1:
        return " on the GPU"
    return f", {share_on_gpu:.0%} of it on the GPU" if share_on_gpu > 0 else ""


def _stays(expires: object) -> str:
    """Until when it stays without requests, in this machine's time; empty for what is no time."""
    from datetime import datetime

    if not isinstance(expires, str):
        return ""
    try:
        until = datetime.fromisoformat(expires)
    except ValueError:
        return ""
    return "stays loaded" if until.year >= FOR_EVER_YEAR else f"until {until.astimezone():%Y-%m-%d %H:%M:%S}"


def _unloaded(told: Mapping[str, Any]) -> str:
    if not told["was_loaded"]:
        return "was not loaded"
    if told["unloaded"]:
        return f"unloaded in {told['seconds']:.1f} s"
    return f"still loaded after {told['seconds']:.0f} s: requests are in flight, it goes when they are done"

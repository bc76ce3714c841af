"""`rolegate profiles export` and `import`: a profile as one file that can be carried elsewhere."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.command import Call, add_command
from gateway.cli.doubts import doubts_of, warn_of_models
from gateway.cli.gave_way import what_gave_way
from gateway.cli.profile_writing import Name, edited_data
from gateway.cli.refusal import nothing_written
from gateway.cli.taking_up import profiles_taken_up
from gateway.errors import BadRequest

File = Annotated[str, typer.Argument(metavar="FILE", show_default=False)]


def add_to(group: typer.Typer) -> None:
    add_command(group, export, name="export")
    add_command(group, import_profile, name="import", asks=True)


def export(
    call: Call,
    *,
    profile: Name,
    file: File,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a file that is there.")] = False,
) -> None:
    """Write a profile and what it extends to a file; - is stdout.

    The file has a checksum and no secrets: a profile that holds one is refused.
    """
    from gateway.config.bundle import export as exported

    content = exported(profile, folder=call.workspace().config_folder)
    if file == "-":
        call.console.text(*content.decode().rstrip("\n").split("\n"))
        return
    path = Path(file)
    if path.exists() and not replace:
        raise BadRequest(f"{path} is there already", hint="choose another name, or give --replace")
    from gateway.files.atomic import write_atomically

    try:
        write_atomically(path, content, mode=0o644)
    except OSError as exc:
        raise BadRequest(f"cannot write {path}: {exc.strerror or exc}", hint="name a file in a folder you own") from exc
    if call.console.json:
        call.console.value({"profile": profile, "file": str(path), "bytes": len(content)})
    else:
        call.console.text(f"wrote {path}")


def import_profile(
    call: Call,
    *,
    file: File,
    name: Annotated[
        str | None, typer.Option("--name", metavar="P", help="Call the profile so here.", show_default=False)
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace profiles that are there.")] = False,
) -> None:
    """Take in a profile that was exported; - is stdin.

    Checks the checksum and the whole configuration first; what an older rolegate exported is brought up to date. A profile of
    the same name that says something else is replaced only with --replace. With --name P, one that it extends and that says
    something else here comes in beside that, as P-NAME.
    """
    from gateway.compose.editing import check_of
    from gateway.config.bundle import import_

    workspace = call.workspace()
    with nothing_written():
        imported = import_(
            _content(file),
            folder=workspace.config_folder,
            check=check_of(workspace),
            name=name,
            overwrite=replace,
            source="what was read from stdin" if file == "-" else file,
        )
    everything = (*imported.parents, imported.profile)
    if not call.console.json:
        call.console.text(
            *(f"wrote {one.path}" if one.changed else f"{one.path} says so already" for one in everything)
        )
    changed = [one for one in everything if one.changed]
    running = (
        profiles_taken_up(call, workspace, profiles=[one.name for one in changed], path=changed[0].path)
        if changed
        else None
    )
    if call.console.json:
        call.console.value(
            {
                **edited_data(imported.profile),
                "parents": [edited_data(one) for one in imported.parents],
                "migrated_from": imported.migrated_from,
                "running": running,
            }
        )
        return
    if imported.migrated_from is not None:
        call.console.talk(
            f"{file} is in the form of schema_version {imported.migrated_from}, and was brought up to date"
        )
    call.console.talk(*(f"{one.path}: {said}" for one in changed for said in what_gave_way(one)))
    call.console.warn([str(one) for one in doubts_of(imported.profile.warnings, call=call, workspace=workspace)])
    warn_of_models(call, imported.profile.name)


def _content(file: str) -> bytes:
    from gateway.config.document import MAX_FILE_BYTES
    from gateway.files.regular_file import Unreadable, read_regular_file

    if file == "-":
        return sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    try:
        return read_regular_file(Path(file), at_most_bytes=MAX_FILE_BYTES)
    except Unreadable as exc:
        raise BadRequest(f"{file}: found {exc.found}; allowed: {exc.allowed}", hint=exc.hint) from exc

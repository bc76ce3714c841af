"""`rolegate config`: the merged configuration, its origin and its schema."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.command import Call, add_command, add_group
from gateway.cli.console import Console
from gateway.cli.named import must_know
from gateway.cli.refusal import nothing_written
from gateway.cli.tables import Cell, Column, Table
from gateway.cli.yaml_text import as_yaml
from gateway.config.masking import masked
from gateway.file_errors import ConfigInvalid

if TYPE_CHECKING:
    from gateway.config.upgrade import OldFile


def add_to(app: typer.Typer) -> None:
    group = add_group(app, name="config", about="The configuration: all layers merged.")
    add_command(group, show, name="show")
    add_command(group, validate, name="validate")
    add_command(group, migrate, name="migrate")
    add_command(group, schema, name="schema")
    add_command(group, path, name="path")


def show(
    call: Call, *, origin: Annotated[bool, typer.Option("--origin", help="Say where each value comes from.")] = False
) -> None:
    """The merged values of all layers."""
    configuration = call.workspace().configuration()
    call.console.warn([str(one) for one in configuration.warnings])
    if not origin:
        values = masked(configuration.values)
        if call.console.json:
            call.console.value(values)
        else:
            call.console.text(*as_yaml(values).split("\n"))
        return
    from gateway.config.set_path import format_set_path

    leaves = [
        {
            "path": format_set_path(path),
            "value": masked(value, key=str(path[-1])),
            "layer": source.layer.value,
            "file": source.file,
        }
        for path, value, source in configuration.provenance.leaves()
    ]
    if call.console.json:
        call.console.value(leaves)
        return
    if not leaves:
        call.console.talk("no layer sets anything")
    elif call.console.is_terminal:
        _print_by_file(leaves, console=call.console)
    else:
        call.console.text(*(f"{_assignment(one)}  # {one['layer']}, {one['file']}" for one in leaves))


def _print_by_file(leaves: Sequence[Mapping[str, object]], *, console: Console) -> None:
    """The values under the file that sets them: a terminal has no room for both on one line."""
    for file, layer in dict.fromkeys((one["file"], one["layer"]) for one in leaves):
        console.line(Cell(text=f"{file}", style="bold"), Cell(text=f"({layer})", style="dim"))
        for one in leaves:
            if (one["file"], one["layer"]) == (file, layer):
                console.line(_assignment(one), indent=2)


def _assignment(leaf: Mapping[str, object]) -> str:
    return f"{leaf['path']} = {json.dumps(leaf['value'], ensure_ascii=False)}"


def validate(call: Call) -> None:
    """Check every file: layers, profiles, router templates.

    Profiles that are not active count too. Exits with 3 when there is a problem.
    """
    from gateway.config.load import check
    from gateway.rendering.templates import Templates

    workspace = call.workspace()
    checked = check(
        folder=workspace.config_folder,
        state_folder=workspace.state_folder,
        environment=workspace.environment,
        profile=workspace.options.profile,
        flags=workspace.options.settings,
    )
    call.console.warn([str(one) for one in checked.warnings])
    problems = list(checked.problems)
    try:
        Templates.load(workspace.templates_folder)
    except ConfigInvalid as invalid:
        problems += invalid.problems
    if problems:
        raise ConfigInvalid(problems)
    if call.console.json:
        call.console.value({"valid": True, "warnings": [str(one) for one in checked.warnings]})
    else:
        call.console.talk(f"{workspace.config_folder}: no problem in any layer, profile or template")


def migrate(
    call: Call, *, write: Annotated[bool, typer.Option("--write", help="Rewrite them, each with a backup.")] = False
) -> None:
    """Which files are in an older form; with --write, rewrite them.

    They are used all the same, as they are. With --write, what was in a file is kept beside it, as NAME.v1.bak. Exits with 3
    when a file cannot be read or is of a newer version; nothing is rewritten then.
    """
    from gateway.config.document import SCHEMA_VERSION
    from gateway.config.upgrade import old_files, rewrite_old_files

    folder = call.workspace().config_folder
    with nothing_written():
        found = rewrite_old_files(folder) if write else old_files(folder)
    if call.console.json:
        files = [
            {"file": str(one.path), "from": one.version, "backup": None if one.backup is None else str(one.backup)}
            for one in found
        ]
        call.console.value({"schema_version": SCHEMA_VERSION, "written": write, "files": files})
        return
    if not found:
        call.console.talk(f"{folder}: every file is in the form of schema_version {SCHEMA_VERSION} already")
        return
    call.console.table(_old_table(found))
    if not write:
        call.console.talk(f"--write rewrites them in the form of schema_version {SCHEMA_VERSION}, each with a backup")
    commented = [one.path.name for one in found if one.loses_comments]
    if commented:
        gave_way = "are in the backups only" if write else "would then be in the backups only"
        call.console.talk(f"comments {gave_way}: {', '.join(commented)}")


def _old_table(found: "Sequence[OldFile]") -> Table:
    return Table(
        columns=(
            Column(title="FILE", wraps=True),
            Column(title="SCHEMA_VERSION", right=True),
            Column(title="BACKUP", wraps=True, spare=1),
        ),
        rows=tuple(
            (
                Cell(text=str(one.path), style="bold"),
                str(one.version),
                "-" if one.backup is None else one.backup.name,
            )
            for one in found
        ),
    )


def schema(call: Call, *, name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)] = "models") -> None:
    """The JSON Schema of models, user_models or profile files."""
    from gateway.config.json_schema import FILE_KINDS, json_schemas

    must_know("schema", name, known=FILE_KINDS)
    call.console.text(*json_schemas()[f"{name}.schema.json"].rstrip("\n").split("\n"))


def path(call: Call) -> None:
    """The folders in use."""
    workspace = call.workspace()
    folders = {
        "config": workspace.config_folder.absolute(),
        "templates": workspace.templates_folder.absolute(),
        "state": workspace.state_folder.absolute(),
        "data": workspace.data_folder.absolute(),
    }
    if call.console.json:
        call.console.value({name: str(folder) for name, folder in folders.items()})
        return
    call.console.table(
        Table(
            columns=(Column(title="FOLDER"), Column(title="PATH", wraps=True)),
            rows=tuple((Cell(text=name, style="bold"), str(folder)) for name, folder in folders.items()),
        )
    )

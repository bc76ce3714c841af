"""`rolegate profiles diff` and `validate`: what profiles would make of this machine."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.command import Call, add_command
from gateway.cli.named import must_know
from gateway.cli.tables import Cell, Column, Table
from gateway.errors import NoModelForRole
from gateway.file_errors import ConfigInvalid

if TYPE_CHECKING:
    from gateway.compose import Survey, Workspace

_THEN = " > "


def add_to(group: typer.Typer) -> None:
    add_command(group, diff, name="diff")
    add_command(group, validate, name="validate")


def diff(
    call: Call,
    *,
    left: Annotated[str, typer.Argument(metavar="A", show_default=False)],
    right: Annotated[str, typer.Argument(metavar="B", show_default=False)],
) -> None:
    """What differs between two profiles: settings, and who serves.

    All layers are merged under each of them, and both plans are made for this machine as it is now.
    """
    from gateway.compose.comparing import diff_data, surveys
    from gateway.config.profiles import names

    known = names(folder=call.workspace().config_folder)
    workspaces = [call.workspace(profile=must_know("profile", one, known=known)) for one in (left, right)]
    found = call.run(surveys(workspaces))
    _warn(call, found)
    told: dict[str, Any] = diff_data(left, right, found)
    if call.console.json:
        call.console.value(told)
        return
    call.console.table(_settings_table(told["settings"], left=left, right=right))
    if told["settings"]:
        call.console.text("")
    differing = {name: one for name, one in told["roles"].items() if not one["same"]}
    call.console.table(
        Table(
            columns=(
                Column(title="ROLE"),
                Column(title=f"UNDER {left}", wraps=True),
                Column(title=f"UNDER {right}", wraps=True),
            ),
            rows=tuple(
                (Cell(text=name, style="bold"), _chain(one["left"]), _chain(one["right"]))
                for name, one in differing.items()
            ),
            empty="every role is served by the same models under both",
        )
    )


def validate(
    call: Call, *, profile: Annotated[str | None, typer.Argument(metavar="PROFILE", show_default=False)] = None
) -> int:
    """Check a profile, or all, against what is installed.

    Its file is checked, the merged whole, and what would serve each role on this machine as it is now.

    Exits with 3 when there is a problem, with 4 when a role would have no model.
    """
    from gateway.compose.comparing import surveys, validation_data
    from gateway.config.profiles import names

    workspace = call.workspace()
    known = names(folder=workspace.config_folder)
    if profile is None:
        _must_be_sound(workspace)
    chosen = known if profile is None else (must_know("profile", profile, known=known),)
    found = call.run(surveys([call.workspace(profile=one) for one in chosen]))
    _warn(call, found)
    judged = [validation_data(name, survey) for name, survey in zip(chosen, found, strict=True)]
    if call.console.json:
        call.console.value({"profiles": judged})
    else:
        call.console.table(_judged_table(judged))
    return NoModelForRole.exit_code if any(one["degraded"] for one in judged) else 0


def _must_be_sound(workspace: "Workspace") -> None:
    """Raises ``ConfigInvalid`` with everything that is wrong with any profile."""
    from gateway.config.load import check

    checked = check(
        folder=workspace.config_folder,
        state_folder=workspace.state_folder,
        environment=workspace.environment,
        profile=workspace.options.profile,
        flags=workspace.options.settings,
    )
    if checked.problems:
        raise ConfigInvalid(checked.problems)


def _warn(call: Call, found: "Sequence[Survey]") -> None:
    """What is doubtful in any of them, once."""
    doubts = [text for one in found for text in (*map(str, one.configuration.warnings), *one.warnings)]
    call.console.warn(list(dict.fromkeys(doubts)))
    down = [state.error for one in found for state in one.discovery.providers if not state.up]
    call.console.talk(*dict.fromkeys(down))


def _chain(models: Sequence[str] | None) -> str | Cell:
    if models is None:
        return Cell(text="no such role", style="dim")
    return _THEN.join(models) or Cell(text="no model", style="red")


def _settings_table(changed: Sequence[Mapping[str, Any]], *, left: str, right: str) -> Table:
    rows = [
        (
            Cell(text=one["path"], style="bold"),
            json.dumps(one["left"], ensure_ascii=False) if one["in_left"] else "-",
            json.dumps(one["right"], ensure_ascii=False) if one["in_right"] else "-",
        )
        for one in changed
    ]
    return Table(
        columns=(
            Column(title="SETTING", wraps=True, least=30),
            Column(title=f"IN {left}", wraps=True, least=16),
            Column(title=f"IN {right}", wraps=True, least=16),
        ),
        rows=tuple(rows),
        empty="no setting differs",
    )


def _judged_table(judged: Sequence[Mapping[str, Any]]) -> Table:
    return Table(
        columns=(
            Column(title="PROFILE"),
            Column(title="FILES"),
            Column(title="ROLES WITHOUT A MODEL", wraps=True),
            Column(title="NAMED AND NOT USED", wraps=True),
        ),
        rows=tuple(
            (
                Cell(text=str(one["profile"]), style="bold"),
                "valid",
                Cell(text=", ".join(one["degraded"]), style="red") if one["degraded"] else "-",
                ", ".join(_unused(one)) or "-",
            )
            for one in judged
        ),
        empty="there are no profiles",
    )


def _unused(judged: Mapping[str, Any]) -> list[str]:
    """The models that are named in vain, each with its verdict."""
    named = (*judged["missing"], *judged["ruled_out"])
    return list(dict.fromkeys(f"{one['model']} ({one['verdict']})" for one in named))

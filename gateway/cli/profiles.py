"""`rolegate profiles`: the overlays that an operator switches between."""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from gateway.cli import profile_choice, profile_editor, profile_files, profile_judging, profile_writing
from gateway.cli.command import Call, add_command, add_group
from gateway.cli.tables import Cell, Column, Table
from gateway.cli.yaml_text import as_yaml
from gateway.config.masking import masked

if TYPE_CHECKING:
    from gateway.config.profiles import ProfileSummary

LONGEST_DESCRIPTION: Final = 200
"""Characters of it in a list; ``show`` and ``--json`` have all."""

Name = Annotated[str, typer.Argument(metavar="PROFILE", show_default=False)]


def add_to(app: typer.Typer) -> None:
    group = add_group(app, name="profiles", about="The overlays that an operator switches between.")
    add_command(group, list_profiles, name="list")
    add_command(group, show, name="show")
    for room in (profile_writing, profile_editor, profile_judging, profile_files, profile_choice):
        room.add_to(group)


def list_profiles(call: Call) -> None:
    """Every profile; the active one is marked."""
    from gateway.compose.editing import active_profile, summary_data
    from gateway.config.profiles import overview

    workspace = call.workspace()
    chosen = active_profile(workspace)
    summaries = overview(folder=workspace.config_folder, active_name=chosen.name)
    if call.console.json:
        call.console.value({"active": chosen.name, "profiles": [summary_data(one) for one in summaries]})
        return
    call.console.table(_list_table(summaries))
    if chosen.name is not None and chosen.name not in {one.name for one in summaries}:
        call.console.talk(f'the active profile "{chosen.name}" ({_chooser(chosen.place)}) does not exist')
    elif chosen.name is None:
        call.console.talk("no profile is active")
    elif chosen.chosen_by == "variable":
        call.console.talk(f'"{chosen.name}" is active because {_chooser(chosen.place)} says so')


def show(call: Call, *, profile: Name) -> None:
    """What one profile says itself, and what it extends."""
    from gateway.compose.editing import active_profile, summary_data
    from gateway.config.profiles import show as detail_of

    workspace = call.workspace()
    detail = detail_of(profile, folder=workspace.config_folder, active_name=active_profile(workspace).name)
    values = masked(detail.values)
    if call.console.json:
        call.console.value({**summary_data(detail.summary), "chain": list(detail.chain), "values": values})
        return
    call.console.talk(f"{detail.summary.file}", *_extends_line(detail.chain))
    if values or not detail.summary.problems:
        call.console.text(*as_yaml(values).split("\n"))
    call.console.warn([str(one) for one in detail.summary.problems])


def _chooser(place: tuple[str, str]) -> str:
    file, key_path = place
    return key_path or file


def _extends_line(chain: tuple[str, ...]) -> tuple[str, ...]:
    return (f"extends {' > '.join(chain[1:])}",) if len(chain) > 1 else ()


def _line(description: str) -> str:
    return description if len(description) <= LONGEST_DESCRIPTION else f"{description[: LONGEST_DESCRIPTION - 1]}…"


def _list_table(summaries: "tuple[ProfileSummary, ...]") -> Table:
    return Table(
        columns=(
            Column(title="ACTIVE"),
            Column(title="PROFILE"),
            Column(title="EXTENDS", spare=1),
            Column(title="DESCRIPTION", wraps=True),
            Column(title="STATE"),
        ),
        rows=tuple(
            (
                "*" if one.active else "",
                Cell(text=one.name, style="bold"),
                one.extends or "-",
                _line(one.description) or "-",
                Cell(text="broken", style="red") if one.problems else "ok",
            )
            for one in summaries
        ),
        empty="there are no profiles",
    )

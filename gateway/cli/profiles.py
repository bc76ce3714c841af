"""`rolegate profiles`: the overlays that an operator switches between."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.command import Call, add_command, add_group
from gateway.cli.masking import masked
from gateway.cli.named import must_know
from gateway.cli.tables import Cell, Column, Table
from gateway.cli.yaml_text import as_yaml
from gateway.errors import BadRequest, ConfigInvalid, GatewayUnreachable, RolegateError

if TYPE_CHECKING:
    from gateway.compose import Workspace
    from gateway.config.profiles import ActiveProfile, ProfileSummary

Name = Annotated[str, typer.Argument(metavar="PROFILE", show_default=False)]


def add_to(app: typer.Typer) -> None:
    group = add_group(app, name="profiles", about="The overlays that an operator switches between.")
    add_command(group, list_profiles, name="list")
    add_command(group, show, name="show")
    add_command(group, use, name="use")


def list_profiles(call: Call) -> None:
    """Every profile; the active one is marked."""
    from gateway.config.profiles import overview

    workspace = call.workspace()
    chosen = _active(workspace)
    summaries = overview(folder=workspace.config_folder, active_name=chosen.name)
    if call.console.json:
        call.console.value({"active": chosen.name, "profiles": [_summary_data(one) for one in summaries]})
        return
    call.console.table(_list_table(summaries))
    if chosen.name is not None and chosen.name not in {one.name for one in summaries}:
        call.console.talk(f'the active profile "{chosen.name}" ({_chooser(chosen)}) does not exist')
    elif chosen.name is None:
        call.console.talk("no profile is active")
    elif chosen.chosen_by == "variable":
        call.console.talk(f'"{chosen.name}" is active because {_chooser(chosen)} says so')


def show(call: Call, *, profile: Name) -> None:
    """What one profile says itself, and what it extends."""
    from gateway.config.profiles import show as detail_of

    workspace = call.workspace()
    detail = detail_of(profile, folder=workspace.config_folder, active_name=_active(workspace).name)
    values = masked(detail.values)
    if call.console.json:
        call.console.value({**_summary_data(detail.summary), "chain": list(detail.chain), "values": values})
        return
    call.console.talk(f"{detail.summary.file}", *_extends_line(detail.chain))
    call.console.text(*as_yaml(values).split("\n"))
    call.console.warn([str(one) for one in detail.summary.problems])


def use(
    call: Call,
    *,
    profile: Annotated[str | None, typer.Argument(metavar="PROFILE", show_default=False)] = None,
    none: Annotated[bool, typer.Option("--none", help="Go on without a profile.")] = False,
) -> None:
    """Make a profile the active one, from the next start on; with --none, go on without one.

    The profile is checked first: one with problems is refused. A running gateway keeps the profile it was started with.
    """
    if (profile is None) is not none:
        raise BadRequest("name a profile, or say --none", hint="`rolegate profiles list` shows what there is")
    from gateway.config.profiles import names
    from gateway.config.profiles import use as persist

    workspace = call.workspace()
    if profile is not None:
        must_know("profile", profile, known=names(folder=workspace.config_folder))
    call.workspace(profile=profile or "").configuration()
    before = _active(workspace)
    try:
        persist(profile, folder=workspace.config_folder, state_folder=workspace.state_folder)
    except OSError as exc:
        raise _cannot_persist(workspace.state_folder, exc) from exc
    running = _running_profile(call, workspace)
    if call.console.json:
        call.console.value({"profile": profile, "persisted": True, "running": running})
        return
    call.console.text(f"active profile: {profile or 'none'}")
    call.console.talk(_what_happens(profile, running=running))
    if before.chosen_by == "variable":
        call.console.warn(
            [f'{_chooser(before)} is set to "{before.name}" here, and stands above the persisted profile']
        )


def _active(workspace: "Workspace") -> "ActiveProfile":
    from gateway.config.profiles import active

    return active(
        state_folder=workspace.state_folder, environment=workspace.environment, flag=workspace.options.profile
    )


def _running_profile(call: Call, workspace: "Workspace") -> dict[str, object] | None:
    """The profile and the hot-swap setting of the running gateway; ``None`` where none answers."""
    try:
        live = call.run(workspace.status())
    except (GatewayUnreachable, ConfigInvalid):
        return None
    except RolegateError as error:
        return {"profile": None, "hot_swap": None, "error": error.message}
    return {"profile": live.get("profile"), "hot_swap": live.get("hot_swap")}


def _what_happens(profile: str | None, *, running: dict[str, object] | None) -> str:
    if running is None:
        return "no gateway is running; the next `rolegate serve` uses it"
    if "error" in running:
        return f"a gateway is running and did not say which profile it has ({running['error']}); restart it"
    if running["profile"] == profile:
        return "the running gateway has this profile already"
    serving = f'profile "{running["profile"]}"' if running["profile"] else "no profile"
    return f"the running gateway goes on with {serving}; restart it to use this one"


def _cannot_persist(folder: Path, exc: OSError) -> BadRequest:
    return BadRequest(
        f"cannot write the active profile to {folder}: {exc.strerror or exc}",
        hint="make the folder yours, or set ROLEGATE_STATE_DIR to one that is",
    )


def _chooser(chosen: "ActiveProfile") -> str:
    file, key_path = chosen.place
    return key_path or file


def _extends_line(chain: tuple[str, ...]) -> tuple[str, ...]:
    return (f"extends {' > '.join(chain[1:])}",) if len(chain) > 1 else ()


def _summary_data(one: "ProfileSummary") -> dict[str, object]:
    return {
        "name": one.name,
        "active": one.active,
        "extends": one.extends,
        "description": one.description,
        "file": str(one.file),
        "problems": [str(problem) for problem in one.problems],
    }


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
                one.description or "-",
                Cell(text="broken", style="red") if one.problems else "ok",
            )
            for one in summaries
        ),
        empty="there are no profiles",
    )

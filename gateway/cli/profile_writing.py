"""`rolegate profiles create`, `copy`, `set` and `delete`."""

from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from gateway.cli.asked import must_confirm
from gateway.cli.command import Call, add_command
from gateway.cli.doubts import doubts_of, warn_of_models
from gateway.cli.gave_way import what_gave_way
from gateway.cli.refusal import nothing_written
from gateway.cli.taking_up import asked, asked_to, gateway_found, profiles_taken_up, running_gateway, swap_line
from gateway.errors import BadRequest, ProfileInUse

if TYPE_CHECKING:
    from gateway.compose import Workspace
    from gateway.config.profile_edits import Edited

Name = Annotated[str, typer.Argument(metavar="PROFILE", show_default=False)]


def add_to(group: typer.Typer) -> None:
    add_command(group, create, name="create", asks=True)
    add_command(group, copy, name="copy", asks=True)
    add_command(group, set_values, name="set", asks=True)
    add_command(group, delete, name="delete", asks=True)


def create(
    call: Call,
    *,
    profile: Name,
    from_running: Annotated[
        bool, typer.Option("--from-running", help="Begin with what the running gateway's roles are served by.")
    ] = False,
    interactive: Annotated[bool, typer.Option("--interactive", help="Be asked, role by role.")] = False,
    extends: Annotated[
        str | None, typer.Option("--extends", metavar="P", help="Lie over this profile.", show_default=False)
    ] = None,
    description: Annotated[
        str | None, typer.Option("--description", metavar="TEXT", help="What it is for.", show_default=False)
    ] = None,
) -> None:
    """A new profile: empty, what is running, or what you answer.

    Refuses a name that is taken. --from-running exits with 5 when no gateway answers.
    """
    if from_running and interactive:
        raise BadRequest("--from-running and --interactive are two ways to begin", hint="choose one of them")
    from gateway.compose.editing import active_profile, check_of
    from gateway.config.profile_edits import create as create_profile
    from gateway.config.profile_edits import require_new

    workspace = call.workspace()
    values: dict[str, object] = {}
    if description is not None:
        values["description"] = description
    if extends is not None:
        values["extends"] = extends
    if from_running:
        values |= _as_it_runs(call, workspace, extends=extends)
    if interactive:
        from gateway.cli.dialogue import profile_from_answers

        require_new(profile, folder=workspace.config_folder)
        if extends is None and (active := active_profile(workspace).name) is not None:
            call.console.talk(
                f"the new profile lies over the files alone, not over the active one; --extends {active} has it lie over that"
            )
        values |= profile_from_answers(
            call, workspace=call.workspace(profile=extends or ""), described="description" in values
        )
    with nothing_written():
        edited = create_profile(profile, folder=workspace.config_folder, check=check_of(workspace), values=values)
    _created(call, edited, workspace=workspace)
    call.console.talk(
        f"`rolegate profiles edit {profile}` changes it, `rolegate profiles use {profile}` makes it active"
    )


def copy(call: Call, *, profile: Name, new: Annotated[str, typer.Argument(metavar="NEW", show_default=False)]) -> None:
    """A new profile with the text of another."""
    from gateway.compose.editing import check_of
    from gateway.config.profile_edits import copy as copy_profile

    workspace = call.workspace()
    with nothing_written():
        edited = copy_profile(profile, new, folder=workspace.config_folder, check=check_of(workspace))
    _created(call, edited, workspace=workspace)


def set_values(
    call: Call,
    *,
    profile: Name,
    assignments: Annotated[list[str], typer.Argument(metavar="KEY=JSON", show_default=False)],
) -> None:
    """Change single values of a profile.

    Such as role_mappings.planner.preferred[0]=mistral:latest. What is no JSON is text; nothing behind the = takes the key out of
    the profile. A name with dots goes into brackets and quotes: 'model_profiles["llama3.1:8b"].speed_tokens_s=40'. All of them
    are written, or none. A file with comments loses them, and is kept beside the new one.
    """
    from gateway.compose.editing import check_of
    from gateway.config.profile_edits import assign

    workspace = call.workspace()
    with nothing_written():
        edited = assign(profile, assignments, folder=workspace.config_folder, check=check_of(workspace))
    written(call, edited, workspace=workspace)


def delete(
    call: Call,
    *,
    profile: Name,
    successor: Annotated[
        str | None,
        typer.Option(
            "--successor",
            metavar="Q",
            help='The profile to go on with, if it is the active one; "" is for none.',
            show_default=False,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> int:
    """Delete a profile.

    Refuses one that others extend, and the active one unless a successor is named. Asks first, unless --yes is given.
    """
    from gateway.compose.editing import check_of
    from gateway.config.profile_edits import delete as delete_profile
    from gateway.config.profile_edits import read

    workspace = call.workspace()
    edition = read(profile, folder=workspace.config_folder)
    if not yes and not must_confirm(
        f"delete {edition.path}?", what=f"{edition.path} would be deleted", console=call.console
    ):
        call.console.talk("nothing was deleted")
        return 0
    running = running_gateway(call, workspace)
    serves = running is not None and running.get("hot_swap") and running.get("profile") == profile
    if serves and successor is None:
        raise ProfileInUse(name=profile, why="the running gateway serves by it", hint="name a --successor")
    succeeded = delete_profile(
        profile, folder=workspace.config_folder, check=check_of(workspace), successor=successor, expected=edition.etag
    )
    swap = asked_to(call, workspace, "swap", body={"profile": successor or None}) if serves else None
    heir = (successor or None) if succeeded or serves else None
    if call.console.json:
        call.console.value({"profile": profile, "deleted": True, "successor": heir, "swap": swap})
    else:
        call.console.text(f"deleted {edition.path}")
        if succeeded or serves:
            call.console.talk(f"active profile: {heir or 'none'}")
        if swap is not None:
            call.console.talk(swap_line(swap))
    return 0


def written(call: Call, edited: "Edited", *, workspace: "Workspace") -> None:
    """Say what an edit did, and what the running gateway and this machine make of it."""
    if not call.console.json:
        call.console.text(f"wrote {edited.path}" if edited.changed else f"{edited.path} says so already")
    running = profiles_taken_up(call, workspace, profiles=[edited.name], path=edited.path) if edited.changed else None
    if call.console.json:
        call.console.value({**edited_data(edited), "running": running})
    _tell_doubts(call, edited, workspace=workspace)
    if edited.changed:
        warn_of_models(call, edited.name)


def _created(call: Call, edited: "Edited", *, workspace: "Workspace") -> None:
    if call.console.json:
        call.console.value({**edited_data(edited), "running": None})
    else:
        call.console.text(f"created {edited.path}")
    _tell_doubts(call, edited, workspace=workspace)


def _tell_doubts(call: Call, edited: "Edited", *, workspace: "Workspace") -> None:
    call.console.talk(*what_gave_way(edited))
    call.console.warn([str(one) for one in doubts_of(edited.warnings, call=call, workspace=workspace)])


def edited_data(edited: "Edited") -> dict[str, object]:
    return {
        "profile": edited.name,
        "file": str(edited.path),
        "etag": edited.etag,
        "created": edited.created,
        "changed": edited.changed,
        "rewritten": edited.rewritten,
        "backup": None if edited.backup is None else str(edited.backup),
        "warnings": [str(one) for one in edited.warnings],
    }


def _as_it_runs(call: Call, workspace: "Workspace", *, extends: str | None) -> dict[str, object]:
    """What serves now, as settings that ask for just that. Secrets are not sent: they are taken from the files that the gateway
    has them from. Raises ``GatewayUnreachable``."""
    from gateway.config.load import merged_values
    from gateway.config.masking import restored

    told = asked(
        call, workspace, "GET", "/admin/v1/plan/profile" + (f"?extends={quote(extends, safe='')}" if extends else "")
    )
    serving = gateway_found(call, workspace)
    profile = None if serving is None else serving.status.get("profile")
    return restored(told, stored=merged_values(folder=workspace.config_folder, profile=profile))

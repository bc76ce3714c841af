"""`rolegate roles set`, `add` and `remove`: what the operator says of roles, in ``user_models``."""

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.asked import must_confirm
from gateway.cli.command import Call, add_command
from gateway.cli.doubts import doubts_of
from gateway.cli.gave_way import what_gave_way
from gateway.cli.refusal import nothing_written
from gateway.cli.taking_up import taken_up

if TYPE_CHECKING:
    from gateway.compose import Workspace
    from gateway.config.role_edits import EditedRole

Role = Annotated[str, typer.Argument(metavar="ROLE", show_default=False)]


def add_to(group: typer.Typer) -> None:
    add_command(group, set_values, name="set", asks=True)
    add_command(group, add, name="add", asks=True)
    add_command(group, remove, name="remove", asks=True)


def set_values(
    call: Call,
    *,
    role: Role,
    assignments: Annotated[list[str], typer.Argument(metavar="KEY=VALUE", show_default=False)],
) -> None:
    """Change settings of a role.

    Such as preferred[0]=mistral:latest requirements.memory_gb_max=6. Values are JSON; what is no JSON is text, and nothing
    behind the = takes the key out again.
    """
    from gateway.compose.editing import check_of
    from gateway.config.role_edits import set_role

    workspace = call.workspace()
    with nothing_written():
        edited = set_role(role, assignments, folder=workspace.config_folder, check=check_of(workspace))
    _tell(call, edited, workspace=workspace, said=f"wrote {edited.path}")


def add(
    call: Call,
    *,
    role: Role,
    assignments: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", show_default=False)] = None,
) -> None:
    """A new role.

    Without settings, the best installed model answers for it.
    """
    from gateway.compose.editing import check_of
    from gateway.config.role_edits import add_role

    workspace = call.workspace()
    with nothing_written():
        edited = add_role(role, assignments or (), folder=workspace.config_folder, check=check_of(workspace))
    _tell(call, edited, workspace=workspace, said=f"wrote {edited.path}")


def remove(
    call: Call, *, role: Role, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False
) -> int:
    """Remove a role: clients that ask for it get an error from then on. Asks first, unless --yes is given."""
    from gateway.compose.editing import check_of
    from gateway.config.role_edits import remove_role

    workspace = call.workspace()
    if not yes and not must_confirm(
        f"remove the role {role}?", what=f"the role {role} would be removed", console=call.console
    ):
        call.console.talk("nothing was removed")
        return 0
    with nothing_written():
        edited = remove_role(role, folder=workspace.config_folder, check=check_of(workspace))
    _tell(call, edited, workspace=workspace, said=f"wrote {edited.path}")
    return 0


def _tell(call: Call, edited: "EditedRole", *, workspace: "Workspace", said: str) -> None:
    if not call.console.json:
        call.console.text(said if edited.changed else f"{edited.path} says so already")
    running = taken_up(call, workspace, path=edited.path) if edited.changed else None
    if call.console.json:
        call.console.value(
            {
                "role": edited.role,
                "file": str(edited.path),
                "etag": edited.etag,
                "changed": edited.changed,
                "rewritten": edited.rewritten,
                "backup": None if edited.backup is None else str(edited.backup),
                "profiles": list(edited.profiles),
                "warnings": [str(one) for one in edited.warnings],
                "running": running,
            }
        )
    call.console.talk(*what_gave_way(edited))
    if edited.profiles:
        call.console.talk(f"profiles that speak of {edited.role} stand above it: {', '.join(edited.profiles)}")
    call.console.warn([str(one) for one in doubts_of(edited.warnings, call=call, workspace=workspace)])

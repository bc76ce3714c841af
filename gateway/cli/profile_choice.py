"""`rolegate profiles use` and `rollback`: what serves, now and after a restart."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.command import Call, add_command
from gateway.cli.named import must_know
from gateway.cli.taking_up import asked_to, running_gateway, swap_line
from gateway.errors import BadRequest

if TYPE_CHECKING:
    from gateway.compose import Workspace


def add_to(group: typer.Typer) -> None:
    add_command(group, use, name="use")
    add_command(group, rollback, name="rollback")


def use(
    call: Call,
    *,
    profile: Annotated[str | None, typer.Argument(metavar="PROFILE", show_default=False)] = None,
    none: Annotated[bool, typer.Option("--none", help="Go on without a profile.")] = False,
) -> None:
    """Make a profile the active one; with --none, go on without one.

    The profile is checked first: one with problems is refused. A running gateway that has hot-swap on serves by it at once, and
    nothing is changed if it will not; without hot-swap it keeps the profile it was started with until it is restarted.
    """
    if (profile is None) is not none:
        raise BadRequest("name a profile, or say --none", hint="`rolegate profiles list` shows what there is")
    from gateway.compose.editing import active_profile
    from gateway.config.profiles import names

    workspace = call.workspace()
    if profile is not None:
        must_know("profile", profile, known=names(folder=workspace.config_folder))
    call.workspace(profile=profile or "").configuration()
    before = active_profile(workspace)
    running = running_gateway(call, workspace)
    swap: dict[str, Any] | None = None
    if running is not None and running.get("hot_swap"):
        swap = asked_to(call, workspace, "swap", body={"profile": profile})
    _persist(profile, workspace=workspace)
    if call.console.json:
        told = None if running is None else {**running, "swap": swap}
        call.console.value({"profile": profile, "persisted": True, "running": told})
        return
    call.console.text(f"active profile: {profile or 'none'}")
    call.console.talk(swap_line(swap) if swap is not None else _what_happens(profile, running=running))
    if before.chosen_by == "variable":
        call.console.warn([f'{before.place[1]} is set to "{before.name}" here, and stands above the persisted profile'])


def rollback(call: Call) -> None:
    """Have the running gateway go back to the generation before this one.

    Exits with 5 when no gateway answers, with 2 when its hot-swap is off or there is nothing to go back to.
    """
    swap = asked_to(call, call.workspace(), "rollback")
    if call.console.json:
        call.console.value(swap)
        return
    call.console.text(f"generation {swap['generation']}")
    call.console.talk(swap_line(swap))


def _persist(profile: str | None, *, workspace: "Workspace") -> None:
    from gateway.config.profiles import use as persist

    try:
        persist(profile, folder=workspace.config_folder, state_folder=workspace.state_folder)
    except OSError as exc:
        raise BadRequest(
            f"cannot write the active profile to {workspace.state_folder}: {exc.strerror or exc}",
            hint="make the folder yours, or set ROLEGATE_STATE_DIR to one that is",
        ) from exc


def _what_happens(profile: str | None, *, running: dict[str, object] | None) -> str:
    if running is None:
        return "no gateway is running; the next `rolegate serve` uses it"
    if "error" in running:
        return f"a gateway is running and did not say which profile it has ({running['error']}); restart it"
    if running["profile"] == profile:
        return "the running gateway has this profile already"
    serving = f'profile "{running["profile"]}"' if running["profile"] else "no profile"
    return f"the running gateway goes on with {serving}, since hot-swap is off; restart it to use this one"

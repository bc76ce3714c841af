"""`rolegate profiles use` and `rollback`: what serves, now and after a restart."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.command import Call, add_command
from gateway.cli.doubts import warn_of_models
from gateway.cli.named import must_know
from gateway.cli.taking_up import asked_to, gateway_found, swap_line
from gateway.errors import BadRequest, GatewayUnreachable, OtherGateway

if TYPE_CHECKING:
    from gateway.compose import Workspace
    from gateway.config.profiles import ActiveProfile


def add_to(group: typer.Typer) -> None:
    add_command(group, use, name="use", asks=True)
    add_command(group, rollback, name="rollback", asks=True)


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
    found = gateway_found(call, workspace)
    running = None if found is None else {key: found.status.get(key) for key in ("profile", "hot_swap")}
    swap: dict[str, Any] | None = None
    if found is not None and found.status.get("hot_swap"):
        swap = asked_to(call, workspace, "swap", body={"profile": profile})
    if found is None or swap is None or not found.keeps_state_in(workspace.state_folder):
        # Else the gateway has written it, and by now somebody may have chosen another.
        _persist(profile, workspace=workspace)
    if call.console.json:
        told = None if running is None else {**running, "swap": swap}
        call.console.value({"profile": profile, "persisted": True, "running": told})
    else:
        call.console.text(f"active profile: {profile or 'none'}")
        call.console.talk(swap_line(swap) if swap is not None else _what_happens(profile, running=running))
        _warn_of_variable(call, before)
    warn_of_models(call, profile)


def rollback(call: Call) -> None:
    """Go back to what served before the last change.

    The running gateway goes back one generation; once more goes forth again. Where none runs, the profile that served before
    becomes the active one again, and the files stay as they are. Exits with 2 when hot-swap is off or there is nothing to go back
    to, with 5 when no gateway answers and its history names no other profile.
    """
    workspace = call.workspace()
    try:
        swap = asked_to(call, workspace, "rollback")
    except GatewayUnreachable as nobody:
        if call.url is not None:
            raise
        if isinstance(nobody, OtherGateway):
            call.console.talk(nobody.message)
        _choose_the_one_before(call, workspace, nobody=nobody)
        return
    if call.console.json:
        call.console.value(swap)
        return
    if call.console.quiet or not call.console.is_terminal:
        call.console.text(f"generation {swap['generation']}")  # the line below has it for people
    call.console.talk(swap_line(swap), *filter(None, [swap.get("note")]))


def _choose_the_one_before(call: Call, workspace: "Workspace", *, nobody: GatewayUnreachable) -> None:
    from gateway.compose.editing import active_profile
    from gateway.compose.generations import generation_log_of
    from gateway.config.profiles import names
    from gateway.domain.generation_record import other_profile_before
    from gateway.telemetry.generations import KEPT

    now = active_profile(workspace)
    before = other_profile_before(now.name, records=generation_log_of(workspace.state_folder).recent(KEPT))
    if before is None:
        nobody.hint = "the history names no other profile that served; `rolegate profiles use` chooses one"
        raise nobody
    if before.profile is not None and before.profile not in names(folder=workspace.config_folder):
        raise BadRequest(
            f'the profile that served before, "{before.profile}", is not there any more',
            hint="`rolegate profiles use` chooses another",
        )
    call.workspace(profile=before.profile or "").configuration()
    _persist(before.profile, workspace=workspace)
    if call.console.json:
        call.console.value({"profile": before.profile, "persisted": True, "running": None})
        return
    call.console.text(f"active profile: {before.profile or 'none'}")
    call.console.talk(
        f"no gateway is running: {_named(before.profile)} is what served before {_named(now.name)}; "
        "what the files say stays as it is, and the next `rolegate serve` goes by it"
    )
    _warn_of_variable(call, now)


def _named(profile: str | None) -> str:
    return "no profile" if profile is None else f'"{profile}"'


def _warn_of_variable(call: Call, before: "ActiveProfile") -> None:
    if before.chosen_by == "variable":
        call.console.warn([f'{before.place[1]} is set to "{before.name}" here, and stands above the persisted profile'])


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
        return "no gateway is running; the next `rolegate serve` goes by it"
    if running["profile"] == profile:
        return "the running gateway has this profile already"
    serving = f'profile "{running["profile"]}"' if running["profile"] else "no profile"
    return f"the running gateway goes on with {serving}, since hot-swap is off; restart it to use this one"

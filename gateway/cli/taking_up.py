"""What a running gateway makes of a change to the files: taken up now, or pending."""

from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.cli.command import Call
from gateway.cli.times import duration
from gateway.errors import ConfigInvalid, GatewayUnreachable, RolegateError

if TYPE_CHECKING:
    from gateway.compose import Workspace

ADOPTED: Final = "adopted"
CLOCKS_DIFFER_S: Final = 0.02
"""By how much the time of a file may be off from that of a program."""


def running_gateway(call: Call, workspace: "Workspace") -> dict[str, object] | None:
    """The profile and the hot-swap setting of the running gateway; ``None`` where none answers."""
    try:
        live = call.run(workspace.status())
    except (GatewayUnreachable, ConfigInvalid):
        return None
    except RolegateError as error:
        return {"profile": None, "hot_swap": None, "error": error.message}
    return {"profile": live.get("profile"), "hot_swap": live.get("hot_swap")}


def profiles_taken_up(
    call: Call, workspace: "Workspace", *, profiles: Collection[str], path: Path
) -> dict[str, object] | None:
    """As ``taken_up``, where one of ``profiles`` is among those that the running gateway serves by; otherwise it has nothing to
    take up."""
    from gateway.config.profiles import show

    running = running_gateway(call, workspace)
    serving = None if running is None else running.get("profile")
    if running is None or not isinstance(serving, str):
        return running
    try:
        chain = show(serving, folder=workspace.config_folder, active_name=serving).chain
    except RolegateError:
        chain = (serving,)
    return _told(call, workspace, running=running, path=path) if not {*profiles}.isdisjoint(chain) else running


def taken_up(call: Call, workspace: "Workspace", *, path: Path) -> dict[str, object] | None:
    """Have the running gateway read its files again after ``path`` was written, and say what came of it; ``None`` where none
    answers. What was written stays written whatever it makes of it."""
    running = running_gateway(call, workspace)
    return None if running is None else _told(call, workspace, running=running, path=path)


def _told(call: Call, workspace: "Workspace", *, running: dict[str, object], path: Path) -> dict[str, object]:
    if not running.get("hot_swap"):
        call.console.talk("hot-swap is off: the running gateway takes it up when it is restarted")
        return running
    try:
        swap = asked_to(call, workspace, "reload")
        if not swap["swapped"]:
            # It watches its files, and may have been faster than the question.
            swap = _swapped_since(path.stat().st_mtime, live=call.run(workspace.status()), swap=swap)
    except RolegateError as error:
        call.console.talk(*f"the running gateway goes on as before: {error.message}".split("\n"))
        return {**running, "swap": None, "error": error.message, "problems": [asdict(one) for one in error.problems]}
    call.console.talk(swap_line(swap))
    return {**running, "swap": swap}


def _swapped_since(written_s: float, *, live: Mapping[str, Any], swap: dict[str, Any]) -> dict[str, Any]:
    """``swap``, or what the generations that came to be since then have done together."""
    since = [
        one
        for one in live.get("swaps", ())
        if one["outcome"] == ADOPTED and one["started_s"] >= written_s - CLOCKS_DIFFER_S
    ]
    if not since:
        return swap
    roles = sorted({role for one in since for role in one["changed_roles"]})
    return {**swap, "swapped": True, "changed_roles": roles, "ms": sum(one["ms"] for one in since)}


def asked_to(
    call: Call, workspace: "Workspace", action: str, *, body: Mapping[str, object] | None = None
) -> dict[str, Any]:
    """What the running gateway answers when its pointer has moved. Raises ``GatewayUnreachable``, or ``GatewaySaid``."""
    from gateway.compose.address import likely_url
    from gateway.compose.asking import ask_gateway

    return call.run(ask_gateway(likely_url(workspace), "POST", f"/admin/v1/{action}", body=body))


def swap_line(swap: Mapping[str, Any]) -> str:
    """A swap in a sentence."""
    if not swap.get("swapped"):
        return f"the running gateway goes on with generation {swap['generation']}: no role is served differently"
    roles = ", ".join(swap["changed_roles"]) or "none"
    return f"the running gateway took it up in {duration(swap['ms'])}: generation {swap['generation']}, changed roles: {roles}"

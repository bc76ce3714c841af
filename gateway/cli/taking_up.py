"""What a running gateway makes of a change to the files: taken up now, or pending."""

from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.cli.command import Call
from gateway.cli.times import duration
from gateway.errors import GatewayUnreachable, OtherGateway, RolegateError

if TYPE_CHECKING:
    from gateway.compose import Workspace
    from gateway.compose.address import Running

ADOPTED: Final = "adopted"
CLOCKS_DIFFER_S: Final = 0.02
"""By how much the time of a file may be off from that of a program."""


def running_gateway(call: Call, workspace: "Workspace") -> dict[str, object] | None:
    """The profile and the hot-swap setting of the running gateway; ``None`` where none answers that goes by this configuration.
    Raises ``GatewayUnreachable`` where the command line says that one does, and ``GatewaySaid`` where it asks for a key."""
    found = gateway_found(call, workspace)
    if found is None:
        return None
    return {"profile": found.status.get("profile"), "hot_swap": found.status.get("hot_swap")}


def gateway_found(call: Call, workspace: "Workspace") -> "Running | None":
    """As ``running_gateway``, with all that it says of itself."""
    from gateway.compose.address import running_gateway as find

    try:
        return call.run(find(workspace))
    except GatewayUnreachable as nobody:
        if call.url is not None:
            raise
        if isinstance(nobody, OtherGateway):
            call.console.talk(nobody.message)
        return None


def profiles_taken_up(
    call: Call, workspace: "Workspace", *, profiles: Collection[str], path: Path
) -> dict[str, object] | None:
    """As ``taken_up``, where one of ``profiles`` is among those that the running gateway serves by; otherwise it has nothing to
    take up."""
    from gateway.config.profiles import show

    running = _running_after_all(call, workspace)
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
    running = _running_after_all(call, workspace)
    return None if running is None else _told(call, workspace, running=running, path=path)


def _running_after_all(call: Call, workspace: "Workspace") -> dict[str, object] | None:
    """As ``running_gateway``, now that the file is written: that none answers where one is said to be changes nothing of that,
    and neither does one that says nothing of itself, for want of a key."""
    try:
        return running_gateway(call, workspace)
    except GatewayUnreachable as nobody:
        call.console.talk(nobody.message)
        return None
    except RolegateError as error:
        return {"profile": None, "hot_swap": None, "error": error.message}


def _told(call: Call, workspace: "Workspace", *, running: dict[str, object], path: Path) -> dict[str, object]:
    if refusal := running.get("error"):
        call.console.talk(f"whether the running gateway takes it up is not known: {refusal}")
        return running
    if not running.get("hot_swap"):
        call.console.talk("hot-swap is off: the running gateway takes it up when it is restarted")
        return running
    from gateway.compose.address import running_gateway as find

    try:
        swap = asked_to(call, workspace, "reload")
        if not swap["swapped"]:
            # It watches its files, and may have been faster than the question.
            swap = _swapped_since(path.stat().st_mtime, live=call.run(find(workspace)).status, swap=swap)
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
    return asked(call, workspace, "POST", f"/admin/v1/{action}", body=body)


def asked(
    call: Call, workspace: "Workspace", method: str, path: str, *, body: Mapping[str, object] | None = None
) -> dict[str, Any]:
    """What the gateway that goes by this configuration answers. Raises ``GatewayUnreachable``, or ``GatewaySaid``."""
    from gateway.compose.address import running_gateway as find
    from gateway.compose.asking import ask_gateway

    async def ask() -> dict[str, Any]:
        found = await find(workspace)
        return await ask_gateway(found.url, method, path, body=body, credentials=found.credentials)

    return call.run(ask())


def swap_line(swap: Mapping[str, Any]) -> str:
    """A swap in a sentence."""
    if not swap.get("swapped"):
        return f"the running gateway goes on with generation {swap['generation']}: no role is served differently"
    roles = ", ".join(swap["changed_roles"]) or "none"
    return f"the running gateway took it up in {duration(swap['ms'])}: generation {swap['generation']}, changed roles: {roles}"

"""`rolegate status`: the live gateway; `rolegate version`."""

from collections.abc import Mapping, Sequence
from typing import Any

import typer

from gateway.cli.command import Call, add_command
from gateway.cli.tables import Cell, Column, Table
from gateway.cli.taking_up import ADOPTED
from gateway.cli.times import duration, when
from gateway.domain.budget import usd_text
from gateway.errors import GatewayUnreachable


def add_to(app: typer.Typer) -> None:
    add_command(app, status, name="status", asks=True)
    add_command(app, version, name="version")


def status(call: Call) -> None:
    """The live gateway: what serves, what is pending, what was.

    Generation, roles, providers, the change that waits, the last error, and how it came to be so. Exits with 5 when no gateway
    answers.
    """
    live = _asked(call)
    if call.console.json:
        call.console.value(live)
        return
    console = call.console
    console.line(*_headline(live))
    generation = live.get("generation")
    if isinstance(generation, Mapping):
        console.line(
            f"generation {generation.get('number')}",
            f"plan {str(generation.get('digest'))[:12]}",
            f"{generation.get('in_flight')} requests in flight",
        )
    last_error = str(live.get("last_error") or "")
    for line in f"last error: {last_error}".splitlines() if last_error else ():
        console.line(Cell(text=line, style="red"))
    if left := _left_the_machine(_as_mapping(live.get("cloud"))):
        console.line(Cell(text=left, style="cyan"))
    if live.get("under_way"):
        console.line(Cell(text=f"a new plan is being made: {live['under_way']}", style="yellow"))
    for line in _pending(_as_mapping(live.get("pending")), serving=live.get("profile"), told=last_error):
        console.line(Cell(text=line, style="yellow"))
    console.text("")
    console.table(_roles(_as_mapping(live.get("roles"))))
    console.text("")
    console.table(_providers(_as_sequence(live.get("providers"))))
    resting = _as_sequence(live.get("resting"))
    if resting:
        console.text("")
        console.table(_resting(resting))
    spending = _as_sequence(live.get("spending"))
    if spending:
        console.text("")
        console.table(_spending(spending))
    for line in _doors(_as_mapping(live.get("doors"))):
        console.line(line)
    swaps = _as_sequence(live.get("swaps"))
    if swaps:
        console.text("")
        console.table(_swaps(swaps))


def _asked(call: Call) -> Mapping[str, Any]:
    """The status, whatever the files say by now. Where nobody answers, it is their problems that are raised."""
    from gateway.compose.address import any_gateway, is_other

    workspace = call.workspace()
    try:
        found = call.run(any_gateway(workspace))
    except GatewayUnreachable:
        if call.url is None:
            workspace.configuration()
        raise
    if call.url is None and is_other(found, workspace=workspace):
        call.console.warn([f"the gateway at {found.url} goes by another configuration than {workspace.config_folder}"])
    return found.status


def version(call: Call) -> None:
    """The version of Rolegate and of the Python it runs on."""
    import platform

    from gateway import __version__

    if call.console.json:
        call.console.value(
            {"version": __version__, "python": platform.python_version(), "platform": platform.platform()}
        )
    else:
        call.console.text(f"rolegate {__version__} (Python {platform.python_version()})")


def _headline(live: Mapping[str, object]) -> tuple[Cell | str, ...]:
    state = Cell(text="ready", style="green") if live.get("ready") else Cell(text="not ready yet", style="yellow")
    profile = live.get("profile")
    return (
        state,
        f"profile {profile}" if profile else "no profile",
        "hot-swap on" if live.get("hot_swap") else "hot-swap off",
        str(live.get("config_folder", "")),
    )


def _left_the_machine(cloud: Mapping[str, Any]) -> str:
    """Empty while nothing did."""
    count, last_s = cloud.get("requests"), cloud.get("last_s")
    if not count:
        return ""
    last = f", the last at {when(last_s)}" if last_s is not None else ""
    return f"{count} {'request' if count == 1 else 'requests'} left the machine since the start{last}"


def _pending(pending: Mapping[str, Any], *, serving: object, told: str) -> list[str]:
    """What the files ask for and the live gateway, with profile ``serving``, does not do; problems that were ``told`` are not
    told again."""
    if not pending:
        return []
    problems = _as_sequence(pending.get("problems"))
    if problems:
        head = "pending: the files cannot be used as they are, and nothing changes until they can"
        return [head, *(f"  {one}" for one in problems if str(one) not in told)]
    profile, files = pending.get("profile"), ", ".join(_as_sequence(pending.get("files")))
    under = f"profile {profile}" if profile else "no profile"
    what = (files or "other keys or models than before") if profile == serving else under
    lines = []
    if roles := _as_sequence(pending.get("changed_roles")):
        lines.append(f"pending: {what}, under which {', '.join(roles)} would be served differently")
    if settings := _as_sequence(pending.get("restart")):
        lines.append(f"pending until a restart: {', '.join(settings)}")
    return lines or [f"pending: {files or 'what the files say'}"]


def _doors(doors: Mapping[str, Any]) -> list[str]:
    """Who may come in; nothing where only this machine may, and nobody has a key."""
    keys = _as_sequence(doors.get("keys"))
    if not keys and doors.get("open_on_loopback", True):
        return []
    open_here = "callers on this machine need no key; " if doors.get("open_on_loopback") else ""
    named = ", ".join(f"{one['name']} ({one['scope']})" for one in keys) or "none"
    return ["", f"{open_here}keys in force: {named}"]


def _swaps(swaps: Sequence[Any]) -> Table:
    return Table(
        columns=(
            Column(title="GENERATION", right=True),
            Column(title="SINCE", spare=2),
            Column(title="CAUSE", wraps=True),
            Column(title="PROFILE", spare=1),
            Column(title="CHANGED ROLES", wraps=True, least=14),
            Column(title="TOOK", right=True, spare=3),
            Column(title="OUTCOME", wraps=True, least=12),
        ),
        rows=tuple(
            (
                str(one["generation"]),
                when(one["started_s"]),
                str(one["cause"]),
                str(one["profile"] or "-"),
                ", ".join(one["changed_roles"]) or "-",
                duration(one["ms"]),
                _outcome(one),
            )
            for one in swaps
        ),
    )


def _outcome(swap: Mapping[str, Any]) -> Cell:
    if swap["outcome"] == ADOPTED:
        return Cell(text="adopted", style="green")
    reason = str(swap["error"]).partition("\n")[0].rstrip(":")
    return Cell(text=f"{swap['outcome']}: {reason}" if reason else str(swap["outcome"]), style="red")


def _roles(roles: Mapping[str, Any]) -> Table:
    return Table(
        columns=(Column(title="ROLE"), Column(title="ANSWERED BY, IN ORDER", wraps=True)),
        rows=tuple(
            (
                Cell(text=name, style="bold"),
                " > ".join(str(one["model"]) for one in deployments)
                if deployments
                else Cell(text="no model", style="red"),
            )
            for name, deployments in roles.items()
        ),
        empty="no role is live",
    )


def _providers(providers: Sequence[Any]) -> Table:
    return Table(
        columns=(
            Column(title="PROVIDER"),
            Column(title="KIND", spare=1),
            Column(title="STATE"),
            Column(title="MODELS", right=True),
            Column(title="VERSION", spare=2),
            Column(title="ERROR", wraps=True),
        ),
        rows=tuple(
            (
                Cell(text=str(one["name"]), style="bold"),
                str(one["kind"]),
                _state(one),
                str(one["models"]),
                str(one["version"] or "-"),
                str(one["error"] or "-"),
            )
            for one in providers
        ),
        empty="no provider is configured",
    )


def _resting(resting: Sequence[Any]) -> Table:
    return Table(
        columns=(
            Column(title="PASSED OVER"),
            Column(title="UNTIL", wraps=True, least=16),
            Column(title="WHY", wraps=True),
        ),
        rows=tuple(
            (
                Cell(text=str(one["model"]), style="bold"),
                _until(one),
                Cell(text=f"{one['class']}: {one['message']}" if one["message"] else str(one["class"]), style="red"),
            )
            for one in resting
        ),
    )


def _until(resting: Mapping[str, Any]) -> str:
    left_s = resting["left_s"]
    if left_s is not None:
        return f"{duration(left_s * 1000)} from now" if left_s else "it has been tried again"
    if resting["class"] == "auth":
        return "a key is put in (`rolegate providers set-key`), or a restart"
    return "it is seen again, or a restart"


def _spending(spending: Sequence[Any]) -> Table:
    return Table(
        columns=(
            Column(title="CLOUD COSTS"),
            Column(title="TODAY", right=True),
            Column(title="LEFT", right=True),
            Column(title="THIS MONTH", right=True),
            Column(title="LEFT", right=True),
            Column(title="UNPRICED", right=True, spare=1),
            Column(title="CLOSED", wraps=True),
        ),
        rows=tuple(
            (
                Cell(text=str(one["provider"]), style="bold"),
                usd_text(one["today_usd"]),
                "-" if one["left_today_usd"] is None else usd_text(one["left_today_usd"]),
                usd_text(one["month_usd"]),
                "-" if one["left_month_usd"] is None else usd_text(one["left_month_usd"]),
                f"{one['unpriced_requests']:,}",
                Cell(text=str(one["closed"] or "-"), style="red" if one["closed"] else ""),
            )
            for one in spending
        ),
    )


def _state(provider: Mapping[str, Any]) -> Cell:
    """Nobody asks a cloud provider whether it is up; what can be known is whether it could be called."""
    if provider.get("has_key") is False:
        return Cell(text="no key", style="yellow")
    if provider.get("has_key"):
        return Cell(text="has a key", style="green")
    return Cell(text="up", style="green") if provider["up"] else Cell(text="down", style="red")


def _as_mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _as_sequence(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()

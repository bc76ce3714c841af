"""`rolegate status`: the live gateway; `rolegate version`."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from gateway.cli.command import Call, add_command
from gateway.cli.tables import Cell, Column, Table


def add_to(app: typer.Typer) -> None:
    add_command(app, status, name="status")
    add_command(app, version, name="version")


def status(
    call: Call,
    *,
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help="Where it listens, if not as configured.", show_default=False),
    ] = None,
) -> None:
    """The live gateway: its generation, roles and providers.

    Exits with 5 when no gateway answers.
    """
    live = call.run(call.workspace().status(url=url))
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
    if live.get("last_error"):
        console.line(Cell(text=f"last error: {live['last_error']}", style="red"))
    console.text("")
    console.table(_roles(_as_mapping(live.get("roles"))))
    console.text("")
    console.table(_providers(_as_sequence(live.get("providers"))))


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

"""`rolegate providers`: where models come from, and the keys that open them."""

from typing import TYPE_CHECKING

import typer

from gateway.cli import provider_keys, provider_trials
from gateway.cli.command import Call, add_command, add_group
from gateway.cli.passphrases import workspace_that_opens
from gateway.cli.tables import Cell, Column, Table

if TYPE_CHECKING:
    from gateway.compose import Workspace
    from gateway.compose.providers import ProviderRow


def add_to(app: typer.Typer) -> None:
    group = add_group(app, name="providers", about="The providers: where models come from, and their keys.")
    add_command(group, list_providers, name="list")
    provider_trials.add_to(group)
    provider_keys.add_to(group)


def list_providers(call: Call) -> None:
    """Every provider: its kind, whether it answers, and where its key comes from.

    Opens the vault, and exits with 7 when it stays locked. A key in a variable counts before one in the vault; keys themselves
    are never shown. Cloud providers are not asked: `rolegate providers test` does that.
    """
    from gateway.compose.providers import provider_rows

    workspace = workspace_that_opens(call)
    rows = call.run(provider_rows(workspace))
    call.console.warn([*map(str, workspace.configuration().warnings), *workspace.keys.warnings])
    unused = sorted(workspace.keys.held - {one.provider.name for one in rows})
    if call.console.json:
        call.console.value({"providers": [_data(one) for one in rows], "vault": _vault(workspace, unused=unused)})
        return
    call.console.table(_table(rows))
    if unused:
        call.console.talk(f"in the vault, for no provider that is configured: {', '.join(unused)}")


def _data(row: "ProviderRow") -> dict[str, object]:
    provider = row.provider
    return {
        "name": provider.name,
        "kind": provider.kind.value,
        "lane": provider.lane.value,
        "url": provider.url,
        "cloud": provider.cloud,
        "up": row.up,
        "error": row.error,
        "models": row.models,
        "key": {"origin": row.key, "variable": provider.key_variable or None, "in_vault": row.in_vault},
    }


def _vault(workspace: "Workspace", *, unused: list[str]) -> dict[str, object]:
    keys = workspace.keys
    return {"file": str(keys.path), "lock": keys.lock or None, "keys": sorted(keys.held), "unused": unused}


def _table(rows: "tuple[ProviderRow, ...]") -> Table:
    return Table(
        columns=(
            Column(title="PROVIDER"),
            Column(title="KIND", spare=1),
            Column(title="LANE", spare=2),
            Column(title="STATE"),
            Column(title="MODELS", right=True, spare=3),
            Column(title="KEY FROM", wraps=True),
            Column(title="ERROR", wraps=True),
        ),
        rows=tuple(
            (
                Cell(text=one.provider.name, style="bold"),
                one.provider.kind.value,
                one.provider.lane.value,
                _state(one),
                str(one.models),
                _key(one),
                one.error or "-",
            )
            for one in rows
        ),
        empty="no provider is configured",
    )


def _state(row: "ProviderRow") -> Cell:
    if row.up is None:
        return Cell(text="not asked", style="dim")
    return Cell(text="up", style="green") if row.up else Cell(text="down", style="red")


def _key(row: "ProviderRow") -> Cell | str:
    if row.key == "environment":
        return f"{row.provider.key_variable}, before the vault" if row.in_vault else row.provider.key_variable
    if row.key == "vault":
        return "the vault"
    return Cell(text="no key", style="yellow") if row.provider.cloud else "-"

"""`rolegate providers test`: does a provider answer, with the key that there is?"""

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.command import Call, add_command
from gateway.cli.named import must_know
from gateway.cli.passphrases import workspace_that_opens
from gateway.cli.tables import Cell, Column, Table
from gateway.cli.times import duration
from gateway.errors import ProviderFailed

if TYPE_CHECKING:
    from gateway.compose.provider_trials import Check, Trial


def add_to(group: typer.Typer) -> None:
    add_command(group, try_out, name="test")


def try_out(
    call: Call,
    *,
    provider: Annotated[str | None, typer.Argument(metavar="[PROVIDER]", show_default=False)] = None,
    complete: Annotated[
        bool, typer.Option("--complete", help="Ask a model for one token too; in the cloud that costs money.")
    ] = False,
) -> int:
    """Ask a provider, or all: does it answer, accept the key, have the models?

    Exits with 6 where one fails, and says why. Of all providers, those in the cloud without a key are left out. --complete goes
    by consent: a cloud model is asked only where the active profile lets it serve.
    """
    from gateway.compose.provider_trials import tried_out

    workspace = workspace_that_opens(call)
    configuration = workspace.configuration()
    if provider is not None:
        must_know("provider", provider, known=[one.name for one in configuration.providers])
    trials = call.run(tried_out(workspace, names=[] if provider is None else [provider], complete=complete))
    if call.console.json:
        call.console.value({"providers": [_data(one) for one in trials]})
    else:
        call.console.table(_table(trials))
    return ProviderFailed.exit_code if any(one.failed for one in trials) else 0


def _data(trial: "Trial") -> dict[str, object]:
    return {
        "provider": trial.provider,
        "ok": (not trial.failed) if trial.tried else None,
        "checks": [{"check": one.name, "ok": one.ok, "told": one.told, "ms": one.ms} for one in trial.checks],
    }


def _table(trials: "tuple[Trial, ...]") -> Table:
    return Table(
        columns=(
            Column(title="PROVIDER"),
            Column(title="CHECK"),
            Column(title="RESULT"),
            Column(title="TOOK", right=True, spare=1),
            Column(title="WHAT IT SAYS", wraps=True),
        ),
        rows=tuple(
            (Cell(text=trial.provider, style="bold"), one.name, _result(one), duration(one.ms), one.told)
            for trial in trials
            for one in trial.checks
        ),
        empty="no provider is configured",
    )


def _result(check: "Check") -> Cell:
    if check.ok is None:
        return Cell(text="left out", style="dim")
    return Cell(text="ok", style="green") if check.ok else Cell(text="failed", style="red")

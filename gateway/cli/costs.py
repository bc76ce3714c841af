"""`rolegate costs`: what the answers of the last days cost."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gateway.cli.command import Call, add_command
from gateway.cli.tables import Column, Table
from gateway.domain.budget import usd_text
from gateway.domain.cost import By

if TYPE_CHECKING:
    from gateway.domain.cost import Told

USUAL: Final = 30
MOST: Final = 400


def add_to(app: typer.Typer) -> None:
    add_command(app, costs, name="costs")


def costs(
    call: Call,
    *,
    days: Annotated[
        int, typer.Option("--days", metavar="N", min=1, max=MOST, help="Of so many days, today included.")
    ] = USUAL,
    by: Annotated[By, typer.Option("--by", help="One line for each of these.")] = By.ROLE,
    as_model: Annotated[
        str | None,
        typer.Option(
            "--as", metavar="MODEL", help="Also what local answers would have cost at this cloud model's price."
        ),
    ] = None,
) -> None:
    """What the answers of the last days cost.

    Summed by role, model, provider or day, in US dollars. Days are those of UTC. Prices are declared in the configuration or
    come from LiteLLM's map; an answer whose cost is unknown is counted apart. Needs no running gateway.
    """
    import time

    from gateway.catalog.cloud import CloudFacts
    from gateway.compose.journal import journal_reader_of
    from gateway.compose.prices import PriceList
    from gateway.domain.cost import date_of, day_of, report, summed, told

    workspace = call.workspace()
    price = None
    if as_model is not None:
        price = PriceList(workspace.configuration(), facts=CloudFacts.read()).as_if(as_model)
    since = day_of(time.time()) - days + 1
    sums = journal_reader_of(workspace.state_folder).sums(since_day=since)
    if call.console.json:
        call.console.value(report(sums, since_day=since, days=days, by=by, as_if=price, as_model=as_model))
        return
    lines = summed(sums, by=by, as_if=price)
    if lines:
        lines = (*lines, told(sums, name="all", as_if=price))
    call.console.table(_table(lines, by=by, as_model=as_model, since=date_of(since).isoformat()))
    if unpriced := sum(one.unpriced for one in lines[:-1]):
        answers = "1 cloud answer is" if unpriced == 1 else f"{unpriced:,} cloud answers are"
        call.console.talk(f"{answers} not in it: what {'it' if unpriced == 1 else 'they'} cost is unknown")


def _table(lines: "Sequence[Told]", *, by: By, as_model: str | None, since: str) -> Table:
    columns = [
        Column(title=by.value.upper(), wraps=True, least=16),
        Column(title="CLOUD", right=True),
        Column(title="LOCAL", right=True),
        Column(title="TOKENS", right=True, spare=1),
        Column(title="COST", right=True),
    ]
    if as_model is not None:
        columns.append(Column(title="LOCAL AS IF", right=True))
    return Table(
        columns=tuple(columns),
        rows=tuple(_row(one, as_if=as_model is not None) for one in lines),
        empty=f"no answer since {since} is in the journal",
    )


def _row(one: "Told", *, as_if: bool) -> tuple[str, ...]:
    cells = (
        one.name or "-",
        f"{one.cloud_requests:,}",
        f"{one.local_requests:,}",
        f"{one.prompt_tokens:,}/{one.completion_tokens:,}",
        usd_text(one.cost_usd),
    )
    return (*cells, usd_text(one.as_if_usd)) if as_if else cells

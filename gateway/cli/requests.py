"""`rolegate requests`: what became of the latest requests."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gateway.cli.command import Call, add_command
from gateway.cli.tables import Cell, Column, Table
from gateway.cli.times import clock, duration, when
from gateway.domain.budget import usd_text
from gateway.errors import BadRequest

if TYPE_CHECKING:
    from gateway.domain.record import RequestRecord

MOST: Final = 100_000
USUAL: Final = 20
CANCELLED: Final = "cancelled"


def add_to(app: typer.Typer) -> None:
    add_command(app, requests, name="requests")


def requests(
    call: Call,
    *,
    request_id: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="Show the request with this id in full.", show_default=False),
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that failed.")] = False,
    role: Annotated[
        str | None, typer.Option("--role", metavar="R", help="Only those that asked for this role.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=MOST, help="At most so many.")] = USUAL,
) -> None:
    """The latest requests, newest first.

    Needs no running gateway; a running one writes them down about a second after they end. The id of a request is in the
    x-request-id header of its answer, and in --json.
    """
    from gateway.compose.journal import journal_reader_of
    from gateway.domain.record import request_data

    reader = journal_reader_of(call.workspace().state_folder)
    if request_id is not None:
        found = reader.find(request_id)
        if found is None:
            raise BadRequest(
                f'there is no request "{request_id}" in the journal',
                hint="`rolegate requests --json` lists the latest with their ids",
            )
        if call.console.json:
            call.console.value(request_data(found))
        else:
            _show(found, call=call)
        return
    listed = reader.recent(limit=limit, failed=failed, role=role)
    if call.console.json:
        call.console.value({"requests": [request_data(one) for one in listed]})
    else:
        call.console.table(_table(listed, empty=_nothing(failed=failed, role=role)))


def _nothing(*, failed: bool, role: str | None) -> str:
    which = "failed request" if failed else "request"
    return f"no {which} for {role} is in the journal" if role else f"no {which} is in the journal"


def _table(listed: "Sequence[RequestRecord]", *, empty: str) -> Table:
    # Who has no clouds need not read a column about what they cost, nor who gave nobody a key who showed one.
    clouds = any(one.cloud for one in listed)
    keys = any(one.key for one in listed)
    return Table(
        columns=(
            Column(title="TIME"),
            *((Column(title="KEY", spare=4),) if keys else ()),
            Column(title="ROLE"),
            Column(title="ANSWERED BY", wraps=True, least=24),
            Column(title="OUTCOME"),
            Column(title="TRIES", right=True, spare=3),
            Column(title="TOKENS", right=True, spare=2),
            Column(title="FIRST", right=True, spare=1),
            Column(title="TOOK", right=True),
            *((Column(title="COST", right=True),) if clouds else ()),
        ),
        rows=tuple(
            (when(one.time_s), *((one.key or "-",) if keys else ()), *_row(one), *((_cost(one),) if clouds else ()))
            for one in listed
        ),
        empty=empty,
    )


def _cost(one: "RequestRecord") -> str:
    """What its answer cost, where that came from a cloud."""
    if one.cost_usd is None and not (one.cloud and one.model):
        return "-"
    return usd_text(one.cost_usd)


def _row(one: "RequestRecord") -> tuple[Cell | str, ...]:
    return (
        Cell(text=one.role or "-", style="bold"),
        Cell(text=_answered_by(one), style="cyan" if one.cloud else ""),
        _outcome(one),
        str(len(one.attempts)),
        _tokens(one),
        duration(one.first_token_ms),
        duration(one.duration_ms),
    )


def _answered_by(one: "RequestRecord") -> str:
    """The model; where there is more to tell, every attempt with how it ended and how long the failed ones took."""
    if all(not each.failure for each in one.attempts):
        return one.model or "-"
    return " → ".join(
        f"{each.model} {each.failure} {duration(each.ms)}" if each.failure else f"{each.model} ok"
        for each in one.attempts
    )


def _outcome(one: "RequestRecord") -> Cell:
    if not one.failure:
        return Cell(text="ok", style="green")
    return Cell(text=one.failure, style="yellow" if one.failure == CANCELLED else "red")


def _tokens(one: "RequestRecord") -> str:
    """Those of the prompt and those of the answer."""
    if one.prompt_tokens is None and one.completion_tokens is None:
        return "-"
    return f"{_count(one.prompt_tokens)}/{_count(one.completion_tokens)}"


def _count(tokens: int | None) -> str:
    return "-" if tokens is None else f"{tokens:,}"


def _show(one: "RequestRecord", *, call: Call) -> None:
    console = call.console
    console.line(Cell(text=one.request_id, style="bold"), _outcome(one), f"status {one.status}")
    console.line("at", clock(one.time_s, form="%Y-%m-%d %H:%M:%S %z"), indent=2)
    console.line("asked", f"{one.endpoint} of {one.role or '-'}", "as a stream" if one.stream else "whole", indent=2)
    console.line("answered by", one.model or "nobody", *(("in the cloud",) if one.cloud else ()), indent=2)
    if one.key:
        console.line("with the key", one.key, indent=2)
    if one.fallback_reason:
        console.line("fell back for", one.fallback_reason, indent=2)
    if one.generation is not None:
        console.line("generation", str(one.generation), indent=2)
    console.line("tokens", f"{_count(one.prompt_tokens)} in, {_count(one.completion_tokens)} out", indent=2)
    if one.cloud:
        console.line("cost", _cost(one), indent=2)
    console.line("first token after", duration(one.first_token_ms), indent=2)
    console.line("took", duration(one.duration_ms), indent=2)
    if one.message:
        console.line("because", Cell(text=one.message, style="red"), indent=2)
    console.text("")
    console.table(
        Table(
            columns=(
                Column(title="TRY", right=True),
                Column(title="MODEL", wraps=True, least=26),
                Column(title="OUTCOME"),
                Column(title="STATUS", right=True),
                Column(title="TOOK", right=True),
            ),
            rows=tuple(
                (
                    str(number),
                    each.model,
                    Cell(text=each.failure or "ok", style="red" if each.failure else "green"),
                    "-" if each.status is None else str(each.status),
                    duration(each.ms),
                )
                for number, each in enumerate(one.attempts, start=1)
            ),
            empty="no model was tried",
        )
    )

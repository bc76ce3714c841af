"""Deployments as a table."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gateway.cli.tables import Cell, Column, Table

if TYPE_CHECKING:
    from gateway.domain.plan import Deployment, RolePlan


def deployment_table(roles: "Sequence[RolePlan]") -> Table:
    """Every deployment of every role, in order; a role without any has one row that says so."""
    return Table(
        columns=(
            Column(title="ROLE"),
            Column(title="ORDER", right=True),
            Column(title="MODEL", wraps=True, least=36),
            Column(title="VIA", spare=2),
            Column(title="LANE", spare=3),
            Column(title="CONTEXT", right=True, spare=1),
            Column(title="MEMORY", right=True, spare=1),
        ),
        rows=tuple(row for served in roles for row in _rows(served)),
        empty="no role is configured",
    )


def _rows(served: "RolePlan") -> list[tuple[Cell | str, ...]]:
    if not served.deployments:
        return [(Cell(text=served.role, style="bold"), "-", Cell(text="no model", style="red"), "-", "-", "-", "-")]
    return [_row(one, role=served.role) for one in served.deployments]


def _row(one: "Deployment", *, role: str) -> tuple[Cell | str, ...]:
    from gateway.domain.fit import gigabytes

    return (
        Cell(text=role, style="bold"),
        str(one.order),
        Cell(text=str(one.ref), style="cyan" if one.cloud else ""),
        one.via.value,
        one.lane.value,
        "-" if one.context_tokens is None else f"{one.context_tokens:,}",
        "-" if one.memory_bytes is None else gigabytes(one.memory_bytes),
    )

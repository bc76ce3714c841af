"""`rolegate roles`: the model names that clients ask for."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import role_writing
from gateway.cli.command import Call, add_command, add_group
from gateway.cli.deployments import deployment_table
from gateway.cli.named import must_know
from gateway.cli.tables import Cell, Column, Table
from gateway.config.masking import masked

if TYPE_CHECKING:
    from gateway.compose import Survey
    from gateway.config.settings import Configuration


def add_to(app: typer.Typer) -> None:
    group = add_group(app, name="roles", about="The roles: the model names that clients ask for.")
    add_command(group, list_roles, name="list")
    add_command(group, show, name="show")
    role_writing.add_to(group)


def list_roles(call: Call) -> None:
    """Every role, and what serves it now."""
    survey = call.survey(call.workspace())
    if call.console.json:
        call.console.value({"roles": [_role_data(name, survey=survey) for name in survey.configuration.roles]})
    else:
        call.console.table(_list_table(survey))


def show(call: Call, *, role: Annotated[str, typer.Argument(metavar="ROLE", show_default=False)]) -> None:
    """One role: its settings, where they are from, what serves it."""
    survey = call.survey(call.workspace())
    must_know("role", role, known=survey.configuration.roles)
    settings = _settings(role, configuration=survey.configuration)
    if call.console.json:
        call.console.value({**_role_data(role, survey=survey), "settings": settings})
        return
    call.console.table(
        Table(
            columns=(
                Column(title="SETTING"),
                Column(title="VALUE", wraps=True),
                Column(title="LAYER", spare=1),
                Column(title="FILE", spare=2),
            ),
            rows=tuple(
                (
                    Cell(text=str(one["setting"]), style="bold"),
                    json.dumps(one["value"], ensure_ascii=False),
                    str(one["layer"]),
                    str(one["file"]),
                )
                for one in settings
            ),
            empty=f"{role} has no settings of its own: everything is at its default",
        )
    )
    served = survey.selection.plan.roles[role]
    call.console.text("")
    call.console.table(deployment_table((served,)))


def _settings(role: str, *, configuration: "Configuration") -> list[dict[str, object]]:
    """What is written for the role in any layer, by set path below the role."""
    from gateway.config.set_path import format_set_path

    place = ("role_mappings", role)
    return [
        {
            "setting": format_set_path(path[len(place) :]),
            "value": masked(value, key=str(path[-1])),
            "layer": source.layer.value,
            "file": source.file,
        }
        for path, value, source in configuration.provenance.leaves()
        if path[: len(place)] == place and len(path) > len(place)
    ]


def _role_data(name: str, *, survey: "Survey") -> dict[str, object]:
    from gateway.domain.report import deployment_data

    role, served = survey.configuration.roles[name], survey.selection.plan.roles[name]
    return {
        "role": name,
        "task": served.task.value,
        "preferred": list(role.preferred),
        "cloud_fallback": list(role.cloud_fallback),
        "deployments": [deployment_data(one) for one in served.deployments],
    }


def _list_table(survey: "Survey") -> Table:
    plan = survey.selection.plan
    return Table(
        columns=(
            Column(title="ROLE"),
            Column(title="TASK", spare=2),
            Column(title="ANSWERED BY", wraps=True, least=36),
            Column(title="THEN", right=True, spare=1),
            Column(title="PREFERRED", wraps=True, spare=3),
        ),
        rows=tuple(
            (
                Cell(text=name, style="bold"),
                served.task.value,
                str(served.deployments[0].ref) if served.deployments else Cell(text="no model", style="red"),
                str(max(len(served.deployments) - 1, 0)),
                ", ".join(survey.configuration.roles[name].preferred) or "-",
            )
            for name, served in plan.roles.items()
        ),
        empty="no role is configured",
    )

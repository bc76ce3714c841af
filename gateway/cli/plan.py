"""`rolegate plan` and `rolegate explain`: what serves each role, and why."""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from gateway.cli.command import Call, add_command
from gateway.cli.deployments import deployment_table
from gateway.cli.named import must_know
from gateway.cli.tables import Cell
from gateway.errors import NoModelForRole

if TYPE_CHECKING:
    from gateway.compose import Survey, Workspace
    from gateway.domain.plan import RolePlan
    from gateway.domain.role import Role
    from gateway.domain.trace import RoleTrace, TraceEntry


MOST_GB: Final = 100_000


def _in_range(value: float | None) -> float | None:
    if value is not None and not 0 <= value <= MOST_GB:
        raise typer.BadParameter(f"{value:g} is not in the range from 0 to {MOST_GB} GB")
    return value


Profile = Annotated[
    str | None, typer.Option("--profile", metavar="P", help="Use this profile for once.", show_default=False)
]
MemoryGb = Annotated[
    float | None,
    typer.Option(
        "--memory-gb", metavar="N", callback=_in_range, help="Assume N GB of free memory.", show_default=False
    ),
]
VramGb = Annotated[
    float | None,
    typer.Option(
        "--vram-gb", metavar="N", callback=_in_range, help="Assume N GB of free GPU memory.", show_default=False
    ),
]


def add_to(app: typer.Typer) -> None:
    add_command(app, plan, name="plan")
    add_command(app, explain, name="explain")


def plan(call: Call, *, profile: Profile = None, memory_gb: MemoryGb = None, vram_gb: VramGb = None) -> int:
    """The ordered deployments of every role.

    Needs no running gateway. Exits with 4 when a role has none.
    """
    workspace = _workspace(call, profile=profile, memory_gb=memory_gb, vram_gb=vram_gb)
    survey = call.survey(workspace)
    decided = survey.selection.plan
    if call.console.json:
        from gateway.domain.report import plan_data

        call.console.value(plan_data(survey.selection, profile=survey.configuration.profile))
    else:
        call.console.table(deployment_table(tuple(decided.roles.values())))
        call.console.talk(*(_why_none(name, survey=survey) for name in decided.degraded))
    return NoModelForRole.exit_code if decided.degraded else 0


def explain(
    call: Call,
    *,
    role: Annotated[str, typer.Argument(metavar="ROLE", show_default=False)],
    tools: Annotated[bool, typer.Option("--tools", help="Ask for tool calls too.")] = False,
    vision: Annotated[bool, typer.Option("--vision", help="Ask for image input too.")] = False,
    json_schema: Annotated[bool, typer.Option("--json-schema", help="Ask for answers to a JSON schema too.")] = False,
    context: Annotated[
        int | None,
        typer.Option("--context", metavar="N", min=1, help="Ask for at least N tokens of context.", show_default=False),
    ] = None,
    profile: Profile = None,
    memory_gb: MemoryGb = None,
    vram_gb: VramGb = None,
) -> int:
    """Every candidate of one role, with verdict and arithmetic.

    Exits with 4 when no model can serve the role.
    """
    from gateway.compose.explanation import asking_more, explanation_data

    workspace = _workspace(call, profile=profile, memory_gb=memory_gb, vram_gb=vram_gb)
    survey = call.survey(workspace)
    asked = survey.configuration.roles[must_know("role", role, known=survey.configuration.roles)]
    flags = {"supports_tools": tools, "supports_vision": vision, "supports_json_schema": json_schema}
    features = [name for name, wanted in flags.items() if wanted]
    if features or context is not None:
        asked = asking_more(asked, features=features, context_tokens=context)
        survey = workspace.reselect(survey, role=asked)
    trace, served = survey.selection.trace(role), survey.selection.plan.roles[role]
    if call.console.json:
        call.console.value(explanation_data(served, trace))
    else:
        _print_explanation(call, role=asked, served=served, trace=trace)
    return 0 if served.deployments else NoModelForRole.exit_code


def _workspace(call: Call, *, profile: str | None, memory_gb: float | None, vram_gb: float | None) -> "Workspace":
    """With these over the files. Raises ``UnknownName`` for a profile that there is not."""
    from gateway.config.profiles import names

    workspace = call.workspace(profile=profile, memory_gb=memory_gb, vram_gb=vram_gb)
    if profile:
        must_know("profile", profile, known=names(folder=workspace.config_folder))
    return workspace


def _why_none(role: str, *, survey: "Survey") -> str:
    entries = survey.selection.trace(role).entries
    why = "; ".join(f"{one.model}: {one.verdict.value}" for one in entries[:4]) or "there is no model at all"
    more = f"; {len(entries) - 4} more" if len(entries) > 4 else ""
    return f"no model can serve {role}: {why}{more} (`rolegate explain {role}` says why)"


def _print_explanation(call: Call, *, role: "Role", served: "RolePlan", trace: "RoleTrace") -> None:
    console = call.console
    console.line(Cell(text=role.name, style="bold"), f"({served.task.value})", _asks(role))
    for one in trace.entries:
        console.text("")
        console.line(*_heading(one))
        console.line(one.reason, indent=4)
        for warning in one.warnings:
            console.line(Cell(text=f"warning: {warning}", style="yellow"), indent=4)
    if not trace.entries:
        console.talk("there is no candidate: the role names no model, and none was discovered")


def _heading(one: "TraceEntry") -> tuple[Cell | str, ...]:
    place = "-" if one.order is None else str(one.order)
    look = "green" if one.order is not None else "yellow"
    score = "no score" if one.score is None else f"score {one.score:.3f}"
    via = () if one.via is None else (one.via.value,)
    return (f"{place:>2}", Cell(text=one.model, style="bold"), Cell(text=one.verdict.value, style=look), score, *via)


def _asks(role: "Role") -> str:
    """The role's requirements in one line."""
    from gateway.domain.fit import gigabytes

    needs = role.requirements
    parts = [f"{name} at least {least:.2f}" for name, least in sorted(needs.scores.items())]
    parts += sorted(needs.features)
    if needs.context_min_tokens is not None:
        parts.append(f"context at least {needs.context_min_tokens:,} tokens")
    if needs.memory_max_bytes is not None:
        parts.append(f"memory at most {gigabytes(needs.memory_max_bytes)}")
    return f"asks for {', '.join(parts)}" if parts else "asks for nothing in particular"

"""`rolegate router`: the configuration of a LiteLLM router."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.command import Call, add_command, add_group
from gateway.errors import BadRequest


def add_to(app: typer.Typer) -> None:
    group = add_group(app, name="router", about="The configuration of a LiteLLM router.")
    add_command(group, render, name="render")


def render(
    call: Call,
    *,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write it there instead.", show_default=False)
    ] = None,
) -> None:
    """The LiteLLM router configuration of the plan, as YAML."""
    from gateway.files.atomic import write_atomically
    from gateway.rendering.output import to_yaml

    workspace = call.workspace()
    survey = call.survey(workspace)
    rendered = workspace.render(survey)
    degraded = survey.selection.plan.degraded
    call.console.talk(*(f"{name} is left out: no model can serve it" for name in degraded))
    if out is not None:
        try:
            write_atomically(out, to_yaml(rendered).encode())
        except OSError as exc:
            raise BadRequest(
                f"cannot write {out}: {exc.strerror or exc}", hint="name a file in a folder you own"
            ) from exc
        call.console.talk(f"wrote {out}")
    elif call.console.json:
        call.console.value(rendered)
    else:
        call.console.text(*to_yaml(rendered).rstrip("\n").split("\n"))

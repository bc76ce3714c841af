"""`rolegate profiles diff` and `validate`: what profiles would make of this machine."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.command import Call, add_command
from gateway.cli.named import must_know
from gateway.cli.tables import Cell, Column, Table
from gateway.errors import ConfigInvalid, NoModelForRole

if TYPE_CHECKING:
    from gateway.compose import Survey, Workspace
    from gateway.config.compare import Difference

_THEN = " > "


def add_to(group: typer.Typer) -> None:
    add_command(group, diff, name="diff")
    add_command(group, validate, name="validate")


def diff(
    call: Call,
    *,
    left: Annotated[str, typer.Argument(metavar="A", show_default=False)],
    right: Annotated[str, typer.Argument(metavar="B", show_default=False)],
) -> None:
    """What differs between two profiles: settings, and who serves.

    All layers are merged under each of them, and both plans are made for this machine as it is now.
    """
    from gateway.compose.comparing import surveys
    from gateway.config.compare import differences
    from gateway.config.profiles import names

    known = names(folder=call.workspace().config_folder)
    workspaces = [call.workspace(profile=must_know("profile", one, known=known)) for one in (left, right)]
    first, second = call.run(surveys(workspaces))
    _warn(call, (first, second))
    changed = differences(first.configuration.values, second.configuration.values)
    roles = {
        role: (_served(first, role), _served(second, role))
        for role in sorted({*first.configuration.roles, *second.configuration.roles})
    }
    if call.console.json:
        call.console.value(
            {
                "left": left,
                "right": right,
                "settings": [_difference_data(one) for one in changed],
                "digests": {"left": first.selection.plan.digest, "right": second.selection.plan.digest},
                "roles": {name: {"left": a, "right": b, "same": a == b} for name, (a, b) in roles.items()},
            }
        )
        return
    call.console.table(_settings_table(changed, left=left, right=right))
    if changed:
        call.console.text("")
    differing = {name: sides for name, sides in roles.items() if sides[0] != sides[1]}
    call.console.table(
        Table(
            columns=(
                Column(title="ROLE"),
                Column(title=f"UNDER {left}", wraps=True),
                Column(title=f"UNDER {right}", wraps=True),
            ),
            rows=tuple(
                (Cell(text=name, style="bold"), _chain(sides[0]), _chain(sides[1])) for name, sides in differing.items()
            ),
            empty="every role is served by the same models under both",
        )
    )


def validate(
    call: Call, *, profile: Annotated[str | None, typer.Argument(metavar="PROFILE", show_default=False)] = None
) -> int:
    """Check a profile, or all, against what is installed.

    Its file is checked, the merged whole, and what would serve each role on this machine as it is now.

    Exits with 3 when there is a problem, with 4 when a role would have no model.
    """
    from gateway.compose.comparing import surveys
    from gateway.config.profiles import names

    workspace = call.workspace()
    known = names(folder=workspace.config_folder)
    if profile is None:
        _must_be_sound(workspace)
    chosen = known if profile is None else (must_know("profile", profile, known=known),)
    found = call.run(surveys([call.workspace(profile=one) for one in chosen]))
    _warn(call, found)
    judged = [_judged(name, survey) for name, survey in zip(chosen, found, strict=True)]
    if call.console.json:
        call.console.value({"profiles": judged})
    else:
        call.console.table(_judged_table(judged))
    return NoModelForRole.exit_code if any(one["degraded"] for one in judged) else 0


def _must_be_sound(workspace: "Workspace") -> None:
    """Raises ``ConfigInvalid`` with everything that is wrong with any profile."""
    from gateway.config.load import check

    checked = check(
        folder=workspace.config_folder,
        state_folder=workspace.state_folder,
        environment=workspace.environment,
        profile=workspace.options.profile,
        flags=workspace.options.settings,
    )
    if checked.problems:
        raise ConfigInvalid(checked.problems)


def _warn(call: Call, found: "Sequence[Survey]") -> None:
    """What is doubtful in any of them, once."""
    doubts = [text for one in found for text in (*map(str, one.configuration.warnings), *one.warnings)]
    call.console.warn(list(dict.fromkeys(doubts)))
    down = [state.error for one in found for state in one.discovery.providers if not state.up]
    call.console.talk(*dict.fromkeys(down))


def _served(survey: "Survey", role: str) -> list[str] | None:
    """The models in order; ``None`` where there is no such role."""
    plan = survey.selection.plan.roles.get(role)
    return None if plan is None else [str(one.ref) for one in plan.deployments]


def _chain(models: Sequence[str] | None) -> str | Cell:
    if models is None:
        return Cell(text="no such role", style="dim")
    return _THEN.join(models) or Cell(text="no model", style="red")


def _difference_data(one: "Difference") -> dict[str, object]:
    left, right = _shown(one)
    return {
        "path": one.path,
        "left": left,
        "right": right,
        "in_left": one.in_left,
        "in_right": one.in_right,
    }


def _shown(one: "Difference") -> tuple[object, object]:
    """Both values, with what could be a secret masked."""
    from gateway.config.masking import masked
    from gateway.config.set_path import parse_set_path

    keys = [key for key in parse_set_path(one.path) if isinstance(key, str)]
    key = keys[-1] if keys else ""
    return masked(one.left, key=key), masked(one.right, key=key)


def _settings_table(changed: "Sequence[Difference]", *, left: str, right: str) -> Table:
    rows = []
    for one in changed:
        a, b = _shown(one)
        rows.append(
            (
                Cell(text=one.path, style="bold"),
                json.dumps(a, ensure_ascii=False) if one.in_left else "-",
                json.dumps(b, ensure_ascii=False) if one.in_right else "-",
            )
        )
    return Table(
        columns=(
            Column(title="SETTING", wraps=True, least=30),
            Column(title=f"IN {left}", wraps=True, least=16),
            Column(title=f"IN {right}", wraps=True, least=16),
        ),
        rows=tuple(rows),
        empty="no setting differs",
    )


def _judged(name: str, survey: "Survey") -> dict[str, object]:
    from gateway.domain.plan import Via

    plan = survey.selection.plan
    absent = ("not_installed", "provider_down", "no_api_key")
    missing = [
        {"role": role, "model": entry.model, "verdict": entry.verdict.value, "reason": entry.reason}
        for role in plan.roles
        for entry in survey.selection.trace(role).entries
        if entry.verdict.value in absent and entry.via not in (None, Via.DISCOVERED)
    ]
    return {
        "profile": name,
        "valid": True,
        "digest": plan.digest,
        "degraded": list(plan.degraded),
        "missing": missing,
    }


def _judged_table(judged: Sequence[dict[str, object]]) -> Table:
    rows = []
    for one in judged:
        degraded, missing = one["degraded"], one["missing"]
        assert isinstance(degraded, list)  # noqa: S101  (as _judged has it)
        assert isinstance(missing, list)  # noqa: S101
        absent = dict.fromkeys(f"{each['model']} ({each['verdict']})" for each in missing)
        rows.append(
            (
                Cell(text=str(one["profile"]), style="bold"),
                "valid",
                Cell(text=", ".join(degraded), style="red") if degraded else "-",
                ", ".join(absent) or "-",
            )
        )
    return Table(
        columns=(
            Column(title="PROFILE"),
            Column(title="FILES"),
            Column(title="ROLES WITHOUT A MODEL", wraps=True),
            Column(title="NAMED AND NOT THERE", wraps=True),
        ),
        rows=tuple(rows),
        empty="there are no profiles",
    )

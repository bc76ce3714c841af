"""What several configurations would make of the same machine at the same moment."""

from collections.abc import Sequence
from typing import Final

from gateway.compose.workspace import Survey, Workspace
from gateway.config.compare import Difference, differences
from gateway.config.masking import masked
from gateway.config.set_path import parse_set_path
from gateway.config.settings import Configuration
from gateway.domain.plan import Via
from gateway.domain.ports import Discovery
from gateway.domain.selection import select
from gateway.domain.trace import TraceEntry, Verdict
from gateway.runtime.clashes import check_names

_ABSENT: Final = frozenset({Verdict.NOT_INSTALLED, Verdict.PROVIDER_DOWN, Verdict.NO_API_KEY})
_RULED_OUT: Final = frozenset(Verdict) - _ABSENT - {Verdict.OK, Verdict.EXCLUDED, Verdict.CLOUD_NOT_ALLOWED}
"""What the machine or the role's own demands have against a model that somebody named; that it is not to go to the cloud is
what they asked for."""


async def surveys(workspaces: Sequence[Workspace]) -> tuple[Survey, ...]:
    """One survey for each, with one sample of the machine, and one discovery for all that would discover the same. Raises
    ``ConfigInvalid``."""
    found: list[Survey] = []
    for workspace in workspaces:
        configuration = workspace.configuration()
        discovery = _discovered(configuration, among=found)
        if discovery is None:
            survey = await workspace.survey()
            resources = found[0].resources if found else survey.resources
            warnings, discovery = survey.warnings, survey.discovery
        else:
            check_names(configuration, discovery)
            warnings, resources = (), found[0].resources
        selection = select(
            roles=configuration.roles, discovery=discovery, resources=resources, policy=configuration.policy
        )
        found.append(
            Survey(
                configuration=configuration,
                discovery=discovery,
                resources=resources,
                selection=selection,
                warnings=warnings,
            )
        )
    return tuple(found)


def diff_data(left: str, right: str, found: Sequence[Survey]) -> dict[str, object]:
    """What differs between two profiles, of which ``found`` are the surveys, as plain data in the shape that the command and the
    route answer with."""
    first, second = found
    roles = sorted({*first.configuration.roles, *second.configuration.roles})
    sides = {role: (served(first, role), served(second, role)) for role in roles}
    changed = differences(first.configuration.values, second.configuration.values)
    return {
        "left": left,
        "right": right,
        "settings": [_difference_data(one) for one in changed],
        "digests": {"left": first.selection.plan.digest, "right": second.selection.plan.digest},
        "roles": {name: {"left": a, "right": b, "same": a == b} for name, (a, b) in sides.items()},
    }


def served(survey: Survey, role: str) -> list[str] | None:
    """The models in order; ``None`` where there is no such role."""
    plan = survey.selection.plan.roles.get(role)
    return None if plan is None else [str(one.ref) for one in plan.deployments]


def validation_data(profile: str, survey: Survey) -> dict[str, object]:
    """What a profile would make of this machine, as plain data: roles that nothing would serve, and models that it or a layer
    names that are ``missing`` or ``ruled_out``."""
    plan = survey.selection.plan
    named = [
        (role, entry)
        for role in plan.roles
        for entry in survey.selection.trace(role).entries
        if entry.verdict is not Verdict.OK and entry.via not in (None, Via.DISCOVERED)
    ]
    return {
        "profile": profile,
        "valid": True,
        "digest": plan.digest,
        "degraded": list(plan.degraded),
        "missing": [_named_data(role, entry) for role, entry in named if entry.verdict in _ABSENT],
        "ruled_out": [_named_data(role, entry) for role, entry in named if entry.verdict in _RULED_OUT],
    }


def _named_data(role: str, entry: TraceEntry) -> dict[str, object]:
    return {"role": role, "model": entry.model, "verdict": entry.verdict.value, "reason": entry.reason}


def _difference_data(one: Difference) -> dict[str, object]:
    """Both values, with what could be a secret masked."""
    keys = [key for key in parse_set_path(one.path) if isinstance(key, str)]
    key = keys[-1] if keys else ""
    return {
        "path": one.path,
        "left": masked(one.left, key=key),
        "right": masked(one.right, key=key),
        "in_left": one.in_left,
        "in_right": one.in_right,
    }


def _discovered(configuration: Configuration, *, among: Sequence[Survey]) -> Discovery | None:
    """What a survey has found already that this configuration would find just so."""
    for survey in among:
        if _world(survey.configuration) == _world(configuration):
            return survey.discovery
    return None


def _world(configuration: Configuration) -> tuple[object, ...]:
    return (
        configuration.providers,
        dict(configuration.declared),
        configuration.cloud_models,
        configuration.embedded_models,
        configuration.gateway.embedded,
    )

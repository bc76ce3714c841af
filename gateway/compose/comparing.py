"""What several configurations would make of the same machine at the same moment."""

from collections.abc import Sequence

from gateway.compose.workspace import Survey, Workspace
from gateway.config.settings import Configuration
from gateway.domain.ports import Discovery
from gateway.domain.selection import select
from gateway.runtime.clashes import check_names


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

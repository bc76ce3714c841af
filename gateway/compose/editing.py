"""What edits of one installation start from: how they are judged, which profile is active, how a profile is told of."""

from gateway.compose.workspace import Workspace
from gateway.config import profiles
from gateway.config.drafts import Check
from gateway.config.profiles import ProfileSummary


def check_of(workspace: Workspace) -> Check:
    """What edits in this workspace are judged with."""
    return Check(
        state_folder=workspace.state_folder,
        environment=workspace.environment,
        flag=workspace.options.profile,
        settings=workspace.options.settings,
    )


def summary_data(one: ProfileSummary) -> dict[str, object]:
    """A line of a list of profiles as plain data, in the shape that commands and routes answer with."""
    return {
        "name": one.name,
        "active": one.active,
        "extends": one.extends,
        "description": one.description,
        "file": str(one.file),
        "problems": [str(problem) for problem in one.problems],
    }


def active_profile(workspace: Workspace) -> profiles.ActiveProfile:
    """The profile that a gateway started now would serve by, and who chose it."""
    return profiles.active(
        state_folder=workspace.state_folder, environment=workspace.environment, flag=workspace.options.profile
    )

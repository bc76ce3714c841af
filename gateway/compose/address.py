"""Where a running gateway is to be found, also by those who look because its files are broken."""

from gateway.compose.workspace import Workspace
from gateway.config.load import merged_values
from gateway.config.profiles import active
from gateway.config.settings import SETTINGS
from gateway.errors import ConfigInvalid


def likely_url(workspace: Workspace) -> str:
    """The workspace's ``url``; where its files cannot be used, what can be read of them has to do: the gateway that serves on was
    started with better ones."""
    try:
        return workspace.url
    except ConfigInvalid:
        host = str(_setting("host", workspace=workspace))
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host).strip("[]")
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{_setting('port', workspace=workspace)}"


def _setting(name: str, *, workspace: Workspace) -> object:
    setting = SETTINGS[name]
    told = workspace.environment.text(setting.variable)
    if told is not None and setting.accepts(setting.parse(told)):
        return setting.parse(told)
    chosen = active(
        state_folder=workspace.state_folder, environment=workspace.environment, flag=workspace.options.profile
    )
    section = merged_values(folder=workspace.config_folder, profile=chosen.name).get("gateway")
    value = section.get(name) if isinstance(section, dict) else None
    return value if setting.accepts(value) else setting.default

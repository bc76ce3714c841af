"""Where a running gateway is to be found: at the address that it leaves in its state folder, else at the configured one."""

import json
import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from gateway.compose.asking import Credentials, GatewaySaid, Trust, gateway_status
from gateway.compose.certificate import certificate_trust
from gateway.compose.client_keys import admin_key
from gateway.compose.proof import has_proven_itself
from gateway.compose.workspace import Workspace
from gateway.config.load import merged_values
from gateway.config.profiles import active
from gateway.config.settings import SETTINGS
from gateway.domain.address import names_loopback
from gateway.errors import GatewayUnreachable, OtherGateway
from gateway.file_errors import ConfigInvalid
from gateway.files.atomic import sweep, write_atomically
from gateway.files.regular_file import Unreadable, read_regular_file

ADDRESS_FILE: Final = "gateway.json"
_WRITTEN_BY_GATEWAYS: Final = (ADDRESS_FILE, "router.yaml")
_LONGEST_BYTES: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A gateway that answers: its address without a path, what it says of itself, and what it is shown to say so."""

    url: str
    status: Mapping[str, Any]
    credentials: Credentials

    def keeps_state_in(self, folder: Path) -> bool:
        """Whether what it makes last, such as the active profile, lies in that state folder."""
        return _same_folder(self.status.get("state_folder"), folder)


@contextmanager
def address_left(workspace: Workspace) -> Iterator[None]:
    """Leave this process's address in the state folder until the block ends, for commands that are told of no other. Where that
    cannot be written they look where the files have it listen."""
    path = workspace.state_folder / ADDRESS_FILE
    content = json.dumps(
        {"url": workspace.url, "pid": os.getpid(), "config_folder": str(workspace.config_folder.absolute())}
    )
    with suppress(OSError):
        workspace.state_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in _WRITTEN_BY_GATEWAYS:
            sweep(workspace.state_folder / name)
        write_atomically(path, f"{content}\n".encode())
    try:
        yield
    finally:
        with suppress(OSError):
            if _left(path).get("pid") == os.getpid():  # another gateway may have come into its own here since
                path.unlink()


async def running_gateway(workspace: Workspace) -> Running:
    """The gateway that goes by this workspace's configuration: at the address that a command line names, else where one said
    that it listens, else where the files have it listen. Raises ``GatewayUnreachable``, which is an ``OtherGateway`` where the
    one that answers goes by another configuration: that is nobody's to change from here. Raises ``GatewaySaid`` where it asks for
    another key, and ``ConfigInvalid`` for a variable that should hold the admin key, and does not."""
    found = await any_gateway(workspace)
    if is_other(found, workspace=workspace):
        raise OtherGateway(url=found.url, folder=str(found.status.get("config_folder")))
    return found


async def any_gateway(workspace: Workspace) -> Running:
    """As ``running_gateway``, but also one of another configuration that listens at the configured address: to look at."""
    named = workspace.options.url
    if named is not None:
        url = _base(named)
        return await _found(url, workspace=workspace)
    url, left = likely_url(workspace), _left(workspace.state_folder / ADDRESS_FILE).get("url")
    found = await _found_where_left(left, workspace=workspace) if isinstance(left, str) and left != url else None
    return found or await _found(url, workspace=workspace)


async def _found_where_left(url: str, *, workspace: Workspace) -> Running | None:
    """The workspace's gateway at an address that one left: one that was killed leaves it behind, and by now somebody else may
    listen there. Whoever has proven nothing and asks for a key is somebody else."""
    try:
        shown = await _shown(url, workspace=workspace)
        try:
            found = await _asked(url, shown=shown)
        except GatewaySaid:
            if shown.withheld:
                return None
            raise
    except GatewayUnreachable:
        return None
    ours = not is_other(found, workspace=workspace) and found.keeps_state_in(workspace.state_folder)
    return found if ours else None


async def _found(url: str, *, workspace: Workspace) -> Running:
    return await _asked(url, shown=await _shown(url, workspace=workspace))


async def _asked(url: str, *, shown: Credentials) -> Running:
    return Running(url=url, status=await gateway_status(url, credentials=shown), credentials=shown)


async def _shown(url: str, *, workspace: Workspace) -> Credentials:
    """What is shown at ``url``, and taken for its certificate: the admin key only where a person named the address, or a gateway
    of this workspace has proven that it is there. The configured address, too, may be anybody's while no gateway runs. Raises
    ``GatewayUnreachable``, and ``ConfigInvalid`` for a variable that should hold the admin key, and does not."""
    shown = Credentials(key=admin_key(workspace.environment), trust=_trust(url, workspace=workspace))
    if shown.key is None or workspace.options.url is not None:
        return shown
    if await has_proven_itself(url, workspace=workspace, trust=shown.trust):
        return shown
    return replace(shown, key=None, withheld=_withheld(url, workspace=workspace))


def _withheld(url: str, *, workspace: Workspace) -> str:
    return (
        f"the admin key was not shown: what answers at {url} has not proven that it goes by {workspace.config_folder} and"
        f" {workspace.state_folder}; if it is yours, name it with --url"
    )


def _trust(url: str, *, workspace: Workspace) -> tuple[Trust, ...]:
    """Whose certificates are taken for those of a gateway at ``url``: at this workspace's own address its own alone, for whatever
    name; at another that one, and all that the system trusts."""
    try:
        tls_cert = workspace.configuration().gateway.tls_cert
    except ConfigInvalid:
        tls_cert = str(_setting("tls_cert", workspace=workspace))
    own = certificate_trust(tls_cert)
    if not url.startswith("https:") or _is_own_host(url, workspace=workspace):
        return (own,)
    system = ssl.create_default_context()
    return (system,) if own is True else (own, system)


def _is_own_host(url: str, *, workspace: Workspace) -> bool:
    host = _host(url)
    left = _left(workspace.state_folder / ADDRESS_FILE).get("url")
    own = {_host(likely_url(workspace)), _host(left) if isinstance(left, str) else ""}
    return names_loopback(host) or host in own


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def is_other(found: Running, *, workspace: Workspace) -> bool:
    """Whether that gateway goes by another configuration than this workspace's."""
    return not _same_folder(found.status.get("config_folder"), workspace.config_folder)


def likely_url(workspace: Workspace) -> str:
    """The workspace's ``url``; where its files cannot be used, what can be read of them has to do: the gateway that serves on was
    started with better ones."""
    try:
        return workspace.url
    except ConfigInvalid:
        host = str(_setting("host", workspace=workspace))
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host).strip("[]")
    scheme = "https" if _setting("tls_cert", workspace=workspace) else "http"
    return f"{scheme}://{f'[{shown}]' if ':' in shown else shown}:{_setting('port', workspace=workspace)}"


def _base(named: str) -> str:
    """The address that a person named, without ``/v1`` behind it; http unless they say otherwise."""
    url = named.rstrip("/").removesuffix("/v1")
    return url if "://" in url else f"http://{url}"


def _left(path: Path) -> Mapping[str, object]:
    """What a gateway left at ``path``; nothing where that is not what one leaves."""
    try:
        content = json.loads(read_regular_file(path, at_most_bytes=_LONGEST_BYTES))
    except (Unreadable, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _same_folder(told: object, folder: Path) -> bool:
    if not isinstance(told, str):
        return False
    try:
        return Path(told).samefile(folder)
    except (OSError, ValueError):
        return os.path.realpath(told) == os.path.realpath(folder)


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

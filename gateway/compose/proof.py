"""That a gateway goes by this configuration and state folder: what it is known by, and how commands make sure of it."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway.compose.asking import Trust, hear_gateway
from gateway.compose.workspace import Workspace
from gateway.errors import RolegateError
from gateway.vault.identity import CHALLENGE, PROOF, Identity, a_challenge, find_identity, keep_identity

_log = logging.getLogger(__name__)

IDENTITY_FILE: Final = "identity.key"


def own_identity(workspace: Workspace) -> Identity | None:
    """That of the gateway which starts here; ``None`` where none can be kept, and commands that have a key show it to no gateway
    but one that they are told of."""
    try:
        return keep_identity(_file(workspace), config_folder=_config_folder(workspace))
    except RolegateError as error:
        _log.warning("commands cannot make sure of this gateway", extra={"reason": error.message})
        return None


async def has_proven_itself(url: str, *, workspace: Workspace, trust: Sequence[Trust]) -> bool:
    """Whether what answers at ``url`` is a gateway of this workspace. Nothing is shown to it for that. Raises
    ``GatewayUnreachable``."""
    identity = find_identity(_file(workspace), config_folder=_config_folder(workspace))
    if identity is None:
        return False
    challenge = a_challenge()
    heard = await hear_gateway(url, "GET", "/healthz", trust=trust, headers={CHALLENGE: challenge})
    if heard.address is None:
        return False
    host, port = heard.address
    return identity.is_proven(heard.answer.headers.get(PROOF, ""), challenge, host=host, port=port)


def _file(workspace: Workspace) -> Path:
    return workspace.state_folder / IDENTITY_FILE


def _config_folder(workspace: Workspace) -> str:
    return os.path.realpath(workspace.config_folder)

"""What a rendered configuration calls things."""

from typing import Final
from urllib.parse import quote

from gateway.domain.model import ModelRef

MARK: Final = "rolegate"
"""The key under ``model_info`` that says, for the gateway's own use, what a rendered deployment is."""


def cloud_group(role: str) -> str:
    """The group that holds the cloud deployments of a role that has local ones too."""
    return f"{role}.cloud"


def deployment_id(*, role: str, ref: ModelRef) -> str:
    """The id of one deployment, the same in every rendering. Plain ASCII, because LiteLLM sends it in a header."""
    return quote(f"{MARK}/{role}/{ref}", safe="/:@+")

"""A profile that asks for just what serves now. Pure."""

from collections.abc import Mapping
from typing import Final

from gateway.config.compare import same
from gateway.domain.plan import Via
from gateway.domain.selection import Selection
from gateway.domain.trace import TraceEntry

_ROLES: Final = "role_mappings"
_SERVER: Final = "gateway"
_EXPOSE: Final = "expose_models"


def pinned(
    values: Mapping[str, object], *, selection: Selection, expose_models: bool, below: Mapping[str, object]
) -> dict[str, object]:
    """What a profile over ``below`` has to say so that ``values`` hold under it, and every role is served by the models of
    ``selection``, in their order, and by no other. Of the server's own settings only the one counts that a swap takes up."""
    profile = overlay(_served(below), _served(values))
    known = _mapping(below.get(_SERVER)).get(_EXPOSE, True)
    if known is not expose_models:
        profile[_SERVER] = {_EXPOSE: expose_models}
    roles = dict(_mapping(profile.get(_ROLES)))
    for name, plan in selection.plan.roles.items():
        if plan.deployments:
            roles[name] = {**_mapping(roles.get(name)), **_pins(selection.trace(name).entries)}
    return {_ROLES: roles, **{key: value for key, value in profile.items() if key != _ROLES}} if roles else profile


def overlay(below: Mapping[str, object], wanted: Mapping[str, object]) -> dict[str, object]:
    """What has to be laid over ``below`` to come to ``wanted``: what is new or different, and ``None`` for what is to go."""
    laid: dict[str, object] = {}
    for key, value in wanted.items():
        under = below.get(key)
        if isinstance(value, Mapping) and isinstance(under, Mapping):
            if inner := overlay(under, value):
                laid[key] = inner
        elif key not in below or not same(under, value):
            laid[key] = value
    return {**laid, **dict.fromkeys(key for key in below if key not in wanted)}


def _pins(entries: tuple[TraceEntry, ...]) -> dict[str, object]:
    """The models that serve a role; what ``selection.system_default`` brought in stays with that."""
    serving = sorted((one for one in entries if one.order is not None), key=lambda one: one.order or 0)
    return {
        "preferred": [one.model for one in serving if one.via in (Via.PREFERRED, Via.DISCOVERED)],
        "cloud_fallback": [one.model for one in serving if one.via is Via.CLOUD],
        "discover": False,
    }


def _served(values: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in values.items() if key != _SERVER}


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}

"""A layout of the configuration that never was, and the step that leads from it to the first: an older version."""

import hashlib
import json
from collections.abc import Mapping

import pytest

from gateway.config import migrate

OLD_LAYER = {"schema_version": 0, "roles": {"planner": {"models": ["llama3.1:8b"]}}}
OLD_PROFILE = {"schema_version": 0, "roles": {"planner": {"models": ["mistral:latest"]}}}
NEW_PROFILE = {"schema_version": 1, "role_mappings": {"planner": {"preferred": ["mistral:latest"]}}}


def to_the_first(data: Mapping[str, object]) -> dict[str, object]:
    """``roles`` became ``role_mappings``, ``models`` in a role ``preferred``, ``parent`` in a profile ``extends``."""
    named = {{"roles": "role_mappings", "parent": "extends"}.get(key, key): value for key, value in data.items()}
    roles = named.get("role_mappings")
    if isinstance(roles, dict):
        named["role_mappings"] = {name: _role(one) for name, one in roles.items()}
    return named


def know_an_older_format(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files of version 0 be such ones."""
    monkeypatch.setattr(migrate, "STEPS", {0: to_the_first})


def an_old_export(name: str, values: object, *, parents: Mapping[str, object]) -> bytes:
    """What `rolegate profiles export` of that version would have written."""
    told = {
        "format": "rolegate-profile",
        "schema_version": 0,
        "name": name,
        "profile": values,
        "parents": [{"name": one, "profile": above} for one, above in parents.items()],
    }
    canonical = json.dumps(told, sort_keys=True, separators=(",", ":")).encode()
    return json.dumps({**told, "checksum": f"sha256:{hashlib.sha256(canonical).hexdigest()}"}).encode()


def _role(role: object) -> object:
    if not isinstance(role, dict):
        return role
    return {"preferred" if key == "models" else key: value for key, value in role.items()}

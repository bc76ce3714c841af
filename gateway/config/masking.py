"""Configuration as it may be shown: whatever could be a secret is masked, whoever put it there."""

import re
from collections.abc import Mapping
from typing import Final

from gateway.config.set_path import KeyPath, format_set_path
from gateway.errors import BadRequest

MASK: Final = "**********"

_REFERENCE: Final = "os.environ/"
_SECRET_KEY: Final = re.compile(
    r"(?:^|[_-])(?:api[_-]?key|key|secret|password|passphrase|token|authorization|credentials?|cookie)$", re.IGNORECASE
)
_USER_IN_URL: Final = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_KEY_LIKE: Final = re.compile(r"\b(?:sk|pk|rk|gsk|xai|hf|AIza)[-_][A-Za-z0-9_-]{12,}|\bBearer\s+\S+")


def masked(value: object, *, key: str = "") -> object:
    """``value`` as plain data, with secrets replaced: text under a key that is named like one, users and passwords in
    addresses, and what looks like an API key. References to environment variables stay."""
    if isinstance(value, Mapping):
        return {str(name): masked(one, key=str(name)) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [masked(one, key=key) for one in value]
    if not isinstance(value, str) or value.startswith(_REFERENCE):
        return value
    if _SECRET_KEY.search(key):
        return MASK
    return _KEY_LIKE.sub(MASK, _USER_IN_URL.sub(MASK, value))


def restored(values: Mapping[str, object], *, stored: Mapping[str, object]) -> dict[str, object]:
    """``values`` with every mask replaced by what stands at its place in ``stored``, which it was made from. Raises
    ``BadRequest`` for a mask where nothing like it was."""
    return {name: _restored(one, stored.get(name), path=(name,)) for name, one in values.items()}


def _restored(value: object, stored: object, *, path: KeyPath) -> object:
    if isinstance(value, Mapping):
        below = stored if isinstance(stored, Mapping) else {}
        return {name: _restored(one, below.get(name), path=(*path, name)) for name, one in value.items()}
    if isinstance(value, list):
        entries = stored if isinstance(stored, list) else []
        return [
            _restored(one, entries[place] if place < len(entries) else None, path=(*path, place))
            for place, one in enumerate(value)
        ]
    if not isinstance(value, str) or MASK not in value:
        return value
    key = next((str(one) for one in reversed(path) if isinstance(one, str)), "")
    if masked(stored, key=key) != value:
        where = format_set_path(path)
        raise BadRequest(
            f"{where}: found a mask where there is no such secret to keep", param=where, hint="write the value itself"
        )
    return stored

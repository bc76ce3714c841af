"""Configuration as it may be shown: whatever could be a secret is masked, whoever put it there."""

import re
from collections.abc import Mapping
from typing import Final

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

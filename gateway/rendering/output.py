"""A rendered configuration as text."""

from collections.abc import Mapping
from typing import Final

import yaml

_HEAD: Final = (
    "# Written by Rolegate and overwritten by it: edit router_templates/ instead. Keys are references, never values.\n"
)


def to_yaml(config: Mapping[str, object]) -> str:
    """The same configuration as YAML, the same text for the same configuration."""
    return _HEAD + yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True, width=120)

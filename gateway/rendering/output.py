"""A rendered configuration as text, and as a file that survives a kill at any moment."""

import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import yaml

_HEAD: Final = (
    "# Written by Rolegate and overwritten by it: edit router_templates/ instead. Keys are references, never values.\n"
)


def to_yaml(config: Mapping[str, object]) -> str:
    """The same configuration as YAML, the same text for the same configuration."""
    return _HEAD + yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True, width=120)


def write(path: Path, config: Mapping[str, object]) -> None:
    """Put the configuration at ``path``, readable by its owner alone, as a whole or not at all. Raises ``OSError``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(to_yaml(config))
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the new name itself durable, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

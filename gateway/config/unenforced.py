"""What is accepted and has no effect without hot-swap: one table, and a warning for each of its rows that is made use of."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.config.consistency import Finding
from gateway.config.set_path import KeyPath
from gateway.config.wording import found
from gateway.domain.role import Policy

NEEDS_HOT_SWAP: Final = "it has an effect only with hot-swap on"
"""The hint of a warning that a gateway which was started with hot-swap on proves wrong."""
_USUAL: Final = Policy()
_NOT_WRITTEN: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A setting at ``path``. ``usual`` is the value that asks for nothing that does not happen."""

    path: KeyPath
    usual: object


_TABLE: Final = (
    _Row(path=("selection", "thermal", "cool_c"), usual=_USUAL.cool_c),
    _Row(path=("selection", "thermal", "dwell_s"), usual=_USUAL.dwell_s),
    _Row(path=("selection", "canary"), usual=_USUAL.canary),
    _Row(path=("selection", "preload"), usual=_USUAL.preload),
    _Row(path=("selection", "unload"), usual=_USUAL.unload),
)


def unenforced_settings(values: Mapping[str, object]) -> Iterator[Finding]:
    """The settings in merged ``values`` that ask for something that does not happen."""
    if _written(values, ("gateway", "hot_swap")) is True:
        return
    for row in _TABLE:
        value = _written(values, row.path)
        if value is not _NOT_WRITTEN and value != row.usual:
            told = found(value)
            yield Finding(path=row.path, found=told, allowed=found(row.usual), hint=NEEDS_HOT_SWAP, doubtful=True)


def _written(values: object, path: KeyPath) -> object:
    """What stands at ``path``; ``_NOT_WRITTEN`` where nothing does."""
    for key in path:
        if not isinstance(values, Mapping) or key not in values:
            return _NOT_WRITTEN
        values = values[key]
    return values

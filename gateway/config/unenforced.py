"""What is accepted and has no effect in this version, or none without hot-swap: one table, and a warning for each of its rows
that is made use of.

A row goes when the gateway does what the setting says.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.config.consistency import Finding
from gateway.config.environ import Environment
from gateway.config.set_path import KeyPath
from gateway.config.wording import found
from gateway.domain.role import Policy
from gateway.errors import Problem

_ANY: Final = "*"
_NO_EFFECT: Final = "it has no effect in this version"
NEEDS_HOT_SWAP: Final = "it has an effect only with hot-swap on"
"""The hint of a warning that a gateway which was started with hot-swap on proves wrong."""
_USUAL: Final = Policy()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A setting at ``path`` (``*`` is any name), or a variable. ``usual`` is the value that asks for nothing that does not
    happen; ``None`` where only leaving it out does. ``is_key`` marks variables that are to keep others out."""

    path: KeyPath = ()
    variable: str = ""
    usual: object = None
    is_key: bool = False
    hint: str = _NO_EFFECT

    @property
    def allowed(self) -> str:
        return "leaving it out" if self.usual is None else found(self.usual)


_TABLE: Final = (
    _Row(path=("selection", "thermal", "cool_c"), usual=_USUAL.cool_c, hint=NEEDS_HOT_SWAP),
    _Row(path=("selection", "thermal", "dwell_s"), usual=_USUAL.dwell_s, hint=NEEDS_HOT_SWAP),
    _Row(path=("selection", "canary"), usual=_USUAL.canary, hint=NEEDS_HOT_SWAP),
    _Row(path=("selection", "preload"), usual=_USUAL.preload, hint=NEEDS_HOT_SWAP),
    _Row(path=("selection", "unload"), usual=_USUAL.unload, hint=NEEDS_HOT_SWAP),
    _Row(variable="ROLEGATE_CLIENT_KEY", is_key=True),
    _Row(variable="ROLEGATE_CLIENT_KEY_FILE", is_key=True),
    _Row(variable="ROLEGATE_ADMIN_KEY", is_key=True),
    _Row(variable="ROLEGATE_ADMIN_KEY_FILE", is_key=True),
)


def unenforced_settings(values: Mapping[str, object]) -> Iterator[Finding]:
    """The settings in merged ``values`` that ask for something that does not happen."""
    hot_swap = any(value is True for _path, value in _written(values, ("gateway", "hot_swap")))
    for row in _TABLE:
        for path, value in _written(values, row.path):
            if value != row.usual and not (hot_swap and row.hint == NEEDS_HOT_SWAP):
                yield Finding(path=path, found=found(value), allowed=row.allowed, hint=row.hint, doubtful=True)


def unenforced_variables(environment: Environment) -> tuple[Problem, ...]:
    """A warning for each variable that is set in vain. Their values are secrets and are not told."""
    return tuple(
        Problem(file="environment", key_path=row.variable, found="a value", allowed=row.allowed, hint=row.hint)
        for row in _TABLE
        if row.variable and environment.text(row.variable) is not None
    )


def unenforced_keys(environment: Environment) -> tuple[str, ...]:
    """The names of the client and admin key variables that are set: whoever set one believes that strangers are kept out."""
    return tuple(row.variable for row in _TABLE if row.is_key and environment.text(row.variable) is not None)


def _written(values: object, path: KeyPath, above: KeyPath = ()) -> Iterator[tuple[KeyPath, object]]:
    if not path:
        if above:
            yield above, values
        return
    if isinstance(values, Mapping):
        for key in values if path[0] == _ANY else [path[0]]:
            if key in values:
                yield from _written(values[key], path[1:], (*above, key))

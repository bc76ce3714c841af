"""What is done to models (fetched, loaded, unloaded, removed) and what is told of it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from gateway.domain.model import Model, ModelRef, Residency
from gateway.errors import BadRequest

_DURATION: Final = re.compile(r"[+-]?((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))+")
_NONZERO: Final = re.compile(r"[1-9]")
_ZERO: Final = re.compile(r"[+-]?0[0.smhnuµ]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class PullStep:
    """One piece of news from a pull. ``layer`` is the digest of the part it is about, empty when it is about the whole; bytes
    are the layer's, the total ``None`` while nobody knows it."""

    status: str
    layer: str = ""
    done_bytes: int = 0
    total_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One entry of what a server holds in memory: the name and digest it was loaded under (the digest without ``sha256:``,
    empty when unknown), and when the server means to let go of it (RFC 3339 as it said, ``None`` when it says nothing)."""

    name: str
    residency: Residency
    digest: str = ""
    expires: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """A model that is loaded now. ``context_tokens`` is what it was loaded with (``None``: left to the server); ``already`` says
    that it had been so before; ``held`` is the server's own word, ``None`` when it does not tell."""

    ref: ModelRef
    context_tokens: int | None
    took_s: float
    already: bool = False
    held: Held | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnloadReport:
    """What became of an unload. ``gone`` is false while requests in flight keep the model in memory: it goes when they end."""

    ref: ModelRef
    took_s: float
    was_loaded: bool
    gone: bool


def held_as(model: Model, held: Iterable[Held]) -> Held | None:
    """The entry under which ``model`` is in memory: one loaded copy serves all names of the same weights."""
    names = {model.ref.name, *model.aliases}
    for one in held:
        if one.name in names or (one.digest and one.digest == model.digest):
            return one
    return None


def checked_keep_alive(value: object) -> str | int:
    """``value`` as Ollama takes it: seconds as a whole number (below 0 is for ever), or a duration with units (``30m``).

    Raises ``BadRequest`` for anything else, and for zero, with which a load would be an unload.
    """
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+", value):
        value = int(value)
    if type(value) is int and value != 0:
        return value
    if isinstance(value, str) and _DURATION.fullmatch(value) and _NONZERO.search(value):
        return value
    found = f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else repr(value)
    raise BadRequest(
        f"keep_alive: found {found}; allowed: a time with its unit (30m, 1h30m), a number of seconds, or -1 for ever",
        param="keep_alive",
        hint="to let go of a model, unload it" if _ZERO.fullmatch(str(value)) else "",
    )

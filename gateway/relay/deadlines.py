"""How long each part of an attempt may take."""

from math import ceil
from typing import Final, NamedTuple

from gateway.domain.role import Deadlines

PREFILL_TOKENS_S: Final = 50.0
"""The slowest prompt processing that the default first-token deadline of a local model allows for."""


class Limits(NamedTuple):
    """The deadlines of one attempt, in seconds. ``load_s`` is ``None`` where nothing is loaded; ``total_s`` counts from the
    start of the request, over all its attempts."""

    connect_s: float
    load_s: float | None
    first_token_s: float
    gap_s: float
    total_s: float


LOCAL: Final = Limits(connect_s=2.0, load_s=300.0, first_token_s=60.0, gap_s=30.0, total_s=600.0)
CLOUD: Final = Limits(connect_s=5.0, load_s=None, first_token_s=15.0, gap_s=30.0, total_s=600.0)


def limits(*, deadlines: Deadlines, cloud: bool, more_s: float = 0) -> Limits:
    """The role's own deadlines over the defaults of the deployment's kind. Where the role says nothing, a local model gets
    ``more_s`` more to its first token."""
    base = CLOUD if cloud else LOCAL
    first_token_s = deadlines.first_token_s
    if first_token_s is None:
        first_token_s = base.first_token_s if cloud else base.first_token_s + more_s
    return Limits(
        connect_s=_or(deadlines.connect_s, base.connect_s),
        load_s=None if cloud else _or(deadlines.load_s, LOCAL.load_s or 0.0),
        first_token_s=first_token_s,
        gap_s=_or(deadlines.gap_s, base.gap_s),
        total_s=total_s(deadlines, cloud=cloud),
    )


def prefill_s(prompt_tokens: int) -> int:
    """What a prompt adds to the default first-token deadline of a local model, in whole seconds."""
    return ceil(prompt_tokens / PREFILL_TOKENS_S)


def total_s(deadlines: Deadlines, *, cloud: bool) -> float:
    """The total deadline alone."""
    return _or(deadlines.total_s, (CLOUD if cloud else LOCAL).total_s)


def _or(value: float | None, default: float) -> float:
    return default if value is None else value

"""What is remembered of a generation: why there was to be one, and what became of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How an attempt at a new generation ended."""

    ADOPTED = "adopted"
    """It went live."""
    VETOED = "vetoed"
    """A canary spoke against it; the old one serves on."""
    FAILED = "failed"
    """It could not be made; the old one serves on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRecord:
    """One generation, or one that did not come about.

    ``number`` is the generation's, and that of the one which serves on where there was none (0: none does). ``profile`` is
    ``None`` for no profile; ``digest`` that of the plan, empty where none was made. ``started_s`` is epoch seconds; ``ms`` what
    it took from the cause to the moved pointer, or to the failure. ``error`` says why there is none; empty when adopted.
    """

    number: int
    cause: str
    profile: str | None
    digest: str
    changed_roles: tuple[str, ...]
    started_s: float
    ms: float
    outcome: Outcome
    error: str = ""


def other_profile_before(profile: str | None, *, records: Iterable[GenerationRecord]) -> GenerationRecord | None:
    """The last that served by another profile than this one; ``records`` are the newest first. ``None`` where none did. Pure."""
    return next((one for one in records if one.outcome is Outcome.ADOPTED and one.profile != profile), None)


def generation_data(one: GenerationRecord) -> dict[str, object]:
    """A record as plain data, in the shape that commands and routes answer with."""
    return {
        "generation": one.number,
        "cause": one.cause,
        "profile": one.profile,
        "digest": one.digest,
        "changed_roles": list(one.changed_roles),
        "started_s": round(one.started_s, 3),
        "ms": round(one.ms, 1),
        "outcome": one.outcome.value,
        "error": one.error,
    }

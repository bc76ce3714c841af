"""What the gateway says while it starts; whoever started it decides how that looks."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something worth a line: a provider that does not answer, a warning of the configuration."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulling:
    """A model is being fetched; ``phase`` is a word for what is done now, the counts are bytes."""

    name: str
    phase: str
    done_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The gateway serves. ``roles`` maps each role to its deployments in order; ``curl`` is a command that works;
    ``answered`` tells of a real completion (model and milliseconds), empty when none could be had at no cost."""

    url: str
    roles: Mapping[str, tuple[str, ...]]
    degraded: tuple[str, ...]
    generation: int
    profile: str | None
    config_folder: str
    curl: str
    answered: str


Announcement = Note | Pulling | Ready

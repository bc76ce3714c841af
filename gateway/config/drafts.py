"""A configuration as it would be with some files written: judged before anything is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from gateway.config import profiles
from gateway.config.destinations import Keyed
from gateway.config.environ import Environment
from gateway.config.load import judge, require_known_destinations
from gateway.errors import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Files of ``folder`` as they are to be, by path. ``profile`` is the one with which the whole must hold."""

    folder: Path
    files: Mapping[Path, bytes]
    profile: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What a draft is judged with beside the files: what stands above them, and which profile is active.

    ``flag`` is the profile of a command line, ``settings`` are server settings by name, as ``load`` takes them. ``keyed`` is for
    edits by people who are not to have the providers' keys: they cannot say where one goes. ``None``: whoever edits may.
    """

    state_folder: Path
    environment: Environment
    flag: str | None = None
    settings: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    keyed: Keyed | None = None

    def judge(self, draft: Draft) -> tuple[Problem, ...]:
        """What is doubtful in the draft. Raises ``ConfigInvalid`` with every problem: of the whole with ``draft.profile``
        active, or, where that holds, with any other profile active with which the whole holds now."""
        active = self.active
        if draft.profile != active.name:
            active = profiles.ActiveProfile(name=draft.profile, chosen_by="flag", state_file=active.state_file)
        doubts = judge(
            folder=draft.folder,
            chosen=active,
            environment=self.environment,
            staged=draft.files,
            flags=self.settings,
        )
        if self.keyed is not None and draft.files:
            require_known_destinations(folder=draft.folder, staged=draft.files, keyed=self.keyed)
        return doubts

    @property
    def active(self) -> profiles.ActiveProfile:
        """The profile that is active, and who chose it."""
        return profiles.active(state_folder=self.state_folder, environment=self.environment, flag=self.flag)

"""Profiles: which there are, what each extends, and which one is active."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from gateway.config.document import Document
from gateway.config.edition import take_lock
from gateway.config.environ import Environment
from gateway.config.layers import PROFILE_NAME, FolderFiles, scan
from gateway.config.migrate import read_current
from gateway.config.wording import listed, quoted
from gateway.domain.nearest import nearest_name
from gateway.errors import Problem, UnknownName
from gateway.file_errors import ConfigInvalid
from gateway.files.atomic import write_atomically
from gateway.files.regular_file import Unreadable, read_regular_file

STATE_FILE: Final = "active_profile"
_CHOICE_LOCK: Final = ".active_profile.lock"
_LONGEST_NAME_BYTES: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveProfile:
    """The chosen profile and who chose it. ``name`` is ``None`` when none is active."""

    name: str | None
    chosen_by: Literal["flag", "variable", "persisted", "nobody"]
    state_file: Path

    @property
    def place(self) -> tuple[str, str]:
        """File and key path to blame when the name is wrong."""
        if self.chosen_by == "flag":
            return "command line", "--profile"
        if self.chosen_by == "variable":
            return "environment", "ROLEGATE_PROFILE"
        return str(self.state_file), ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileSummary:
    """One profile as a list shows it. ``problems`` are those of its own file and of what it extends by name; whether the whole
    holds with it is for ``load.check`` to say."""

    name: str
    file: Path
    active: bool
    extends: str | None = None
    description: str = ""
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileDetail:
    """One profile's own content. ``chain`` names it and what it extends, itself first."""

    summary: ProfileSummary
    chain: tuple[str, ...]
    values: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A profile and what it extends, itself first. ``missing`` is a parent that does not exist; ``cycle`` the names around,
    first and last the same. ``at`` is the profile whose ``extends`` is to blame for either."""

    names: tuple[str, ...]
    missing: str | None = None
    cycle: tuple[str, ...] = ()
    at: str = ""


def active(*, state_folder: Path, environment: Environment, flag: str | None = None) -> ActiveProfile:
    """The active profile: flag ▸ ``ROLEGATE_PROFILE`` ▸ what ``use`` persisted ▸ none. An empty flag means none."""
    state_file = state_folder / STATE_FILE
    if flag is not None:
        return ActiveProfile(name=flag or None, chosen_by="flag", state_file=state_file)
    if environment.profile is not None:
        return ActiveProfile(name=environment.profile, chosen_by="variable", state_file=state_file)
    persisted = _persisted(state_file)
    chosen_by: Literal["persisted", "nobody"] = "nobody" if persisted is None else "persisted"
    return ActiveProfile(name=persisted, chosen_by=chosen_by, state_file=state_file)


def use(name: str | None, *, folder: Path, state_folder: Path) -> None:
    """Persist ``name`` as the active profile; ``None`` for no profile. Raises ``UnknownName``, or ``OSError`` when the state
    folder cannot be written."""
    if name is not None:
        _require(name, scan(folder).profiles)
    state_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with choosing(state_folder=state_folder):
        if name is not None:
            _require(name, scan(folder).profiles)  # it may have been deleted meanwhile
        persist(name, state_folder=state_folder)


@contextmanager
def choosing(*, state_folder: Path) -> Iterator[None]:
    """Keep the choice of the active profile as it is until the block ends, but for the block's own ``persist``.

    Where there is no such folder, or this user may not write in it, there is nobody to keep out.
    """
    try:
        descriptor = take_lock(state_folder, name=_CHOICE_LOCK)
    except OSError:
        yield
        return
    try:
        yield
    finally:
        os.close(descriptor)


def persist(name: str | None, *, state_folder: Path) -> None:
    """What ``use`` does once the name is known to be good, within ``choosing``. Raises ``OSError``."""
    if name is None:
        (state_folder / STATE_FILE).unlink(missing_ok=True)
    else:
        write_atomically(state_folder / STATE_FILE, f"{name}\n".encode())


def names(*, folder: Path) -> tuple[str, ...]:
    """The names of all profiles, sorted. Raises ``ConfigInvalid`` where their folder cannot be listed."""
    return tuple(sorted(_listed(folder).profiles))


def overview(*, folder: Path, active_name: str | None) -> tuple[ProfileSummary, ...]:
    """All profiles, by name. Raises ``ConfigInvalid`` where their folder, or the one it is in, cannot be listed."""
    files = _listed(folder)
    documents = {name: read_current(path) for name, path in sorted(files.profiles.items())}
    parents = _parents(documents)
    return tuple(
        _summary(name, files, documents, walked=chain(name, parents=parents), active_name=active_name)
        for name in documents
    )


def show(name: str, *, folder: Path, active_name: str | None) -> ProfileDetail:
    """One profile. Raises ``UnknownName``."""
    files = scan(folder)
    _require(name, files.profiles)
    documents: dict[str, Document] = {}
    pending: str | None = name
    while pending is not None and pending in files.profiles and pending not in documents:
        documents[pending] = read_current(files.profiles[pending])
        pending = extends_of(documents[pending])
    walked = chain(name, parents=_parents(documents))
    return ProfileDetail(
        summary=_summary(name, files, documents, walked=walked, active_name=active_name),
        chain=walked.names,
        values=documents[name].data or {},
    )


def chain(name: str, *, parents: Mapping[str, str | None]) -> Chain:
    """Follow ``extends`` from ``name``. ``parents`` holds every profile there is. Pure."""
    walked, seen = [name], {name}
    while (parent := parents.get(walked[-1])) is not None:
        if parent in seen:
            return Chain(names=tuple(walked), cycle=(*walked[walked.index(parent) :], parent), at=walked[-1])
        if parent not in parents:
            return Chain(names=tuple(walked), missing=parent, at=walked[-1])
        walked.append(parent)
        seen.add(parent)
    return Chain(names=tuple(walked))


def parents_first(parents: Mapping[str, str | None]) -> tuple[str, ...]:
    """The profiles whose chain has neither a cycle nor a missing parent, each behind what it extends. Pure."""
    ordered: dict[str, None] = {}
    walked: set[str] = set()
    for name in parents:
        path: list[str] = []
        at: str | None = name
        while at is not None and at in parents and at not in walked:
            walked.add(at)
            path.append(at)
            at = parents[at]
        if at is None or at in ordered:
            ordered |= dict.fromkeys(reversed(path))
    return tuple(ordered)


def extends_of(document: Document) -> str | None:
    """The parent a profile's file names, if it names one rightly."""
    parent = (document.data or {}).get("extends")
    return parent if isinstance(parent, str) and PROFILE_NAME.fullmatch(parent) else None


def chain_problem(broken: Chain, *, documents: Mapping[str, Document]) -> Problem | None:
    """What is wrong with a chain, said at the ``extends`` that breaks it."""
    if not broken.at:
        return None
    if broken.cycle:
        return documents[broken.at].problem(
            ("extends",),
            found=f"a cycle: {' > '.join(broken.cycle)}",
            allowed="profiles that extend each other without coming back",
        )
    return documents[broken.at].problem(
        ("extends",),
        found=f"the unknown profile {quoted(str(broken.missing))}",
        allowed=listed(sorted(documents)),
        nearest=nearest_name(str(broken.missing), sorted(documents)),
    )


def unknown_profile(chosen: ActiveProfile, *, known: Mapping[str, Path]) -> Problem:
    """The problem of an active profile that does not exist."""
    file, key_path = chosen.place
    hint = "choose another with `rolegate profiles use`" if chosen.chosen_by == "persisted" else ""
    return Problem(
        file=file,
        key_path=key_path,
        found=f"the unknown profile {quoted(str(chosen.name))}",
        allowed=listed(sorted(known)),
        nearest=nearest_name(str(chosen.name), sorted(known)),
        hint=hint,
    )


def _summary(
    name: str, files: FolderFiles, documents: Mapping[str, Document], *, walked: Chain, active_name: str | None
) -> ProfileSummary:
    """``documents`` are at least those that were ``walked`` through."""
    # The schema takes a while to import, and commands that only ask which profile is active do without it.
    from gateway.config.complaints import schema_problems
    from gateway.config.schema import ProfileFile

    document = documents[name]
    description = (document.data or {}).get("description")
    found = (
        files.profile_problems.get(name),
        *document.problems,
        *schema_problems(document, model=ProfileFile),
        chain_problem(walked, documents={one: documents.get(one, document) for one in files.profiles})
        if walked.at
        else None,
    )
    return ProfileSummary(
        name=name,
        file=files.profiles[name],
        active=name == active_name,
        extends=extends_of(document),
        description=description if isinstance(description, str) else "",
        problems=tuple(one for one in found if one is not None),
    )


def _parents(documents: Mapping[str, Document]) -> dict[str, str | None]:
    return {name: extends_of(document) for name, document in documents.items()}


def _listed(folder: Path) -> FolderFiles:
    files = scan(folder)
    if files.unlisted:
        raise ConfigInvalid(files.unlisted)
    return files


def _require(name: str, known: Mapping[str, Path]) -> None:
    if name not in known:
        raise UnknownName(kind="profile", name=name, known=sorted(known), nearest=nearest_name(name, sorted(known)))


def _persisted(path: Path) -> str | None:
    """The name in the state file. What cannot be read or is no text comes back as a name that no profile has, so that it is
    reported rather than passed over."""
    if not os.path.lexists(path):
        return None
    try:
        content = read_regular_file(path, at_most_bytes=_LONGEST_NAME_BYTES)
    except Unreadable as exc:
        return f"({exc.found})"
    return content.decode("utf-8", errors="replace").strip() or None

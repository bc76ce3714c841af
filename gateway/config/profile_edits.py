"""Editing profiles: create, copy, change, delete, each judged as a whole before anything is written.

Every function that writes takes the lock of the configuration folder, and blocks. ``expected`` is the etag that the edit started
from: ``edition.ABSENT`` where the profile must not be there yet, ``None`` where whatever is there may go. All raise
``EditConflict``, ``ConfigInvalid`` (nothing is changed), ``CannotWrite``, ``UnknownName`` for a profile that there is not, and
``BadRequest`` for a name or an assignment that is none.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.config import profiles
from gateway.config.assignments import assigned, parse_assignments
from gateway.config.document import MAX_FILE_BYTES, Document, document_of, syntax_of
from gateway.config.drafts import Check, Draft
from gateway.config.edition import cannot_write, editing, remove_checked, require
from gateway.config.edits import content_of, write
from gateway.config.environ import Environment
from gateway.config.layers import PROFILES_FOLDER, FolderFiles, scan
from gateway.config.load import merged_values
from gateway.config.migrate import current, stamped
from gateway.config.wording import listed, quoted
from gateway.domain.nearest import nearest_name
from gateway.errors import BadRequest, NameTaken, Problem, ProfileInUse, UnknownName
from gateway.file_errors import ConfigInvalid
from gateway.files.etag import ABSENT, etag
from gateway.files.regular_file import Unreadable, read_regular_file

_LONGEST_NAME: Final = 128
NEW_NAME: Final = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9_.-]{{0,{_LONGEST_NAME - 1}}}")
_NEW_NAME_ALLOWED: Final = "letters, digits, _, - and . (the last two not first)"
"""A file may be called ``-x``, but a command line takes that for an option."""
_SUCCESSOR_HINT: Final = "name a successor, which becomes the active profile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """One profile as it lies on disk. ``text`` is the operator's own; ``values`` are empty where ``problems`` leave none."""

    name: str
    path: Path
    text: str
    values: Mapping[str, object]
    etag: str
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """What an edit did. ``changed`` is false where the file held just that already; ``rewritten`` says that comments in the file
    gave way, ``backup`` keeps what was in it where they did, or where that was in an older form; ``warnings`` are what is
    doubtful in the whole with this profile active."""

    name: str
    path: Path
    etag: str
    created: bool
    changed: bool
    rewritten: bool = False
    backup: Path | None = None
    warnings: tuple[Problem, ...] = ()


def read(name: str, *, folder: Path) -> Edition:
    """One profile's text, values and etag. A broken one is read too; ``ConfigInvalid`` only where there is no text."""
    path = path_of(name, _listed(folder))
    content, document = read_file(path)
    if content is None:
        raise ConfigInvalid(document.problems)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ConfigInvalid(document.problems) from exc
    return Edition(
        name=name,
        path=path,
        text=text,
        values=document.data or {},
        etag=etag(content),
        problems=document.problems,
    )


def create(name: str, *, folder: Path, check: Check, values: Mapping[str, object] | None = None) -> Edited:
    """A new profile, as JSON. Raises ``NameTaken``."""
    with editing(folder):
        path = _new(name, _listed(folder), suffix=".json")
        return _put(name, path, stamped(values or {}), folder=folder, check=check, expected=ABSENT)


def copy(name: str, new: str, *, folder: Path, check: Check) -> Edited:
    """A new profile with the text of another, comments and all. Raises ``NameTaken``."""
    with editing(folder):
        files = _listed(folder)
        source = path_of(name, files)
        content, document = read_file(source)
        if content is None:
            raise ConfigInvalid(document.problems)
        path = _new(new, files, suffix=source.suffix)
        return _write(new, path, content, folder=folder, check=check, expected=ABSENT)


def put(name: str, values: Mapping[str, object], *, folder: Path, check: Check, expected: str | None = None) -> Edited:
    """Make ``values`` the whole content of a profile, which is created where it is not there."""
    with editing(folder):
        path = path_of(name, _listed(folder), suffix=".json")
        return _put(name, path, values, folder=folder, check=check, expected=expected)


def put_text(name: str, text: str, *, folder: Path, check: Check, expected: str | None = None) -> Edited:
    """Make ``text`` the content of a profile, just as it is: JSON or YAML, as the profile's file has it. A new one is JSON where
    it begins like JSON, else YAML."""
    try:
        content = text.encode()
    except UnicodeEncodeError as exc:
        raise BadRequest("the text has half a surrogate pair in it, which UTF-8 cannot hold") from exc
    with editing(folder):
        path = path_of(name, _listed(folder), suffix=".json" if text.lstrip()[:1] in ("", "{") else ".yaml")
        return _write(name, path, content, folder=folder, check=check, expected=expected)


def assign(name: str, assignments: Sequence[str], *, folder: Path, check: Check, expected: str | None = None) -> Edited:
    """Change single values: ``KEY=JSON`` with a set path before the first ``=``. What is no JSON is text; nothing behind the
    ``=`` takes the key out of the profile. A place in a list that a layer below sets changes a copy of that list."""
    changes = parse_assignments(assignments)
    with editing(folder):
        path = path_of(name, _listed(folder))
        seen, document = file_at(path, expected=expected)
        if document.data is None:
            raise ConfigInvalid(document.problems)
        below = merged_values(folder=folder, profile=name, below=path)
        values = assigned(document.data, changes, below=below)
        return _put(name, path, values, folder=folder, check=check, expected=seen)


def delete(name: str, *, folder: Path, check: Check, successor: str | None = None, expected: str | None = None) -> bool:
    """Delete a profile. ``successor`` becomes the active one first where ``name`` is (empty: no profile), which is answered with
    true; it must hold. Raises ``ProfileInUse`` where the profile is active and no successor is named, or others extend it."""
    with editing(folder):
        files = _listed(folder)
        path = path_of(name, files)
        require(path, expected=expected)
        children = [one for one in sorted(files.profiles) if _extends(files.profiles[one]) == name]
        if children:
            why = f"{listed(children)} {'extends' if len(children) == 1 else 'extend'} it"
            raise ProfileInUse(name=name, why=why, hint="let them extend another profile, or delete them first")
        if successor == name:
            raise BadRequest(f'the profile "{name}" cannot be its own successor')
        if successor:
            path_of(successor, files)
        with profiles.choosing(state_folder=check.state_folder):
            succeeded = _active(name, check=check)
            if succeeded:
                if successor is None:
                    raise ProfileInUse(name=name, why="it is the active one", hint=_SUCCESSOR_HINT)
                check.judge(Draft(folder=folder, files={}, profile=successor or None))
                _persist(successor or None, check=check)
            try:
                remove_checked(path, expected=expected)
            except BaseException:
                if succeeded:
                    _persist(name, check=check)
                raise
    return succeeded


def file_at(path: Path, *, expected: str | None = None) -> tuple[str, Document]:
    """What the file at ``path`` holds, a document without anything where none is, and its etag: for whoever writes what follows
    from it. Raises ``EditConflict`` where it is not as ``expected``, ``ConfigInvalid`` where it cannot be read."""
    if not os.path.lexists(path):
        seen, document = ABSENT, Document(file=str(path), syntax=syntax_of(path))
    else:
        content, document = read_file(path)
        if content is None:
            raise ConfigInvalid(document.problems)
        seen = etag(content)
    if expected not in (None, seen):
        require(path, expected=expected)
    return seen, document


def read_file(path: Path) -> tuple[bytes | None, Document]:
    """The bytes of a file and what they hold, from one look at it, in the newest form of the format."""
    file, syntax = str(path), syntax_of(path)
    try:
        content = read_regular_file(path, at_most_bytes=MAX_FILE_BYTES)
    except Unreadable as exc:
        problem = Problem(file=file, found=exc.found, allowed=exc.allowed, hint=exc.hint)
        return None, Document(file=file, syntax=syntax, problems=(problem,))
    return content, current(document_of(content, file=file, syntax=syntax))


def require_new(name: str, *, folder: Path) -> None:
    """Raise what ``create`` would for this name, before anybody is asked what is to be in the profile."""
    _new(name, _listed(folder), suffix=".json")


def require_name(name: str) -> None:
    """Raise ``BadRequest`` where no profile can be called ``name``."""
    if not NEW_NAME.fullmatch(name):
        raise BadRequest(
            f"found the profile name {quoted(name)}; allowed: {_NEW_NAME_ALLOWED}, at most {_LONGEST_NAME} of them",
            param="name",
        )


def _put(
    name: str, path: Path, values: Mapping[str, object], *, folder: Path, check: Check, expected: str | None
) -> Edited:
    content = content_of(values, document=read_file(path)[1])
    return _write(name, path, content, folder=folder, check=check, expected=expected, own_text=False)


def _write(
    name: str,
    path: Path,
    content: bytes,
    *,
    folder: Path,
    check: Check,
    expected: str | None,
    own_text: bool = True,
) -> Edited:
    done = write(path, content, folder=folder, check=check, profile=name, expected=expected, own_text=own_text)
    return Edited(
        name=name,
        path=path,
        etag=done.etag,
        created=done.created,
        changed=done.changed,
        rewritten=done.rewritten,
        backup=done.backup,
        warnings=done.warnings,
    )


def _listed(folder: Path) -> FolderFiles:
    files = scan(folder)
    if files.unlisted:
        raise ConfigInvalid(files.unlisted)
    return files


def path_of(name: str, files: FolderFiles, *, suffix: str | None = None) -> Path:
    """The file of a profile; where there is none, the one with ``suffix`` that it would have. Without a suffix, raises
    ``UnknownName``; ``ConfigInvalid`` where two files claim the name."""
    if name not in files.profiles:
        if suffix is None:
            known = sorted(files.profiles)
            raise UnknownName(kind="profile", name=name, known=known, nearest=nearest_name(name, known))
        require_name(name)
        return files.folder / PROFILES_FOLDER / f"{name}{suffix}"
    if name in files.profile_problems:
        raise ConfigInvalid([files.profile_problems[name]])
    return files.profiles[name]


def _new(name: str, files: FolderFiles, *, suffix: str) -> Path:
    if name in files.profiles:
        hint = "choose another name, or edit that one"
        raise NameTaken(kind="profile", name=name, place=str(files.profiles[name]), hint=hint)
    return path_of(name, files, suffix=suffix)


def _extends(path: Path) -> str | None:
    return profiles.extends_of(read_file(path)[1])


def _persist(name: str | None, *, check: Check) -> None:
    try:
        profiles.persist(name, state_folder=check.state_folder)
    except OSError as exc:
        raise cannot_write(check.state_folder / profiles.STATE_FILE, exc) from exc


def _active(name: str, *, check: Check) -> bool:
    """Whether ``name`` is active as far as a successor can take its place. Raises ``ProfileInUse`` where somebody chose it who
    stands above what is persisted."""
    chosen = check.active
    if chosen.name == name and chosen.chosen_by in ("flag", "variable"):
        file, key_path = chosen.place
        why = f"it is the active one, by {key_path} ({file})"
        raise ProfileInUse(name=name, why=why, hint="choose another one there first")
    nothing_set = Environment(variables={})
    return profiles.active(state_folder=check.state_folder, environment=nothing_set).name == name

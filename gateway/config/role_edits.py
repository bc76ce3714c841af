"""Editing roles: what the operator says of them in ``user_models``, with the care that profiles are edited with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from gateway.config.assignments import Assignment, assigned, parse_assignment, parse_assignments
from gateway.config.document import Document
from gateway.config.drafts import Check
from gateway.config.edition import editing
from gateway.config.edits import Written, content_of, write
from gateway.config.layers import scan
from gateway.config.load import merged_values
from gateway.config.merge import Layer
from gateway.config.migrate import stamped
from gateway.config.profile_edits import file_at, read_file
from gateway.domain.nearest import nearest_name
from gateway.errors import BadRequest, NameTaken, Problem, UnknownName
from gateway.file_errors import ConfigInvalid, EditConflict
from gateway.files.etag import ABSENT

_SECTION: Final = "role_mappings"
_NEW_FILE: Final = "user_models.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class EditedRole:
    """What an edit of a role did. ``profiles`` are those that speak of the role too: they stand above ``user_models``.
    ``rewritten`` says that comments in the file gave way, ``backup`` keeps what was in it where they did, or where that was in
    an older form."""

    role: str
    path: Path
    etag: str
    changed: bool
    rewritten: bool = False
    backup: Path | None = None
    profiles: tuple[str, ...] = ()
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RolesRead:
    """The roles there are, and what ``user_models`` says of each: ``None`` where it says nothing. ``etag`` is that of the file,
    ``ABSENT`` where there is none yet; ``profiles`` are those that speak of the role too."""

    path: Path
    etag: str
    own: Mapping[str, Mapping[str, object] | None]
    profiles: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _UserModels:
    """The layer that is edited, what lies below it, and the roles that there are under the active profile."""

    path: Path
    etag: str
    document: Document
    below: Mapping[str, object]
    roles: tuple[str, ...]


def read_roles(*, folder: Path, check: Check) -> RolesRead:
    """Every role under the active profile, with what ``user_models`` itself says of it. Raises ``ConfigInvalid``."""
    layer = _user_models(folder, check=check, expected=None)
    own = _mapping(_values(layer))
    entries = {role: own.get(role) for role in layer.roles}
    return RolesRead(
        path=layer.path,
        etag=layer.etag,
        own={role: entry if isinstance(entry, Mapping) else None for role, entry in entries.items()},
        profiles={role: _speaking(role, folder) for role in layer.roles},
    )


def put_role(
    role: str,
    values: Mapping[str, object],
    *,
    folder: Path,
    check: Check,
    expected: str | None = None,
    new: bool = False,
) -> tuple[EditedRole, bool]:
    """Make ``values`` all that ``user_models`` says of a role; whether there was no such role before. Raises ``EditConflict``
    where there was one that is to be ``new``, or where the file is not as ``expected``."""
    with editing(folder):
        layer = _user_models(folder, check=check, expected=expected)
        if new and role in layer.roles:
            raise EditConflict(file=f'the role "{role}"', expected=None, found=layer.etag)
        change = Assignment(path=(_SECTION, role), value=values)
        edited = _write(role, layer, assigned(_values(layer), [change], below={}), folder=folder, check=check)
    return edited, role not in layer.roles


def set_role(
    role: str, assignments: Sequence[str], *, folder: Path, check: Check, expected: str | None = None
) -> EditedRole:
    """Change values of a role: ``KEY=JSON`` with set paths below the role, as ``profile_edits.assign`` takes them. Raises
    ``UnknownName`` for a role that no layer and no active profile has."""
    changes = [_below_role(role, one) for one in parse_assignments(assignments)]
    with editing(folder):
        layer = _user_models(folder, check=check, expected=expected)
        _require_role(role, layer)
        values = assigned(_values(layer), changes, below=layer.below)
        return _write(role, layer, values, folder=folder, check=check)


def add_role(
    role: str, assignments: Sequence[str] = (), *, folder: Path, check: Check, expected: str | None = None
) -> EditedRole:
    """A new role. What a lower layer says of one of that name, which was removed, stays removed. Raises ``NameTaken`` where there
    is one."""
    changes = [_below_role(role, parse_assignment(one)) for one in assignments]
    with editing(folder):
        layer = _user_models(folder, check=check, expected=expected)
        if role in layer.roles:
            hint = f"change it with `rolegate roles set {role}`"
            raise NameTaken(kind="role", name=role, place=str(folder), hint=hint)
        hidden = _mapping(layer.below).get(role)
        empty = dict.fromkeys(hidden) if isinstance(hidden, Mapping) else {}
        fresh = Assignment(path=(_SECTION, role), value=empty)
        values = assigned(_values(layer), [fresh, *changes], below={})
        return _write(role, layer, values, folder=folder, check=check)


def remove_role(role: str, *, folder: Path, check: Check, expected: str | None = None) -> EditedRole:
    """Remove a role: it is taken out of ``user_models``, and ``null`` is put there where a lower layer sets it. Raises
    ``UnknownName``. Profiles that speak of it (``profiles`` of the result) keep what they say."""
    with editing(folder):
        layer = _user_models(folder, check=check, expected=expected)
        _require_role(role, layer)
        values = _values(layer)
        if role in _roles(layer.below):
            change = Assignment(path=(_SECTION, role), value=None)
        elif role in _mapping(values):
            change = Assignment(path=(_SECTION, role), removes=True)
        else:
            named = ", ".join(_speaking(role, folder)) or "the active one"
            raise BadRequest(f'the role "{role}" is set by profiles only: {named}', hint="take it out of them")
        return _write(role, layer, assigned(values, [change], below={}), folder=folder, check=check)


def _user_models(folder: Path, *, check: Check, expected: str | None) -> _UserModels:
    files = scan(folder)
    if files.problems:
        raise ConfigInvalid(files.problems)
    path = next((path for layer, path in files.layers if layer is Layer.USER_MODELS), folder / _NEW_FILE)
    seen, document = file_at(path, expected=expected)
    if seen != ABSENT and document.data is None:
        raise ConfigInvalid(document.problems)
    new = {path: b"{}"} if seen == ABSENT else {}
    whole = merged_values(folder=folder, profile=check.active.name)
    return _UserModels(
        path=path,
        etag=seen,
        document=document,
        below=merged_values(folder=folder, profile=None, below=path, staged=new),
        roles=tuple(sorted(_roles(whole))),
    )


def _values(layer: _UserModels) -> Mapping[str, object]:
    return layer.document.data if layer.document.data is not None else stamped({})


def _write(
    role: str,
    layer: _UserModels,
    values: Mapping[str, object],
    *,
    folder: Path,
    check: Check,
) -> EditedRole:
    content = content_of(values, document=layer.document)
    done: Written = write(
        layer.path, content, folder=folder, check=check, profile=check.active.name, expected=layer.etag
    )
    return EditedRole(
        role=role,
        path=layer.path,
        etag=done.etag,
        changed=done.changed,
        rewritten=done.rewritten,
        backup=done.backup,
        profiles=_speaking(role, folder),
        warnings=done.warnings,
    )


def _below_role(role: str, one: Assignment) -> Assignment:
    return replace(one, path=(_SECTION, role, *one.path))


def _require_role(role: str, layer: _UserModels) -> None:
    if role not in layer.roles:
        nearest = nearest_name(role, layer.roles)
        raise UnknownName(kind="role", name=role, known=layer.roles, nearest=nearest)


def _mapping(values: Mapping[str, object]) -> Mapping[str, object]:
    section = values.get(_SECTION)
    return section if isinstance(section, Mapping) else {}


def _roles(values: Mapping[str, object]) -> frozenset[str]:
    return frozenset(name for name, entry in _mapping(values).items() if entry is not None)


def _speaking(role: str, folder: Path) -> tuple[str, ...]:
    """The profiles that set something of the role."""
    files = scan(folder)
    return tuple(sorted(name for name, path in files.profiles.items() if role in _roles(read_file(path)[1].data or {})))

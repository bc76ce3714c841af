"""Roles of one installation, as the live gateway's admin routes see them."""

from collections.abc import Mapping

from gateway.api.admin_edits import Precondition, Stored
from gateway.api.admin_roles import WrittenRole
from gateway.compose.editing import check_of
from gateway.compose.workspace import Workspace
from gateway.config import role_edits
from gateway.config.masking import masked, restored
from gateway.config.role_edits import EditedRole, RolesRead
from gateway.domain.nearest import nearest_name
from gateway.errors import UnknownName


class RoleDesk:
    """Implements ``RoleShelf``."""

    def __init__(self, workspace: Workspace) -> None:
        self._folder = workspace.config_folder
        self._check = check_of(workspace)

    def listing(self) -> Stored:
        there = self._there()
        roles = [
            {"role": role, "own": masked(own), "profiles": list(there.profiles[role])}
            for role, own in there.own.items()
        ]
        return Stored(values={"file": str(there.path), "roles": roles}, etag=there.etag)

    def read(self, role: str) -> Stored:
        there = self._there()
        _require(role, there)
        own = there.own[role] or {}
        return Stored(values={key: masked(one, key=key) for key, one in own.items()}, etag=there.etag)

    def write(self, role: str, values: Mapping[str, object], *, precondition: Precondition) -> WrittenRole:
        there = self._there()
        new = precondition.absent
        if not new:
            _require(role, there)
        expected = None if new else precondition.expected(there.etag)
        whole = restored(values, stored=there.own.get(role) or {})
        edited, created = role_edits.put_role(
            role, whole, folder=self._folder, check=self._check, expected=expected, new=new
        )
        return _written(edited, created=created)

    def change(self, role: str, assignments: tuple[str, ...], *, precondition: Precondition) -> WrittenRole:
        expected = self._expected(precondition)
        return _written(
            role_edits.set_role(role, assignments, folder=self._folder, check=self._check, expected=expected)
        )

    def remove(self, role: str, *, precondition: Precondition) -> WrittenRole:
        expected = self._expected(precondition)
        return _written(role_edits.remove_role(role, folder=self._folder, check=self._check, expected=expected))

    def _there(self) -> RolesRead:
        return role_edits.read_roles(folder=self._folder, check=self._check)

    def _expected(self, precondition: Precondition) -> str | None:
        """The version to insist on where one is; ``None`` where whatever is there will do."""
        return None if precondition.absent else precondition.expected(self._there().etag)


def _require(role: str, there: RolesRead) -> None:
    if role not in there.own:
        known = sorted(there.own)
        raise UnknownName(kind="role", name=role, known=known, nearest=nearest_name(role, known))


def _written(edited: EditedRole, *, created: bool = False) -> WrittenRole:
    return WrittenRole(etag=edited.etag, created=created, profiles=edited.profiles)

"""Profiles of one installation, as the live gateway's admin routes see them."""

from collections.abc import Callable, Mapping

from gateway.api.admin_profiles import Precondition, Stored
from gateway.compose.editing import check_of, summary_data
from gateway.compose.workspace import Workspace
from gateway.config import profile_edits
from gateway.config.edition import ABSENT
from gateway.config.masking import masked, restored
from gateway.config.profiles import overview
from gateway.errors import ConfigInvalid


class ProfileDesk:
    """Implements ``ProfileShelf``. ``active`` names the profile that serves now."""

    def __init__(self, workspace: Workspace, *, active: Callable[[], str | None]) -> None:
        self._folder = workspace.config_folder
        self._check = check_of(workspace)
        self._active = active

    def listing(self) -> Mapping[str, object]:
        active = self._active()
        return {
            "active": active,
            "profiles": [summary_data(one) for one in overview(folder=self._folder, active_name=active)],
        }

    def read(self, name: str) -> Stored:
        edition = profile_edits.read(name, folder=self._folder)
        if edition.problems and not edition.values:
            raise ConfigInvalid(edition.problems)
        return Stored(values={key: masked(one, key=key) for key, one in edition.values.items()}, etag=edition.etag)

    def write(self, name: str, values: Mapping[str, object], *, precondition: Precondition) -> tuple[Stored, bool]:
        expected = ABSENT
        stored: Mapping[str, object] = {}
        if not precondition.absent:
            # The version that the masks were put over is the one that may be replaced, and no other.
            edition = profile_edits.read(name, folder=self._folder)
            expected, stored = _expected(precondition, etag=edition.etag), edition.values
        whole = restored(values, stored=stored)
        edited = profile_edits.put(name, whole, folder=self._folder, check=self._check, expected=expected)
        return Stored(values=values, etag=edited.etag), edited.created

    def delete(self, name: str, *, successor: str | None, precondition: Precondition) -> None:
        expected = None
        if not precondition.absent:
            expected = _expected(precondition, etag=profile_edits.read(name, folder=self._folder).etag)
        profile_edits.delete(name, folder=self._folder, check=self._check, successor=successor, expected=expected)


def _expected(precondition: Precondition, *, etag: str) -> str:
    """The version to insist on: the one that is there if it will do, else one that is not."""
    return etag if precondition.allows(etag) else min(precondition.tags)

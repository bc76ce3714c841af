"""Profiles of one installation, as the live gateway's admin routes see them."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import replace

from gateway.api.admin_edits import Precondition, Stored
from gateway.compose.comparing import diff_data, surveys, validation_data
from gateway.compose.editing import check_of, summary_data
from gateway.compose.workspace import Survey, Workspace
from gateway.config import bundle, profile_edits
from gateway.config.masking import masked, restored
from gateway.config.profiles import names, overview
from gateway.domain.nearest import nearest_name
from gateway.errors import UnknownName
from gateway.file_errors import ConfigInvalid
from gateway.files.etag import ABSENT


class ProfileDesk:
    """Implements ``ProfileShelf``. ``active`` names the profile that serves now."""

    def __init__(self, workspace: Workspace, *, active: Callable[[], str | None]) -> None:
        self._workspace = workspace
        self._folder = workspace.config_folder
        # Whoever may edit here has not been given the keys: an address of their own would have one sent to it.
        self._check = replace(check_of(workspace), keyed=lambda name: workspace.keys.origin(name) is not None)
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
            expected, stored = precondition.expected(edition.etag), edition.values
        whole = restored(values, stored=stored)
        edited = profile_edits.put(name, whole, folder=self._folder, check=self._check, expected=expected)
        return Stored(values=values, etag=edited.etag), edited.created

    def change(self, name: str, assignments: tuple[str, ...], *, precondition: Precondition) -> Stored:
        edited = profile_edits.assign(
            name,
            assignments,
            folder=self._folder,
            check=self._check,
            expected=self._expected(name, precondition=precondition),
        )
        return Stored(values={}, etag=edited.etag)

    def delete(self, name: str, *, successor: str | None, precondition: Precondition) -> None:
        expected = self._expected(name, precondition=precondition)
        profile_edits.delete(name, folder=self._folder, check=self._check, successor=successor, expected=expected)

    def copy(self, name: str, new: str) -> Stored:
        edited = profile_edits.copy(name, new, folder=self._folder, check=self._check)
        return Stored(values={}, etag=edited.etag)

    def diff(self, left: str, right: str) -> Mapping[str, object]:
        return diff_data(left, right, self._surveyed(left, right))

    def validate(self, name: str) -> Mapping[str, object]:
        (survey,) = self._surveyed(name)
        return validation_data(name, survey)

    def export(self, name: str) -> bytes:
        return bundle.export(name, folder=self._folder)

    def take_in(self, content: Mapping[str, object], *, name: str | None, overwrite: bool) -> Mapping[str, object]:
        imported = bundle.import_(
            json.dumps(content).encode(),
            folder=self._folder,
            check=self._check,
            name=name,
            overwrite=overwrite,
            source="the body",
        )
        return {
            "name": imported.profile.name,
            "etag": imported.profile.etag,
            "created": imported.profile.created,
            "parents": [one.name for one in imported.parents],
            "migrated_from": imported.migrated_from,
        }

    def _expected(self, name: str, *, precondition: Precondition) -> str | None:
        """The version to insist on where one is; ``None`` where whatever is there will do."""
        if precondition.absent:
            return None
        return precondition.expected(profile_edits.read(name, folder=self._folder).etag)

    def _surveyed(self, *profiles: str) -> tuple[Survey, ...]:
        """This machine as it is now under each of them, in a loop of this thread: reading files and choosing take their time."""
        known = names(folder=self._folder)
        for name in profiles:
            if name not in known:
                raise UnknownName(kind="profile", name=name, known=known, nearest=nearest_name(name, known))
        options, environment = self._workspace.options, self._workspace.environment
        return asyncio.run(
            surveys([Workspace(options=replace(options, profile=name), environment=environment) for name in profiles])
        )

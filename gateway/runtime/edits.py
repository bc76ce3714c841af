"""What has become of the edits of the configuration: heard of, taken up, refused, to be tried again, or waiting."""

from gateway.config.settings import Configuration
from gateway.file_errors import ConfigInvalid
from gateway.runtime.draft import Draft, changed_roles
from gateway.runtime.pending import Pending, differing_files, restart_settings, says_the_same
from gateway.runtime.succession import said


class Edits:
    """The state of the edits since the last one that was taken up. Nothing here takes time: it is the controller that reads the
    files, makes drafts of them, and tells the log."""

    def __init__(self, *, begun_with: Configuration, hot_swap: bool) -> None:
        self._begun_with = begun_with
        self._hot_swap = hot_swap
        self._heard: list[str] = []
        """Those that the watch has told of and nobody has read yet."""
        self.error = ""
        """Why the last one came to nothing; empty once one comes through."""
        self.pending: Pending | None = None
        """What the files ask for and is not done; ``None`` when all of it is."""
        self.untaken = ""
        """Why the files are to be tried again: an edit that was read and could not be taken up."""
        self.unweighed = False
        """Are the files to be weighed, which say something else since a rollback?"""

    def hear(self, cause: str) -> None:
        """The watch tells of one."""
        self._heard.append(cause)

    @property
    def heard(self) -> bool:
        """Has the watch told of one that nobody has read yet?"""
        return bool(self._heard)

    def take_for_read(self, found: str = "") -> str:
        """What was heard of, and what else was ``found`` changed, in words. None of it is news any more."""
        heard, self._heard = self._heard, []
        return ", ".join(dict.fromkeys(filter(None, [*heard, found])))

    def taken_up(self, configuration: Configuration) -> None:
        """``configuration``, which was asked for, is live."""
        self.error = self.untaken = ""
        self.unweighed = False
        restart = self._restart(configuration)
        self.pending = Pending(profile=configuration.profile, restart=restart) if restart else None

    def refused(self, error: Exception) -> bool:
        """One came to nothing. Whether that is another reason than the last one's."""
        before, self.error = self.error, said(error)
        return self.error != before

    def not_taken_up(
        self, error: Exception, *, draft: Draft | None, live: Draft, profile: str | None, cause: str
    ) -> None:
        """The files could not be made live. ``draft`` is what they come to, if that is known, and ``profile`` the one that serves
        on."""
        self.unusable(error, profile=profile)
        if draft is not None and not isinstance(error, ConfigInvalid):
            self.pending = self._awaiting(draft, live=live) or self.pending
        self.untaken = cause

    def weigh(self, draft: Draft, *, live: Draft) -> None:
        """The files come to ``draft``, which is not taken up: note what would change with it."""
        self.pending = self._awaiting(draft, live=live)

    def unusable(self, error: Exception, *, profile: str | None) -> None:
        """The files cannot be used as they are; ``profile`` is the one that serves on."""
        problems = error.problems if isinstance(error, ConfigInvalid) else ()
        self.pending = Pending(profile=profile, problems=problems)

    def kept_in_files(self, asked: Configuration, *, serving: Configuration) -> str:
        """After a rollback: what the files ask for instead of what serves from now on, in words; empty where they agree."""
        if says_the_same(asked, serving):
            return ""
        files = differing_files(serving, asked)
        self.pending, self.unweighed = Pending(profile=asked.profile, files=files), True
        verb = "keeps" if len(files) == 1 else "keep"
        return (
            f"{', '.join(files) or 'the files'} {verb} the edit: the next one, a reload or a restart takes it up again"
        )

    def _awaiting(self, draft: Draft, *, live: Draft) -> Pending | None:
        """What would change with ``draft``; ``None`` for nothing."""
        asked = draft.configuration
        changed, restart = changed_roles(live, draft), self._restart(asked)
        if not changed and not restart:
            return None
        files = differing_files(live.configuration, asked)
        return Pending(profile=asked.profile, changed_roles=changed, restart=restart, files=files)

    def _restart(self, configuration: Configuration) -> tuple[str, ...]:
        return restart_settings(self._begun_with, configuration, hot_swap=self._hot_swap)

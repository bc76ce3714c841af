"""Noticing that the configuration on disk is another one: layers, profiles, and which profile is active."""

import asyncio
import logging
import os
import threading
import time
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from watchfiles import Change, awatch

from gateway.config.document import SUFFIXES
from gateway.config.layers import PROFILES_FOLDER
from gateway.config.profiles import STATE_FILE
from gateway.files.regular_file import Unreadable, read_regular_file

_log = logging.getLogger(__name__)

POLL_S: Final = 2.0
"""How often the files are looked at while the system tells of no change: it does not see through every link and mount."""
GATHER_MS: Final = 300
STEP_MS: Final = 50
"""Changes are gathered until none came for this long, and for ``GATHER_MS`` at most: an editor writes in several steps."""
_NAMED: Final = 3
"""How many changed files a cause names."""

_MOST_CHOICE_BYTES: Final = 1_024
"""What is read of the active profile; a name is shorter."""

_Sign = tuple[int, ...] | str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    """The files as they are: a sign each that changes with the content and with who may read it. ``homes`` are the folders that
    they lie in; ``places`` these and those in which such a folder may appear, each with what tells it from another of that
    name."""

    signs: Mapping[str, _Sign]
    homes: frozenset[Path]
    places: Mapping[Path, int]


class Watch:
    """Looks after one configuration folder and the active profile in one state folder.

    What was there when it is made is taken as known. Whether anything changed is decided by looking at the files, through
    whatever links lead to them; the system's word only says when to look. So files may be replaced, linked anew as a mounted
    ConfigMap is, or be gone with their folder and come back.
    """

    def __init__(self, *, folder: Path, state_folder: Path, poll_s: float = POLL_S) -> None:
        self._folder = folder.absolute()
        self._state_file = state_folder.absolute() / STATE_FILE
        self._poll_s = poll_s
        self._lock = threading.Lock()
        # Under the lock:
        self._known = self._picture()
        self._looked_s = time.monotonic()
        self._deaf = False

    @contextmanager
    def our_own(self) -> Iterator[None]:
        """What the block does to the active profile is no edit. Blocks while the files are looked at."""
        with self._lock:
            yield
            self._known = replace(self._known, signs={**self._known.signs, STATE_FILE: self._active_profile()})

    async def edits(self, *, ailing: Callable[[str], None] | None = None) -> AsyncGenerator[str, None]:
        """What changed, in words, each time that something did. Ends when it is cancelled. ``ailing`` hears why the files cannot
        be looked at, which is tried again every ``poll_s``; and the empty text once they can."""
        ails = ""
        while True:
            try:
                async with aclosing(self._looks()) as looks:
                    async for changed in looks:
                        if ails and ailing is not None:
                            ailing("")
                        ails = ""
                        if changed:
                            yield changed
            except Exception as error:  # noqa: BLE001  (whatever one look met, later edits have to be seen)
                if not ails:
                    _log.exception("the files of the configuration cannot be looked at; it is tried again")
                ails = f"the files of the configuration cannot be looked at: {str(error) or type(error).__name__}"
                if ailing is not None:
                    ailing(ails)
                await asyncio.sleep(self._poll_s)

    async def _looks(self) -> AsyncGenerator[str, None]:
        """What each look finds changed, mostly nothing."""
        while True:
            yield await asyncio.to_thread(self.changed)
            places = self._known.places
            async with aclosing(self._stirrings(places)) as stirrings:
                async for _ in stirrings:
                    yield await asyncio.to_thread(self.changed)
                    if self._known.places != places:
                        break

    async def _stirrings(self, places: Collection[Path]) -> AsyncGenerator[None, None]:
        """An item whenever there may be something new: the system says so, or it was not asked for ``poll_s``."""
        try:
            async for _ in awatch(
                *places,
                watch_filter=self._concerns,
                debounce=GATHER_MS,
                step=STEP_MS,
                rust_timeout=round(self._poll_s * 1000),
                yield_on_timeout=True,
                recursive=False,
            ):
                self._deaf = False
                yield
        except (OSError, RuntimeError, ImportError) as error:
            # Without a file handle left, the watcher cannot be made, nor what it imports when it is first used.
            if not self._deaf:
                _log.warning(
                    "the system does not tell of changed files; they are looked at from time to time",
                    extra={"folder": str(self._folder), "reason": str(error)},
                )
            self._deaf = True
            await asyncio.sleep(self._poll_s)
            yield

    def _concerns(self, change: Change, path: str) -> bool:
        """The folders above ours, and the state folder, see many things that do not matter; they must not keep us from looking
        from time to time."""
        if time.monotonic() - self._looked_s >= self._poll_s:
            return True
        place = Path(path)
        return place.parent in self._known.homes or any(
            place == ours or place in ours.parents for ours in (self._folder, self._state_file)
        )

    def changed(self) -> str:
        """The files that are not as they were, in words, and take them as they are; empty when there are none. Blocks."""
        with self._lock:
            self._looked_s = time.monotonic()
            before, now = self._known, self._picture()
            self._known = now
        names = sorted(name for name in {*before.signs, *now.signs} if before.signs.get(name) != now.signs.get(name))
        if not names:
            return ""
        if names == [STATE_FILE]:
            return "another profile was made the active one"
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return f"{', '.join(names[:_NAMED])}{more} changed"

    def _picture(self) -> _Picture:
        signs: dict[str, _Sign] = {STATE_FILE: self._active_profile()}
        homes: set[Path] = set()
        for folder in (self._folder, self._folder / PROFILES_FOLDER):
            files = _files_in(folder)
            if files is None:
                continue
            homes |= {folder, _real(folder)}
            for file in files:
                signs[str(file.relative_to(self._folder))] = _sign_of(file)
                if _is_link(file):
                    homes.add(_standing(_real(file).parent))
        above = {_standing(self._state_file.parent), _standing(self._folder.parent)}
        numbers = {place: _number(place) for place in homes | above}
        places = {place: number for place, number in numbers.items() if number is not None}
        return _Picture(signs=signs, homes=frozenset(homes), places=places)

    def _active_profile(self) -> str:
        try:
            content = read_regular_file(self._state_file, at_most_bytes=_MOST_CHOICE_BYTES)
        except Unreadable as error:
            return f"({error.found})"
        return content.decode("utf-8", "replace")


def _files_in(folder: Path) -> list[Path] | None:
    """The files that may be a layer or a profile; ``None`` where there is no such folder."""
    with suppress(OSError):
        return [one for one in folder.iterdir() if one.suffix in SUFFIXES and not one.name.startswith(".")]
    return None


def _sign_of(file: Path) -> _Sign:
    try:
        found = file.stat()
    except OSError as error:
        return f"({error.errno})"
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_mode


def _real(place: Path) -> Path:
    """Where links lead from ``place``, as far as this user may follow them; ``Path.resolve`` fails for links in a circle."""
    return Path(os.path.realpath(place))


def _number(folder: Path) -> int | None:
    try:
        return folder.stat().st_ino
    except OSError:
        return None


def _standing(folder: Path) -> Path:
    """``folder``, or what of it is there."""
    while not _is_folder(folder) and folder != folder.parent:
        folder = folder.parent
    return folder


def _is_folder(place: Path) -> bool:
    """Not so for what this user cannot get to either."""
    with suppress(OSError):
        return place.is_dir()
    return False


def _is_link(file: Path) -> bool:
    with suppress(OSError):
        return file.is_symlink()
    return False

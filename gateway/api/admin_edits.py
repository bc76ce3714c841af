"""What admin routes that edit the configuration share: versions, preconditions, single values, and what becomes of an edit."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, ParamSpec, TypeVar

from gateway.api.admin_body import only_fields
from gateway.config.set_path import format_set_path, parse_set_path
from gateway.errors import BadRequest, HotSwapDisabled, RolegateError
from gateway.file_errors import CannotWrite, EditConflict
from gateway.relay.fields import wrong
from gateway.runtime.controller import Controller
from gateway.runtime.swap import Swap, swap_data

P = ParamSpec("P")
T = TypeVar("T")

BODY_LIMIT_BYTES: Final = 8 << 20
"""As large as a file of the configuration may be."""
EDITS_AT_ONCE: Final = 4
"""The files are written one edit after the other anyhow."""

_TAGS: Final = re.compile(r'\s*(?:W/)?"([!#-~]*)"\s*(?:,|$)')


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Content of the configuration as it may be shown, and its version."""

    values: Mapping[str, object]
    etag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Precondition:
    """What a writer takes for granted: one of these versions, any version (``*``), or none at all."""

    tags: frozenset[str] = frozenset()
    any_version: bool = False

    @classmethod
    def parse(cls, headers: Mapping[str, str]) -> "Precondition":
        """From If-Match and If-None-Match. Raises ``BadRequest`` for what cannot be understood."""
        match, none_match = headers.get("if-match", "").strip(), headers.get("if-none-match", "").strip()
        if none_match and none_match != "*":
            raise BadRequest(f"If-None-Match is {none_match}; allowed: *", param="If-None-Match")
        if match and none_match:
            raise BadRequest(
                "If-Match and If-None-Match contradict each other", param="If-Match", hint="send one of them"
            )
        if match == "*":
            return cls(any_version=True)
        tags, place = [], 0
        while place < len(match):
            found = _TAGS.match(match, place)
            if found is None:
                raise BadRequest(f'If-Match is {match}; allowed: "…" as the ETag was, or *', param="If-Match")
            tags.append(found[1])
            place = found.end()
        return cls(tags=frozenset(tags))

    @property
    def absent(self) -> bool:
        """Is there to be none yet? So where nothing is said, too: what nobody read is not to be replaced."""
        return not self.tags and not self.any_version

    def allows(self, etag: str) -> bool:
        return self.any_version or etag in self.tags

    def expected(self, etag: str) -> str:
        """The version to insist on: ``etag``, which is there, if it will do, else one that is not."""
        return etag if self.allows(etag) else min(self.tags)


class EditThreads:
    """Threads for what edits the configuration or weighs it at length: they wait for locks and for providers, and a swap that is
    asked for meanwhile is not to wait with them."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=EDITS_AT_ONCE, thread_name_prefix="edit")

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What ``work`` comes to in one of them."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(work, *args, **kwargs))


@contextmanager
def edit_of(subject: str, *, controller: Controller, again: str) -> Iterator[None]:
    """For an edit of ``subject`` in the block: a conflict is told ``again``, which is how to try it again, and ``status`` and the
    log are told of what could not be written."""
    try:
        yield
    except EditConflict as conflict:
        conflict.hint = again
        raise
    except CannotWrite as error:
        controller.not_stored(error, cause=f"{subject} was edited over HTTP")
        raise


def changes_of(content: Mapping[str, object]) -> tuple[str, ...]:
    """The assignments of a body ``{"set": {path: value}, "unset": [path]}``. Raises ``BadRequest``."""
    told = only_fields(content, known=("set", "unset"))
    new, gone = told.get("set", {}), told.get("unset", [])
    if not isinstance(new, Mapping):
        raise wrong("set", found=new, allowed="an object from set paths to values")
    if not isinstance(gone, list) or not all(isinstance(one, str) for one in gone):
        raise wrong("unset", found=gone, allowed="a list of set paths")
    if not new and not gone:
        raise BadRequest("nothing to change", hint='send {"set": {"selection.memory_margin": 0.2}, "unset": []}')
    return (*(f"{_key(path)}={json.dumps(value)}" for path, value in new.items()), *(f"{_key(path)}=" for path in gone))


def _key(path: str) -> str:
    """A set path as it stands before the ``=`` of an assignment. Raises ``BadRequest`` for what is none."""
    try:
        return format_set_path(parse_set_path(path))
    except ValueError as exc:
        raise BadRequest(str(exc)) from exc


async def outcome_of(swap: Awaitable[Swap]) -> dict[str, object]:
    """What became of a change that is stored: ``swap`` is ``None`` while hot-swap is off, and where the live gateway would not
    have it, which ``swap_error`` then says."""
    try:
        return {"hot_swap": True, "swap": swap_data(await swap), "swap_error": ""}
    except HotSwapDisabled:
        return {"hot_swap": False, "swap": None, "swap_error": ""}
    except RolegateError as error:
        return {"hot_swap": True, "swap": None, "swap_error": error.message}


def untouched(*, hot_swap: bool) -> dict[str, object]:
    """The same of a change that cannot matter to what serves."""
    return {"hot_swap": hot_swap, "swap": None, "swap_error": ""}


def etag_of(stored: Stored) -> dict[str, str]:
    """The header that tells the version."""
    return {"etag": f'"{stored.etag}"'}

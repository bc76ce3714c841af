"""The admin routes of profiles: which there are, what one says, writing one, deleting one."""

import asyncio
import re
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.api.admin_body import only_query, read_content
from gateway.errors import BadRequest, CannotWrite, EditConflict, HotSwapDisabled, ProfileInUse, RolegateError
from gateway.runtime.controller import Controller
from gateway.runtime.swap import Swap, swap_data

BODY_LIMIT_BYTES: Final = 8 << 20
"""As large as a file of the configuration may be."""

_HOW: Final = "nothing was written: GET the profile, make the change to what it says now, and send its ETag as If-Match"
_TAGS: Final = re.compile(r'\s*(?:W/)?"([!#-~]*)"\s*(?:,|$)')


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A profile's own content as it may be shown, and its version."""

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


class ProfileShelf(Protocol):
    """The profiles of one installation. Methods block."""

    def listing(self) -> Mapping[str, object]:
        """``{"active", "profiles": [...]}``. Raises ``ConfigInvalid`` where they cannot be listed."""

    def read(self, name: str) -> Stored:
        """Raises ``UnknownName``, or ``ConfigInvalid`` for a file that cannot be read."""

    def write(self, name: str, values: Mapping[str, object], *, precondition: Precondition) -> tuple[Stored, bool]:
        """Replace it, or create it (true). Raises ``EditConflict`` where the precondition does not hold, ``ConfigInvalid`` with
        every problem that the configuration would have with it."""

    def delete(self, name: str, *, successor: str | None, precondition: Precondition) -> None:
        """Raises ``UnknownName``, ``EditConflict``, and ``RolegateError`` for one that something needs."""


class Profiles:
    """Writing answers when the change is stored and, with hot-swap on, taken up."""

    def __init__(self, *, shelf: ProfileShelf, controller: Controller) -> None:
        self._shelf = shelf
        self._controller = controller

    async def list(self, request: Request) -> Response:
        only_query(request, known=())
        return JSONResponse(await asyncio.to_thread(self._shelf.listing))

    async def one(self, request: Request) -> Response:
        """What is at a profile's own path, by method."""
        return await {"PUT": self._write, "DELETE": self._delete}.get(request.method, self._read)(request)

    async def _read(self, request: Request) -> Response:
        only_query(request, known=())
        stored = await asyncio.to_thread(self._shelf.read, request.path_params["name"])
        return JSONResponse(dict(stored.values), headers=_etag(stored))

    async def _write(self, request: Request) -> Response:
        only_query(request, known=())
        name, precondition = request.path_params["name"], Precondition.parse(request.headers)
        values = await read_content(request, limit_bytes=BODY_LIMIT_BYTES, required=True)
        try:
            stored, created = await asyncio.to_thread(self._shelf.write, name, values, precondition=precondition)
        except EditConflict as conflict:
            conflict.hint = _HOW
            raise
        except CannotWrite as error:
            self._controller.not_stored(error, cause=f"profile {name} was to be written over HTTP")
            raise
        told = {"name": name, "etag": stored.etag, "created": created}
        taken_up = await _outcome(self._controller.reload(cause=f"profile {name} was written over HTTP"))
        return JSONResponse({**told, **taken_up}, status_code=201 if created else 200, headers=_etag(stored))

    async def _delete(self, request: Request) -> Response:
        successor = only_query(request, known=("successor",)).get("successor")
        name, precondition = request.path_params["name"], Precondition.parse(request.headers)
        serves = self._controller.hot_swap and name == self._controller.configuration.profile
        if serves and successor is None:
            raise ProfileInUse(name=name, why="the gateway serves by it", hint="name a successor: ?successor=NAME")
        try:
            await asyncio.to_thread(self._shelf.delete, name, successor=successor, precondition=precondition)
        except CannotWrite as error:
            self._controller.not_stored(error, cause=f"profile {name} was to be deleted over HTTP")
            raise
        told = {"name": name, "deleted": True, "successor": successor}
        if not serves:
            return JSONResponse({**told, "hot_swap": self._controller.hot_swap, "swap": None, "swap_error": ""})
        return JSONResponse({**told, **await _outcome(self._controller.swap(successor))})


async def _outcome(swap: Awaitable[Swap]) -> dict[str, object]:
    """What became of a change that is stored: ``swap`` is ``None`` while hot-swap is off, and where the live gateway would not
    have it, which ``swap_error`` then says."""
    try:
        return {"hot_swap": True, "swap": swap_data(await swap), "swap_error": ""}
    except HotSwapDisabled:
        return {"hot_swap": False, "swap": None, "swap_error": ""}
    except RolegateError as error:
        return {"hot_swap": True, "swap": None, "swap_error": error.message}


def _etag(stored: Stored) -> dict[str, str]:
    return {"etag": f'"{stored.etag}"'}

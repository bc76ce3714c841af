"""The doors of the gateway: every request passes them before anything else of the application sees it."""

import logging
from collections.abc import Awaitable
from operator import itemgetter
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.api.early import early_error
from gateway.api.errors import error_status
from gateway.api.guard import OPEN_PATHS, Guard
from gateway.api.visitor import VISITOR, Visitor
from gateway.errors import RolegateError

LOGGER: Final = __name__
"""What the lines of those who are turned away come from: they decide how many there are."""
_log = logging.getLogger(LOGGER)

FORWARDED: Final = frozenset(
    {
        b"cf-connecting-ip",
        b"fastly-client-ip",
        b"fly-client-ip",
        b"forwarded",
        b"true-client-ip",
        b"via",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-envoy-external-address",
        b"x-forwarded",
        b"x-forwarded-by",
        b"x-forwarded-client-cert",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-proto",
        b"x-forwarded-protocol",
        b"x-forwarded-scheme",
        b"x-forwarded-server",
        b"x-forwarded-ssl",
        b"x-forwarded-uri",
        b"x-forwarded-user",
        b"x-original-forwarded-for",
        b"x-original-host",
        b"x-original-uri",
        b"x-real-ip",
    }
)
"""Headers that tell of somebody between the caller and us. None of them is believed: that one is there is all they say."""
_MOST_PATH: Final = 200
_name = itemgetter(0)


class Doors:
    """Asks for a key. ``here`` is the application for callers on this machine, who need none; ``None`` where the gateway listens
    for others as well. A request that was forwarded is not of this machine, whatever address it comes from."""

    def __init__(self, app: ASGIApp, *, guard: Guard, here: ASGIApp | None) -> None:
        self._app = app
        self._guard = guard
        self._here = here

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        if self._here is not None and FORWARDED.isdisjoint(map(_name, scope["headers"])):
            return self._here(scope, receive, send)
        if scope["path"] in OPEN_PATHS:
            return self._app(scope, receive, send)
        try:
            visitor = self._guard.visitor(scope)
            limited = self._guard.enter(visitor)
        except RolegateError as error:
            return _turned_away(error, scope)(scope, receive, send)
        scope.setdefault("extensions", {})[VISITOR] = visitor
        if limited:
            return self._counted(visitor, scope, receive, send)
        return self._app(scope, receive, send)

    async def _counted(self, visitor: Visitor, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        finally:
            self._guard.leave(visitor)


def _turned_away(error: RolegateError, scope: Scope) -> ASGIApp:
    facts = {"status": error_status(error), "path": scope["path"][:_MOST_PATH], "reason": error.message}
    client = scope.get("client")
    _log.info("turned away", extra={**facts, "from": client[0]} if client else facts)
    return early_error(error, scope=scope)

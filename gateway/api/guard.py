"""Who may come in, and how far: told from the headers and the path of a request."""

import logging
import time
from collections.abc import Iterable, Mapping
from typing import Final

from starlette.types import Scope

from gateway.api.door_errors import DoorsShut, KeyLimitReached, KeyNeeded, KeyNotAllowed
from gateway.api.visitor import Visitor
from gateway.domain.ports import Clock
from gateway.file_errors import ClientKeysUnreadable
from gateway.vault.client_key import ClientKey, Refusal
from gateway.vault.client_key import Scope as KeyScope
from gateway.vault.client_keys import ClientKeys
from gateway.vault.limiter import Limiter

_log = logging.getLogger(__name__)

OPEN_PATHS: Final = frozenset({"/healthz", "/readyz"})
"""Asked by probes, which have no key; they tell nothing of requests."""
_DATA_PLANE: Final = "/v1"
_ADMIN: Final = "/admin"
_HOW: Final = "send it as `Authorization: Bearer KEY`, or as `x-api-key: KEY`"
_MOST_PATH: Final = 200
"""Characters of a path that the log repeats."""


def needed_scope(path: str) -> KeyScope:
    """Which scope opens this path. What is not known to be for clients is for admins, so that a route that somebody adds is shut
    to clients until it is said here that it is theirs."""
    return KeyScope.CLIENT if path == _DATA_PLANE or path.startswith(f"{_DATA_PLANE}/") else KeyScope.ADMIN


def presented_key(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The text that is presented as a key: behind ``Authorization: Bearer``, else in ``x-api-key``; empty for none."""
    other = ""
    for name, value in headers:
        if name == b"authorization":
            scheme, _, text = value.partition(b" ")
            if scheme.lower() == b"bearer":
                return text.strip().decode("latin-1")
        elif name == b"x-api-key":
            other = value.strip().decode("latin-1")
    return other


class Guard:
    """Knows the keys and what is under way with each. Without ``keys`` nobody comes in. Belongs to one event loop."""

    def __init__(self, keys: ClientKeys | None, *, clock: Clock = time) -> None:
        self._keys = keys
        self._clock = clock
        self._limiter = Limiter()
        self._trouble = ""
        """What the log was told last of the list of keys."""

    def visitor(self, scope: Scope) -> Visitor:
        """Who sends this request. Raises ``KeyNeeded``, ``KeyNotAllowed`` and ``DoorsShut``."""
        key = self._known(presented_key(scope["headers"]))
        path = scope["path"]
        needed = needed_scope(path)
        if key.scope is not needed:
            opens = _ADMIN if key.scope is KeyScope.ADMIN else _DATA_PLANE
            kind = "an admin key" if needed is KeyScope.ADMIN else "a client key"
            raise KeyNotAllowed(
                f'the key "{key.name}" opens {opens}, and not {path[:_MOST_PATH]}', hint=f"that takes {kind}"
            )
        return Visitor(key=key)

    def enter(self, visitor: Visitor) -> bool:
        """Count a request of somebody whose key has limits; false for others. Where it was counted, ``leave`` is to be called
        when it is over. Raises ``KeyLimitReached``, which counts as nothing."""
        key = visitor.key
        if key is None or (key.requests_per_minute is None and key.concurrency is None):
            return False
        too_many = self._limiter.enter(key, now_s=self._clock.monotonic())
        if too_many is not None:
            raise KeyLimitReached(str(too_many), retry_after_s=too_many.retry_after_s)
        return True

    def leave(self, visitor: Visitor) -> None:
        """A request that was counted is over."""
        if visitor.key is not None:
            self._limiter.leave(visitor.key)

    def doors(self, *, open_here: bool) -> Mapping[str, object]:
        """What the status says of the doors: whether callers on this machine need no key (``open_here``), and which keys are in
        force."""
        return {"open_on_loopback": open_here, "keys": self._in_force()}

    def _in_force(self) -> list[Mapping[str, object]]:
        """Who could come in now, by name; empty too where the list of keys cannot be used. May read a file."""
        if self._keys is None:
            return []
        now_s = self._clock.time()
        try:
            listed = self._keys.list()
        except ClientKeysUnreadable as unreadable:
            self._complain(unreadable)
            return []
        return [
            {
                "name": one.name,
                "scope": one.scope.value,
                "roles": None if one.roles is None else sorted(one.roles),
                "expires": one.expires_s,
            }
            for one in listed
            if one.refusal(now_s) is None
        ]

    def _known(self, presented: str) -> ClientKey:
        if not presented:
            raise KeyNeeded("this gateway asks for a key, and the request has none", hint=_HOW)
        if self._keys is None:
            raise KeyNeeded("this gateway has no keys, and answers callers on its own machine only")
        try:
            verdict = self._keys.verify(presented, now_s=self._clock.time())
        except ClientKeysUnreadable as unreadable:
            self._complain(unreadable)
            raise DoorsShut from unreadable
        self._trouble = ""
        if verdict.key is None:
            raise KeyNeeded("the key is not one of this gateway's", hint="see whether it was copied whole")
        if verdict.refusal is not None:
            why = "has been revoked" if verdict.refusal is Refusal.REVOKED else "has expired"
            raise KeyNeeded(f'the key "{verdict.key.name}" {why}', hint="ask whoever runs the gateway for another")
        return verdict.key

    def _complain(self, unreadable: ClientKeysUnreadable) -> None:
        """Once for each trouble: whoever is turned away may knock as often as they like."""
        if self._trouble != unreadable.message:
            self._trouble = unreadable.message
            _log.error("nobody with a key comes in", extra={"reason": unreadable.message, "hint": unreadable.hint})

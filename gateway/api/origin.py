"""Who may speak to a gateway on loopback: no page of another site, by whatever name it reaches this address."""

import ipaddress
import re
from collections.abc import Awaitable, Callable
from operator import itemgetter
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.api.early import early_error
from gateway.errors import HostNotAllowed

_REMEMBERED = 64
_name = itemgetter(0)
_LOOPBACK_NAMES = frozenset({"localhost"})
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")


def is_loopback_host(host: str) -> bool:
    """Is this host name or address (without port) one that only this machine answers to?"""
    name = host.strip("[]").rstrip(".").casefold()
    if name in _LOOPBACK_NAMES or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def host_of(value: str) -> str:
    """The host in a ``Host`` header, its port cut off. Raises ``ValueError`` for anything beside the two."""
    found = _HOST.fullmatch(value)
    if found is None:
        raise ValueError(value)
    return found[1]


def host_of_origin(value: str) -> str:
    """The host in an ``Origin`` header. Raises ``ValueError`` for one that names none, as those of hidden pages do."""
    _, _, host = value.partition("://")
    return host_of(host)


class LoopbackOnly:
    """Refuses requests whose ``Host`` or ``Origin`` is not this machine, which is how a web page would reach us by DNS
    rebinding. Wraps the application where the listening address is loopback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._allowed: set[tuple[bytes, bytes]] = set()
        """The last ``Host`` headers that were found to name this machine."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http":
            offence = self._offence(scope)
            if offence:
                error = HostNotAllowed(f"{offence}; this gateway listens on loopback and answers only its own machine")
                return early_error(error, scope=scope)(scope, receive, send)
        return self._app(scope, receive, send)

    def _offence(self, scope: Scope) -> str:
        headers = scope["headers"]
        names = list(map(_name, headers))
        if b"origin" not in names and names.count(b"host") == 1 and not self._allowed.isdisjoint(headers):
            # Nearly every request.
            return ""
        for name, value in headers:
            if name == b"host":
                offence = _wrong(name, value, host=host_of)
                if offence:
                    return offence
                if len(self._allowed) >= _REMEMBERED:
                    self._allowed.clear()
                self._allowed.add((name, value))
            elif name == b"origin":
                offence = _wrong(name, value, host=host_of_origin)
                if offence:
                    return offence
        return ""


def _wrong(name: bytes, value: bytes, *, host: Callable[[str], str]) -> str:
    """What is wrong with a header that names a host; empty where it is this machine."""
    text = value.decode("latin-1")
    title = name.decode("ascii").title()
    try:
        return "" if is_loopback_host(host(text)) else f'the {title} header is "{text}"'
    except ValueError:
        return f'the {title.lower()} header "{text}" is no address'

"""Who may speak to a gateway on loopback: no page of another site, by whatever name it reaches this address."""

import ipaddress
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.api.reply import send_json

_LOOPBACK_NAMES = frozenset({"localhost", "localhost.localdomain"})


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
    """The host in a ``Host`` header, its port cut off; brackets of an IPv6 address kept out."""
    return urlsplit(f"//{value}").hostname or ""


class LoopbackOnly:
    """Refuses requests whose ``Host`` or ``Origin`` is not this machine, which is how a web page would reach us by DNS
    rebinding. Wraps the application where the listening address is loopback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            offence = _offence(scope)
            if offence:
                error = {
                    "message": f"{offence}; this gateway listens on loopback and answers only its own machine",
                    "type": "invalid_request_error",
                    "code": "host_not_allowed",
                    "param": None,
                    "source": "gateway",
                }
                await send_json(send, status=403, content={"error": error})
                return
        await self._app(scope, receive, send)


def _offence(scope: Scope) -> str:
    for name, value in scope["headers"]:
        text = value.decode("latin-1")
        try:
            if name == b"host" and not is_loopback_host(host_of(text)):
                return f'the Host header is "{text}"'
            if name == b"origin" and not is_loopback_host(urlsplit(text).hostname or ""):
                return f'the Origin header is "{text}"'
        except ValueError:
            return f'the {name.decode("ascii")} header "{text}" is no address'
    return ""

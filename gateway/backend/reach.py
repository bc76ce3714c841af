"""Where LiteLLM's connections may end: each address is judged when its socket is made, whatever name or redirect led to it."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final
from urllib.parse import urlsplit

from gateway.domain.address import PUBLIC_ONLY, Reach, names_ollamas_cloud
from gateway.reach import Forbidden

AddressInfo = tuple[Any, ...]
"""Family, type, protocol, canonical name and address of a socket to be, as ``getaddrinfo`` gives them."""
MakeSocket = Callable[[AddressInfo], socket.socket]

_reach: Final[ContextVar[Reach]] = ContextVar("reach", default=PUBLIC_ONLY)
"""That of the call under way. What LiteLLM asks for by itself (a picture that a prompt links to, say) has no other."""


@contextmanager
def reaching(reach: Reach) -> Iterator[None]:
    """Calls made in the block may connect to what ``reach`` permits."""
    token = _reach.set(reach)
    try:
        yield
    finally:
        _reach.reset(token)


def reach_of(api_base: object, *, local: bool) -> Reach:
    """The reach of a deployment whose address is ``api_base``; public addresses only where it has none of its own, and in
    Ollama's cloud, of which nobody has one of their own."""
    if not isinstance(api_base, str):
        return PUBLIC_ONLY
    parts = urlsplit(api_base)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = (parts.hostname or "").lower()
    return Reach(host=host, port=port, local=local and not names_ollamas_cloud(host))


def within_reach(build: Callable[[], MakeSocket | None]) -> Callable[[], MakeSocket]:
    """What makes the sockets of LiteLLM's clients, with a look at each address first. ``build`` is LiteLLM's own."""

    def building() -> MakeSocket:
        make = build() or _plain_socket

        def judged(info: AddressInfo) -> socket.socket:
            host, port, *_ = info[4]
            if why := _reach.get().refuses(str(host), port=int(port)):
                raise Forbidden(f"{why}, and nothing is sent there")
            return make(info)

        return judged

    return building


def _plain_socket(info: AddressInfo) -> socket.socket:
    made = socket.socket(family=info[0], type=info[1], proto=info[2])
    made.setblocking(False)
    return made

"""Where the connections to a cloud may end: judged on the addresses that its name leads to now."""

import asyncio
import socket

from gateway.domain.address import Reach, names_loopback


class Forbidden(ConnectionError):
    """An address that nothing may be sent to, or a name that leads to no other; the text says which and why."""


async def permitted_addresses(host: str, *, port: int, tls: bool) -> list[str]:
    """The addresses of ``host``, where a cloud is said to be, that may be connected to, in the resolver's order. Whoever asks
    connects to one of these, and looks the name up no second time: it may lead elsewhere by then.

    Raises ``Forbidden`` where there are none, ``OSError`` or ``UnicodeError`` where the name is not known.
    """
    if not tls and not names_loopback(host):
        raise Forbidden("a cloud provider is asked over https only, unless it is on this machine")
    reach = Reach(host=host.lower(), port=port)
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
    refused = {address: why for address in addresses if (why := reach.refuses(address, port=port))}
    if len(refused) == len(addresses):
        allowed = "this machine" if names_loopback(host) else "public addresses"
        raise Forbidden(f"{'; '.join(refused.values())}, and a cloud provider is looked for at {allowed} only")
    return [address for address in addresses if address not in refused]

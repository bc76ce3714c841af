"""Which network addresses the gateway may connect to, decided on the address itself and not on the name it was found by."""

import ipaddress
from dataclasses import dataclass
from typing import Final
from unicodedata import normalize

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_FABRIC: Final = (
    ipaddress.ip_network("168.63.129.16/32"),  # the host of a machine at Azure, although a public address
    ipaddress.ip_network("192.0.0.0/24"),  # public in part for some releases of Python
)
_TRANSLATED: Final = ipaddress.ip_network("64:ff9b::/96")
"""IPv4 addresses as IPv6 networks without IPv4 write them."""
_COMPATIBLE: Final = ipaddress.ip_network("::/96")
"""IPv4 addresses as IPv6 wrote them once."""
_LOW_32: Final = 0xFFFF_FFFF
_OLLAMAS_CLOUD: Final = "ollama.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What a connection to ``host`` (lower case, without brackets) and ``port`` may end at. ``local`` says that the operator
    declared a server of their own there, which may have any address; at any port where ``port`` is ``None``."""

    host: str = ""
    port: int | None = None
    local: bool = False

    def refuses(self, address: str, *, port: int | None) -> str:
        """Why not to connect to ``address``, as the resolver gave it; empty where one may."""
        kind = kind_of(address)
        if self.local and self.port in (None, port):
            return ""
        if names_loopback(self.host):
            mine = kind == "a loopback address" and port == self.port
            return "" if mine else f"{address} is {kind or 'not on this machine'}"
        return f"{address} is {kind}" if kind else ""


PUBLIC_ONLY: Final = Reach()
"""For whatever nobody has declared an address of."""


def kind_of(address: str) -> str:
    """What kind of address it is, in words with their article; empty for one in the public internet."""
    try:
        found = _meant(ipaddress.ip_address(address))
    except ValueError:
        return "no address"
    if found.is_loopback:
        return "a loopback address"
    if found.is_link_local:
        return "a link-local address"
    if found.is_unspecified:
        return "an unspecified address"
    if found.is_multicast:
        return "a multicast address"
    if found.is_reserved or any(found in network for network in _FABRIC if network.version == found.version):
        return "a reserved address"
    site_local = isinstance(found, ipaddress.IPv6Address) and found.is_site_local
    return "" if found.is_global and not site_local else "a private address"


def names_loopback(host: str) -> bool:
    """Whether a host, as written, can only be this machine: ``localhost``, or a loopback address."""
    name = host.lower().rstrip(".")
    return name == "localhost" or name.endswith(".localhost") or kind_of(host) == "a loopback address"


def usual_form(host: str) -> str:
    """``host`` as it is looked up: other characters than people type stand for those that they look like."""
    return normalize("NFKC", host).replace("\u3002", ".")


def names_ollamas_cloud(host: str) -> bool:
    """Whether a host, as written, is Ollama's own cloud: nobody has a server of their own there, whatever they declare."""
    name = usual_form(host).lower().rstrip(".")
    return name == _OLLAMAS_CLOUD or name.endswith(f".{_OLLAMAS_CLOUD}")


def is_odd_number(host: str) -> bool:
    """Whether ``host`` is an IPv4 address in a form that only the C library reads: ``127.1``, ``0x7f000001``, ``2130706433``."""
    last = host.rstrip(".").rpartition(".")[2]
    if not last or not (last.isdigit() or last.lower().startswith("0x")):
        return False
    return kind_of(host) == "no address"


def _meant(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one that stands for it."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    inside = address.ipv4_mapped or address.sixtofour
    if inside is None and address.teredo is not None:
        inside = address.teredo[1]
    if inside is None and (address in _TRANSLATED or (address in _COMPATIBLE and int(address) > 1)):
        inside = ipaddress.IPv4Address(int(address) & _LOW_32)
    return inside or address

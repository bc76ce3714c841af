"""By what a gateway proves to commands that it is theirs: a secret in the state folder, which only its owner can read."""

import hashlib
import hmac
import ipaddress
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.vault.private_file import Content, Unreadable, editing, make_folder, read, replace

CHALLENGE: Final = "x-rolegate-challenge"
"""The header of a request that asks for a proof: something that nobody has asked before."""
PROOF: Final = "x-rolegate-proof"
"""The header of the answer with it."""

_PURPOSE: Final = "rolegate gateway"
_BYTES: Final = 32
_HEXADECIMAL: Final = re.compile(f"[0-9a-f]{{{2 * _BYTES}}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The secret of one state folder, which is never sent and never shown, and the configuration that the gateway goes by."""

    secret: bytes = field(repr=False)
    config_folder: str

    def proof(self, challenge: str, *, host: str, port: int) -> str:
        """What only somebody who has the secret can answer ``challenge`` with. It holds for the address that the question came
        to: whoever hands it on to the gateway, from another one, gets an answer that is no good to them."""
        told = (_PURPOSE, challenge, _address(host), str(port), self.config_folder)
        text = "\0".join(told).encode("utf-8", "surrogateescape")
        return hmac.new(self.secret, text, hashlib.sha256).hexdigest()

    def is_proven(self, given: str, challenge: str, *, host: str, port: int) -> bool:
        """Whether ``given`` is that answer."""
        proof = self.proof(challenge, host=host, port=port)
        return hmac.compare_digest(proof.encode("ascii"), given.encode("utf-8", "replace"))


def a_challenge() -> str:
    """One that nobody can have heard the answer to."""
    return secrets.token_hex(_BYTES)


def is_challenge(text: str) -> bool:
    return _HEXADECIMAL.fullmatch(text) is not None


def find_identity(path: Path, *, config_folder: str) -> Identity | None:
    """That of the secret in ``path``; ``None`` where there is none, or one that others could have read or written."""
    try:
        content = read(path)
    except Unreadable:
        return None
    if content is None or content.others_may_read or content.others_may_write:
        return None
    text = content.data.decode("latin-1").strip()
    return Identity(secret=bytes.fromhex(text), config_folder=config_folder) if _HEXADECIMAL.fullmatch(text) else None


def keep_identity(path: Path, *, config_folder: str) -> Identity:
    """That of the secret in ``path``, which is made where there is none that can be used. Raises ``CannotWrite``, and
    ``RolegateError`` when somebody else does not let go of the file."""
    make_folder(path.parent)
    with editing(path):
        known = find_identity(path, config_folder=config_folder)
        if known is None:
            known = Identity(secret=secrets.token_bytes(_BYTES), config_folder=config_folder)
            replace(path, Content(data=f"{known.secret.hex()}\n".encode("ascii")))
    return known


def _address(host: str) -> str:
    """An address in one form, whichever of the two ends of a connection tells it."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)

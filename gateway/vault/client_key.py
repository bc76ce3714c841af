"""A client key: the text that a caller presents, what is kept of it, and what it may do. Pure but for the random numbers."""

import base64
import hmac
import re
import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from gateway.domain.secret import Secret

SALT_BYTES: Final = 16
HASH_BYTES: Final = 32

_PREFIXES: Final = {"client": "rg", "admin": "rga"}
_PRESENTED: Final = re.compile(r"rga?-([0-9a-f]{12})-[a-z2-7]{52}")


class Scope(StrEnum):
    """Which doors a key opens."""

    CLIENT = "client"
    """The data plane, ``/v1``."""

    ADMIN = "admin"
    """The administration, ``/admin``."""


class Refusal(StrEnum):
    """Why a key does not let its bearer in. Whoever presents one that is not known is told no more than that."""

    UNKNOWN = "unknown"
    """No such key was ever made, or a part of it is wrong."""

    EXPIRED = "expired"
    """It was right, and its time is over."""

    REVOKED = "revoked"
    """It was right, and has been taken back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientKey:
    """What is known of one key. Times are seconds since the epoch.

    ``roles`` it may ask for, ``None`` for all; ``expires_s`` is ``None`` for never; ``requests_per_minute`` and ``concurrency``
    are ``None`` for no limit of its own; ``revoked_s`` is when it was taken back, ``None`` while it was not.
    """

    id: str
    name: str
    scope: Scope
    created_s: float | None = None
    roles: frozenset[str] | None = None
    expires_s: float | None = None
    requests_per_minute: int | None = None
    concurrency: int | None = None
    revoked_s: float | None = None

    def refusal(self, now_s: float) -> Refusal | None:
        """Why this key, presented rightly, does not count at ``now_s``; ``None`` if it does."""
        if self.revoked_s is not None:
            return Refusal.REVOKED
        if self.expires_s is not None and now_s >= self.expires_s:
            return Refusal.EXPIRED
        return None

    def may_use(self, role: str) -> bool:
        """Whether its roles include ``role``."""
        return self.roles is None or role in self.roles


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Who presented a key, or why not. ``key`` is ``None`` for ``UNKNOWN`` only; one that was refused is named, for the log."""

    key: ClientKey | None
    refusal: Refusal | None

    @property
    def admitted(self) -> ClientKey | None:
        """The key that opens the door, if it does."""
        return self.key if self.refusal is None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyHash:
    """What is kept of the text of a key.

    One HMAC-SHA256 with a salt of its own, and no slow function like Argon2: that buys time against the guessing of what people
    think up, and these keys are 256 random bits, which no number of guesses reaches. It would cost every request, and let
    anybody who sends wrong keys keep the processor busy.
    """

    salt: bytes
    digest: bytes = field(repr=False)

    @classmethod
    def of(cls, text: Secret) -> "KeyHash":
        """With a new salt."""
        salt = secrets.token_bytes(SALT_BYTES)
        return cls(salt=salt, digest=_digest(salt, text.reveal()))

    def fits(self, presented: str) -> bool:
        """Whether it is of this text. Compares two digests in constant time: how long it takes depends on the length of what is
        presented, which whoever presents it knows, and on nothing of the right text, not even its length."""
        return hmac.compare_digest(self.digest, _digest(self.salt, presented))


def _digest(salt: bytes, text: str) -> bytes:
    # Whatever bytes a header had, some text came of them, and some bytes come of that.
    return hmac.digest(salt, text.encode("utf-8", "surrogatepass"), "sha256")


def new_id() -> str:
    """A public name for a key, part of its text: 12 hexadecimal digits."""
    return secrets.token_hex(6)


def new_text(*, key_id: str, scope: Scope) -> Secret:
    """The text of a new key: ``rg-`` (clients) or ``rga-`` (admins), its id, and 256 random bits in letters."""
    bits = base64.b32encode(secrets.token_bytes(32)).decode("ascii").rstrip("=").lower()
    return Secret(f"{_PREFIXES[scope]}-{key_id}-{bits}")


def presented_id(presented: str) -> str | None:
    """The id inside of what was presented as a key; ``None`` where it does not look like one of ours."""
    found = _PRESENTED.fullmatch(presented)
    return None if found is None else found[1]

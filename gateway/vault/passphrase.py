"""From a passphrase to a key, by Argon2id: slow and memory-hungry on purpose, within bounds that no file can move."""

import secrets
import unicodedata
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from gateway.domain.secret import Secret
from gateway.vault.sealing_key import KEY_BYTES, SealingKey

SALT_BYTES: Final = 16
FEWEST_CHARACTERS: Final = 8


class PassphraseRefused(Exception):
    """Why no key can come of a passphrase, and what to do. Its text has nothing of the passphrase."""

    def __init__(self, reason: str, *, hint: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one guess at a passphrase costs."""

    memory_kib: int
    iterations: int
    lanes: int

    def within(self, floor: "Cost", ceiling: "Cost") -> bool:
        """Whether no figure lies outside of the two."""
        return (
            floor.memory_kib <= self.memory_kib <= ceiling.memory_kib
            and floor.iterations <= self.iterations <= ceiling.iterations
            and floor.lanes <= self.lanes <= ceiling.lanes
            # Argon2's own rule.
            and self.memory_kib >= 8 * self.lanes
        )

    def __str__(self) -> str:
        return f"{self.memory_kib:,} KiB of memory, {self.iterations} iterations, {self.lanes} lanes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretching:
    """``cost`` is for new salts. A file is believed if it asks for at least ``floor`` (less would be quick to guess, so it was
    not written by us) and at most ``ceiling`` (2 s and 256 MiB on a slow core, so that a hostile file cannot eat the machine).
    """

    cost: Cost
    floor: Cost
    ceiling: Cost


STRETCHING: Final = Stretching(
    # The second choice of RFC 9106, for where memory is not plentiful.
    cost=Cost(memory_kib=64 * 1024, iterations=3, lanes=4),
    floor=Cost(memory_kib=19 * 1024, iterations=2, lanes=1),
    ceiling=Cost(memory_kib=256 * 1024, iterations=10, lanes=8),
)


def new_salt() -> bytes:
    return secrets.token_bytes(SALT_BYTES)


def require_strength(passphrase: Secret) -> None:
    """Refuse what is too short to lock something new with. Raises ``PassphraseRefused``."""
    if len(_settled(passphrase)) < FEWEST_CHARACTERS:
        raise PassphraseRefused(
            f"the passphrase has fewer than {FEWEST_CHARACTERS} characters",
            hint="take a longer one: five random words are good",
        )


def stretched(passphrase: Secret, *, salt: bytes, cost: Cost) -> SealingKey:
    """The key that ``passphrase`` comes to. Takes a tenth of a second and the memory that ``cost`` says.

    Space around a passphrase does not count, nor in which of Unicode's two ways an accent was typed. Bytes that are no UTF-8,
    as an environment variable may have them, count as they are. Raises ``PassphraseRefused``.
    """
    text = _encoded(passphrase)
    if not text:
        raise PassphraseRefused("the passphrase is empty", hint="give one, or leave it out altogether")
    try:
        return SealingKey(
            Argon2id(
                salt=salt,
                length=KEY_BYTES,
                iterations=cost.iterations,
                lanes=cost.lanes,
                memory_cost=cost.memory_kib,
            ).derive(text.reveal().encode("latin-1"))
        )
    except MemoryError:
        pass
    except UnsupportedAlgorithm:
        raise PassphraseRefused(
            "the cryptography library here has no Argon2id", hint="install its wheel, or use a key file"
        ) from None
    raise PassphraseRefused(f"there is not enough memory to check it ({cost})", hint="free some and try again")


def _settled(passphrase: Secret) -> str:
    return unicodedata.normalize("NFC", passphrase.reveal().strip())


def _encoded(passphrase: Secret) -> Secret:
    """The passphrase in UTF-8, each byte as one character, so that it stays a secret that no traceback shows."""
    try:
        return Secret(_settled(passphrase).encode("utf-8", "surrogateescape").decode("latin-1"))
    except UnicodeEncodeError:
        pass
    # Outside of the handler: the exception above holds the whole passphrase.
    raise PassphraseRefused("the passphrase has characters that no text can have", hint="take another one")

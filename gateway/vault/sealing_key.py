"""A 256-bit key that never leaves its object: what it does is encrypt, authenticate, and wrap other keys."""

import base64
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Final, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12


class NotUnderThisKey(Exception):
    """A box was not made by this key for this purpose, or is not as it was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """What AES-256-GCM made of a plain text: the nonce, and cipher text with tag."""

    nonce: bytes
    text: bytes


@final
class SealingKey:
    """256 bits. ``repr`` shows a mask, and the bytes stay inside, so that no frame of a traceback holds them."""

    __slots__ = ("_bits",)

    def __init__(self, bits: bytes) -> None:
        if len(bits) != KEY_BYTES:
            raise ValueError(f"a sealing key has {KEY_BYTES} bytes, not {len(bits)}")
        self._bits = bits

    @classmethod
    def random(cls) -> "SealingKey":
        return cls(secrets.token_bytes(KEY_BYTES))

    @classmethod
    def from_text(cls, text: str) -> "SealingKey | None":
        """The inverse of ``text``; ``None`` for what is no key. (An exception would have the text in its frame.)"""
        if re.fullmatch(r"[A-Za-z0-9_-]{43}", text) is None:
            return None
        key = cls(base64.urlsafe_b64decode(text + "="))
        return key if key.text() == text else None

    def text(self) -> str:
        """The key in letters, for the key file and nothing else."""
        return base64.urlsafe_b64encode(self._bits).decode("ascii").rstrip("=")

    @property
    def fingerprint(self) -> str:
        """Tells this key from others and says nothing about it: 16 hexadecimal digits."""
        return self._derived("fingerprint").hex()[:16]

    def seal(self, plain: bytes, *, bound_to: bytes) -> Sealed:
        """Encrypt ``plain`` so that it opens only together with ``bound_to``.

        The nonce is random; keys live for a few thousand boxes at most, far below where 96 random bits could meet again.
        """
        nonce = secrets.token_bytes(NONCE_BYTES)
        return Sealed(nonce=nonce, text=AESGCM(self._bits).encrypt(nonce, plain, bound_to))

    def unseal(self, sealed: Sealed, *, bound_to: bytes) -> bytes:
        """The plain text. Raises ``NotUnderThisKey``."""
        try:
            return AESGCM(self._bits).decrypt(sealed.nonce, sealed.text, bound_to)
        except InvalidTag as exc:
            raise NotUnderThisKey from exc

    def wrap(self, key: "SealingKey", *, bound_to: bytes) -> Sealed:
        """Encrypt another key."""
        return self.seal(key._bits, bound_to=bound_to)  # noqa: SLF001 - its own class

    def unwrap(self, sealed: Sealed, *, bound_to: bytes) -> "SealingKey":
        """The key that ``wrap`` encrypted. Raises ``NotUnderThisKey``."""
        return SealingKey(self.unseal(sealed, bound_to=bound_to))

    def authenticate(self, content: bytes) -> bytes:
        """HMAC-SHA256 of ``content``, under a key derived from this one, so that no bits serve two algorithms."""
        return hmac.digest(self._derived("authenticate"), content, "sha256")

    def _derived(self, purpose: str) -> bytes:
        return hmac.digest(self._bits, b"rolegate vault 1: " + purpose.encode("ascii"), "sha256")

    def __repr__(self) -> str:
        return "SealingKey('**********')"

    def __reduce__(self) -> str:
        raise TypeError("a sealing key cannot be pickled")

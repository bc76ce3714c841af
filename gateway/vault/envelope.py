"""The vault's file as text and as values, and what binds its parts together. Pure: no files, no passphrases."""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.vault.base64_text import Base64Bytes
from gateway.vault.passphrase import SALT_BYTES, Cost
from gateway.vault.sealing_key import KEY_BYTES, NONCE_BYTES, Sealed
from gateway.vault.unequivocal import unequivocal

FORMAT: Final = "rolegate-vault"
VERSION: Final = 1
PROVIDER_NAME: Final = re.compile(r"[a-z][a-z0-9_-]*")

_TAG_BYTES: Final = 16
_SEAL_BYTES: Final = 32


class NoVault(Exception):
    """Why a text is not a vault that this version reads, and what to do."""

    def __init__(self, reason: str, *, hint: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


def _exactly(count: int) -> object:
    return Field(min_length=count, max_length=count)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class Box(_Part):
    """An encrypted text."""

    nonce: Annotated[Base64Bytes, _exactly(NONCE_BYTES)]
    sealed: Annotated[Base64Bytes, Field(min_length=_TAG_BYTES)]

    @classmethod
    def of(cls, sealed: Sealed) -> "Box":
        return cls.model_construct(nonce=sealed.nonce, sealed=sealed.text)

    def content(self) -> Sealed:
        return Sealed(nonce=self.nonce, text=self.sealed)


class WrappedKey(Box):
    """The data key, encrypted."""

    sealed: Annotated[Base64Bytes, _exactly(KEY_BYTES + _TAG_BYTES)]


class PassphraseLock(_Part):
    """What is needed besides the passphrase."""

    source: Literal["passphrase"] = "passphrase"
    kdf: Literal["argon2id"] = "argon2id"
    salt: Annotated[Base64Bytes, _exactly(SALT_BYTES)]
    memory_kib: int
    iterations: int
    lanes: int

    @property
    def cost(self) -> Cost:
        return Cost(memory_kib=self.memory_kib, iterations=self.iterations, lanes=self.lanes)


class KeyFileLock(_Part):
    """Which key of the key file is needed."""

    source: Literal["key_file"] = "key_file"
    key: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


Lock = PassphraseLock | KeyFileLock

_ProviderName = Annotated[str, Field(pattern=rf"^{PROVIDER_NAME.pattern}$")]


class Envelope(_Part):
    """The whole file. ``revision`` counts the edits of the vault with this ``vault_id``. ``seal`` authenticates all the rest
    under the data key."""

    format: Literal["rolegate-vault"] = FORMAT
    version: Literal[1] = VERSION
    vault_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    revision: Annotated[int, Field(ge=1, le=2**53)]
    lock: Annotated[Lock, Field(discriminator="source")]
    data_key: WrappedKey
    entries: Mapping[_ProviderName, Box]
    seal: Annotated[Base64Bytes, _exactly(_SEAL_BYTES)] = bytes(_SEAL_BYTES)

    def sealed_content(self) -> bytes:
        """What ``seal`` is made over: all of the file but itself."""
        return _canonical(self.model_dump(exclude={"seal"}))

    def render(self) -> bytes:
        """The text of the file."""
        return (json.dumps(self.model_dump(), indent=2, sort_keys=True) + "\n").encode("ascii")


def parse(data: bytes) -> Envelope:
    """The envelope that ``data`` is the text of; nothing of it is authenticated yet. Raises ``NoVault``."""
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=unequivocal)
    except (ValueError, RecursionError):
        raise NoVault("it is not the JSON that rolegate wrote", hint=_RESTORE) from None
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise NoVault(
            "it is not a vault of rolegate", hint="move it away; `rolegate providers set-key` makes a new one"
        )
    version = value.get("version")
    if type(version) is not int or version < 1:
        raise NoVault("its version is none that ever was", hint=_RESTORE)
    if version > VERSION:
        raise NoVault(
            f"it has version {version} of the format, and this rolegate reads version {VERSION}",
            hint="use the newer rolegate that wrote it",
        )
    try:
        return Envelope.model_validate(value)
    except ValidationError as exc:
        # Only the names that are ours: what else stands in the file may be anything.
        part = exc.errors(include_url=False, include_context=False, include_input=False)[0]["loc"][0]
        what = f'its "{part}" is not' if part in Envelope.model_fields else "not all in it is"
        raise NoVault(f"{what} as rolegate writes it", hint=_RESTORE) from None


_RESTORE: Final = "put a copy back that opens, or move it away and set the keys again"


def bound_data_key(*, vault_id: str, lock: Lock) -> bytes:
    """What the wrapped data key is bound to: this vault, and the lock it is wrapped for."""
    return _canonical([FORMAT, VERSION, "data key", vault_id, lock.model_dump()])


def bound_entry(*, vault_id: str, provider: str) -> bytes:
    """What an entry is bound to: this vault, and the provider it is a key of."""
    return _canonical([FORMAT, VERSION, "entry", vault_id, provider])


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")

"""The file of client keys as text and as values."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.vault.base64_text import Base64Bytes
from gateway.vault.client_key import HASH_BYTES, SALT_BYTES, ClientKey, KeyHash, Scope
from gateway.vault.unequivocal import unequivocal

VERSION: Final = 1

_MEND: Final = "put a copy back, or move it away and make new keys with `rolegate keys create`"


class NoKeyList(Exception):
    """Why a text is not a list of keys that this version reads, and what to do."""

    def __init__(self, reason: str, *, hint: str = _MEND) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A key as the file has it."""

    key: ClientKey
    hash: KeyHash


_Time = Annotated[float, Field(allow_inf_nan=False)]
_Limit = Annotated[int, Field(ge=1)]


class _Row(BaseModel):
    """Strict: a number where a text should be is somebody's slip, and a door is no place to guess."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
    name: Annotated[str, Field(min_length=1, max_length=64)]
    scope: Literal["client", "admin"]
    created_s: _Time | None
    roles: Annotated[tuple[str, ...], Field(strict=False)] | None
    expires_s: _Time | None
    requests_per_minute: _Limit | None
    concurrency: _Limit | None
    revoked_s: _Time | None
    salt: Annotated[Base64Bytes, Field(min_length=SALT_BYTES, max_length=SALT_BYTES)]
    hash: Annotated[Base64Bytes, Field(min_length=HASH_BYTES, max_length=HASH_BYTES)]

    @classmethod
    def of(cls, kept: Kept) -> "_Row":
        key = kept.key
        return cls.model_construct(
            id=key.id,
            name=key.name,
            scope=key.scope.value,
            created_s=key.created_s,
            roles=None if key.roles is None else tuple(sorted(key.roles)),
            expires_s=key.expires_s,
            requests_per_minute=key.requests_per_minute,
            concurrency=key.concurrency,
            revoked_s=key.revoked_s,
            salt=kept.hash.salt,
            hash=kept.hash.digest,
        )

    def to_domain(self) -> Kept:
        key = ClientKey(
            id=self.id,
            name=self.name,
            scope=Scope(self.scope),
            created_s=self.created_s,
            roles=None if self.roles is None else frozenset(self.roles),
            expires_s=self.expires_s,
            requests_per_minute=self.requests_per_minute,
            concurrency=self.concurrency,
            revoked_s=self.revoked_s,
        )
        return Kept(key=key, hash=KeyHash(salt=self.salt, digest=self.hash))


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    version: Literal[1]
    keys: Annotated[tuple[_Row, ...], Field(strict=False)]


def parse_keys(data: bytes) -> tuple[Kept, ...]:
    """The keys in ``data``, in the order in which they were made. Raises ``NoKeyList``."""
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=unequivocal)
    except (ValueError, RecursionError):
        raise NoKeyList("it is not the JSON that rolegate wrote") from None
    version = value.get("version") if isinstance(value, dict) else None
    if type(version) is int and version > VERSION:
        raise NoKeyList(
            f"it has version {version} of its format, and this rolegate reads version {VERSION}",
            hint="use the newer rolegate that wrote it",
        )
    try:
        rows = _File.model_validate(value).keys
    except ValidationError as exc:
        # Only the names that are ours: what else stands in the file may be anything.
        where = exc.errors(include_url=False, include_context=False, include_input=False)[0]["loc"]
        ours = [str(one) for one in where if isinstance(one, int) or one in {*_File.model_fields, *_Row.model_fields}]
        what = f'its "{".".join(ours)}" is not' if ours else "not all in it is"
        raise NoKeyList(f"{what} as rolegate writes it") from None
    if len({row.id for row in rows}) != len(rows):
        raise NoKeyList("two keys have the same id")
    return tuple(row.to_domain() for row in rows)


def render_keys(kept: Iterable[Kept]) -> bytes:
    """The text of the file."""
    file = _File.model_construct(version=VERSION, keys=tuple(_Row.of(one) for one in kept))
    return (json.dumps(file.model_dump(), indent=2) + "\n").encode("ascii")

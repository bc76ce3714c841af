"""An admin route as a row: what it is for, what it takes, what it answers, and how it refuses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from gateway.api.admin_body import OFF, ON
from gateway.api.admin_schemas import TEXT, Schema
from gateway.errors import BadRequest, RequestTooLarge, RequestTooSlow, RolegateError
from gateway.file_errors import VaultLocked, VaultUnreadable

Refusals = tuple[type[RolegateError], ...]

FLAG: Final[Schema] = {"type": "string", "enum": [*ON, *OFF]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One part of a request beside its body."""

    name: str
    place: str
    about: str
    schema: Schema = field(default_factory=lambda: TEXT)
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path. ``answers`` maps a status to the name of what is in the body (empty for none); ``body`` is the name
    of what may be sent, and must be where ``body_required``, and ``example`` one such."""

    method: str
    path: str
    id: str
    about: str
    answers: Mapping[int, str]
    detail: str = ""
    body: str = ""
    body_required: bool = False
    example: Mapping[str, object] | None = None
    parameters: tuple[Parameter, ...] = ()
    answer_headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    refusals: Refusals = ()


ROLE: Final = Parameter(name="role", place="path", about="the role", required=True)
BODY: Final[Refusals] = (BadRequest, RequestTooLarge, RequestTooSlow)
VAULT: Final[Refusals] = (VaultLocked, VaultUnreadable)
"""Of what looks at the providers: a key of one may be there only."""

"""The admin routes as rows: what each is for, what it takes, what it answers, and how it refuses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from gateway.api.admin_schemas import EPOCH_S, TEXT, Schema
from gateway.errors import (
    BadRequest,
    CannotWrite,
    ConfigInvalid,
    EditConflict,
    GatewayStarting,
    HotSwapDisabled,
    JournalUnreadable,
    ModelInUse,
    ProfileInUse,
    ProviderDown,
    ProviderFailed,
    RequestTooLarge,
    RequestTooSlow,
    RolegateError,
    TemplateInvalid,
    UnknownName,
    Unsupported,
)
from gateway.runtime.canary import Vetoed
from gateway.telemetry.generations import GenerationLogUnreadable

Refusals = tuple[type[RolegateError], ...]

_FLAG: Final[Schema] = {"type": "string", "enum": ["1", "true", "yes", "0", "false", "no"]}
_AT_MOST: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": 1000}


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
    of what may be sent, and must be where ``body_required``."""

    method: str
    path: str
    id: str
    about: str
    answers: Mapping[int, str]
    detail: str = ""
    body: str = ""
    body_required: bool = False
    parameters: tuple[Parameter, ...] = ()
    answer_headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    refusals: Refusals = ()


_ROLE: Final = Parameter(name="role", place="path", about="the role", required=True)
_REF: Final = Parameter(
    name="ref", place="path", about="a model reference; colons and slashes stay as they are", required=True
)
_NAME: Final = Parameter(name="name", place="path", about="the profile", required=True)
_IF_MATCH: Final = Parameter(
    name="If-Match", place="header", about="the ETag of what is to be changed, or * for whatever is there"
)
_ETAG: Final = MappingProxyType({"ETag": "the version; send it back as If-Match"})

_LIVE: Final[Refusals] = (BadRequest, GatewayStarting)
_MODEL: Final[Refusals] = (BadRequest, UnknownName, ProviderFailed, ProviderDown, Unsupported, GatewayStarting)
_BODY: Final[Refusals] = (BadRequest, RequestTooLarge, RequestTooSlow)
_SWAPS: Final[Refusals] = (*_BODY, HotSwapDisabled, ConfigInvalid, TemplateInvalid, Vetoed, GatewayStarting)
_EDITS: Final[Refusals] = (EditConflict, ConfigInvalid, UnknownName, CannotWrite)

OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/admin/v1/status",
        id="status",
        about="The live gateway: generation, roles, providers, what is pending, and the last error.",
        answers={200: "Status"},
    ),
    Operation(
        method="GET",
        path="/admin/v1/plan",
        id="plan",
        about="The live plan: every role's deployments in order, and every candidate's verdict.",
        answers={200: "Plan"},
        refusals=_LIVE,
    ),
    Operation(
        method="GET",
        path="/admin/v1/generations",
        id="generations",
        about="The latest generations, the newest first, with those that did not come to be.",
        answers={200: "Generations"},
        parameters=(Parameter(name="limit", place="query", about="at most so many; 20 when absent", schema=_AT_MOST),),
        refusals=(BadRequest, GenerationLogUnreadable),
    ),
    Operation(
        method="POST",
        path="/admin/v1/explain/{role}",
        id="explain",
        about="Every candidate of a role with its verdict and arithmetic; changes nothing.",
        detail="Asks on top of what the role asks for, under another profile or with other memory where the body says so.",
        body="Question",
        answers={200: "Explanation"},
        parameters=(_ROLE,),
        refusals=(*_BODY, UnknownName, ConfigInvalid, GatewayStarting),
    ),
    Operation(
        method="POST",
        path="/admin/v1/swap",
        id="swap",
        about="Make a profile the active one, and serve by it.",
        detail="Answers when the pointer has moved. The choice survives a restart.",
        body="Choice",
        body_required=True,
        answers={200: "Swap"},
        refusals=(*_SWAPS, UnknownName),
    ),
    Operation(
        method="POST",
        path="/admin/v1/reload",
        id="reload",
        about="Read every file again, and serve by what they say now.",
        answers={200: "Swap"},
        refusals=_SWAPS,
    ),
    Operation(
        method="POST",
        path="/admin/v1/rollback",
        id="rollback",
        about="Go back to the generation before this one.",
        answers={200: "Swap"},
        refusals=_SWAPS,
    ),
    Operation(
        method="GET",
        path="/admin/v1/profiles",
        id="list_profiles",
        about="Every profile, and which one is active.",
        answers={200: "Profiles"},
        refusals=(BadRequest, ConfigInvalid),
    ),
    Operation(
        method="GET",
        path="/admin/v1/profiles/{name}",
        id="read_profile",
        about="What a profile itself says; secrets are masked.",
        answers={200: "Profile"},
        answer_headers=_ETAG,
        parameters=(_NAME,),
        refusals=(BadRequest, UnknownName, ConfigInvalid),
    ),
    Operation(
        method="PUT",
        path="/admin/v1/profiles/{name}",
        id="write_profile",
        about="Write a profile: create it, or replace the version that If-Match names.",
        detail=(
            "Nothing is written unless the whole configuration would be sound with it. A masked secret stands for the one that "
            "is there. Without If-Match a profile is created only if there is none of that name. With hot-swap on, a change of "
            "what serves is taken up before this answers; with hot-swap off it is pending."
        ),
        body="Profile",
        body_required=True,
        answers={200: "ProfileWritten", 201: "ProfileWritten"},
        answer_headers=_ETAG,
        parameters=(
            _NAME,
            _IF_MATCH,
            Parameter(name="If-None-Match", place="header", about="* to create only"),
        ),
        refusals=(*_BODY, *_EDITS),
    ),
    Operation(
        method="DELETE",
        path="/admin/v1/profiles/{name}",
        id="delete_profile",
        about="Delete a profile that nothing needs.",
        detail="The active one goes only when a successor is named; one that others extend does not go.",
        answers={200: "ProfileDeleted"},
        parameters=(
            _NAME,
            _IF_MATCH,
            Parameter(name="successor", place="query", about="the profile that is active from then on"),
        ),
        refusals=(BadRequest, *_EDITS, ProfileInUse),
    ),
    Operation(
        method="GET",
        path="/admin/v1/models",
        id="list_models",
        about="Every model: capabilities with their origins, roles, and what is loaded.",
        answers={200: "Models"},
        refusals=(GatewayStarting,),
    ),
    Operation(
        method="POST",
        path="/admin/v1/models/{ref}/load",
        id="load_model",
        about="Load a model as the plan has it; answers when it is loaded.",
        body="Stay",
        answers={200: "Loaded"},
        parameters=(_REF,),
        refusals=(*_BODY, *_MODEL),
    ),
    Operation(
        method="POST",
        path="/admin/v1/models/{ref}/unload",
        id="unload_model",
        about="Let go of a model; answers when it is out of memory, or when requests in flight keep it there.",
        answers={200: "Unloaded"},
        parameters=(_REF,),
        refusals=_MODEL,
    ),
    Operation(
        method="DELETE",
        path="/admin/v1/models/{ref}",
        id="remove_model",
        about="Delete a model from its provider's disk.",
        answers={200: "Removed"},
        parameters=(
            _REF,
            Parameter(name="force", place="query", about="1: even if roles use it", schema=_FLAG),
        ),
        refusals=(*_MODEL, ModelInUse),
    ),
    Operation(
        method="GET",
        path="/admin/v1/resources",
        id="resources",
        about="Memory and temperature now, and what each provider's host can hold.",
        answers={200: "Resources"},
        refusals=(GatewayStarting,),
    ),
    Operation(
        method="GET",
        path="/admin/v1/requests",
        id="requests",
        about="What became of the latest requests, the newest first.",
        answers={200: "Requests"},
        parameters=(
            Parameter(name="limit", place="query", about="at most so many; 100 when absent", schema=_AT_MOST),
            Parameter(name="failed", place="query", about="1: only those that failed", schema=_FLAG),
            Parameter(name="role", place="query", about="only those of this role"),
            Parameter(name="since", place="query", about="only those that arrived since", schema=EPOCH_S),
            Parameter(name="before", place="query", about="a request id: only those that ended before it"),
        ),
        refusals=(BadRequest, JournalUnreadable),
    ),
    Operation(
        method="GET",
        path="/admin/v1/openapi.json",
        id="openapi",
        about="This document.",
        answers={200: ""},
    ),
)

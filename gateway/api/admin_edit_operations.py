"""The admin routes of profiles and roles, as rows."""

import json
from types import MappingProxyType
from typing import Final

from gateway.api.admin_operation import BODY, FLAG, ROLE, VAULT, Operation, Parameter, Refusals
from gateway.api.admin_schemas import NAME
from gateway.config.bundle import Bundle, packed
from gateway.config.edition import EditsBlocked
from gateway.errors import BadRequest, NameTaken, ProfileInUse, UnknownName
from gateway.file_errors import CannotWrite, ConfigInvalid, EditConflict

_NAME: Final = Parameter(name="name", place="path", about="the profile", required=True)
_IF_MATCH: Final = Parameter(
    name="If-Match", place="header", about="the ETag of what is to be changed, or * for whatever is there"
)
_IF_NONE_MATCH: Final = Parameter(
    name="If-None-Match", place="header", about="* to create only", schema={"type": "string", "enum": ["*", ""]}
)
_EXPORTED: Final = json.loads(packed(Bundle(name="travel", values={"description": "on the train"}, parents={})))
_ETAG: Final = MappingProxyType({"ETag": "the version; send it back as If-Match"})

_EDITS: Final[Refusals] = (EditConflict, ConfigInvalid, UnknownName, CannotWrite, EditsBlocked)
_JUDGED: Final[Refusals] = (BadRequest, UnknownName, ConfigInvalid, *VAULT)

EDIT_OPERATIONS: Final = (
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
        example={"role_mappings": {"planner": {"preferred": ["mistral:latest"]}}},
        answers={200: "ProfileWritten", 201: "ProfileWritten"},
        answer_headers=_ETAG,
        parameters=(
            _NAME,
            _IF_MATCH,
            _IF_NONE_MATCH,
        ),
        refusals=(*BODY, *_EDITS),
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
        method="PATCH",
        path="/admin/v1/profiles/{name}",
        id="change_profile",
        about="Change single values of a profile by their set paths.",
        detail="All of them are written, or none. Without If-Match, whatever version is there is changed.",
        body="Changes",
        body_required=True,
        example={"set": {"selection.memory_margin": 0.2}},
        answers={200: "ProfileWritten"},
        answer_headers=_ETAG,
        parameters=(_NAME, _IF_MATCH),
        refusals=(*BODY, *_EDITS),
    ),
    Operation(
        method="POST",
        path="/admin/v1/profiles/{name}/copy",
        id="copy_profile",
        about="A new profile with the text of another.",
        body="NewName",
        body_required=True,
        example={"name": "mine"},
        answers={201: "ProfileWritten"},
        answer_headers=_ETAG,
        parameters=(_NAME,),
        refusals=(*BODY, *_EDITS, NameTaken),
    ),
    Operation(
        method="GET",
        path="/admin/v1/profiles/{name}/diff",
        id="compare_profiles",
        about="What differs between two profiles: settings, and who would serve each role on this machine now.",
        answers={200: "Differences"},
        parameters=(
            _NAME,
            Parameter(name="with", place="query", about="the other profile", required=True, schema=NAME),
        ),
        refusals=_JUDGED,
    ),
    Operation(
        method="GET",
        path="/admin/v1/profiles/{name}/validate",
        id="validate_profile",
        about="What a profile would make of this machine: roles without a model, and models that it names in vain.",
        answers={200: "Validation"},
        parameters=(_NAME,),
        refusals=_JUDGED,
    ),
    Operation(
        method="GET",
        path="/admin/v1/profiles/{name}/export",
        id="export_profile",
        about="A profile and what it extends, as one file with a checksum; one that holds a secret is refused.",
        answers={200: "ExportedProfile"},
        parameters=(_NAME,),
        refusals=_JUDGED,
    ),
    Operation(
        method="POST",
        path="/admin/v1/profiles",
        id="import_profile",
        about="Take in a profile that was exported, with those it extends.",
        detail=(
            "What an older version exported is brought up to date. A profile that says something else is replaced only where "
            "that is asked for."
        ),
        body="ExportedProfile",
        body_required=True,
        example=_EXPORTED,
        answers={200: "ProfileImported", 201: "ProfileImported"},
        answer_headers=_ETAG,
        parameters=(
            Parameter(name="name", place="query", about="call the profile so here"),
            Parameter(name="replace", place="query", about="1: replace profiles that are there", schema=FLAG),
        ),
        refusals=(*BODY, *_EDITS, NameTaken),
    ),
    Operation(
        method="GET",
        path="/admin/v1/roles",
        id="list_roles",
        about="Every role, what the operator's own layer says of it, and which profiles speak of it too.",
        answers={200: "Roles"},
        answer_headers=_ETAG,
        refusals=(BadRequest, ConfigInvalid),
    ),
    Operation(
        method="GET",
        path="/admin/v1/roles/{role}",
        id="read_role",
        about="What the operator's own layer, user_models, says of a role; empty where it says nothing.",
        answers={200: "Profile_RoleEntry"},
        answer_headers=_ETAG,
        parameters=(ROLE,),
        refusals=(BadRequest, UnknownName, ConfigInvalid),
    ),
    Operation(
        method="PUT",
        path="/admin/v1/roles/{role}",
        id="write_role",
        about="Make this all that the operator's own layer says of a role: a new one, or in place of what If-Match names.",
        detail=(
            "The version is that of the whole file. Without If-Match a role is created only if there is none of that name. The "
            "rest is as with profiles."
        ),
        body="Profile_RoleEntry",
        body_required=True,
        example={"preferred": ["mistral:latest"], "requirements": {"memory_gb_max": 8}},
        answers={200: "RoleWritten", 201: "RoleWritten"},
        answer_headers=_ETAG,
        parameters=(
            ROLE,
            _IF_MATCH,
            _IF_NONE_MATCH,
        ),
        refusals=(*BODY, *_EDITS),
    ),
    Operation(
        method="PATCH",
        path="/admin/v1/roles/{role}",
        id="change_role",
        about="Change single values of a role by their set paths below it.",
        detail="All of them are written, or none. Without If-Match, whatever version is there is changed.",
        body="Changes",
        body_required=True,
        example={"set": {"requirements.memory_gb_max": 6}},
        answers={200: "RoleWritten"},
        answer_headers=_ETAG,
        parameters=(ROLE, _IF_MATCH),
        refusals=(*BODY, *_EDITS),
    ),
    Operation(
        method="DELETE",
        path="/admin/v1/roles/{role}",
        id="remove_role",
        about="Remove a role: whoever asks for it gets an error from then on, unless the active profile has it too.",
        answers={200: "RoleRemoved"},
        answer_headers=_ETAG,
        parameters=(ROLE, _IF_MATCH),
        refusals=(BadRequest, *_EDITS),
    ),
)

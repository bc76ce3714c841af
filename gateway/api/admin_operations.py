"""All admin routes, as rows."""

from typing import Final

from gateway.api.admin_edit_operations import EDIT_OPERATIONS
from gateway.api.admin_operation import BODY, FLAG, ROLE, VAULT, Operation, Parameter, Refusals
from gateway.api.admin_schemas import EPOCH_S, Schema
from gateway.domain.cost import By
from gateway.errors import (
    BadRequest,
    GatewayStarting,
    HotSwapDisabled,
    ModelInUse,
    ProviderDown,
    ProviderFailed,
    UnknownName,
    Unsupported,
)
from gateway.file_errors import ConfigInvalid, JournalUnreadable, TemplateInvalid
from gateway.runtime.canary import Vetoed
from gateway.telemetry.generations import GenerationLogUnreadable

_AT_MOST: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": 1000}
_REF: Final = Parameter(
    name="ref", place="path", about="a model reference; colons and slashes stay as they are", required=True
)

_LIVE: Final[Refusals] = (BadRequest, GatewayStarting)
_MODEL: Final[Refusals] = (BadRequest, UnknownName, ProviderFailed, ProviderDown, Unsupported, GatewayStarting)
_SWAPS: Final[Refusals] = (*BODY, HotSwapDisabled, ConfigInvalid, TemplateInvalid, Vetoed, GatewayStarting, *VAULT)

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
        path="/admin/v1/plan/profile",
        id="pinned_profile",
        about="A profile that asks for just what is served now; PUT it under a name to keep it.",
        detail="Its settings are what differs from the files alone, or from what it is to extend; secrets are masked.",
        answers={200: "Profile"},
        parameters=(Parameter(name="extends", place="query", about="the profile that it is to extend"),),
        refusals=(*_LIVE, UnknownName),
    ),
    Operation(
        method="POST",
        path="/admin/v1/look",
        id="look",
        about="Ask every provider what it has, now.",
        detail="With hot-swap on, what came or went since the last look is taken up a moment later.",
        answers={200: "Looked"},
        refusals=BODY,
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
        example={"vision": True, "memory_gb": 24},
        answers={200: "Explanation"},
        parameters=(ROLE,),
        refusals=(*BODY, UnknownName, ConfigInvalid, GatewayStarting, *VAULT),
    ),
    Operation(
        method="POST",
        path="/admin/v1/swap",
        id="swap",
        about="Make a profile the active one, and serve by it.",
        detail="Answers when the pointer has moved. The choice survives a restart.",
        body="Choice",
        body_required=True,
        example={"profile": "coding"},
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
    *EDIT_OPERATIONS,
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
        example={"keep_alive": "30m"},
        answers={200: "Loaded"},
        parameters=(_REF,),
        refusals=(*BODY, *_MODEL),
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
            Parameter(name="force", place="query", about="1: even if roles use it", schema=FLAG),
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
            Parameter(name="failed", place="query", about="1: only those that failed", schema=FLAG),
            Parameter(name="role", place="query", about="only those of this role"),
            Parameter(name="since", place="query", about="only those that arrived since", schema=EPOCH_S),
            Parameter(name="before", place="query", about="a request id: only those that ended before it"),
        ),
        refusals=(BadRequest, JournalUnreadable),
    ),
    Operation(
        method="GET",
        path="/admin/v1/costs",
        id="costs",
        about="What the answers of the last days cost, summed by role, model, provider or day.",
        detail="In US dollars. Days are those of UTC.",
        answers={200: "Costs"},
        parameters=(
            Parameter(
                name="days",
                place="query",
                about="of so many days, today included; 30 when absent",
                schema={"type": "integer", "minimum": 1, "maximum": 400},
            ),
            Parameter(
                name="by",
                place="query",
                about="one line for each of these; role when absent",
                schema={"type": "string", "enum": [one.value for one in By]},
            ),
            Parameter(
                name="as",
                place="query",
                about="a cloud model: also what local answers would have cost at its price",
            ),
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

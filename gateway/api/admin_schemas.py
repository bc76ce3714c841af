"""What the admin routes take and answer with, as JSON Schema (draft 2020-12, which OpenAPI 3.1 is written in)."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.api.admin_explain import MOST_GB
from gateway.config.bundle import FORMAT
from gateway.config.fields import KEEP_ALIVE_SCHEMA
from gateway.config.json_schema import json_schemas
from gateway.config.profile_edits import NEW_NAME
from gateway.domain.capabilities import CAPABILITY_FIELDS
from gateway.domain.cost import By
from gateway.domain.failure import FailureClass
from gateway.domain.generation_record import Outcome
from gateway.domain.model import Lane, ProviderKind
from gateway.domain.plan import Via
from gateway.domain.role import Task
from gateway.domain.trace import Verdict
from gateway.relay.breaker import State

Schema = dict[str, Any]

_COMPONENTS: Final = "#/components/schemas/"

TEXT: Final[Schema] = {"type": "string"}
NAME: Final[Schema] = {"type": "string", "minLength": 1}
YES_OR_NO: Final[Schema] = {"type": "boolean"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
NUMBER: Final[Schema] = {"type": "number"}
EPOCH_S: Final[Schema] = {"type": "number", "minimum": 0, "description": "seconds since 1970"}
GIGABYTES: Final[Schema] = {"type": "number", "minimum": 0, "maximum": MOST_GB}
MS: Final[Schema] = {"type": "number", "minimum": 0, "description": "milliseconds"}
DIGEST: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}


def ref(name: str) -> Schema:
    """One of ``component_schemas``."""
    return {"$ref": f"{_COMPONENTS}{name}"}


def or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def list_of(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def by_name(schema: Schema) -> Schema:
    """An object from names to such values."""
    return {"type": "object", "additionalProperties": schema}


def answer(**properties: Schema) -> Schema:
    """An object that is answered with: all of this is in it, and it may come to say more."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def lacking(schema: Schema, *names: str) -> Schema:
    """``schema`` of an object that may be without these."""
    return {**schema, "required": [name for name in schema["required"] if name not in names]}


def question(required: Sequence[str] = (), **properties: Schema) -> Schema:
    """An object that is asked with: fields that mean nothing are refused."""
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        **({"required": list(required)} if required else {}),
    }


def component_schemas() -> Mapping[str, Schema]:
    """Every schema by its name, those of a profile's file included."""
    return {**_errors(), **_decisions(), **_generations(), **_models(), **_requests(), **_profiles(), **_edits()}


def _words(kind: type[Any]) -> Schema:
    return {"type": "string", "enum": [one.value for one in kind]}


def _errors() -> dict[str, Schema]:
    attempt = answer(model=TEXT, **{"class": TEXT}, status=or_null(COUNT), ms=MS)
    error = answer(
        message=TEXT,
        type=TEXT,
        code=TEXT,
        param=or_null(TEXT),
        source={"type": "string", "enum": ["gateway", "upstream"]},
        attempts=list_of(attempt),
        problems=list_of(ref("Problem")),
    )
    return {
        "Error": answer(error=lacking(error, "attempts", "problems")),
        "Problem": answer(
            file=TEXT,
            line=or_null({"type": "integer", "minimum": 1}),
            key_path={"type": "string", "description": "a set path, empty for the file as a whole"},
            found=TEXT,
            allowed=TEXT,
            nearest=TEXT,
            hint=TEXT,
        ),
    }


def _decisions() -> dict[str, Schema]:
    trace = answer(model=TEXT, verdict=_words(Verdict), reason=TEXT, score=or_null(NUMBER))
    candidate = answer(
        **trace["properties"],
        via=or_null(_words(Via)),
        order=or_null({"type": "integer", "minimum": 1}),
        numbers={"type": "object"},
        warnings=list_of(TEXT),
    )
    role = answer(deployments=list_of(ref("Deployment")), trace=list_of(trace))
    return {
        "Deployment": answer(
            model=TEXT,
            lane=_words(Lane),
            order={"type": "integer", "minimum": 1},
            context=or_null(COUNT),
            memory_bytes=or_null(COUNT),
            cloud=YES_OR_NO,
        ),
        "Plan": answer(generation=COUNT, digest=DIGEST, profile=or_null(TEXT), roles=by_name(role)),
        "Question": question(
            tools=or_null(YES_OR_NO),
            vision=or_null(YES_OR_NO),
            json_schema=or_null(YES_OR_NO),
            context=or_null({"type": "integer", "minimum": 1}),
            profile=or_null(NAME),
            memory_gb=or_null(GIGABYTES),
            vram_gb=or_null(GIGABYTES),
        ),
        "Explanation": answer(
            role=TEXT, task=_words(Task), deployments=list_of(ref("Deployment")), candidates=list_of(candidate)
        ),
    }


def _generations() -> dict[str, Schema]:
    provider = answer(
        name=TEXT,
        kind=_words(ProviderKind),
        up=YES_OR_NO,
        has_key=or_null(YES_OR_NO),
        error=TEXT,
        version=or_null(TEXT),
        models=COUNT,
    )
    pending = answer(
        profile=or_null(TEXT),
        changed_roles=list_of(TEXT),
        restart=list_of(TEXT),
        problems=list_of(TEXT),
        files=list_of(TEXT),
    )
    key = answer(name=TEXT, scope=TEXT, roles=or_null(list_of(TEXT)), expires=or_null(EPOCH_S))
    live = answer(number=COUNT, digest=DIGEST, cause=TEXT, created=EPOCH_S, in_flight=COUNT)
    return {
        "Status": answer(
            ready=YES_OR_NO,
            profile=or_null(TEXT),
            config_folder=TEXT,
            state_folder=or_null(TEXT),
            hot_swap=YES_OR_NO,
            last_error=TEXT,
            under_way=or_null({"type": "string", "description": "why a new plan is being made right now"}),
            pending=or_null(ref("Pending")),
            providers=list_of(ref("Provider")),
            generation=or_null(live),
            roles=by_name(list_of(ref("Deployment"))),
            degraded=list_of(TEXT),
            swaps=list_of(ref("Generation")),
            cloud=answer(requests=COUNT, last_s=or_null(EPOCH_S)),
            doors=answer(open_on_loopback=YES_OR_NO, keys=list_of(key)),
            spending=list_of(ref("Spending")),
            resting=list_of(ref("Resting")),
        ),
        "Resting": answer(
            model=TEXT,
            state=_words(State),
            **{"class": TEXT},
            message=TEXT,
            left_s=or_null({"type": "number", "minimum": 0, "description": "seconds; null where no time ends it"}),
        ),
        "Spending": answer(
            provider=TEXT,
            today_usd=NUMBER,
            month_usd=NUMBER,
            unpriced_requests=COUNT,
            daily_usd=or_null(NUMBER),
            monthly_usd=or_null(NUMBER),
            left_today_usd=or_null(NUMBER),
            left_month_usd=or_null(NUMBER),
            closed={"type": "string", "description": "why it is not asked any more; empty while it is"},
        ),
        "Provider": provider,
        "Generations": answer(generations=list_of(ref("Generation"))),
        "Generation": answer(
            generation={"type": "integer", "minimum": 0, "description": "of a failure, the one that served on"},
            cause=TEXT,
            profile=or_null(TEXT),
            digest=TEXT,
            changed_roles=list_of(TEXT),
            started_s=EPOCH_S,
            ms=MS,
            outcome=_words(Outcome),
            error=TEXT,
        ),
        "Choice": question(("profile",), profile=or_null(NAME)),
        "Pending": pending,
        "Swap": lacking(
            answer(
                generation=COUNT,
                digest=DIGEST,
                changed_roles=list_of(TEXT),
                ms=MS,
                swapped={"type": "boolean", "description": "false where nothing that a client could notice differs"},
                note={"type": "string", "description": "of a rollback: what is undone, and which files keep the edit"},
            ),
            "note",
        ),
    }


def _models() -> dict[str, Schema]:
    held = answer(bytes=or_null(COUNT), vram_bytes=or_null(COUNT), context=or_null(COUNT), expires=or_null(TEXT))
    fact = answer(value={}, origin=TEXT, confidence=or_null(NUMBER), tier=or_null(TEXT), source=or_null(TEXT))
    return {
        "Models": answer(models=list_of(ref("Model"))),
        "Model": answer(
            model=TEXT,
            provider=TEXT,
            provider_up=YES_OR_NO,
            lane=_words(Lane),
            cloud=YES_OR_NO,
            chats=or_null(YES_OR_NO),
            embeds=or_null(YES_OR_NO),
            digest=or_null(TEXT),
            aliases=list_of(TEXT),
            capabilities=answer(**{name: or_null(fact) for name in CAPABILITY_FIELDS}),
            warnings=list_of(TEXT),
            resident=or_null(ref("Held")),
            roles=list_of(TEXT),
        ),
        "Looked": answer(models=COUNT, providers=list_of(ref("Provider"))),
        "Held": held,
        "Stay": question(keep_alive=or_null(KEEP_ALIVE_SCHEMA)),
        "Loaded": answer(
            model=TEXT,
            loaded=YES_OR_NO,
            already=YES_OR_NO,
            seconds=NUMBER,
            context=or_null(COUNT),
            resident=or_null(ref("Held")),
        ),
        "Unloaded": answer(model=TEXT, unloaded=YES_OR_NO, was_loaded=YES_OR_NO, seconds=NUMBER),
        "Removed": answer(model=TEXT, removed=YES_OR_NO),
        "Resources": answer(
            memory_total_bytes=or_null(COUNT),
            memory_available_bytes=or_null(COUNT),
            vram_available_bytes=or_null(COUNT),
            temperature_c=or_null(NUMBER),
            source=TEXT,
            assumed=YES_OR_NO,
            providers=by_name(answer(usable_bytes=or_null({"type": "integer"}), arithmetic=TEXT)),
        ),
    }


def _requests() -> dict[str, Schema]:
    attempt = answer(
        model=TEXT,
        **{"class": {"type": "string", "enum": ["", *(one.value for one in FailureClass)]}},
        status=or_null(COUNT),
        ms=MS,
    )
    request = answer(
        id=TEXT,
        time_s=EPOCH_S,
        endpoint=TEXT,
        role=TEXT,
        stream=YES_OR_NO,
        status=COUNT,
        failure=TEXT,
        model=TEXT,
        cloud=YES_OR_NO,
        generation=or_null(COUNT),
        attempts=list_of(attempt),
        fallback_reason=TEXT,
        prompt_tokens=or_null(COUNT),
        completion_tokens=or_null(COUNT),
        cached_tokens=or_null(COUNT),
        reasoning_tokens=or_null(COUNT),
        cost_usd=or_null(NUMBER),
        first_token_ms=or_null(MS),
        duration_ms=MS,
        message=TEXT,
        key=TEXT,
    )
    line = answer(
        cloud_requests=COUNT,
        local_requests=COUNT,
        prompt_tokens=COUNT,
        completion_tokens=COUNT,
        cost_usd={**or_null(NUMBER), "description": "of cloud answers; null where none of it is known"},
        unpriced_requests={**COUNT, "description": "cloud answers that are not in cost_usd"},
        as_if_usd={**or_null(NUMBER), "description": "what local answers would have cost at the price of as"},
        uncounted_requests={**COUNT, "description": "local answers that are not in as_if_usd"},
    )
    named = {**line, "properties": {**{one.value: TEXT for one in By}, **line["properties"]}}
    costs = answer(
        since={"type": "string", "format": "date"},
        days={"type": "integer", "minimum": 1},
        by={"type": "string", "enum": [one.value for one in By]},
        **{"as": or_null(TEXT)},
        costs=list_of(named),
        total=line,
    )
    return {"Requests": answer(requests=list_of(request), dropped=COUNT), "Costs": costs}


def _profiles() -> dict[str, Schema]:
    """The file of a profile as it is checked; its parts become components of their own."""
    schema = json.loads(json_schemas()["profile.schema.json"].replace('"#/$defs/', f'"{_COMPONENTS}Profile_'))
    parts = schema.pop("$defs")
    del schema["$schema"], schema["$id"]
    summary = answer(
        name=TEXT, active=YES_OR_NO, extends=or_null(TEXT), description=TEXT, file=TEXT, problems=list_of(TEXT)
    )
    return {
        "Profile": schema,
        **{f"Profile_{name}": part for name, part in parts.items()},
        "Profiles": answer(active=or_null(TEXT), profiles=list_of(summary)),
        "ProfileWritten": answer(name=TEXT, etag=DIGEST, created=YES_OR_NO, **_outcome()),
        "ProfileDeleted": answer(name=TEXT, deleted=YES_OR_NO, successor=or_null(TEXT), **_outcome()),
        "ProfileImported": answer(
            name=TEXT,
            etag=DIGEST,
            created=YES_OR_NO,
            parents=list_of(TEXT),
            migrated_from=or_null(COUNT),
            **_outcome(),
        ),
        "ExportedProfile": answer(
            format={"const": FORMAT},
            schema_version=COUNT,
            name=TEXT,
            profile={"type": "object"},
            parents=list_of(answer(name=TEXT, profile={"type": "object"})),
            checksum=TEXT,
        ),
    }


def _outcome() -> dict[str, Schema]:
    """What every edit is answered with: what became of it."""
    return {
        "hot_swap": {"type": "boolean", "description": "false: what is stored takes effect at the next start"},
        "swap": or_null(ref("Swap")),
        "swap_error": {
            "type": "string",
            "description": "why the live gateway would not have what is stored; empty if it has",
        },
    }


def _edits() -> dict[str, Schema]:
    """Single values, roles, and what is made of profiles."""
    models = {"anyOf": [list_of(TEXT), {"type": "null"}], "description": "in order; null where there is no such role"}
    setting = answer(path=TEXT, left={}, right={}, in_left=YES_OR_NO, in_right=YES_OR_NO)
    named = answer(role=TEXT, model=TEXT, verdict=_words(Verdict), reason=TEXT)
    speaking = {**list_of(TEXT), "description": "the profiles that speak of the role, too: they stand above it"}
    return {
        "Changes": question(
            set={"type": "object", "description": "values by set path, such as requirements.memory_gb_max"},
            unset={**list_of(TEXT), "description": "set paths to take out, so that what lies below shows again"},
        ),
        "NewName": question(("name",), name={"type": "string", "pattern": f"^{NEW_NAME.pattern}$"}),
        "Differences": answer(
            left=TEXT,
            right=TEXT,
            settings=list_of(setting),
            digests=answer(left=DIGEST, right=DIGEST),
            roles=by_name(answer(left=models, right=models, same=YES_OR_NO)),
        ),
        "Validation": answer(
            profile=TEXT,
            valid={"const": True},
            digest=DIGEST,
            degraded=list_of(TEXT),
            missing=list_of(named),
            ruled_out=list_of(named),
        ),
        "Roles": answer(
            file=TEXT,
            roles=list_of(answer(role=TEXT, own=or_null(ref("Profile_RoleEntry")), profiles=speaking)),
        ),
        "RoleWritten": answer(role=TEXT, etag=TEXT, created=YES_OR_NO, profiles=speaking, **_outcome()),
        "RoleRemoved": answer(role=TEXT, removed=YES_OR_NO, profiles=speaking, **_outcome()),
    }

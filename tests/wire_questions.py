"""What the routes of the data plane take, as JSON Schema: as much as the gateway itself looks at.

Some of it no schema can say (that a tool's result follows its call, that a chosen tool is one of those given), and is left out.
"""

from collections.abc import Sequence
from typing import Any, Final

from fakes.upstream import MOST_DIMENSIONS
from gateway.api.admin_schemas import NAME, TEXT, YES_OR_NO, Schema, list_of, or_null
from gateway.relay.completion_request import MAX_LOGPROBS
from gateway.relay.embedding_request import MAX_INPUTS
from gateway.relay.fields import MAX_STOPS
from gateway.relay.json_object import MAX_MODEL_CHARS
from gateway.relay.request import MAX_TOP_LOGPROBS

SOME: Final[Schema] = {"type": "integer", "minimum": 1}
OBJECT: Final[Schema] = {"type": "object"}
NOT_GIVEN: Final[Schema] = {"type": "null"}
OFF: Final[Schema] = {"enum": [False, None]}
STOPS: Final[Schema] = {**list_of(TEXT), "maxItems": MAX_STOPS}
EFFORT: Final[Schema] = {"enum": ["none", "minimal", "low", "medium", "high", "xhigh", "ultra", "max", None]}


def number(low: float, high: float) -> Schema:
    return or_null({"type": "number", "minimum": low, "maximum": high})


def whole(low: int, high: int | None = None) -> Schema:
    schema = {"type": "integer", "minimum": low}
    return or_null(schema if high is None else {**schema, "maximum": high})


def words(*allowed: str | None) -> Schema:
    return {"enum": list(allowed)}


def taken(required: Sequence[str], **properties: Schema) -> Schema:
    """An object that may hold more."""
    return {"type": "object", "properties": properties, "required": list(required)}


def typed(kind: str, required: Sequence[str] = (), **properties: Schema) -> Schema:
    """One of several objects that differ in their ``type``."""
    return taken(["type", *required], type={"const": kind}, **properties)


def a_list(schema: Schema) -> Schema:
    """With something in it."""
    return {**list_of(schema), "minItems": 1}


def either(*schemas: Schema) -> Schema:
    return {"anyOf": list(schemas)}


SAMPLING: Final[dict[str, Schema]] = {
    "stream": or_null(YES_OR_NO),
    "stream_options": or_null(OBJECT),
    "n": whole(1, 1),
    "temperature": number(0, 2),
    "top_p": number(0, 1),
    "min_p": number(0, 1),
    "top_k": whole(-1),
    "presence_penalty": number(-2, 2),
    "frequency_penalty": number(-2, 2),
    "seed": or_null({"type": "integer", "maximum": (1 << 63) - 1}),
    "max_tokens": whole(1),
    "stop": either(TEXT, STOPS, NOT_GIVEN),
    "logit_bias": or_null(OBJECT),
}


def chat(model: Schema) -> Schema:
    part = either(
        typed("text", ["text"], text=TEXT),
        typed("refusal", ["refusal"], refusal=TEXT),
        typed("image_url", ["image_url"], image_url=either(TEXT, taken(["url"], url=TEXT))),
        typed("input_audio", ["input_audio"], input_audio=taken(["data", "format"], data=TEXT, format=TEXT)),
    )
    content = either(TEXT, list_of(part))
    call = taken(["function"], function=taken(["name"], name=TEXT, arguments=TEXT))
    said = taken(["role"], role={"const": "assistant"}, content=or_null(content), tool_calls=or_null(list_of(call)))
    others = words("system", "developer", "user", "tool", "function")
    tool = typed("function", ["function"], function=taken(["name"], name=TEXT))
    schema = taken(["schema"], schema=OBJECT)
    return taken(
        ["model", "messages"],
        **SAMPLING,
        model=model,
        messages=a_list(either(said, taken(["role", "content"], role=others, content=content))),
        tools=or_null(list_of(tool)),
        tool_choice=either(words("none", "auto", "required", None), tool),
        parallel_tool_calls=or_null(YES_OR_NO),
        response_format=either(
            NOT_GIVEN,
            taken(["type"], type=words("text", "json_object")),
            typed("json_schema", ["json_schema"], json_schema=schema),
        ),
        max_completion_tokens=whole(1),
        logprobs=or_null(YES_OR_NO),
        top_logprobs=whole(0, MAX_TOP_LOGPROBS),
        reasoning_effort=EFFORT,
        reasoning=or_null(OBJECT),
        functions=NOT_GIVEN,
        function_call=NOT_GIVEN,
        audio=NOT_GIVEN,
    )


def completion(model: Schema) -> Schema:
    return taken(
        ["model", "prompt"],
        **SAMPLING,
        model=model,
        prompt=either(NAME, {**a_list(NAME), "maxItems": 1}),
        suffix=or_null(TEXT),
        best_of=whole(1, 1),
        echo=OFF,
        logprobs=whole(0, MAX_LOGPROBS),
        user=or_null(TEXT),
    )


def embedding(model: Schema) -> Schema:
    tokens = a_list({"type": "integer", "minimum": 0})
    return taken(
        ["model", "input"],
        model=model,
        input=either(
            NAME, {**a_list(NAME), "maxItems": MAX_INPUTS}, tokens, {**a_list(tokens), "maxItems": MAX_INPUTS}
        ),
        dimensions=whole(1, MOST_DIMENSIONS),
        encoding_format=words("float", "base64", None),
        user=or_null(TEXT),
    )


def response(model: Schema) -> Schema:
    asked = either(
        typed("input_text", ["text"], text=TEXT),
        typed("input_image", ["image_url"], image_url=TEXT, detail=or_null(TEXT), file_id=NOT_GIVEN),
        typed("input_audio", ["input_audio"], input_audio=taken(["data", "format"], data=TEXT, format=TEXT)),
    )
    answered = either(
        taken(["type", "text"], type=words("output_text", "input_text"), text=TEXT),
        typed("refusal", ["refusal"], refusal=TEXT),
    )
    item = either(
        taken(
            ["role", "content"],
            type=words("message", None), role={"const": "assistant"}, content=either(TEXT, list_of(answered)),
        ),
        taken(
            ["role", "content"],
            type=words("message", None), role=words("developer", "system", "user"),
            content=either(TEXT, a_list(asked)),
        ),
        typed("function_call", ["call_id", "name", "arguments"], call_id=TEXT, name=TEXT, arguments=TEXT),
    )  # fmt: skip
    tool = typed(
        "function", ["name"],
        name=NAME, description=or_null(TEXT), parameters=or_null(OBJECT), strict=or_null(YES_OR_NO),
    )  # fmt: skip
    form = either(
        NOT_GIVEN,
        taken(["type"], type=words("text", "json_object")),
        typed(
            "json_schema", ["name", "schema"],
            name=NAME, schema=OBJECT, description=or_null(TEXT), strict=or_null(YES_OR_NO),
        ),
    )  # fmt: skip
    texts = ("user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier", "instructions")
    return taken(
        ["model", "input"],
        **dict.fromkeys(texts, or_null(TEXT)),
        **dict.fromkeys(("previous_response_id", "conversation", "prompt"), NOT_GIVEN),
        model=model,
        input=either(TEXT, a_list(item)),
        stream=or_null(YES_OR_NO),
        stream_options=or_null(OBJECT),
        store=or_null(YES_OR_NO),
        background=OFF,
        max_output_tokens=whole(1),
        max_tool_calls=whole(1),
        temperature=number(0, 2),
        top_p=number(0, 1),
        top_logprobs=whole(0, MAX_TOP_LOGPROBS),
        parallel_tool_calls=or_null(YES_OR_NO),
        metadata=or_null({"type": "object", "additionalProperties": TEXT}),
        tools=or_null(list_of(tool)),
        tool_choice=words("none", "auto", "required", None),
        reasoning=or_null(taken([], effort=EFFORT)),
        text=or_null(taken([], format=form, verbosity=words("low", "medium", "high", None))),
        include=or_null(list_of(words("message.output_text.logprobs", "reasoning.encrypted_content"))),
        truncation=words("disabled", "auto", None),
    )


def count() -> Schema:
    """No model is asked, so that any name will do."""
    return taken(["model", "messages"], model={**NAME, "maxLength": MAX_MODEL_CHARS}, **_prompt())


def message(model: Schema) -> Schema:
    form = or_null(typed("json_schema", ["schema"], schema=OBJECT))
    thinking = either(
        NOT_GIVEN,
        typed("enabled", ["budget_tokens"], budget_tokens=SOME),
        taken(["type"], type=words("disabled", "adaptive")),
    )
    return taken(
        ["model", "messages", "max_tokens"],
        **_prompt(),
        model=model,
        max_tokens=SOME,
        stream=or_null(YES_OR_NO),
        temperature=number(0, 1),
        top_p=number(0, 1),
        top_k=whole(0),
        stop_sequences=or_null(STOPS),
        metadata=or_null(taken([], user_id=or_null(TEXT))),
        thinking=thinking,
        output_config=or_null(taken([], effort=words("low", "medium", "high", "xhigh", "max", None), format=form)),
        output_format=form,
        inference_geo=words("global", None),
    )


def _prompt() -> dict[str, Any]:
    text = typed("text", ["text"], text=TEXT)
    kinds = words("image/jpeg", "image/png", "image/gif", "image/webp")
    source = either(
        typed("base64", ["media_type", "data"], media_type=kinds, data=NAME), typed("url", ["url"], url=NAME)
    )
    image = typed("image", ["source"], source=source)
    result = typed(
        "tool_result", ["tool_use_id"],
        tool_use_id=NAME, content=either(NOT_GIVEN, TEXT, list_of(either(text, image))), is_error=or_null(YES_OR_NO),
    )  # fmt: skip
    answered = either(
        text,
        typed("thinking", ["thinking"], thinking=TEXT),
        typed("redacted_thinking"),
        typed("tool_use", ["id", "name", "input"], id=NAME, name=NAME, input=OBJECT),
    )
    asked = either(text, image, result)
    system = either(TEXT, list_of(text))
    tool = taken(
        ["name", "input_schema"],
        type=words("custom", None), name=NAME, input_schema=OBJECT, description=or_null(TEXT),
        strict=or_null(YES_OR_NO), input_examples=or_null({"type": "array"}),
    )  # fmt: skip
    return {
        "system": or_null(system),
        "messages": a_list(
            either(
                taken(["role", "content"], role={"const": "user"}, content=either(TEXT, a_list(asked))),
                taken(["role", "content"], role={"const": "assistant"}, content=either(TEXT, list_of(answered))),
                taken(["role", "content"], role={"const": "system"}, content=system),
            )
        ),
        "tools": or_null(list_of(tool)),
        "tool_choice": either(
            NOT_GIVEN,
            taken(["type"], type=words("auto", "none"), disable_parallel_tool_use=or_null(YES_OR_NO)),
        ),
    }

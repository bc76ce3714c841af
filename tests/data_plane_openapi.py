"""The routes of the data plane as an OpenAPI document: what they take, what they answer, and how they refuse."""

from collections.abc import Sequence
from typing import Any, Final

import wire_questions as questions
from gateway.api.admin_openapi import SECURITY_SCHEMES
from gateway.api.admin_schemas import (
    COUNT,
    NUMBER,
    TEXT,
    Schema,
    answer,
    component_schemas,
    lacking,
    list_of,
    or_null,
    ref,
)

TITLE: Final = "Rolegate: the data plane"
REFUSALS: Final = (400, 401, 403, 404, 408, 413, 429, 501)
"""Statuses of a request that nothing behind the gateway has failed."""

_USAGE: Final = answer(prompt_tokens=COUNT, completion_tokens=COUNT, total_tokens=COUNT)
_FINISH: Final = or_null({"enum": ["stop", "length", "tool_calls", "content_filter"]})


def document(*, roles: Sequence[str], embedders: Sequence[str]) -> dict[str, Any]:
    """Of a gateway with these roles. OpenAPI 3.2, since it is the first with words for the events of a stream."""
    chatting, embedding = questions.words(*roles), questions.words(*embedders)
    named = {"name": "id", "in": "path", "required": True, "schema": questions.words(*roles, *embedders)}
    return {
        "openapi": "3.2.0",
        "info": {"title": TITLE, "version": "1"},
        "security": [{name: []} for name in SECURITY_SCHEMES],
        "paths": {
            "/v1/chat/completions": _asked(questions.chat(chatting), "Chat", chunk="ChatChunk"),
            "/v1/completions": _asked(questions.completion(chatting), "Completion", chunk="CompletionChunk"),
            "/v1/embeddings": _asked(questions.embedding(embedding), "Embeddings"),
            "/v1/responses": _asked(questions.response(chatting), "Response", chunk="ResponseEvent"),
            "/v1/messages": _asked(
                questions.message(chatting), "Message", chunk="MessageEvent", refusal="MessagesError"
            ),
            "/v1/messages/count_tokens": _counted(questions.count()),
            "/v1/models": {"get": {"responses": _answers("Models")}},
            "/v1/models/{id}": {"get": {"parameters": [named], "responses": _answers("Model")}},
        },
        "components": {"schemas": _components(), "securitySchemes": dict(SECURITY_SCHEMES)},
    }


def _asked(question: Schema, told: str, *, chunk: str = "", refusal: str = "Error") -> dict[str, Any]:
    cloud = {"name": "x-rolegate-cloud", "in": "header", "schema": questions.words("never")}
    return {"post": {"parameters": [cloud], **_posted(question), "responses": _answers(told, chunk, refusal)}}


def _counted(question: Schema) -> dict[str, Any]:
    return {"post": {**_posted(question), "responses": _answers("TokenCount", refusal="MessagesError")}}


def _posted(question: Schema) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": question}}}}


def _answers(told: str, chunk: str = "", refusal: str = "Error") -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": ref(told)}}
    if chunk:
        content["text/event-stream"] = {"itemSchema": _event(ref(chunk))}
    refused = {"description": "refused", "content": {"application/json": {"schema": ref(refusal)}}}
    return {"200": {"description": "answered", "content": content}, **{str(one): refused for one in REFUSALS}}


def _event(chunk: Schema) -> Schema:
    written = {"contentMediaType": "application/json", "contentSchema": chunk}
    return answer(data={"anyOf": [{"const": "[DONE]"}, written]})


def _components() -> dict[str, Schema]:
    shared = component_schemas()
    part = answer(type=TEXT)
    message = answer(role={"const": "assistant"}, content=or_null(TEXT))
    chatted = answer(index=COUNT, message=message, finish_reason=_FINISH)
    heading = {"id": TEXT, "created": COUNT, "model": TEXT}
    completed = answer(index=COUNT, text=TEXT, finish_reason=_FINISH)
    vector = answer(object={"const": "embedding"}, index=COUNT, embedding={"anyOf": [list_of(NUMBER), TEXT]})
    model = answer(id=TEXT, object={"const": "model"}, created=COUNT, owned_by=TEXT)
    error = answer(type=TEXT, message=TEXT, code=TEXT, param=TEXT, source=TEXT)
    return {
        "Error": shared["Error"],
        "Problem": shared["Problem"],
        "MessagesError": answer(type={"const": "error"}, error=lacking(error, "param"), request_id=or_null(TEXT)),
        "Chat": answer(**heading, object={"const": "chat.completion"}, choices=list_of(chatted), usage=_USAGE),
        "ChatChunk": answer(
            **heading,
            object={"const": "chat.completion.chunk"},
            choices=list_of(answer(index=COUNT, delta={"type": "object"}, finish_reason=_FINISH)),
        ),
        "Completion": answer(**heading, object={"const": "text_completion"}, choices=list_of(completed), usage=_USAGE),
        "CompletionChunk": answer(**heading, object={"const": "text_completion"}, choices=list_of(completed)),
        "Embeddings": answer(
            object={"const": "list"},
            model=TEXT,
            data=list_of(vector),
            usage=answer(prompt_tokens=COUNT, total_tokens=COUNT),
        ),
        "Response": answer(
            id=TEXT,
            object={"const": "response"},
            created_at=COUNT,
            status={"enum": ["completed", "incomplete"]},
            model=TEXT,
            output=list_of(part),
            usage=or_null({"type": "object"}),
            store={"const": False},
        ),
        "ResponseEvent": answer(type={"type": "string", "pattern": r"^response\."}, sequence_number=COUNT),
        "Message": answer(
            id=TEXT,
            type={"const": "message"},
            role={"const": "assistant"},
            model=TEXT,
            content=list_of(part),
            stop_reason={"enum": ["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal"]},
            stop_sequence=or_null(TEXT),
            usage=answer(input_tokens=COUNT, output_tokens=COUNT),
        ),
        "MessageEvent": answer(type={"type": "string", "pattern": "^(message|content_block)_|^ping$"}),
        "TokenCount": answer(input_tokens=COUNT),
        "Models": answer(object={"const": "list"}, data=list_of(model)),
        "Model": model,
    }

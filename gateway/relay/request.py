"""A chat request as it came in, checked as far as the gateway must understand it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.errors import Unsupported
from gateway.relay.fields import (
    SAMPLING,
    a_boolean,
    a_whole_number,
    an_object,
    check_fields,
    wrong,
)
from gateway.relay.inquiry import Operation
from gateway.relay.json_object import model_of, read_object, wants_usage
from gateway.relay.needs import Needs, needs_of
from gateway.relay.once import once

MAX_TOP_LOGPROBS: Final = 20

_ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "ultra", "max")
_FORMATS: Final = ("text", "json_object", "json_schema")
_SELDOM_OFFERED: Final = frozenset({"n", "functions", "function_call", "audio", "modalities"})


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """One chat request. ``body`` is what the caller sent, unchanged. ``include_usage`` says that a stream must end with the
    token counts."""

    model: str
    stream: bool
    include_usage: bool
    body: Mapping[str, object]

    @staticmethod
    def parse(body: bytes) -> "ChatRequest":
        """Read and check a request body. Raises ``BadRequest`` naming the field at fault, or ``Unsupported``."""
        return ChatRequest.of(read_object(body))

    @staticmethod
    def of(content: Mapping[str, object]) -> "ChatRequest":
        """Check a body that has been read already, or made from a request on another wire."""
        model = model_of(content)
        check_fields(content, _FIELDS)
        _check_offered(content)
        _check_messages(content.get("messages"))
        _check_tools(content.get("tools"))
        _check_format(content.get("response_format"))
        return ChatRequest(
            model=model,
            stream=content.get("stream") is True,
            include_usage=wants_usage(content),
            body=content,
        )

    @property
    def operation(self) -> Operation:
        return Operation.CHAT

    @once
    def needs(self) -> Needs:
        """What it asks of a model."""
        return needs_of(self.body)


def _check_offered(content: Mapping[str, object]) -> None:
    if _SELDOM_OFFERED.isdisjoint(content):
        return
    count = content.get("n")
    if isinstance(count, int) and count > 1:
        raise Unsupported(f"n: found {count}; allowed: 1; send the request {count} times instead", param="n")
    for key, instead in (("functions", "tools"), ("function_call", "tool_choice")):
        if content.get(key) is not None:
            raise Unsupported(f"{key}: this gateway does not offer it; use {instead}", param=key)
    modalities = content.get("modalities")
    if content.get("audio") is not None or (isinstance(modalities, list | str) and "audio" in modalities):
        raise Unsupported("audio: this gateway answers with text only", param="audio")


def _check_messages(messages: object) -> None:
    if not isinstance(messages, list) or not messages:
        raise wrong("messages", found=messages, allowed="a list of at least one message")
    for number, message in enumerate(messages):
        if not isinstance(message, dict):
            raise wrong(f"messages[{number}]", found=message, allowed="an object")
        role = message.get("role")
        if type(role) is not str or role not in _ROLES:
            raise wrong(f"messages[{number}].role", found=role, allowed=", ".join(sorted(_ROLES)))
        if type(message.get("content")) is not str:
            _check_content(message, where=f"messages[{number}].content")
        if "tool_calls" in message:
            _check_calls(message["tool_calls"], where=f"messages[{number}].tool_calls")


def _check_calls(calls: object, *, where: str) -> None:
    if calls is None:
        return
    if not isinstance(calls, list):
        raise wrong(where, found=calls, allowed="a list of tool calls")
    for index, call in enumerate(calls):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise wrong(f"{where}[{index}]", found=call, allowed="an object with a function and its name")
        if not isinstance(function.get("arguments", ""), str):
            found = function["arguments"]
            raise wrong(f"{where}[{index}].function.arguments", found=found, allowed="a string of JSON")


def _check_content(message: Mapping[str, object], *, where: str) -> None:
    content = message.get("content")
    if content is None and message["role"] == "assistant":
        return
    if not isinstance(content, list):
        raise wrong(where, found=content, allowed="a string or a list of parts")
    for number, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind in _NOT_TAKEN:
            what = _NOT_TAKEN[kind]
            raise Unsupported(f"{where}[{number}]: this gateway does not take {what}", param=f"{where}[{number}]")
        if not isinstance(kind, str) or kind not in _PART_SHAPES:
            allowed = "a part of type " + ", ".join(sorted(_PART_SHAPES))
            raise wrong(f"{where}[{number}]", found=part, allowed=allowed)
        if not _PART_SHAPES[kind](part):
            raise wrong(f"{where}[{number}]", found=part, allowed=f"a part of type {kind} with its {kind}")


def _check_tools(tools: object) -> None:
    if tools is None:
        return
    if not isinstance(tools, list):
        raise wrong("tools", found=tools, allowed="a list of tools")
    for number, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            allowed = 'an object of type "function" with a function and its name'
            raise wrong(f"tools[{number}]", found=tool, allowed=allowed)


def _check_format(response_format: object) -> None:
    if not isinstance(response_format, dict):
        return
    kind = response_format.get("type")
    if kind not in _FORMATS:
        raise wrong("response_format.type", found=kind, allowed=", ".join(_FORMATS))
    schema = response_format.get("json_schema")
    if kind == "json_schema" and not (isinstance(schema, dict) and isinstance(schema.get("schema"), dict)):
        raise wrong("response_format.json_schema", found=schema, allowed="an object with a schema")


def _is_effort(value: object) -> bool:
    return isinstance(value, str) and value.lower() in _EFFORTS


def _is_tool_choice(value: object) -> bool:
    if isinstance(value, dict):
        function = value.get("function")
        return value.get("type") == "function" and isinstance(function, dict) and isinstance(function.get("name"), str)
    return value in ("none", "auto", "required")


_FIELDS: Final[Mapping[str, tuple[str, Callable[[object], bool]]]] = {
    **SAMPLING,
    "max_completion_tokens": a_whole_number(1),
    "logprobs": a_boolean(),
    "top_logprobs": a_whole_number(0, MAX_TOP_LOGPROBS),
    "tool_choice": ('"none", "auto", "required" or an object that names a function', _is_tool_choice),
    "parallel_tool_calls": a_boolean(),
    "response_format": an_object(),
    "reasoning_effort": ("one of " + ", ".join(_EFFORTS), _is_effort),
    "reasoning": an_object(),
}

_PART_SHAPES: Final[Mapping[str, Callable[[Mapping[str, object]], bool]]] = {
    "text": lambda part: isinstance(part.get("text"), str),
    "refusal": lambda part: isinstance(part.get("refusal"), str),
    "image_url": lambda part: _has_text(part.get("image_url"), "url") or isinstance(part.get("image_url"), str),
    "input_audio": lambda part: all(_has_text(part.get("input_audio"), key) for key in ("data", "format")),
}
_NOT_TAKEN: Final[Mapping[str, str]] = {"file": "files"}


def _has_text(value: object, key: str) -> bool:
    return isinstance(value, dict) and isinstance(value.get(key), str)

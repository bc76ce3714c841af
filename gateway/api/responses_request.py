"""A Responses request → the chat request that asks the same, and the settings its answer repeats.

What would change the answer and cannot be carried over is refused. Taken without effect: ``store`` (nothing is stored),
``truncation`` (a conversation is never shortened: one too long for every model is refused with ``context_length_exceeded``),
``metadata`` (only repeated), a reasoning summary (the reasoning itself is given), and what OpenAI's own tools would need.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from gateway.api.responses_items import messages_of
from gateway.api.responses_tools import ToolSettings, read_tools
from gateway.errors import Unsupported
from gateway.relay.fields import Check, a_boolean, a_number, a_whole_number, an_object, check_fields, wrong
from gateway.relay.json_object import model_of
from gateway.relay.request import MAX_TOP_LOGPROBS

LOGPROBS: Final = "message.output_text.logprobs"
"""The word in ``include`` that asks for log probabilities."""

_INCLUDABLE: Final = (
    LOGPROBS,
    "reasoning.encrypted_content",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "code_interpreter_call.outputs",
)
_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "ultra", "max")
_VERBOSITIES: Final = ("low", "medium", "high")
_FORMATS: Final = ("text", "json_object", "json_schema")
_NOT_OFFERED: Final = MappingProxyType(
    {
        "previous_response_id": "this gateway stores no responses; send the whole conversation as input",
        "conversation": "this gateway stores no conversations; send the whole conversation as input",
        "prompt": "this gateway stores no prompts; send the text as instructions and input",
    }
)
_CARRIED: Final = MappingProxyType(
    {
        "max_output_tokens": "max_completion_tokens",
        "parallel_tool_calls": "parallel_tool_calls",
        "prompt_cache_key": "prompt_cache_key",
        "prompt_cache_retention": "prompt_cache_retention",
        "safety_identifier": "safety_identifier",
        "service_tier": "service_tier",
        "temperature": "temperature",
        "top_p": "top_p",
        "user": "user",
    }
)
"""What a chat request says too, and its name there."""
_REPEATED: Final = (
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "prompt_cache_key",
    "safety_identifier",
    "temperature",
    "top_p",
    "user",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponsesRequest:
    """A request, read. ``chat`` is an OpenAI chat request body; ``settings`` are the fields of a ``response`` object that
    repeat the request; ``logprobs`` says that the answer shall tell them."""

    chat: Mapping[str, object]
    settings: Mapping[str, object]
    logprobs: bool


def read_request(content: Mapping[str, object]) -> ResponsesRequest:
    """Translate a request. Raises ``BadRequest`` naming the field at fault, or ``Unsupported``."""
    model = model_of(content)
    check_fields(content, _FIELDS)
    _check_offered(content)
    tools = read_tools(content)
    form, verbosity = _text(content.get("text"))
    effort = _effort(content.get("reasoning"))
    logprobs = _logprobs(content)
    chat: dict[str, object] = {
        "model": model,
        "messages": messages_of(content.get("input"), instructions=content.get("instructions")),
        **{there: content[here] for here, there in _CARRIED.items() if content.get(here) is not None},
        **tools.chat,
    }
    if form["type"] == "json_schema":
        schema = {key: value for key, value in form.items() if key != "type" and value is not None}
        chat["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif form["type"] == "json_object":
        chat["response_format"] = {"type": "json_object"}
    if verbosity is not None:
        chat["verbosity"] = verbosity
    if effort is not None:
        chat["reasoning_effort"] = effort
    if logprobs:
        chat["logprobs"] = True
        if content.get("top_logprobs"):
            chat["top_logprobs"] = content["top_logprobs"]
    if content.get("stream") is True:
        chat |= {"stream": True, "stream_options": {"include_usage": True}}
    text = {"format": form} if verbosity is None else {"format": form, "verbosity": verbosity}
    settings = _settings(content, tools=tools, text=text, effort=effort)
    return ResponsesRequest(chat=chat, settings=settings, logprobs=logprobs)


def _check_offered(content: Mapping[str, object]) -> None:
    for key, instead in _NOT_OFFERED.items():
        if content.get(key) is not None:
            raise Unsupported(f"{key}: {instead}", param=key)
    if content.get("background") is True:
        instead = "the answer is given while the caller waits; leave it out, and stream a long answer"
        raise Unsupported(f"background: found true; {instead}", param="background")


def _text(text: object) -> tuple[dict[str, object], str | None]:
    """The format of the answer, as ``text.format`` says it, and its verbosity."""
    if not isinstance(text, Mapping):
        return {"type": "text"}, None
    verbosity = text.get("verbosity")
    if verbosity is not None and verbosity not in _VERBOSITIES:
        raise wrong("text.verbosity", found=verbosity, allowed="one of " + ", ".join(_VERBOSITIES))
    said = verbosity if isinstance(verbosity, str) else None
    form = text.get("format")
    if form is None:
        return {"type": "text"}, said
    if not isinstance(form, dict):
        raise wrong("text.format", found=form, allowed="an object")
    kind = form.get("type")
    if kind not in _FORMATS:
        raise wrong("text.format.type", found=kind, allowed=", ".join(_FORMATS))
    if kind != "json_schema":
        return {"type": kind}, said
    return _schema(form), said


def _schema(form: Mapping[str, object]) -> dict[str, object]:
    name, description, strict = form.get("name"), form.get("description"), form.get("strict")
    if not isinstance(name, str) or not name:
        raise wrong("text.format.name", found=name, allowed="a name for the schema")
    if not isinstance(form.get("schema"), dict):
        raise wrong("text.format.schema", found=form.get("schema"), allowed="an object with a JSON schema")
    if not isinstance(description, str | None):
        raise wrong("text.format.description", found=description, allowed="a string")
    if not isinstance(strict, bool | None):
        raise wrong("text.format.strict", found=strict, allowed="true or false")
    return {
        "type": "json_schema",
        "name": name,
        "description": description,
        "schema": form["schema"],
        "strict": strict,
    }


def _effort(reasoning: object) -> str | None:
    effort = reasoning.get("effort") if isinstance(reasoning, Mapping) else None
    if effort is None:
        return None
    if not isinstance(effort, str) or effort.lower() not in _EFFORTS:
        raise wrong("reasoning.effort", found=effort, allowed="one of " + ", ".join(_EFFORTS))
    return effort


def _logprobs(content: Mapping[str, object]) -> bool:
    include = content.get("include")
    words = include if isinstance(include, list) else []
    for number, word in enumerate(words):
        if word not in _INCLUDABLE:
            raise wrong(f"include[{number}]", found=word, allowed="one of " + ", ".join(_INCLUDABLE))
    return LOGPROBS in words or bool(content.get("top_logprobs"))


def _settings(
    content: Mapping[str, object], *, tools: ToolSettings, text: Mapping[str, object], effort: str | None
) -> dict[str, object]:
    return {
        **{key: content.get(key) for key in _REPEATED},
        **tools.repeated,
        "background": False,
        "metadata": content.get("metadata") or {},
        "parallel_tool_calls": content.get("parallel_tool_calls") is not False,
        "previous_response_id": None,
        "reasoning": {"effort": effort, "summary": None},
        "store": False,
        "text": text,
        "top_logprobs": content.get("top_logprobs") or 0,
        "truncation": "disabled",
    }


def _is_text_object(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())


def _a_text() -> Check:
    return "a string", lambda value: isinstance(value, str)


_FIELDS: Final[Mapping[str, Check]] = MappingProxyType(
    {
        "stream": a_boolean(),
        "stream_options": an_object(),
        "store": a_boolean(),
        "background": a_boolean(),
        "instructions": _a_text(),
        "max_output_tokens": a_whole_number(1),
        "max_tool_calls": a_whole_number(1),
        "temperature": a_number(0, 2),
        "top_p": a_number(0, 1),
        "top_logprobs": a_whole_number(0, MAX_TOP_LOGPROBS),
        "parallel_tool_calls": a_boolean(),
        "metadata": ("an object of strings", _is_text_object),
        "user": _a_text(),
        "safety_identifier": _a_text(),
        "prompt_cache_key": _a_text(),
        "prompt_cache_retention": _a_text(),
        "service_tier": _a_text(),
        "reasoning": an_object(),
        "text": an_object(),
        "include": ("a list", lambda value: isinstance(value, list)),
        "truncation": ("disabled or auto", lambda value: value in ("disabled", "auto")),
    }
)

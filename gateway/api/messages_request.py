"""An Anthropic Messages request as an OpenAI chat request. Pure translation; what would change the answer is never dropped.

Thinking becomes ``reasoning_effort``, since chat knows no budget: ``output_config.effort`` as it stands where it is given, else
by ``thinking.budget_tokens``, up to 4,096 ``low``, up to 16,384 ``medium``, above ``high``; ``disabled`` is ``none`` whatever
the effort; ``adaptive``, and saying nothing, leave it to the model. ``thinking.display`` is not looked at: thinking is shown as
upstream shows it.

Ignored, because an answer is the same with and without them: ``cache_control``, ``service_tier``, ``speed``, ``diagnostics``;
also ``context_management``, which only shortens what is sent on: a prompt that is too long gets an error that says so.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import orjson

from gateway.api.messages_content import chat_messages
from gateway.errors import BadRequest, Unsupported
from gateway.relay.fields import MAX_STOPS, a_boolean, a_number, a_whole_number, an_object, check_fields, wrong
from gateway.relay.json_object import model_of

_EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")
_THINKING: Final = ("enabled", "disabled", "adaptive")
_BUDGETS: Final = ((4_096, "low"), (16_384, "medium"))
_NOT_OFFERED: Final = MappingProxyType(
    {
        "container": "this gateway runs no containers",
        "mcp_servers": "this gateway calls no MCP servers; call them yourself and send their tools in tools",
        "fallbacks": "the role in model decides which models answer when one cannot",
    }
)


def prompt_body(content: Mapping[str, object]) -> dict[str, object]:
    """What of the chat request makes the prompt: model, messages and tools. Raises ``BadRequest`` or ``Unsupported``."""
    body: dict[str, object] = {
        "model": model_of(content),
        "messages": chat_messages(content.get("messages"), system=content.get("system")),
    }
    tools = _tools(content.get("tools"))
    choice = _tool_choice(content.get("tool_choice"), names=tools)
    if tools:
        return {**body, "tools": list(tools.values()), **choice}
    return body


def chat_body(content: Mapping[str, object]) -> dict[str, object]:
    """The whole chat request. Raises ``BadRequest`` naming the field at fault as the caller wrote it, or ``Unsupported``."""
    for key, why in _NOT_OFFERED.items():
        if content.get(key):
            raise Unsupported(f"{key}: {why}", param=key)
    geography = content.get("inference_geo")
    if geography is not None and geography != "global":
        message = 'inference_geo: this gateway cannot choose where a model runs; leave it out, or send "global"'
        raise Unsupported(message, param="inference_geo")
    check_fields(content, _FIELDS)
    body = prompt_body(content)
    if content.get("max_tokens") is None:
        raise wrong("max_tokens", found=None, allowed=_FIELDS["max_tokens"][0])
    for key in ("max_tokens", "temperature", "top_p", "top_k"):
        if content.get(key) is not None:
            body[key] = content[key]
    if content.get("stop_sequences"):
        body["stop"] = content["stop_sequences"]
    if content.get("stream"):
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    effort = _effort(content)
    if effort is not None:
        body["reasoning_effort"] = effort
    answer_format = _response_format(content)
    if answer_format is not None:
        body["response_format"] = answer_format
    user = _user(content)
    if user is not None:
        body["user"] = user
    return body


def eager_tools(content: Mapping[str, object]) -> frozenset[str]:
    """The tools whose input the caller wants piece by piece, unchecked (``eager_input_streaming``). For a request that
    ``chat_body`` has accepted."""
    tools = content.get("tools")
    asked = [tool for tool in tools if tool.get("eager_input_streaming") is True] if isinstance(tools, list) else []
    return frozenset(str(tool["name"]) for tool in asked)


def _tools(tools: object) -> dict[str, dict[str, object]]:
    """The tools as chat has them, by name."""
    if tools is None:
        return {}
    if not isinstance(tools, list):
        raise wrong("tools", found=tools, allowed="a list of tools")
    told: dict[str, dict[str, object]] = {}
    for number, tool in enumerate(tools):
        where = f"tools[{number}]"
        if not isinstance(tool, dict):
            raise wrong(where, found=tool, allowed="an object")
        function = _function(tool, where=where)
        name = str(function["name"])
        if name in told:
            raise BadRequest(f'{where}.name: there is another tool "{name[:60]}" before it', param=f"{where}.name")
        told[name] = {"type": "function", "function": function}
    return told


def _function(tool: Mapping[str, object], *, where: str) -> dict[str, object]:
    kind = tool.get("type")
    if kind is not None and not isinstance(kind, str):
        raise wrong(f"{where}.type", found=kind, allowed="custom")
    if kind not in {None, "custom"}:
        message = f'{where}.type: found "{str(kind)[:60]}"; this gateway offers only custom tools, with an input_schema'
        raise Unsupported(message, param=f"{where}.type")
    name, schema = tool.get("name"), tool.get("input_schema")
    if not isinstance(name, str) or not name:
        raise wrong(f"{where}.name", found=name, allowed="a string that is not empty")
    if not isinstance(schema, dict):
        raise wrong(f"{where}.input_schema", found=schema, allowed="an object")
    description, strict, examples = tool.get("description"), tool.get("strict"), tool.get("input_examples")
    if description is not None and not isinstance(description, str):
        raise wrong(f"{where}.description", found=description, allowed="a string")
    if strict is not None and not isinstance(strict, bool):
        raise wrong(f"{where}.strict", found=strict, allowed="true or false")
    if examples is not None and not isinstance(examples, list):
        raise wrong(f"{where}.input_examples", found=examples, allowed="a list of objects")
    if examples:
        shown = "\n".join(["Examples of its input:", *(orjson.dumps(example).decode() for example in examples)])
        description = f"{description}\n\n{shown}" if description else shown
    function: dict[str, object] = {"name": name, "parameters": schema}
    if description:
        function["description"] = description
    if strict:
        function["strict"] = True
    return function


def _tool_choice(choice: object, *, names: Mapping[str, object]) -> dict[str, object]:
    """``tool_choice`` and ``parallel_tool_calls``, where they are to be sent."""
    if choice is None:
        return {}
    if not isinstance(choice, dict):
        raise wrong("tool_choice", found=choice, allowed="an object")
    kind, alone = choice.get("type"), choice.get("disable_parallel_tool_use")
    if kind not in ("auto", "any", "tool", "none"):
        raise wrong("tool_choice.type", found=kind, allowed="auto, any, tool, none")
    if alone is not None and not isinstance(alone, bool):
        raise wrong("tool_choice.disable_parallel_tool_use", found=alone, allowed="true or false")
    if kind in {"any", "tool"} and not names:
        raise wrong("tools", found=None, allowed=f"at least one tool, because tool_choice is of type {kind}")
    told: dict[str, object] = {"parallel_tool_calls": False} if alone else {}
    if kind == "tool":
        name = choice.get("name")
        if not isinstance(name, str) or name not in names:
            raise wrong("tool_choice.name", found=name, allowed="the name of one of the tools")
        return {**told, "tool_choice": {"type": "function", "function": {"name": name}}}
    return {**told, "tool_choice": "required" if kind == "any" else kind}


def _effort(content: Mapping[str, object]) -> str | None:
    effort = _inside(content, "output_config").get("effort")
    if effort is not None and effort not in _EFFORTS:
        raise wrong("output_config.effort", found=effort, allowed=", ".join(_EFFORTS))
    told = effort if isinstance(effort, str) else None
    if content.get("thinking") is None:
        return told
    thinking = _inside(content, "thinking")
    kind = thinking.get("type")
    if kind not in _THINKING:
        raise wrong("thinking.type", found=kind, allowed=", ".join(_THINKING))
    if kind != "enabled":
        return "none" if kind == "disabled" else told
    budget_tokens = thinking.get("budget_tokens")
    if type(budget_tokens) is not int or budget_tokens < 1:
        raise wrong("thinking.budget_tokens", found=budget_tokens, allowed="a whole number from 1")
    return told or next((name for most, name in _BUDGETS if budget_tokens <= most), "high")


def _response_format(content: Mapping[str, object]) -> dict[str, object] | None:
    where, found = "output_config.format", _inside(content, "output_config").get("format")
    if found is None:
        where, found = "output_format", content.get("output_format")
    if found is None:
        return None
    if not isinstance(found, dict):
        raise wrong(where, found=found, allowed="an object")
    if found.get("type") != "json_schema":
        raise wrong(f"{where}.type", found=found.get("type"), allowed="json_schema")
    schema = found.get("schema")
    if not isinstance(schema, dict):
        raise wrong(f"{where}.schema", found=schema, allowed="an object")
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


def _user(content: Mapping[str, object]) -> str | None:
    user = _inside(content, "metadata").get("user_id")
    if user is not None and not isinstance(user, str):
        raise wrong("metadata.user_id", found=user, allowed="a string")
    return user


def _inside(content: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = content.get(key)
    return value if isinstance(value, Mapping) else {}


def _are_stops(value: object) -> bool:
    return isinstance(value, list) and len(value) <= MAX_STOPS and all(isinstance(one, str) for one in value)


_FIELDS: Final[Mapping[str, tuple[str, Callable[[object], bool]]]] = MappingProxyType(
    {
        "max_tokens": a_whole_number(1),
        "stream": a_boolean(),
        "temperature": a_number(0, 1),
        "top_p": a_number(0, 1),
        "top_k": a_whole_number(0),
        "stop_sequences": (f"a list of at most {MAX_STOPS} strings", _are_stops),
        "metadata": an_object(),
        "thinking": an_object(),
        "output_config": an_object(),
    }
)

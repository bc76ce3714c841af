"""The tools of a Responses request, and how the model shall choose among them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.errors import Unsupported
from gateway.relay.fields import kind_of, wrong

_CHOICES: Final = ("none", "auto", "required")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSettings:
    """``chat`` is what a chat request says of tools; ``repeated`` what the ``response`` object repeats."""

    chat: Mapping[str, object]
    repeated: Mapping[str, object]


def read_tools(content: Mapping[str, object]) -> ToolSettings:
    """Read ``tools`` and ``tool_choice``. Raises ``BadRequest``, or ``Unsupported`` for tools that the caller does not run."""
    given = content.get("tools")
    if not isinstance(given, list | None):
        raise wrong("tools", found=given, allowed="a list of tools")
    tools = [_function(tool, where=f"tools[{number}]") for number, tool in enumerate(given or ())]
    chat: dict[str, object] = {}
    if tools:
        chat["tools"] = [_chat_tool(tool) for tool in tools]
    choice = content.get("tool_choice")
    if choice is not None:
        chat["tool_choice"] = _chat_choice(choice, names=[tool["name"] for tool in tools])
    return ToolSettings(chat=chat, repeated={"tools": tools, "tool_choice": "auto" if choice is None else choice})


def _function(tool: object, *, where: str) -> dict[str, object]:
    if not isinstance(tool, dict):
        raise wrong(where, found=tool, allowed="an object")
    kind = tool.get("type")
    if not isinstance(kind, str):
        raise wrong(f"{where}.type", found=kind, allowed="function")
    if kind != "function":
        message = f"{where}: this gateway does not run tools of type {kind_of(kind)}"
        raise Unsupported(f"{message}; allowed: function, which the caller runs", param=where)
    name, description = tool.get("name"), tool.get("description")
    parameters, strict = tool.get("parameters"), tool.get("strict")
    if not isinstance(name, str) or not name:
        raise wrong(f"{where}.name", found=name, allowed="the name of a function, beside the type")
    if not isinstance(description, str | None):
        raise wrong(f"{where}.description", found=description, allowed="a string")
    if not isinstance(parameters, dict | None):
        raise wrong(f"{where}.parameters", found=parameters, allowed="an object with a JSON schema")
    if not isinstance(strict, bool | None):
        raise wrong(f"{where}.strict", found=strict, allowed="true or false")
    return {"type": kind, "name": name, "description": description, "parameters": parameters, "strict": strict}


def _chat_tool(tool: Mapping[str, object]) -> dict[str, object]:
    function = {key: value for key, value in tool.items() if key != "type" and value is not None}
    return {"type": "function", "function": function}


def _chat_choice(choice: object, *, names: list[object]) -> object:
    if isinstance(choice, str) and choice in _CHOICES:
        return choice
    kind = choice.get("type") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(kind, str):
        allowed = '"none", "auto", "required" or an object of type function with a name'
        raise wrong("tool_choice", found=choice, allowed=allowed)
    if kind != "function":
        message = f"tool_choice: this gateway does not offer a choice of type {kind_of(kind)}"
        raise Unsupported(f'{message}; allowed: function, or "none", "auto", "required"', param="tool_choice")
    name = choice.get("name")
    if name not in names:
        raise wrong("tool_choice.name", found=name, allowed="the name of a function among the tools")
    return {"type": "function", "function": {"name": name}}

"""The conversation of an Anthropic Messages request as chat messages.

A chat message holds less than a content block can, so some things move: results of tools become messages of their own, before
what the user says beside them; images in a result follow in the user's message, since a tool's message takes only text on most
servers; thinking becomes ``reasoning_content``, without its signature. Encrypted thinking is dropped: only the server that made
it could read it. ``cache_control`` and ``citations`` change nothing about the conversation and are left out.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

import orjson

from gateway.errors import Unsupported
from gateway.relay.fields import wrong

_IMAGE_TYPES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")
_ALLOWED: Final = MappingProxyType(
    {
        "user": ("text", "image", "tool_result"),
        "assistant": ("text", "thinking", "redacted_thinking", "tool_use"),
        "system": ("text",),
    }
)
_IN_RESULTS: Final = ("text", "image")
_NOT_TAKEN: Final = MappingProxyType(
    {
        "document": "documents; send their text in a text block",
        "search_result": "search results; send their text in a text block",
        "container_upload": "files in a container",
        "tool_reference": "references to tools; send every tool in tools",
        "browser_state": "the state of a browser",
        "compaction": "compacted conversations",
    }
)
_SERVER_TOOLS: Final = ("server_tool_use", "mcp_tool_use", "mcp_tool_result")


class _Block(NamedTuple):
    where: str
    kind: str
    fields: Mapping[str, object]


def chat_messages(messages: object, *, system: object) -> list[dict[str, object]]:
    """Chat messages for ``messages`` and the ``system`` prompt before them. Raises ``BadRequest`` naming the block at fault, or
    ``Unsupported``."""
    if not isinstance(messages, list) or not messages:
        raise wrong("messages", found=messages, allowed="a list of at least one message")
    told: list[dict[str, object]] = []
    if system is not None:
        first = _from_system(_blocks(system, where="system", allowed=_ALLOWED["system"]))
        told += [one for one in first if one["content"]]
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        if not isinstance(message, dict):
            raise wrong(where, found=message, allowed="an object")
        role = message.get("role")
        if not isinstance(role, str) or role not in _ALLOWED:
            raise wrong(f"{where}.role", found=role, allowed=", ".join(_ALLOWED))
        content = message.get("content")
        if role == "user" and content == []:
            raise wrong(f"{where}.content", found=content, allowed="a string or a list of at least one block")
        told += _READERS[role](_blocks(content, where=f"{where}.content", allowed=_ALLOWED[role]))
    return told


def _blocks(content: object, *, where: str, allowed: Sequence[str]) -> list[_Block]:
    if isinstance(content, str):
        return [_Block(where, "text", {"text": content})]
    if not isinstance(content, list):
        raise wrong(where, found=content, allowed="a string or a list of blocks")
    return [_block(block, where=f"{where}[{number}]", allowed=allowed) for number, block in enumerate(content)]


def _block(block: object, *, where: str, allowed: Sequence[str]) -> _Block:
    if not isinstance(block, dict):
        raise wrong(where, found=block, allowed="a block, which is an object with a type")
    kind = block.get("type")
    if isinstance(kind, str) and kind in allowed:
        return _Block(where, kind, block)
    where = f"{where}.type"
    if isinstance(kind, str) and kind in _NOT_TAKEN:
        raise Unsupported(f'{where}: found "{kind}"; this gateway does not take {_NOT_TAKEN[kind]}', param=where)
    if isinstance(kind, str) and (kind in _SERVER_TOOLS or (kind.endswith("_tool_result") and len(kind) <= 60)):
        what = "blocks of tools that another server ran"
        raise Unsupported(f'{where}: found "{kind}"; this gateway does not take {what}', param=where)
    raise wrong(where, found=kind, allowed=", ".join(allowed))


def _text(block: _Block, key: str = "text") -> str:
    value = block.fields.get(key)
    if not isinstance(value, str):
        raise wrong(f"{block.where}.{key}", found=value, allowed="a string")
    return value


def _name(block: _Block, key: str) -> str:
    value = block.fields.get(key)
    if not isinstance(value, str) or not value:
        raise wrong(f"{block.where}.{key}", found=value, allowed="a string that is not empty")
    return value


def _from_system(blocks: Sequence[_Block]) -> list[dict[str, object]]:
    return [{"role": "system", "content": "\n\n".join([_text(block) for block in blocks])}]


def _from_assistant(blocks: Sequence[_Block]) -> list[dict[str, object]]:
    # What one answer said comes back in pieces wherever a call or a citation stood in between, so nothing goes between them.
    text = "".join([_text(block) for block in blocks if block.kind == "text"])
    thoughts = [_text(block, "thinking") for block in blocks if block.kind == "thinking"]
    calls = [_call(block) for block in blocks if block.kind == "tool_use"]
    message: dict[str, object] = {"role": "assistant", "content": text or None if calls else text}
    if any(thoughts):
        message["reasoning_content"] = "\n".join(thought for thought in thoughts if thought)
    if calls:
        message["tool_calls"] = calls
    return [message]


def _call(block: _Block) -> dict[str, object]:
    arguments = block.fields.get("input")
    if not isinstance(arguments, dict):
        raise wrong(f"{block.where}.input", found=arguments, allowed="an object")
    function = {"name": _name(block, "name"), "arguments": orjson.dumps(arguments).decode()}
    return {"id": _name(block, "id"), "type": "function", "function": function}


def _from_user(blocks: Sequence[_Block]) -> list[dict[str, object]]:
    told: list[dict[str, object]] = []
    shown: list[dict[str, object]] = []
    parts: list[dict[str, object]] = []
    for block in blocks:
        if block.kind != "tool_result":
            parts.append(_part(block))
            continue
        call_id = _name(block, "tool_use_id")
        text, images = _result(block)
        told.append({"role": "tool", "tool_call_id": call_id, "content": text})
        if images:
            shown += [{"type": "text", "text": f"[from the result of tool call {call_id}:]"}, *images]
    parts = [*shown, *parts]
    if len(parts) == 1 and parts[0]["type"] == "text":
        told.append({"role": "user", "content": parts[0]["text"]})
    elif parts:
        told.append({"role": "user", "content": parts})
    return told


def _result(block: _Block) -> tuple[str, list[dict[str, object]]]:
    """What a tool gave back: its text, and its images as parts."""
    is_error = block.fields.get("is_error")
    if is_error is not None and not isinstance(is_error, bool):
        raise wrong(f"{block.where}.is_error", found=is_error, allowed="true or false")
    content = block.fields.get("content")
    texts: list[str] = []
    images: list[dict[str, object]] = []
    for inner in [] if content is None else _blocks(content, where=f"{block.where}.content", allowed=_IN_RESULTS):
        if inner.kind == "text":
            texts.append(_text(inner))
        else:
            texts.append("[an image, in the next message]")
            images.append(_part(inner))
    text = "\n".join(texts)
    if is_error:
        text = f"The tool call failed: {text}" if text else "The tool call failed without saying why."
    return text, images


def _part(block: _Block) -> dict[str, object]:
    if block.kind == "text":
        return {"type": "text", "text": _text(block)}
    return {"type": "image_url", "image_url": {"url": _image_url(block)}}


def _image_url(block: _Block) -> str:
    source, where = block.fields.get("source"), f"{block.where}.source"
    if not isinstance(source, dict):
        raise wrong(where, found=source, allowed="an object of type base64 or url")
    inner, kind = _Block(where, "source", source), source.get("type")
    if kind == "url":
        return _name(inner, "url")
    if kind == "file":
        message = f'{where}.type: found "file"; this gateway keeps no files; send the image as base64 or by url'
        raise Unsupported(message, param=f"{where}.type")
    if kind != "base64":
        raise wrong(f"{where}.type", found=kind, allowed="base64, url")
    media_type = source.get("media_type")
    if media_type not in _IMAGE_TYPES:
        raise wrong(f"{where}.media_type", found=media_type, allowed=", ".join(_IMAGE_TYPES))
    return f"data:{media_type};base64,{_name(inner, 'data')}"


_READERS: Final[Mapping[str, Callable[[Sequence[_Block]], list[dict[str, object]]]]] = MappingProxyType(
    {"user": _from_user, "assistant": _from_assistant, "system": _from_system}
)

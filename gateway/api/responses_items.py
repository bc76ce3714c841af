"""The ``input`` of a Responses request → chat messages.

Reasoning, what the assistant said and the functions it called stand side by side in ``input``; in a chat they are one message.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from gateway.errors import Unsupported
from gateway.relay.fields import kind_of, wrong

_ROLES: Final = ("assistant", "developer", "system", "user")
_ASKED_PARTS: Final = MappingProxyType({"input_text": "text", "input_image": "image_url", "input_audio": "input_audio"})
_SAID_PARTS: Final = MappingProxyType({"output_text": "text", "input_text": "text", "refusal": "refusal"})
_RESULT_PARTS: Final = MappingProxyType({"input_text": "text"})
_NOT_TAKEN: Final = MappingProxyType(
    {
        "input_file": "does not take files; send the text of the file as input_text",
    }
)


def messages_of(given: object, *, instructions: object) -> list[dict[str, object]]:
    """The messages of a chat: ``instructions`` first, then ``input``. Raises ``BadRequest`` or ``Unsupported``."""
    conversation = _Conversation()
    if isinstance(instructions, str) and instructions:
        conversation.add({"role": "system", "content": instructions})
    if isinstance(given, str):
        conversation.add({"role": "user", "content": given})
        return conversation.messages()
    if not isinstance(given, list) or not given:
        raise wrong("input", found=given, allowed="a string, or a list of at least one item")
    for number, item in enumerate(given):
        _take(item, conversation=conversation, where=f"input[{number}]")
    messages = conversation.messages()
    if not messages:
        raise wrong("input", found=given, allowed="a string, or a list with at least one message")
    return messages


class _Conversation:
    """Chat messages as they come about. The assistant's turn is open until someone else speaks."""

    def __init__(self) -> None:
        self._messages: list[dict[str, object]] = []
        self._turn: dict[str, object] | None = None
        self._calls: list[dict[str, object]] = []
        self._thoughts: list[str] = []
        self._call_ids: set[str] = set()

    def add(self, message: dict[str, object]) -> None:
        """Someone else speaks. Thoughts that no turn of the assistant's belongs to are left out: nobody had them."""
        self._join_thoughts()
        self._turn, self._calls, self._thoughts = None, [], []
        self._messages.append(message)

    def think(self, thought: str) -> None:
        if thought:
            self._thoughts.append(thought)

    def say(self, content: str | list[dict[str, object]]) -> None:
        turn = self._turn
        if turn is None or not self._calls:
            turn = self._open()
        said = turn["content"]
        # Text after a call still belongs to its turn: in a chat nothing may come between a call and its result.
        turn["content"] = content if said is None else [*_parts(said), *_parts(content)]
        self._join_thoughts()

    def call(self, *, call_id: str, name: str, arguments: str) -> None:
        turn = self._turn if self._turn is not None else self._open()
        self._calls.append({"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}})
        turn["tool_calls"] = self._calls
        self._call_ids.add(call_id)
        self._join_thoughts()

    def result(self, *, call_id: str, content: object, where: str) -> None:
        if call_id not in self._call_ids:
            raise wrong(where, found=call_id, allowed="the call_id of a function_call before it")
        self.add({"role": "tool", "tool_call_id": call_id, "content": content})

    def messages(self) -> list[dict[str, object]]:
        self._join_thoughts()
        return self._messages

    def _open(self) -> dict[str, object]:
        self._turn, self._calls = {"role": "assistant", "content": None}, []
        self._messages.append(self._turn)
        return self._turn

    def _join_thoughts(self) -> None:
        if self._turn is None or not self._thoughts:
            return
        before = self._turn.get("reasoning_content")
        self._turn["reasoning_content"] = "\n\n".join([*([before] if isinstance(before, str) else []), *self._thoughts])
        self._thoughts = []


def _parts(content: object) -> list[object]:
    return content if isinstance(content, list) else [{"type": "text", "text": content}]


def _take(item: object, *, conversation: _Conversation, where: str) -> None:
    if not isinstance(item, dict):
        raise wrong(where, found=item, allowed="an object")
    kind = item.get("type")
    if kind is None:
        kind = "message" if "role" in item else "item_reference" if "id" in item else None
    if not isinstance(kind, str):
        raise wrong(f"{where}.type", found=kind, allowed=", ".join(_TAKERS))
    if kind == "item_reference":
        message = f"{where}: this gateway stores no items to refer to; send the item itself"
        raise Unsupported(message, param=where)
    if kind not in _TAKERS:
        message = f"{where}: this gateway does not take items of type {kind_of(kind)}; allowed: {', '.join(_TAKERS)}"
        raise Unsupported(message, param=where)
    _TAKERS[kind](item, conversation, where)


def _take_message(item: Mapping[str, object], conversation: _Conversation, where: str) -> None:
    role = item.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise wrong(f"{where}.role", found=role, allowed=", ".join(_ROLES))
    if role == "assistant":
        conversation.say(_content(item.get("content"), where=f"{where}.content", taken=_SAID_PARTS))
        return
    content = item.get("content")
    if not content and not isinstance(content, str):
        raise wrong(f"{where}.content", found=content, allowed="a string, or a list of at least one part")
    conversation.add({"role": role, "content": _content(content, where=f"{where}.content", taken=_ASKED_PARTS)})


def _take_call(item: Mapping[str, object], conversation: _Conversation, where: str) -> None:
    conversation.call(
        call_id=_text(item, "call_id", where=where),
        name=_text(item, "name", where=where),
        arguments=_text(item, "arguments", where=where),
    )


def _take_result(item: Mapping[str, object], conversation: _Conversation, where: str) -> None:
    call_id = _text(item, "call_id", where=where)
    content = _content(item.get("output"), where=f"{where}.output", taken=_RESULT_PARTS)
    conversation.result(call_id=call_id, content=content, where=f"{where}.call_id")


def _take_reasoning(item: Mapping[str, object], conversation: _Conversation, where: str) -> None:
    """The reasoning as it was or, where only that is known, its summary. Of encrypted reasoning there is nothing to tell."""
    for key in ("content", "summary"):
        parts = item.get(key)
        if not isinstance(parts, list | None):
            raise wrong(f"{where}.{key}", found=parts, allowed="a list of texts")
        texts: list[str] = []
        for number, part in enumerate(parts or ()):
            if not isinstance(part, dict):
                raise wrong(f"{where}.{key}[{number}]", found=part, allowed="an object")
            texts.append(_text(part, "text", where=f"{where}.{key}[{number}]"))
        if any(texts):
            conversation.think("\n\n".join(texts))
            return


def _content(content: object, *, where: str, taken: Mapping[str, str]) -> str | list[dict[str, object]]:
    """Content as a chat message has it; a single text is a string there, which every server takes."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise wrong(where, found=content, allowed="a string or a list of parts")
    parts = [_part(part, where=f"{where}[{number}]", taken=taken) for number, part in enumerate(content)]
    if not parts:
        return ""
    only = parts[0].get("text")
    return only if len(parts) == 1 and isinstance(only, str) else parts


def _part(part: object, *, where: str, taken: Mapping[str, str]) -> dict[str, object]:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(part, dict) or not isinstance(kind, str):
        raise wrong(where, found=part, allowed="a part of type " + ", ".join(taken))
    if kind in _NOT_TAKEN:
        raise Unsupported(f"{where}: this gateway {_NOT_TAKEN[kind]}", param=where)
    if kind not in taken:
        raise wrong(f"{where}.type", found=kind, allowed=", ".join(taken))
    if kind == "input_image":
        return _image(part, where=where)
    if kind == "input_audio":
        return _audio(part, where=where)
    return {"type": taken[kind], taken[kind]: _text(part, taken[kind], where=where)}


def _image(part: Mapping[str, object], *, where: str) -> dict[str, object]:
    if part.get("file_id") is not None:
        message = f"{where}.file_id: this gateway stores no files; send the image in image_url, as a data URI or a URL"
        raise Unsupported(message, param=f"{where}.file_id")
    image: dict[str, object] = {"url": _text(part, "image_url", where=where)}
    if part.get("detail") is not None:
        image["detail"] = _text(part, "detail", where=where)
    return {"type": "image_url", "image_url": image}


def _audio(part: Mapping[str, object], *, where: str) -> dict[str, object]:
    audio = part.get("input_audio")
    if not isinstance(audio, dict):
        raise wrong(f"{where}.input_audio", found=audio, allowed="an object with data and format")
    known = {key: _text(audio, key, where=f"{where}.input_audio") for key in ("data", "format")}
    return {"type": "input_audio", "input_audio": known}


def _text(content: Mapping[str, object], key: str, *, where: str) -> str:
    value = content.get(key)
    if not isinstance(value, str):
        raise wrong(f"{where}.{key}", found=value, allowed="a string")
    return value


_TAKERS: Final[Mapping[str, Callable[[Mapping[str, object], _Conversation, str], None]]] = MappingProxyType(
    {
        "message": _take_message,
        "function_call": _take_call,
        "function_call_output": _take_result,
        "reasoning": _take_reasoning,
    }
)

"""The chunks of one answer, put together for a caller who did not ask to stream."""

from collections.abc import Mapping
from typing import Final, Protocol

_THOUGHTS: Final = "thinking_blocks"
_OWN: Final = frozenset({"choices", "usage"})
"""What is put together from all chunks."""


class Named(Protocol):
    """A tool call under way, as far as its id is known."""

    @property
    def given_id(self) -> object: ...


def call_slot(delta: Mapping[str, object], *, calls: Mapping[int, Named]) -> int:
    """Which of ``calls`` a piece belongs to; where a server leaves the index out, a new id begins a new call."""
    index = delta.get("index")
    if isinstance(index, int):
        return index
    latest = max(calls, default=-1)
    given = delta.get("id")
    known = next((slot for slot, call in calls.items() if given and call.given_id == given), None)
    if known is not None:
        return known
    return latest + 1 if given or latest < 0 else latest


class Gathered:
    """Collects OpenAI chunks; ``completion()`` is the ``chat.completion`` object they amount to."""

    __slots__ = ("_choices", "_head", "_known", "_usage")

    def __init__(self) -> None:
        self._head: dict[str, object] = {}
        self._choices: dict[int, _Choice] = {}
        self._known = _OWN
        self._usage: object = None

    def add(self, chunk: Mapping[str, object]) -> None:
        """Take in the next chunk."""
        self._usage = chunk.get("usage") or self._usage
        if not self._known.issuperset(chunk):
            # The chunks of one answer mostly have the same fields.
            said = {key: value for key, value in chunk.items() if value is not None and key not in _OWN}
            self._head = {**said, **self._head}
            self._known = _OWN.union(self._head)
        choices = chunk.get("choices")
        if not choices or not isinstance(choices, list):
            return
        for choice in choices:
            if isinstance(choice, dict):
                given = choice.get("index")
                index = given if isinstance(given, int) else 0
                known = self._choices.get(index)
                if known is None:
                    known = self._choices[index] = _Choice()
                known.add(choice)

    def say(self, text: str) -> None:
        """Take in another piece of text for the first choice, which has begun."""
        self._choices[0].say(text)

    def completion(self) -> dict[str, object]:
        """The whole answer. Token counts are left out where upstream gave none: unknown is not zero."""
        whole = {
            **self._head,
            "object": "chat.completion",
            "choices": [choice.whole(index=index) for index, choice in sorted(self._choices.items())],
        }
        if self._usage is not None:
            whole["usage"] = self._usage
        return whole


def _whole_thoughts(pieces: list[object]) -> list[object]:
    """The thoughts that ``pieces`` make up: each goes on until its signature has come, without which nobody takes it back."""
    whole: list[object] = []
    open_block: dict[str, object] | None = None
    for piece in pieces:
        if not isinstance(piece, dict) or piece.get("type") != "thinking":
            whole.append(piece)
            open_block = None
            continue
        if open_block is None:
            open_block = {"type": "thinking", "thinking": ""}
            whole.append(open_block)
        open_block["thinking"] = f"{open_block['thinking']}{piece.get('thinking') or ''}"
        if piece.get("signature"):
            open_block["signature"] = piece["signature"]
            open_block = None
    return whole


class _Choice:
    __slots__ = ("_calls", "_finish", "_logprobs", "_message", "_stop")

    def __init__(self) -> None:
        self._message = _Merged()
        self._logprobs = _Merged()
        self._calls: dict[int, _Call] = {}
        self._finish: object = None
        self._stop: object = None

    def say(self, text: str) -> None:
        """Another piece of its text."""
        self._message.grow("content", text)

    def add(self, choice: Mapping[str, object]) -> None:
        self._finish = choice.get("finish_reason") or self._finish
        self._stop = choice.get("stop_reason") or self._stop
        logprobs = choice.get("logprobs")
        if isinstance(logprobs, dict):
            self._logprobs.add(logprobs)
        delta = choice.get("delta")
        if not delta or not isinstance(delta, dict):
            return
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict):
                self._calls.setdefault(call_slot(call, calls=self._calls), _Call()).add(call)
        self._message.add(delta)

    def whole(self, *, index: int) -> dict[str, object]:
        said = self._message.whole()
        message: dict[str, object] = {"role": "assistant", "content": said.get("content"), "refusal": None}
        message |= {key: value for key, value in said.items() if key not in {"role", "content", "tool_calls"}}
        if isinstance(blocks := said.get(_THOUGHTS), list):
            message[_THOUGHTS] = _whole_thoughts(blocks)
        if self._calls:
            message["content"] = message["content"] or None
            message["tool_calls"] = [call.whole() for _, call in sorted(self._calls.items())]
        elif message["content"] is None:
            message["content"] = ""
        return {
            "index": index,
            "message": message,
            "logprobs": self._logprobs.whole() or None,
            "finish_reason": self._finish,
            **({} if self._stop is None else {"stop_reason": self._stop}),
        }


class _Call:
    """One tool call: its arguments come in pieces, the rest whole."""

    __slots__ = ("_arguments", "_name", "_rest", "given_id")

    def __init__(self) -> None:
        self.given_id: object = ""
        self._name: object = ""
        self._arguments: list[str] = []
        self._rest: dict[str, object] = {}

    def add(self, delta: Mapping[str, object]) -> None:
        self.given_id = delta.get("id") or self.given_id
        function = delta.get("function")
        if isinstance(function, dict):
            self._name = function.get("name") or self._name
            arguments = function.get("arguments")
            if isinstance(arguments, str):
                self._arguments.append(arguments)
        known = {"id", "index", "function"}
        self._rest |= {key: value for key, value in delta.items() if key not in known and value is not None}

    def whole(self) -> dict[str, object]:
        function = {"name": self._name, "arguments": "".join(self._arguments)}
        return {"id": self.given_id, "type": "function", **self._rest, "function": function}


class _Merged:
    """Deltas of an object: texts and lists grow, anything else is replaced, nothing is taken away."""

    __slots__ = ("_grown", "_lists", "_rest")

    def __init__(self) -> None:
        self._grown: dict[str, list[str]] = {}
        self._lists: dict[str, list[object]] = {}
        self._rest: dict[str, object] = {}

    def grow(self, key: str, piece: str) -> None:
        """Another piece of a text."""
        self._grown.setdefault(key, []).append(piece)

    def add(self, delta: Mapping[str, object]) -> None:
        for key, value in delta.items():
            if isinstance(value, str):
                self.grow(key, value)
            elif isinstance(value, list):
                self._lists.setdefault(key, []).extend(value)
            elif value is not None:
                self._rest[key] = value

    def whole(self) -> dict[str, object]:
        return {**self._rest, **self._lists, **{key: "".join(parts) for key, parts in self._grown.items()}}

"""The items of a response's output, each as it grows: the events that tell of it, and the object it amounts to."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal, Protocol

Status = Literal["in_progress", "completed", "incomplete"]
PartKind = Literal["output_text", "refusal", "reasoning_text"]

_TEXT_KEY: Final = MappingProxyType({"output_text": "text", "refusal": "refusal", "reasoning_text": "text"})


class Tell(Protocol):
    """Takes the events of a stream, in order."""

    def __call__(self, kind: str, /, **fields: object) -> None: ...


class Item(Protocol):
    """One item of the output. ``status`` is ``in_progress`` until it is closed."""

    status: Status

    def close(self, status: Status) -> None:
        """Nothing more comes of it. Does nothing if it is closed already."""

    def whole(self) -> dict[str, object]:
        """The item with what there is of it."""


class SpokenItem:
    """A message, or reasoning: texts in parts, one after the other."""

    __slots__ = ("_id", "_index", "_parts", "_tell", "kind", "status")

    def __init__(self, *, kind: Literal["message", "reasoning"], item_id: str, index: int, tell: Tell) -> None:
        self.kind = kind
        self._id = item_id
        self._index = index
        self._tell = tell
        self._parts: list[_Part] = []
        self.status: Status = "in_progress"
        tell("response.output_item.added", output_index=index, item=self.whole())

    @property
    def open_part(self) -> PartKind | None:
        """What the part is that the next piece may belong to."""
        return self._parts[-1].kind if self._parts and self.status == "in_progress" else None

    def say(self, kind: PartKind, text: str, *, logprobs: Sequence[object] = ()) -> None:
        """The next piece of text. A piece of another kind than the last begins a part of its own."""
        if self.open_part != kind:
            if self._parts:
                self._parts[-1].close()
            self._parts.append(
                _Part(kind=kind, item_id=self._id, index=self._index, number=len(self._parts), tell=self._tell)
            )
        self._parts[-1].say(text, logprobs=logprobs)

    def close(self, status: Status) -> None:
        if self.status != "in_progress":
            return
        if self._parts:
            self._parts[-1].close()
        self.status = status
        self._tell("response.output_item.done", output_index=self._index, item=self.whole())

    def whole(self) -> dict[str, object]:
        content = [part.whole() for part in self._parts]
        if self.kind == "reasoning":
            return {"id": self._id, "type": "reasoning", "summary": [], "content": content, "status": self.status}
        return {"id": self._id, "type": "message", "role": "assistant", "content": content, "status": self.status}


class _Part:
    """A part of a spoken item. Told of as soon as it is there."""

    __slots__ = ("_logprobs", "_place", "_tell", "_texts", "kind")

    def __init__(self, *, kind: PartKind, item_id: str, index: int, number: int, tell: Tell) -> None:
        self.kind = kind
        self._place = {"item_id": item_id, "output_index": index, "content_index": number}
        self._tell = tell
        self._texts: list[str] = []
        self._logprobs: list[object] = []
        tell("response.content_part.added", **self._place, part=self.whole())

    def say(self, text: str, *, logprobs: Sequence[object]) -> None:
        self._texts.append(text)
        if self.kind == "output_text":
            self._logprobs.extend(logprobs)
            self._tell("response.output_text.delta", **self._place, delta=text, logprobs=logprobs)
        else:
            self._tell(f"response.{self.kind}.delta", **self._place, delta=text)

    def close(self) -> None:
        whole = self.whole()
        said = {key: value for key, value in whole.items() if key not in {"type", "annotations"}}
        self._tell(f"response.{self.kind}.done", **self._place, **said)
        self._tell("response.content_part.done", **self._place, part=whole)

    def whole(self) -> dict[str, object]:
        part: dict[str, object] = {"type": self.kind, _TEXT_KEY[self.kind]: "".join(self._texts)}
        if self.kind == "output_text":
            part |= {"annotations": [], "logprobs": list(self._logprobs)}
        return part


class CallItem:
    """A call of one of the caller's functions."""

    __slots__ = ("_arguments", "_call_id", "_id", "_index", "_name", "_tell", "status")

    def __init__(self, *, call_id: str, name: str, item_id: str, index: int, tell: Tell) -> None:
        self._call_id = call_id
        self._name = name
        self._id = item_id
        self._index = index
        self._tell = tell
        self._arguments: list[str] = []
        self.status: Status = "in_progress"
        tell("response.output_item.added", output_index=index, item=self.whole())

    def argue(self, arguments: str) -> None:
        """The next piece of the arguments."""
        self._arguments.append(arguments)
        self._tell(
            "response.function_call_arguments.delta", item_id=self._id, output_index=self._index, delta=arguments
        )

    def close(self, status: Status) -> None:
        if self.status != "in_progress":
            return
        self.status = status
        whole = self.whole()
        said = {"name": self._name, "arguments": whole["arguments"]}
        self._tell("response.function_call_arguments.done", item_id=self._id, output_index=self._index, **said)
        self._tell("response.output_item.done", output_index=self._index, item=whole)

    def whole(self) -> dict[str, object]:
        return {
            "id": self._id,
            "type": "function_call",
            "call_id": self._call_id,
            "name": self._name,
            "arguments": "".join(self._arguments),
            "status": self.status,
        }


def logprobs_of(choice: Mapping[str, object]) -> list[object]:
    """The log probabilities in a chat choice as an ``output_text`` has them: every field there, bytes known."""
    given = choice.get("logprobs")
    tokens = given.get("content") if isinstance(given, Mapping) else None
    if not isinstance(tokens, list):
        return []
    known = [token for token in tokens if _is_token(token)]
    return [{**_token(one), "top_logprobs": [_token(top) for top in _tops(one) if _is_token(top)]} for one in known]


def _is_token(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    logprob = value.get("logprob")
    return isinstance(value.get("token"), str) and isinstance(logprob, int | float) and not isinstance(logprob, bool)


def _token(value: Mapping[str, object]) -> dict[str, object]:
    token, given = value["token"], value.get("bytes")
    known = given if isinstance(given, list) else list(str(token).encode("utf-8", errors="replace"))
    return {"token": token, "logprob": value["logprob"], "bytes": known}


def _tops(token: Mapping[str, object]) -> list[Mapping[str, object]]:
    tops = token.get("top_logprobs")
    return tops if isinstance(tops, list) else []

"""The content blocks of one streamed Anthropic answer: one open at a time, each begun, filled and stopped before the next."""

from collections.abc import Mapping
from typing import Final, Literal

import orjson

from gateway.api.messages_answer import call_id, is_object, tool_input
from gateway.domain.failure import FailureClass
from gateway.errors import UpstreamFailed
from gateway.relay.gather import call_slot

Said = Literal["text", "thinking"]

_END: Final = b"}}\n\n"


def event_frame(name: str, fields: Mapping[str, object]) -> bytes:
    """One named event, with its name as ``type`` in the data."""
    return f"event: {name}\ndata: ".encode() + orjson.dumps({"type": name, **fields}) + b"\n\n"


class Blocks:
    """Pieces of text, reasoning and tool calls → the frames of content blocks.

    Text and reasoning are passed on as they come. The input of a tool is passed on when it is complete, so that it is always the
    JSON of an object (see ``tool_input``); only for the tools in ``eager`` does it go out in pieces, unchecked. What upstream
    says while a tool's input is incomplete waits for the end of the answer.
    """

    __slots__ = ("_answer_id", "_calls", "_eager", "_index", "_open", "_prefix", "_waiting")

    def __init__(self, *, answer_id: str, eager: frozenset[str]) -> None:
        self._answer_id = answer_id
        self._eager = eager
        self._index = 0
        self._prefix = b""
        self._open: _Speech | _Call | None = None
        self._waiting: list[_Speech | _Call] = []
        self._calls: dict[int, _Call] = {}

    @property
    def holding(self) -> bool:
        """Is there something that the caller has not been told yet?"""
        return bool(self._waiting) or isinstance(self._open, _Call)

    def say(self, kind: Said, text: str) -> bytes:
        """The frames for a piece of text or reasoning."""
        if self._waiting or self._amid_a_call():
            last = self._waiting[-1] if self._waiting else None
            if not isinstance(last, _Speech) or last.kind != kind:
                last = _Speech(kind)
                self._waiting.append(last)
            last.pieces.append(text)
            return b""
        frames = b""
        if not isinstance(self._open, _Speech) or self._open.kind != kind:
            frames = self._stop() + self._begin(_Speech(kind))
        return frames + self._prefix + orjson.dumps(text) + _END

    def call(self, delta: Mapping[str, object]) -> bytes:
        """The frames for a piece of a tool call. Raises ``UpstreamFailed`` for arguments that go on after their end."""
        slot = call_slot(delta, calls=self._calls)
        call = self._calls.get(slot)
        frames = b""
        if call is None:
            call = self._calls[slot] = _Call(slot)
            if self._waiting or self._amid_a_call():
                self._waiting.append(call)
            else:
                frames = self._stop()
                self._open = call
        more = call.add(delta)
        if call.stopped and more.strip():
            message = f"the arguments for the tool {call.name[:60]} went on after they were complete"
            raise UpstreamFailed(message, failure=FailureClass.UPSTREAM_ERROR)
        return frames + self._told(call) if call is self._open else frames

    def close(self) -> bytes:
        """The frames for all that is left."""
        frames = [self._stop()]
        for block in self._waiting:
            if isinstance(block, _Speech):
                frames += [self._begin(block), self._prefix, orjson.dumps("".join(block.pieces)), _END]
            else:
                self._open = block
            frames.append(self._stop())
        self._waiting = []
        return b"".join(frames)

    def _amid_a_call(self) -> bool:
        return isinstance(self._open, _Call) and not is_object(self._open.arguments)

    def _begin(self, speech: "_Speech") -> bytes:
        self._open = speech
        kind = speech.kind
        empty = {"type": kind, kind: "", "signature": ""} if kind == "thinking" else {"type": kind, kind: ""}
        self._prefix = self._delta_prefix(kind, kind)
        return self._started(empty)

    def _told(self, call: "_Call") -> bytes:
        """What can be told of the open call by now."""
        frames = b""
        if not call.begun and call.name:
            frames = self._begin_call(call)
        if call.begun and call.name in self._eager:
            frames += self._unsent(call)
        return frames

    def _begin_call(self, call: "_Call") -> bytes:
        call.begun = True
        self._prefix = self._delta_prefix("input_json", "partial_json")
        given = call_id(call.given_id, answer_id=self._answer_id, number=call.slot)
        return self._started({"type": "tool_use", "id": given, "name": call.name, "input": {}})

    def _unsent(self, call: "_Call") -> bytes:
        """The arguments of an eager tool since the last time, once they look like an object."""
        text = "".join(call.pieces[call.sent :])
        if not text or (not call.sent and not text.lstrip().startswith("{")):
            return b""
        call.sent = len(call.pieces)
        return self._prefix + orjson.dumps(text) + _END

    def _stop(self) -> bytes:
        """End the open block, if there is one."""
        block = self._open
        if block is None:
            return b""
        frames = b""
        if isinstance(block, _Call):
            block.stopped = True
            if not block.begun:
                frames = self._begin_call(block)
            if not block.sent:
                frames += self._prefix + orjson.dumps(tool_input(block.arguments)) + _END
        elif block.kind == "thinking":
            frames = self._delta_prefix("signature", "signature") + orjson.dumps("") + _END
        frames += event_frame("content_block_stop", {"index": self._index})
        self._open = None
        self._index += 1
        return frames

    def _started(self, block: Mapping[str, object]) -> bytes:
        return event_frame("content_block_start", {"index": self._index, "content_block": block})

    def _delta_prefix(self, kind: str, key: str) -> bytes:
        """A delta's frame up to the text in it: deltas are many, and only the text differs."""
        head = f'{{"type":"content_block_delta","index":{self._index},"delta":{{"type":"{kind}_delta","{key}":'
        return f"event: content_block_delta\ndata: {head}".encode()


class _Speech:
    """A block of text or reasoning; ``pieces`` are those that wait."""

    __slots__ = ("kind", "pieces")

    def __init__(self, kind: Said) -> None:
        self.kind: Said = kind
        self.pieces: list[str] = []


class _Call:
    """A tool call: its arguments come in pieces, the rest whole. ``sent`` counts the pieces that are out."""

    __slots__ = ("begun", "given_id", "name", "pieces", "sent", "slot", "stopped")

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.given_id: object = ""
        self.name = ""
        self.pieces: list[str] = []
        self.sent = 0
        self.begun = False
        self.stopped = False

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)

    def add(self, delta: Mapping[str, object]) -> str:
        """Take in a piece; returns the arguments in it."""
        self.given_id = delta.get("id") or self.given_id
        function = delta.get("function")
        if not isinstance(function, Mapping):
            return ""
        name, arguments = function.get("name"), function.get("arguments")
        if isinstance(name, str) and name:
            self.name = name
        if not isinstance(arguments, str):
            return ""
        self.pieces.append(arguments)
        return arguments

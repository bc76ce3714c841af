"""Anthropic's Messages: an answer as one message, or as named events that add up to the same message.

Where upstream reasons first, then speaks, then calls tools, both hold the same blocks. Told in another order, the stream keeps
that order, and the whole message, which a chat answer is known by its parts only, has thinking, text and tools.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import orjson

from gateway.api.messages_answer import Stopping, call_id, refused, said, thought, tool_input, usage_of
from gateway.api.messages_blocks import Blocks, event_frame
from gateway.api.messages_errors import messages_error
from gateway.errors import RolegateError
from gateway.relay.event import Event

_PING: Final = event_frame("ping", {})
_STOP: Final = event_frame("message_stop", {})


class MessagesWire:
    """Writes one answer. ``answer_id`` (``msg_…``) is its id; ``model`` stands in where upstream's chunks name none. ``stops``
    are the caller's stop sequences, ``eager_tools`` the tools whose input it wants in pieces.

    Token counts come with the end of a stream: ``message_start`` says 0, since the clients' types demand a number, and
    ``message_delta`` corrects it, with ``input_tokens`` too where upstream gave it. A ``ping`` is sent while upstream writes
    what is not passed on yet, so that no one takes the answer for stalled.
    """

    __slots__ = ("_answer_id", "_begun", "_blocks", "_model", "_stopping")
    is_chat: Final = False

    def __init__(
        self,
        *,
        answer_id: str,
        model: str,
        stops: Collection[str] = (),
        eager_tools: frozenset[str] = frozenset(),
    ) -> None:
        self._answer_id = answer_id
        self._model = model
        self._stopping = Stopping(stops=stops)
        self._blocks = Blocks(answer_id=answer_id, eager=eager_tools)
        self._begun = False

    def whole(self, completion: Mapping[str, object]) -> bytes:
        choice = next(iter(_choices(completion)), {})
        message = _mapping(choice.get("message"))
        self._stopping.read(choice)
        content = self._content(message)
        told = {
            **self._head(completion),
            "content": content,
            **self._stopping.told(),
            "usage": {"input_tokens": 0, **usage_of(completion.get("usage"))},
        }
        return orjson.dumps(told)

    def events(self, events: Sequence[Event]) -> bytes:
        frames = b""
        for event in events:
            if event.chunk is not None:
                frames += self._chunk(event.chunk)
        return frames or (_PING if self._begun and self._blocks.holding else b"")

    def ending(self, usage: Mapping[str, object] | None) -> bytes:
        opening = b"" if self._begun else self._start(usage or {})
        counts = usage_of(None if usage is None else usage.get("usage"))
        left = self._blocks.close()
        delta = event_frame("message_delta", {"delta": self._stopping.told(), "usage": counts})
        return opening + left + delta + _STOP

    def failed(self, error: RolegateError) -> bytes:
        return b"event: error\ndata: " + orjson.dumps(messages_error(error)) + b"\n\n"

    def _chunk(self, chunk: Mapping[str, object]) -> bytes:
        frames = b"" if self._begun else self._start(chunk)
        for choice in _choices(chunk):
            self._stopping.read(choice)
            frames += self._delta(_mapping(choice.get("delta")))
        return frames

    def _delta(self, delta: Mapping[str, object]) -> bytes:
        frames = b""
        if reasoning := thought(delta):
            frames += self._blocks.say("thinking", reasoning)
        if text := said(delta):
            frames += self._blocks.say("text", text)
        if refusal := refused(delta):
            self._stopping.refused = True
            frames += self._blocks.say("text", refusal)
        for call in _calls(delta):
            self._stopping.called = True
            frames += self._blocks.call(call)
        return frames

    def _content(self, message: Mapping[str, object]) -> list[dict[str, object]]:
        blocks: list[dict[str, object]] = []
        if reasoning := thought(message):
            blocks.append({"type": "thinking", "thinking": reasoning, "signature": ""})
        refusal = refused(message)
        if text := said(message) + refusal:
            blocks.append({"type": "text", "text": text})
        calls = _calls(message)
        for number, call in enumerate(calls):
            function = _mapping(call.get("function"))
            name, arguments = function.get("name"), function.get("arguments")
            blocks.append(
                {
                    "type": "tool_use",
                    "id": call_id(call.get("id"), answer_id=self._answer_id, number=number),
                    "name": name if isinstance(name, str) else "",
                    "input": orjson.Fragment(tool_input(arguments if isinstance(arguments, str) else "")),
                }
            )
        self._stopping.refused = bool(refusal)
        self._stopping.called = bool(calls)
        return blocks

    def _start(self, chunk: Mapping[str, object]) -> bytes:
        self._begun = True
        usage = {"input_tokens": 0, "output_tokens": 0}
        empty = {**self._head(chunk), "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
        return event_frame("message_start", {"message": empty})

    def _head(self, told: Mapping[str, object]) -> dict[str, object]:
        model = told.get("model")
        return {
            "id": self._answer_id,
            "type": "message",
            "role": "assistant",
            "model": model if isinstance(model, str) and model else self._model,
        }


def _choices(told: Mapping[str, object]) -> list[Mapping[str, object]]:
    """The first choice; there is no other where none was asked for."""
    choices = told.get("choices")
    listed = choices if isinstance(choices, list) else []
    return [choice for choice in listed if isinstance(choice, Mapping) and not choice.get("index")]


def _calls(message: Mapping[str, object]) -> list[Mapping[str, object]]:
    calls = message.get("tool_calls")
    return [call for call in calls if isinstance(call, Mapping)] if isinstance(calls, list) else []


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}

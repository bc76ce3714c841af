"""The bytes that upstream servers send, per lane, for faults that no HTTP library would produce by itself."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fakes import faults
from fakes.faults import Fault
from gateway.domain.model import Lane

PIECES: Final = ("one ", "two ", "three ", "four ")
TEXT: Final = "".join(PIECES)
TOLD: Final = "".join(PIECES[:2])
"""What a stream has brought when it breaks after content."""

_HEAD: Final = {"id": "chatcmpl-far", "object": "chat.completion.chunk", "created": 1_785_578_400, "model": "far"}


def _json(payload: object) -> bytes:
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """How the servers behind one lane speak: newline-delimited objects or server-sent events."""

    lane: Lane

    @property
    def native(self) -> bool:
        return self.lane is Lane.OLLAMA

    @property
    def content_type(self) -> str:
        return "application/x-ndjson" if self.native else "text/event-stream"

    @property
    def route(self) -> str:
        return "/api/chat" if self.native else "/v1/chat/completions"

    def frame(self, payload: object) -> bytes:
        """One line, or one event."""
        return _json(payload) + b"\n" if self.native else b"data: " + _json(payload) + b"\n\n"

    def opened(self) -> bytes:
        """What comes before content: nothing, or the chunk with the role."""
        return b"" if self.native else self._chunk({"role": "assistant", "content": ""})

    def said(self, *texts: str) -> bytes:
        return b"".join(self._delta({"content": text}) for text in texts)

    def ended(self, *, reason: str = "stop", more: Mapping[str, Any] | None = None) -> bytes:
        """The last of it, with ``more`` in its message or delta."""
        if self.native:
            counts = {"prompt_eval_count": 3, "eval_count": len(PIECES)}
            message = {"role": "assistant", "content": "", **(more or {})}
            return self.frame({"model": "far", "message": message, "done": True, "done_reason": reason, **counts})
        return self._chunk(dict(more or {}), finish=reason) + b"data: [DONE]\n\n"

    def whole(self) -> bytes:
        """A complete answer as it should be."""
        return self.opened() + self.said(*PIECES) + self.ended()

    def object(self) -> bytes:
        """A complete answer in one object, as to a caller who did not ask to stream."""
        message = {"role": "assistant", "content": TEXT}
        if self.native:
            return _json({"model": "far", "message": message, "done": True, "done_reason": "stop"})
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return _json({**_HEAD, "object": "chat.completion", "choices": [choice]})

    def silence(self) -> bytes:
        """A sign of life without content."""
        return self._delta({"content": ""}) if self.native else b": keep-alive\n\n"

    def broken(self) -> bytes:
        """What no parser takes."""
        return b'{"message":{"cont\n' if self.native else b'data: {"choices":[{"delta\n\n'

    def tool_call(self) -> dict[str, Any]:
        if self.native:
            return {"tool_calls": [{"id": "call_a", "function": {"name": "look_up", "arguments": {"q": "it"}}}]}
        function = {"name": "look_up", "arguments": '{"q":"it"}'}
        return {"tool_calls": [{"index": 0, "id": "call_a", "type": "function", "function": function}]}

    def raw(self, *bodies: bytes, length: int | None = None, **more: Any) -> Fault:
        """A head and these pieces of a body."""
        return faults.raw(faults.head(content_type=self.content_type, length=length), *bodies, **more)

    def _delta(self, delta: Mapping[str, Any]) -> bytes:
        if self.native:
            return self.frame({"model": "far", "message": {"role": "assistant", **delta}, "done": False})
        return self._chunk(delta)

    def _chunk(self, delta: Mapping[str, Any], *, finish: str | None = None) -> bytes:
        return self.frame({**_HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

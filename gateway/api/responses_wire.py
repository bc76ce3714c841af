"""How an answer is written on the Responses wire, whole or as a stream of typed events."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import orjson

from gateway.api.responses_draft import Draft
from gateway.api.responses_head import ResponseHead
from gateway.errors import RolegateError
from gateway.relay.error_shape import error_object
from gateway.relay.event import Event
from gateway.relay.openai_wire import chunk_of

_CODES: Final = MappingProxyType({"rate_limit_error": "rate_limit_exceeded", "invalid_request_error": "invalid_prompt"})
_OTHER_CODE: Final = "server_error"


class ResponsesWire:
    """Implements ``AnswerWire``. A stream ends with ``response.completed``, ``response.incomplete`` or ``response.failed``;
    no ``[DONE]`` follows."""

    __slots__ = ("_draft", "_frames", "_head", "_number")
    is_chat: Final = False

    def __init__(self, *, head: ResponseHead) -> None:
        self._head = head
        self._frames: list[bytes] = []
        self._number = 0
        self._draft = Draft(head=head, tell=self._write)

    def whole(self, completion: Mapping[str, object]) -> bytes:
        draft = Draft(head=self._head, tell=_untold)
        draft.take(chunk_of(completion))
        return orjson.dumps(draft.finish(completion.get("usage")))

    def events(self, events: Sequence[Event]) -> bytes:
        for event in events:
            if event.chunk is not None:
                self._draft.take(event.chunk)
        return self._written()

    def ending(self, usage: Mapping[str, object] | None) -> bytes:
        self._draft.finish(None if usage is None else usage.get("usage"))
        return self._written()

    def failed(self, error: RolegateError) -> bytes:
        self._draft.fail(_failure(error))
        return self._written()

    def _write(self, kind: str, /, **fields: object) -> None:
        content = orjson.dumps({"type": kind, "sequence_number": self._number, **fields})
        self._number += 1
        self._frames.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), content))

    def _written(self) -> bytes:
        written = b"".join(self._frames)
        self._frames.clear()
        return written


def _untold(kind: str, /, **fields: object) -> None:
    """For an answer that nobody hears before it is whole."""


def _failure(error: RolegateError) -> dict[str, object]:
    """The error of a failed response: ``code`` is one of those the wire knows, ``failure`` the gateway's own."""
    content = error_object(error)["error"]
    said = content if isinstance(content, dict) else {}
    return {**said, "code": _CODES.get(said.get("type", ""), _OTHER_CODE), "failure": said.get("code")}

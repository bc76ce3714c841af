"""How an answer is written for the caller. The relay thinks in OpenAI chat chunks; each caller's wire is written from those."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import orjson

from gateway.errors import RolegateError
from gateway.relay.error_shape import error_object
from gateway.relay.event import Event
from gateway.relay.sse import DONE, frame


class AnswerWire(Protocol):
    """Writes one answer; made for one request, and may remember what it has written.

    A streamed answer is: ``events`` any number of times, then ``ending`` or ``failed`` once. Each returns whole SSE frames,
    or nothing. The chunk that carries the finish signal is among ``events``; token counts come with ``ending`` only.
    ``is_chat`` says that it is the relay's own wire, and has no memory.
    """

    @property
    def is_chat(self) -> bool: ...

    def whole(self, completion: Mapping[str, object]) -> bytes:
        """The body of an answer that is not streamed. ``completion`` is a ``chat.completion`` object."""

    def events(self, events: Sequence[Event]) -> bytes:
        """The frames for some chunks, in order."""

    def ending(self, usage: Mapping[str, object] | None) -> bytes:
        """The end of a whole answer. ``usage`` is the chunk with the token counts (no choices), if upstream gave them."""

    def failed(self, error: RolegateError) -> bytes:
        """What takes the place of the rest when the answer breaks off: after it the connection is cut."""


class ChatWire:
    """OpenAI's chat completions. ``include_usage`` as in ``stream_options``."""

    __slots__ = ("_include_usage",)
    is_chat: Final = True

    def __init__(self, *, include_usage: bool) -> None:
        self._include_usage = include_usage

    def whole(self, completion: Mapping[str, object]) -> bytes:
        return orjson.dumps(completion)

    def events(self, events: Sequence[Event]) -> bytes:
        if len(events) == 1:
            return _frame(events[0])
        return b"".join([_frame(event) for event in events])

    def ending(self, usage: Mapping[str, object] | None) -> bytes:
        return frame(usage) + DONE if usage is not None and self._include_usage else DONE

    def failed(self, error: RolegateError) -> bytes:
        return frame(error_object(error))


def _frame(event: Event) -> bytes:
    if event.frame or event.chunk is None:
        return event.frame
    return frame(event.chunk)

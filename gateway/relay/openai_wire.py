"""Chunks of an OpenAI-wire stream, read only as far as failover, usage and the caller's view need."""

from collections.abc import Hashable, Mapping
from typing import Final

import orjson

from gateway.domain.failure import FailureClass
from gateway.domain.secret import Secret
from gateway.errors import UpstreamFailed
from gateway.relay.classify import classify
from gateway.relay.event import Event, EventKind
from gateway.relay.moulds import Moulds
from gateway.relay.names import Names
from gateway.relay.sse import raw_frame
from gateway.relay.text_chunks import Mould, TextChunks

_CONTENT_KEYS: Final = frozenset(
    {
        "content",
        "tool_calls",
        "reasoning_content",
        "reasoning",
        "refusal",
        "function_call",
        "audio",
        "images",
        "reasoning_details",
    }
)
_BROKE_OFF: Final = frozenset({"abort", "aborted", "cancelled", "canceled", "error", "insufficient_system_resource"})
"""What servers call the finish of an answer that has none."""
_SAYABLE: Final = (str, list, type(None))
_CALLS: Final = (list, type(None))
_COUNTS: Final = ("prompt_tokens", "completion_tokens", "total_tokens")
_DONE: Final = b"[DONE]"
_LOOKS: Final = 3
"""How many chunks are searched for what they have in common, before a server is taken to write each in its own way."""
_DONE_ROOM: Final = 32
"""What is longer is another word."""


class ChunkReader:
    """The chunks of one answer, from any OpenAI-wire server.

    A chunk that is already as it should be is passed on byte for byte. Otherwise it is mended: one id and creation time for
    the whole answer (upstream's first, or ``answer_id`` and ``created``), ``model`` as given, the role in the first delta, one
    finish signal, and the token counts in a chunk of their own after it. ``keyed`` and ``key`` are those of ``classify``.
    ``framing`` off leaves the frames out, for a caller who does not stream. ``moulds`` remember what the chunks of the model
    ``model_key`` look like. ``finished`` holds once every choice seen has finished; ``skipped`` counts what could not be read.
    """

    __slots__ = (
        "_begun",
        "_created",
        "_ended",
        "_framing",
        "_id",
        "_key",
        "_keyed",
        "_looks",
        "_model",
        "_model_key",
        "_mould",
        "_moulds",
        "_open",
        "_opening",
        "_said",
        "_text_chunks",
        "done",
        "finished",
        "skipped",
    )

    def __init__(
        self,
        *,
        answer_id: str,
        created: int,
        model: str,
        keyed: bool,
        key: Secret | None = None,
        framing: bool = True,
        moulds: Moulds | None = None,
        model_key: Hashable = None,
    ) -> None:
        self._id = answer_id
        self._created = created
        self._model = model
        self._keyed = keyed
        self._key = key
        self._framing = framing
        self._moulds = moulds
        self._model_key = model_key
        self._begun = False
        self._open: set[int] = set()
        self._ended: set[int] = set()
        self._said = False
        self._looks = _LOOKS
        self._mould: Mould | None = None
        self._opening: Mapping[str, object] | None = None
        self._text_chunks: TextChunks | None = None
        self.finished = False
        self.done = False
        self.skipped = 0

    def begin(self, data: bytes, at: int) -> tuple[Event | None, int]:
        """See ``Reader.begin``."""
        if self._mould is None or self._text_chunks is None or self._ended or self.done:
            return None, at
        tokens, place = self._mould.cut(data, at)
        if not tokens:
            return None, at
        event = self._text_chunks.event(tokens)
        if event is None:
            return None, at
        self._said = True
        return event, place

    def whole(self, data: bytes) -> Event | None:
        """See ``Reader.whole``. For callers who do not stream."""
        if self._begun or self._framing or self._moulds is None:
            return None
        chunk = self._moulds.whole(self._model_key, data)
        if chunk is None or ("usage" in chunk and not _is_usage(chunk["usage"])):
            return None
        chunk["model"] = self._model
        self._begun = self._said = self.finished = self.done = True
        return Event(EventKind.CONTENT, chunk, finished=True, whole=True)

    def frames(self, data: bytes) -> bytes:
        """See ``Reader.frames``. Only used once there has been text."""
        if self._mould is None or self._text_chunks is None or self._ended or self.done:
            return b""
        tokens, place = self._mould.cut(data, 0)
        return self._text_chunks.frames(tokens) if tokens and place == len(data) else b""

    def read(self, data: bytes) -> list[Event]:
        """The events of one SSE event's data. Raises ``UpstreamFailed`` for an error event."""
        if self.done:
            return []
        if len(data) < _DONE_ROOM and data.strip() == _DONE:
            self.done = True
            return []
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            chunk = None
        if not isinstance(chunk, dict):
            self.skipped += 1
            return []
        return self.chunk(chunk, data=data)

    def chunk(self, chunk: Mapping[str, object], *, data: bytes = b"") -> list[Event]:
        """The events of one chunk; ``data`` is its JSON as it came, if it did. Raises ``UpstreamFailed`` for an error, and for
        the end of an answer of which nothing could be read."""
        if chunk.get("error"):
            raise classify(status=None, body=chunk, keyed=self._keyed, key=self._key)
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not all(map(_is_choice, choices)):
            self.skipped += 1
            return []
        given = chunk.get("usage")
        usage = given if given and _is_usage(given) else None
        events: list[Event] = []
        if choices and not self.finished:
            events.append(self._told(chunk, choices, split_usage=bool(given), data=data))
        elif not choices and not usage and not self.finished:
            events.append(Event(EventKind.OPENING, self._mended(chunk)))
        if usage:
            counted = {**self._mended(chunk), "choices": [], "usage": usage} if self._framing else {"usage": usage}
            events.append(Event(EventKind.USAGE, counted))
        return events

    def _told(
        self, chunk: Mapping[str, object], choices: list[dict[str, object]], *, split_usage: bool, data: bytes
    ) -> Event:
        kind = EventKind.OPENING
        if any(map(_says, choices)):
            kind = EventKind.CONTENT
            self._said = True
        finished = self._ends(choices)
        if finished:
            self.finished = True
            if self.skipped and not self._said:
                message = f"nothing of the answer could be read ({self.skipped} parts of it were not understood)"
                raise UpstreamFailed(message, failure=FailureClass.UPSTREAM_ERROR)
            if kind is EventKind.OPENING:
                kind = EventKind.FINISH
        if data and self._begun and not split_usage and not finished:
            self._look_for_mould(chunk, choices, data=data)
        if self._begun and not split_usage:
            if not self._framing:
                # What stands in every chunk is taken from the first.
                if kind is EventKind.FINISH and data:
                    self._keep_ends(chunk, data=data)
                return Event(kind, chunk, finished=finished)
            if data and self._agrees(chunk):
                return Event(kind, chunk, raw_frame(data), finished)
        mended = self._mended(chunk)
        if split_usage:
            mended.pop("usage", None)
        first = choices[0].get("delta")
        if not self._begun and isinstance(first, dict) and not first.get("role"):
            mended["choices"] = [{**choices[0], "delta": {"role": "assistant", **first}}, *choices[1:]]
        if not self._begun:
            self._begun = True
            self._opening = chunk if data else None
            self._recall_mould(chunk)
        return Event(kind, mended, finished=finished)

    def _recall_mould(self, chunk: Mapping[str, object]) -> None:
        """What the model's chunks looked like last, if upstream gave this answer its id and time."""
        names = Names.of(chunk) if self._moulds is not None and self._agrees_on_names(chunk) else None
        if self._moulds is None or names is None:
            return
        known = self._moulds.recall(self._model_key, names, framing=self._framing)
        if known is not None:
            self._mould, self._text_chunks = known

    def _keep_ends(self, finish: Mapping[str, object], *, data: bytes) -> None:
        """For the model's next answer, which may come at once."""
        if self._opening is not None and self._moulds is not None:
            self._moulds.keep_ends(self._model_key, opening=self._opening, finish=finish, ending=data)

    def _look_for_mould(self, chunk: Mapping[str, object], choices: list[dict[str, object]], *, data: bytes) -> None:
        """Most chunks of an answer differ in their text only. Once one of them has been read, the others need not be."""
        choice = choices[0]
        delta = choice.get("delta")
        plain = len(choices) == 1 and choice.get("index") == 0 and choice.get("finish_reason") is None
        if not plain or not isinstance(delta, dict) or delta.keys() != {"content"} or self._looks <= 0:
            return
        self._looks -= 1
        self._mould = Mould.of(data, chunk=chunk, choice=choice)
        if self._mould is not None:
            head = {key: value for key, value in self._mended(chunk).items() if key not in {"choices", "usage"}}
            rest = {key: value for key, value in choice.items() if key not in {"index", "delta"}}
            self._text_chunks = TextChunks(head=head, choice=rest, framing=self._framing)
            if self._moulds is not None and self._agrees_on_names(chunk):
                self._moulds.keep(self._model_key, self._mould, head=head, choice=rest)

    def _ends(self, choices: list[dict[str, object]]) -> bool:
        """Has one of these choices just finished, with none left open?"""
        ended = False
        for choice in choices:
            index, reason = choice.get("index"), choice.get("finish_reason")
            number = index if isinstance(index, int) else 0
            if isinstance(reason, str) and reason:
                if reason in _BROKE_OFF:
                    message = f'upstream broke off its answer (finish_reason "{reason}")'
                    raise UpstreamFailed(message, failure=FailureClass.TRUNCATED, spoken=True)
                self._open.discard(number)
                self._ended.add(number)
                ended = True
            elif number not in self._ended:
                self._open.add(number)
        return ended and not self._open

    def _agrees(self, chunk: Mapping[str, object]) -> bool:
        return (
            self._agrees_on_names(chunk)
            and chunk.get("model") == self._model
            and chunk.get("object") == "chat.completion.chunk"
        )

    def _agrees_on_names(self, chunk: Mapping[str, object]) -> bool:
        return chunk.get("id") == self._id and chunk.get("created") == self._created

    def _mended(self, chunk: Mapping[str, object]) -> dict[str, object]:
        if not self._begun:
            given, created = chunk.get("id"), chunk.get("created")
            self._id = given if isinstance(given, str) and given else self._id
            self._created = created if type(created) is int and created > 0 else self._created
        head = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
        }
        return {**head, **chunk, **head}


def _is_choice(value: object) -> bool:
    """A choice whose delta is of the types that every client takes."""
    if not isinstance(value, dict):
        return False
    delta = value.get("delta")
    if not isinstance(delta, dict):
        return delta is None
    if not delta:
        return True
    return isinstance(delta.get("content"), _SAYABLE) and isinstance(delta.get("tool_calls"), _CALLS)


def _is_usage(value: object) -> bool:
    """Token counts as they must be: upstream's own extras beside them are passed on unread."""
    if not isinstance(value, dict) or not value:
        return False
    for count in map(value.get, _COUNTS):  # noqa: SIM110  (a generator would cost more than what it looks at)
        if count is not None and (type(count) is not int or count < 0):
            return False
    return True


def _says(choice: Mapping[str, object]) -> bool:
    delta = choice.get("delta")
    if not isinstance(delta, dict) or _CONTENT_KEYS.isdisjoint(delta):
        return False
    return any(value and key in _CONTENT_KEYS for key, value in delta.items())


def chunk_of(completion: Mapping[str, object]) -> dict[str, object]:
    """A complete answer, from a server that does not stream, as the one chunk of a stream."""
    choices = completion.get("choices")
    told: list[dict[str, object]] = []
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict):
            message = choice.get("message")
            delta = dict(message) if isinstance(message, dict) else {}
            calls = delta.get("tool_calls")
            if isinstance(calls, list):
                delta["tool_calls"] = [
                    {"index": index, **call} for index, call in enumerate(calls) if isinstance(call, dict)
                ]
            told.append({**{key: value for key, value in choice.items() if key != "message"}, "delta": delta})
    return {**completion, "object": "chat.completion.chunk", "choices": told}

"""``/v1/completions``: text completions, read and written as OpenAI's clients know them."""

from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from gateway.api.dialect import Asked
from gateway.api.errors import error_body
from gateway.errors import RolegateError
from gateway.relay.completion_request import CompletionRequest
from gateway.relay.error_shape import error_object
from gateway.relay.event import Event
from gateway.relay.sse import DONE, frame

_CHAT_ID: Final = "chatcmpl-"
_TEXT_ID: Final = "cmpl-"
_CALLS: Final = frozenset({"tool_calls", "function_call"})


class Completions:
    """The ``Dialect`` of text completions."""

    @property
    def name(self) -> str:
        return "completions"

    def asked(self, body: bytes) -> Asked:
        """See ``Dialect.asked``."""
        request = CompletionRequest.parse(body)
        return Asked(inquiry=request, wire=CompletionWire(include_usage=request.include_usage))

    def error(self, error: RolegateError, *, request_id: str) -> bytes:
        """See ``Dialect.error``."""
        return error_body(error)


class CompletionWire:
    """An ``AnswerWire`` of ``text_completion`` objects. ``include_usage`` as in ``stream_options``.

    A thought has no place in them and is left out. Log probabilities are written as lists of tokens, whichever form upstream
    gave them in; an offset counts characters from the beginning of the answer's text.
    """

    __slots__ = ("_include_usage", "_offsets")
    is_chat: Final = False

    def __init__(self, *, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._offsets: dict[int, int] = {}

    def whole(self, completion: Mapping[str, object]) -> bytes:
        return orjson.dumps(self._object(completion, said_in="message"))

    def events(self, events: Sequence[Event]) -> bytes:
        return b"".join([self._frame(event.chunk) for event in events if event.chunk is not None])

    def ending(self, usage: Mapping[str, object] | None) -> bytes:
        if usage is None or not self._include_usage:
            return DONE
        return frame(self._object(usage, said_in="delta")) + DONE

    def failed(self, error: RolegateError) -> bytes:
        return frame(error_object(error))

    def _frame(self, chunk: Mapping[str, object]) -> bytes:
        """Nothing for a chunk that only begins an answer, or only thinks."""
        told = self._object(chunk, said_in="delta")
        choices = told["choices"]
        return frame(told) if isinstance(choices, list) and any(map(_tells, choices)) else b""

    def _object(self, given: Mapping[str, object], *, said_in: str) -> dict[str, object]:
        choices = given.get("choices")
        answer_id = str(given.get("id") or "").removeprefix(_CHAT_ID)
        told = {key: value for key, value in given.items() if key not in {"object", "choices"}}
        return {
            **told,
            "id": answer_id if answer_id.startswith(_TEXT_ID) else _TEXT_ID + answer_id,
            "object": "text_completion",
            "choices": [
                self._choice(choice, said_in=said_in)
                for choice in (choices if isinstance(choices, list) else ())
                if isinstance(choice, Mapping)
            ],
        }

    def _choice(self, choice: Mapping[str, object], *, said_in: str) -> dict[str, object]:
        said, index, finish = choice.get(said_in), choice.get("index"), choice.get("finish_reason")
        number = index if isinstance(index, int) else 0
        return {
            "text": _text(said.get("content") if isinstance(said, Mapping) else None),
            "index": number,
            "logprobs": self._logprobs(choice.get("logprobs"), index=number),
            "finish_reason": "stop" if isinstance(finish, str) and finish in _CALLS else finish,
        }

    def _logprobs(self, given: object, *, index: int) -> object:
        """A chat's log probabilities in the form of a text completion's; those as they are."""
        entries = given.get("content") if isinstance(given, Mapping) else None
        if not isinstance(entries, list):
            return given if isinstance(given, Mapping) and "tokens" in given else None
        entries = [entry for entry in entries if isinstance(entry, Mapping)]
        tokens = [token if isinstance(token := entry.get("token"), str) else "" for entry in entries]
        tops = [_likeliest(entry.get("top_logprobs")) for entry in entries]
        return {
            "tokens": tokens,
            "token_logprobs": [entry.get("logprob") for entry in entries],
            "top_logprobs": tops if any(tops) else None,
            "text_offset": self._placed(tokens, index=index),
        }

    def _placed(self, tokens: Sequence[str], *, index: int) -> list[int]:
        """Where each of the next tokens begins in the text."""
        offset, offsets = self._offsets.get(index, 0), []
        for token in tokens:
            offsets.append(offset)
            offset += len(token)
        self._offsets[index] = offset
        return offsets


def _tells(choice: Mapping[str, object]) -> bool:
    return bool(choice["text"] or choice["finish_reason"] or choice["logprobs"])


def _text(content: object) -> str:
    """The text of an answer, which some servers give in parts."""
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, Mapping))
    return content if isinstance(content, str) else ""


def _likeliest(given: object) -> dict[str, object]:
    return {
        str(one.get("token")): one.get("logprob")
        for one in (given if isinstance(given, list) else ())
        if isinstance(one, Mapping)
    }

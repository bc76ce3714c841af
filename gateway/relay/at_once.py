"""Answers that come whole, in one read: what stands around their text is known from the answer before."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import orjson

from gateway.relay.names import Names
from gateway.relay.sse import DONE
from gateway.relay.text_chunks import Mould, text_in

_DATA: Final = b"data: "
_SAID_NOTHING: Final[tuple[Mapping[str, object], ...]] = ({}, {"content": ""}, {"content": None})


class Ends(NamedTuple):
    """The first and the last chunk of a model's latest answer, without its text. Those of the next differ in id and time only.
    ``head`` is what a whole answer takes from them; ``ending`` the last chunk's event as it came, ``finish`` the reason that it
    gives, and ``named`` the id and the time in it."""

    opening: Mapping[str, Any]
    head: Mapping[str, Any]
    ending: bytes
    finish: object
    named: Names

    @staticmethod
    def of(opening: Mapping[str, Any], finish: Mapping[str, Any], *, ending: bytes) -> "Ends | None":
        """``None`` where they say more than that one choice begins, perhaps with some text, and ends, or name it in another way
        than by id and time, each once. ``ending`` is the JSON of ``finish``."""
        before, after = _only_choice(opening), _only_choice(finish)
        if opening.get("usage") or finish.get("usage") or not finish.keys() <= opening.keys():
            return None
        delta = before.get("delta")
        bare = [key for key, value in before.items() if value is not None and key != "delta"] == ["index"]
        if not isinstance(delta, dict) or not delta.keys() <= {"role", "content"}:
            return None
        if not bare or after.get("delta") not in _SAID_NOTHING or after.get("logprobs") or after.get("stop_reason"):
            return None
        named = Names.of(finish)
        if named is None or named.renewed(ending, named) is None:
            return None
        return Ends(
            opening={**opening, "choices": [{**before, "delta": {**delta, "content": ""}}]},
            head={key: value for key, value in opening.items() if value is not None},
            ending=_DATA + ending,
            finish=after.get("finish_reason"),
            named=named,
        )

    def answer(self, data: bytes, *, mould_of: Callable[[Names], Mould | None]) -> dict[str, Any] | None:
        """The whole ``chat.completion`` that ``data`` is, but for its ``model``, if it is such an answer from its first event to
        its last; token counts are as upstream gave them. ``mould_of`` gives the mould of an answer by its id and time."""
        begun = data.find(b"\n\n")
        opening = _chunk(data[:begun]) if begun > 0 and data.endswith(DONE) else {}
        names = Names.of(opening)
        if names is None:
            return None
        first = _taken_out(opening)
        named = {"id": names.answer_id, "created": names.created}
        mould = mould_of(names) if opening == {**self.opening, **named} else None
        if mould is None:
            return None
        tokens, said = mould.cut(data, begun + 2)
        *events, last = data[said : -len(DONE)].split(b"\n\n")
        text = text_in(tokens) if tokens and not last and 0 < len(events) < 3 else ""
        if not text or events[0] != self.named.renewed(self.ending, names):
            return None
        counted = _chunk(events[1]) if len(events) == 2 else {"choices": []}
        if counted.get("choices") != []:
            return None
        message = {"role": "assistant", "content": first + text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish}
        whole = {**self.head, **named, "object": "chat.completion", "choices": [choice]}
        if usage := counted.get("usage"):
            whole["usage"] = usage
        return whole


def _only_choice(chunk: Mapping[str, Any]) -> dict[str, Any]:
    """The one choice of a chunk, if it is the first; empty otherwise."""
    choices = chunk["choices"]
    return choices[0] if len(choices) == 1 and choices[0].get("index") == 0 else {}


def _taken_out(chunk: Mapping[str, Any]) -> str:
    """The text that a chunk says, which is left empty in it; a chunk that is none of ours is left alone."""
    choices = chunk.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    delta = choice.get("delta") if isinstance(choice, dict) else None
    if not isinstance(delta, dict):
        return ""
    text = delta.get("content")
    if text is not None and not isinstance(text, str):
        return ""
    delta["content"] = ""
    return text or ""


def _chunk(event: bytes) -> dict[str, Any]:
    """The chunk in an event of one line; empty where it is no such thing."""
    if not event.startswith(_DATA) or b"\n" in event or b"\r" in event:
        return {}
    try:
        chunk = orjson.loads(event[len(_DATA) :])
    except orjson.JSONDecodeError:
        return {}
    return chunk if isinstance(chunk, dict) else {}

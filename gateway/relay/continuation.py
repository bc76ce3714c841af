"""An answer that broke off, and the one that goes on with it: what the second is asked, and where the two meet."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from gateway.domain.failure import FailureClass
from gateway.errors import UpstreamFailed
from gateway.relay.event import Event, EventKind
from gateway.relay.needs import answer_tokens_of

RESTART_CHARACTERS: Final = 8
"""A continuation that repeats this much of the beginning counts as begun anew. Chance may go so far now and then: better an
answer that ends with its error than one that says something twice."""
BEGAN_ANEW: Final = "began the answer anew: it does not support completion of one that is there"
"""Says nothing of any feature that a request may ask for: what a model refuses is remembered by these words."""

_LIMITS: Final = ("max_tokens", "max_completion_tokens")
_NOT_TEXT: Final = ("tool_calls", "function_call", "refusal", "audio")


class Partial:
    """What a caller has been given of one answer so far."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._pieces = 0
        self._other = False
        self._head: dict[str, object] = {}

    def add(self, events: Sequence[Event]) -> None:
        """These have been passed on."""
        for event in events:
            if event.chunk is None:
                continue
            if not self._head:
                self._head = {key: event.chunk[key] for key in ("id", "created") if key in event.chunk}
            for delta in _deltas(event):
                text = delta.get("content")
                if isinstance(text, str) and text:
                    self._texts.append(text)
                    self._pieces += event.pieces
                self._other = self._other or any(delta.get(key) for key in _NOT_TEXT)

    @property
    def text(self) -> str:
        return "".join(self._texts)

    def request(self, body: Mapping[str, object]) -> Mapping[str, object] | None:
        """What another model is asked so that it goes on: the conversation, and the text so far as the beginning of the answer.
        ``None`` where that cannot be: no text yet, anything but text in it, a format that only a whole answer can keep to, or
        the caller's own limit reached."""
        messages = body.get("messages")
        response_format = body.get("response_format")
        bound_format = isinstance(response_format, Mapping) and response_format.get("type") != "text"
        if not self.text.strip() or self._other or bound_format or not isinstance(messages, list):
            return None
        wanted: dict[str, object] = {**body, "messages": [*messages, {"role": "assistant", "content": self.text}]}
        allowed_tokens = answer_tokens_of(body)
        if allowed_tokens is not None:
            # Servers send about a token a piece; where they send more, the answer ends up a little longer than asked.
            left_tokens = allowed_tokens - self._pieces
            if left_tokens < 1:
                return None
            wanted |= {key: left_tokens for key in _LIMITS if body.get(key) is not None}
        return wanted

    def seam(self) -> "Seam":
        return Seam(self.text, head=self._head)


class Seam:
    """Fits a continuation to what is there: one answer, one id, and nothing of it twice.

    Some servers repeat the beginning that they were given, and some models begin anew. The first is cut away; the second
    cannot be mended, and raises ``UpstreamFailed``.
    """

    def __init__(self, text: str, *, head: Mapping[str, object]) -> None:
        self._before = text
        self._head = dict(head)
        self._held = ""
        self._joined = False

    def head_of(self, chunk: Mapping[str, object]) -> dict[str, object]:
        """The chunk under the id and the time of the answer that it belongs to."""
        return {**chunk, **self._head}

    def fit(self, events: Sequence[Event]) -> list[Event]:
        """What of these events may be passed on now."""
        fitted: list[Event] = []
        for event in events:
            fitted.extend(self._fit(event))
        return fitted

    def _fit(self, event: Event) -> Iterator[Event]:
        if event.chunk is None or event.kind is EventKind.USAGE:
            yield event
            return
        choices = event.chunk.get("choices")
        kept: list[dict[str, object]] = []
        for choice in choices if isinstance(choices, list) else ():
            fitted = self._choice(choice, finished=event.finished) if isinstance(choice, dict) else None
            if fitted is not None:
                kept.append(fitted)
        if kept:
            yield Event(event.kind, {**self.head_of(event.chunk), "choices": kept}, finished=event.finished)

    def _choice(self, choice: Mapping[str, object], *, finished: bool) -> dict[str, object] | None:
        delta = choice.get("delta")
        delta = dict(delta) if isinstance(delta, Mapping) else {}
        for key in ("role", "reasoning", "reasoning_content"):
            delta.pop(key, None)
        text = delta.pop("content", None)
        said = self._text(text if isinstance(text, str) else "", finished=finished or bool(delta))
        if said:
            delta["content"] = said
        if not delta and choice.get("finish_reason") is None:
            return None
        return {**choice, "delta": delta}

    def _text(self, text: str, *, finished: bool) -> str:
        if self._joined:
            return text
        self._held += text
        if self._held.startswith(self._before):
            self._joined = True
            return self._held[len(self._before) :]
        if self._before.startswith(self._held) and not finished:
            return ""
        if _common(self._before, self._held) >= RESTART_CHARACTERS:
            raise UpstreamFailed(BEGAN_ANEW, failure=FailureClass.CAPABILITY)
        self._joined = True
        return self._held


def _common(one: str, other: str) -> int:
    """How many characters two texts share at their beginning."""
    for place, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return place
    return min(len(one), len(other))


def _deltas(event: Event) -> Iterator[Mapping[str, object]]:
    choices = event.chunk.get("choices") if event.chunk is not None else None
    for choice in choices if isinstance(choices, list) else ():
        delta = choice.get("delta") if isinstance(choice, dict) else None
        if isinstance(delta, Mapping):
            yield delta

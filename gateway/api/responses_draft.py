"""A response as it grows out of chat chunks."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from gateway.api.responses_head import ResponseHead, usage_of
from gateway.api.responses_output import CallItem, Item, SpokenItem, Tell, logprobs_of
from gateway.relay.gather import call_slot

_CUT_BY: Final = MappingProxyType({"length": "max_output_tokens", "content_filter": "content_filter"})


class Draft:
    """Takes in the chunks of one answer and tells the events they amount to; ``finish`` gives the whole.

    Items come in the order in which upstream begins them. Reasoning and text are closed when something else begins; what comes
    of them later is an item of its own. Calls may come in pieces that alternate, so they stay open until the end.
    """

    __slots__ = ("_calls", "_finish", "_head", "_logprobs", "_model", "_output", "_spoken", "_tell")

    def __init__(self, *, head: ResponseHead, tell: Tell) -> None:
        self._head = head
        self._tell = tell
        self._model: str | None = None
        self._output: list[Item] = []
        self._spoken: SpokenItem | None = None
        self._calls: dict[int, _Call] = {}
        self._logprobs: list[object] = []
        self._finish: object = None

    def take(self, chunk: Mapping[str, object]) -> None:
        """The next chunk. The first one opens the response, whatever is in it."""
        self._begin(chunk.get("model"))
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, Mapping) and not choice.get("index"):
                self._choice(choice)

    def finish(self, usage: object) -> dict[str, object]:
        """The end of a whole answer: closes what is open, tells it, and returns the ``response`` object."""
        self._begin(None)
        for _, call in sorted(self._calls.items()):
            self._open_call(call)
        cut_by = _CUT_BY.get(self._finish) if isinstance(self._finish, str) else None
        for item in self._output:
            item.close("incomplete" if cut_by is not None and item is self._output[-1] else "completed")
        status = "completed" if cut_by is None else "incomplete"
        response = self._response(status, usage=usage_of(usage), cut_by=cut_by)
        self._tell(f"response.{status}", response=response)
        return response

    def fail(self, error: Mapping[str, object]) -> None:
        """The answer breaks off: tells so, with what there is of it."""
        self._begin(None)
        for item in self._output:
            if item.status == "in_progress":
                item.status = "incomplete"
        self._tell("response.failed", response=self._response("failed", error=error))

    def _begin(self, model: object) -> None:
        if self._model is not None:
            return
        self._model = model if isinstance(model, str) and model else self._head.model
        self._tell("response.created", response=self._response("in_progress"))
        self._tell("response.in_progress", response=self._response("in_progress"))

    def _response(
        self,
        status: str,
        *,
        usage: Mapping[str, object] | None = None,
        cut_by: str | None = None,
        error: Mapping[str, object] | None = None,
    ) -> dict[str, object]:
        return self._head.response(
            status=status,
            model=self._model or self._head.model,
            output=[item.whole() for item in self._output],
            usage=usage,
            cut_by=cut_by,
            error=error,
        )

    def _choice(self, choice: Mapping[str, object]) -> None:
        self._finish = choice.get("finish_reason") or self._finish
        if self._head.logprobs:
            self._logprobs += logprobs_of(choice)
        delta = choice.get("delta")
        said = delta if isinstance(delta, Mapping) else {}
        content = said.get("content")
        thought = _text(said.get("reasoning_content")) or _text(said.get("reasoning")) or _thought(content)
        if thought:
            self._item("reasoning").say("reasoning_text", thought)
        text = _text(content)
        if text or (self._logprobs and self._spoken is not None and self._spoken.open_part == "output_text"):
            self._item("message").say("output_text", text, logprobs=self._logprobs)
            self._logprobs = []
        if refusal := _text(said.get("refusal")):
            self._item("message").say("refusal", refusal)
        calls = said.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, Mapping):
                self._call(call)

    def _item(self, kind: Literal["message", "reasoning"]) -> SpokenItem:
        """The item that text of this kind belongs to: the open one, or a new one."""
        if self._spoken is None or self._spoken.kind != kind:
            self._close_spoken()
            index = len(self._output)
            item_id = self._head.item_id("msg" if kind == "message" else "rs", index)
            self._spoken = SpokenItem(kind=kind, item_id=item_id, index=index, tell=self._tell)
            self._output.append(self._spoken)
        return self._spoken

    def _close_spoken(self) -> None:
        if self._spoken is not None:
            self._spoken.close("completed")
            self._spoken = None

    def _call(self, delta: Mapping[str, object]) -> None:
        call = self._calls.setdefault(call_slot(delta, calls=self._calls), _Call())
        given, function = delta.get("id"), delta.get("function")
        call.given_id = _text(given) or call.given_id
        pieces = function if isinstance(function, Mapping) else {}
        call.name = _text(pieces.get("name")) or call.name
        arguments = _text(pieces.get("arguments"))
        if call.item is not None and arguments:
            call.item.argue(arguments)
        elif arguments:
            call.waiting.append(arguments)
        if call.name and call.given_id:
            self._open_call(call)

    def _open_call(self, call: "_Call") -> None:
        """Tell of a call, now that its id and name are there, or nothing more comes."""
        if call.item is not None:
            return
        self._close_spoken()
        index = len(self._output)
        call.item = CallItem(
            call_id=call.given_id or self._head.item_id("call", index),
            name=call.name,
            item_id=self._head.item_id("fc", index),
            index=index,
            tell=self._tell,
        )
        self._output.append(call.item)
        for arguments in call.waiting:
            call.item.argue(arguments)


class _Call:
    """A call and, until it can be told of, what there is of it."""

    __slots__ = ("given_id", "item", "name", "waiting")

    def __init__(self) -> None:
        self.given_id = ""
        self.name = ""
        self.waiting: list[str] = []
        self.item: CallItem | None = None


def _text(value: object) -> str:
    """A text, also one in parts."""
    if isinstance(value, str):
        return value
    parts = value if isinstance(value, list) else ()
    return "".join([_text(part.get("text")) for part in parts if isinstance(part, Mapping)])


def _thought(content: object) -> str:
    """The reasoning among the parts of a message's content, where a server puts it there."""
    parts = content if isinstance(content, list) else ()
    return "".join([_text(part.get("thinking")) for part in parts if isinstance(part, Mapping)])

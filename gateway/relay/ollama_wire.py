"""Between the OpenAI chat wire and Ollama's native one. Pure translation; what cannot be carried over is refused, not dropped.

The load profile is part of every call: ``num_ctx`` is the deployment's planned context, whatever the caller sends, and
``shift`` is never sent, because either one differing from the last call would make Ollama reload the model.
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import orjson

from gateway.domain.failure import FailureClass
from gateway.domain.secret import Secret
from gateway.errors import BadRequest, UpstreamFailed
from gateway.relay.classify import classify
from gateway.relay.depth import MAX_DEPTH, deeper_than
from gateway.relay.event import Event, EventKind
from gateway.relay.needs import answer_tokens_of, effort_of, image_url
from gateway.relay.text_chunks import TextChunks

_SAMPLING: Final = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "repeat_penalty",
    "repeat_last_n",
)
_EFFORTS: Final = MappingProxyType(
    {
        "none": False,
        "minimal": "low",
        "low": "low",
        "medium": "medium",
        "high": "high",
        "xhigh": "max",
        "ultra": "max",
        "max": "max",
    }
)
_MESSAGE_TYPES: Final = MappingProxyType({"thinking": str | None, "content": str | None, "tool_calls": list | None})
_HEAD: Final = re.compile(rb'\{"model":"(?:[^"\\]|\\.)*","created_at":"')
_STAMP: Final = b"0123456789:.TZ+-"
_TEXT: Final = b'","message":{"role":"assistant","content":'
_MORE: Final = b'},"done":false}\n'
_STAMP_CHARS: Final = 64 + len(_TEXT)
"""How far a line is searched for the end of its time."""
_MAX_COUNT: Final = 1 << 53
"""A larger token count is none, and sums of such would not fit into JSON."""
_ROLES: Final = MappingProxyType({"developer": "system", "function": "tool"})


def load_options(context_tokens: int | None) -> dict[str, object]:
    """The options that decide how a model is loaded; the same in a preload and in every call."""
    return {} if context_tokens is None else {"num_ctx": context_tokens}


def native_request(
    body: Mapping[str, object], *, model: str, context_tokens: int | None, thinks: bool
) -> dict[str, object]:
    """The ``/api/chat`` body for an OpenAI chat request. ``thinks`` says that the model can: only then is an effort sent.

    Raises ``BadRequest`` for a tool-call history that is not JSON, or too deep.
    """
    native: dict[str, object] = {
        "model": model,
        "messages": native_messages(body["messages"], thinks=thinks),
        "stream": True,
        "truncate": False,
        "options": _options(body, context_tokens=context_tokens),
    }
    if body.get("tools") and body.get("tool_choice") != "none":
        native["tools"] = body["tools"]
    answer_format = _format(body.get("response_format"))
    if answer_format is not None:
        native["format"] = answer_format
    effort = effort_of(body)
    if thinks and effort is not None and effort in _EFFORTS:
        native["think"] = _EFFORTS[effort]
    for key in ("logprobs", "top_logprobs"):
        if body.get(key):
            native[key] = body[key]
    return native


def _options(body: Mapping[str, object], *, context_tokens: int | None) -> dict[str, object]:
    options = {key: body[key] for key in _SAMPLING if body.get(key) is not None}
    stop = body.get("stop")
    if stop:
        options["stop"] = [stop] if isinstance(stop, str) else stop
    answer_tokens = answer_tokens_of(body)
    if answer_tokens is not None:
        options["num_predict"] = answer_tokens
    return options | load_options(context_tokens)


def _format(response_format: object) -> object:
    if not isinstance(response_format, Mapping):
        return None
    if response_format.get("type") == "json_object":
        return "json"
    schema = response_format.get("json_schema")
    return schema.get("schema") if isinstance(schema, Mapping) else None


def native_messages(messages: object, *, thinks: bool) -> list[dict[str, object]]:
    """OpenAI messages as Ollama wants them: content as one string, images beside it, tool arguments as objects, tool results
    with the name of the tool they came from."""
    names: dict[str, str] = {}
    native: list[dict[str, object]] = []
    for number, message in enumerate(messages if isinstance(messages, Sequence) else ()):
        role = message["role"]
        text, images = _content(message.get("content"))
        one: dict[str, object] = {"role": _ROLES.get(role, role), "content": text}
        if images:
            one["images"] = images
        if role == "assistant":
            thought = message.get("reasoning_content") or message.get("reasoning")
            if thinks and isinstance(thought, str):
                one["thinking"] = thought
            calls = [
                _native_call(call, where=f"messages[{number}].tool_calls[{index}].function.arguments")
                for index, call in enumerate(message.get("tool_calls") or ())
            ]
            if calls:
                one["tool_calls"] = calls
            for call in message.get("tool_calls") or ():
                names[str(call.get("id"))] = call["function"]["name"]
        elif one["role"] == "tool":
            call_id = message.get("tool_call_id")
            name = message.get("name") or names.get(str(call_id))
            if isinstance(call_id, str):
                one["tool_call_id"] = call_id
            if isinstance(name, str):
                one["tool_name"] = name
        native.append(one)
    return native


def _content(content: object) -> tuple[str, list[str]]:
    """The text of a message's content, its parts on lines of their own, and its images and sounds in base64, in their order:
    the native wire has one list for both."""
    if isinstance(content, str):
        return content, []
    texts: list[str] = []
    images: list[str] = []
    for part in content if isinstance(content, Sequence) else ():
        kind = part["type"]
        if kind == "image_url":
            images.append(image_url(part).partition(",")[2])
        elif kind == "input_audio":
            images.append(part["input_audio"]["data"].rpartition(",")[2])
        else:
            texts.append(part.get(kind, ""))
    return "\n".join(texts), images


def _native_call(call: Mapping[str, Any], *, where: str) -> dict[str, object]:
    function = call["function"]
    try:
        arguments = orjson.loads(function.get("arguments") or "{}")
    except orjson.JSONDecodeError as exc:
        raise BadRequest(f"{where}: found text that is not JSON; allowed: a JSON object as text", param=where) from exc
    if not isinstance(arguments, dict):
        raise BadRequest(f"{where}: found JSON that is not an object; allowed: a JSON object as text", param=where)
    if deeper_than(arguments, MAX_DEPTH):
        allowed = f"at most {MAX_DEPTH} levels of objects and lists"
        raise BadRequest(f"{where}: found JSON nested too deeply; allowed: {allowed}", param=where)
    native: dict[str, object] = {"function": {"name": function["name"], "arguments": arguments}}
    if isinstance(call.get("id"), str):
        native["id"] = call["id"]
    return native


class NativeReader:
    """Native answer lines → OpenAI chunks, for one answer.

    ``answer_id``, ``created`` (seconds since the epoch) and ``model`` stand in every chunk. With ``parallel_tools`` off, tool
    calls after the first are left out. ``keyed``, ``key`` and ``account`` are those of ``classify``. ``framing`` off leaves the
    frames out, for a caller who does not stream. ``skipped`` counts lines that could not be read.
    """

    __slots__ = (
        "_account",
        "_answer_id",
        "_begun",
        "_calls",
        "_created",
        "_framing",
        "_key",
        "_keyed",
        "_line_head",
        "_model",
        "_parallel_tools",
        "_text_chunks",
        "_told",
        "done",
        "skipped",
    )

    def __init__(
        self,
        *,
        answer_id: str,
        created: int,
        model: str,
        parallel_tools: bool = True,
        keyed: bool = False,
        key: Secret | None = None,
        account: bool = False,
        framing: bool = True,
    ) -> None:
        self._answer_id = answer_id
        self._created = created
        self._model = model
        self._parallel_tools = parallel_tools
        self._keyed = keyed
        self._key = key
        self._account = account
        self._framing = framing
        self._begun = False
        self._calls = 0
        self._told = False
        self._line_head = b""
        self._text_chunks: TextChunks | None = None
        self.done = False
        self.skipped = 0

    def read(self, line: bytes) -> list[Event]:
        """The events of one line. Raises ``UpstreamFailed`` for an error line, for an end without a reason, and for the end of
        an answer of which nothing could be read."""
        if self.done or not line.strip():
            return []
        try:
            native = orjson.loads(line)
        except orjson.JSONDecodeError:
            native = None
        if not isinstance(native, dict):
            self.skipped += 1
            return []
        if native.get("error"):
            raise classify(status=None, body=native, keyed=self._keyed, key=self._key, account=self._account)
        events = [] if self._begun else [self._event(EventKind.OPENING, {"role": "assistant", "content": ""})]
        if not self._begun:
            self._begun = True
            begins = _HEAD.match(line)
            self._line_head = begins.group() if begins else b""
        message = native.get("message")
        if isinstance(message, dict):
            logprobs = native.get("logprobs")
            events += self._message(message, logprobs=logprobs if isinstance(logprobs, list) else None)
        self._told = self._told or any(event.kind is EventKind.CONTENT for event in events)
        if native.get("done") is True:
            events += self._end(native)
        return events

    def begin(self, data: bytes, at: int) -> tuple[Event | None, int]:
        """See ``Reader.begin``."""
        tokens, place = self._cut(data, at)
        event = self._chunks.event(tokens) if tokens else None
        if event is None:
            return None, at
        self._told = True
        return event, place

    def whole(self, data: bytes) -> Event | None:
        """See ``Reader.whole``. Its lines are read one by one."""
        return None

    def frames(self, data: bytes) -> bytes:
        """See ``Reader.frames``. Only used once there has been text."""
        tokens, place = self._cut(data, 0)
        return self._chunks.frames(tokens) if tokens and place == len(data) else b""

    def _cut(self, data: bytes, at: int) -> tuple[list[bytes], int]:
        """The JSON of the texts in the lines from ``at`` on, as far as they are nothing else, and the place after them."""
        head, place = self._line_head, at
        tokens: list[bytes] = []
        if not head or self.done:
            return tokens, at
        while data.startswith(head, place):
            stamp = place + len(head)
            text = data.find(_TEXT, stamp, stamp + _STAMP_CHARS)
            end = data.find(_MORE, text + len(_TEXT))
            if text < 0 or end < 0 or data[stamp:text].strip(_STAMP):
                break
            token = data[text + len(_TEXT) : end]
            if b"\n" in token:
                break
            tokens.append(token)
            place = end + len(_MORE)
        return tokens, place

    @property
    def _chunks(self) -> TextChunks:
        if self._text_chunks is None:
            self._text_chunks = TextChunks(head=self._head, choice={"finish_reason": None}, framing=self._framing)
        return self._text_chunks

    def _message(self, message: Mapping[str, object], *, logprobs: object) -> list[Event]:
        events: list[Event] = []
        self.skipped += sum(not isinstance(message.get(key), allowed) for key, allowed in _MESSAGE_TYPES.items())
        thinking, content, calls = message.get("thinking"), message.get("content"), message.get("tool_calls")
        if isinstance(thinking, str) and thinking:
            events.append(self._event(EventKind.CONTENT, {"reasoning_content": thinking, "reasoning": thinking}))
        if (isinstance(content, str) and content) or logprobs:
            said = content if isinstance(content, str) else ""
            kind = EventKind.CONTENT if said else EventKind.OPENING
            events.append(self._event(kind, {"content": said}, logprobs=logprobs))
        if isinstance(calls, list):
            deltas = [delta for call in calls if (delta := self._call(call)) is not None]
            if deltas:
                events.append(self._event(EventKind.CONTENT, {"tool_calls": deltas}))
        return events

    def _call(self, call: object) -> dict[str, object] | None:
        function = call.get("function") if isinstance(call, dict) else None
        name = function.get("name", "") if isinstance(function, dict) else None
        if not isinstance(call, dict) or not isinstance(function, dict) or not isinstance(name, str):
            self.skipped += 1
            return None
        if self._calls and not self._parallel_tools:
            return None
        arguments = function.get("arguments")
        if deeper_than(arguments, MAX_DEPTH):
            message = f"Ollama sent a call of {name[:60]} with arguments nested more than {MAX_DEPTH} deep"
            raise UpstreamFailed(message, failure=FailureClass.UPSTREAM_ERROR)
        index, given = self._calls, call.get("id")
        self._calls += 1
        return {
            "index": index,
            "id": given
            if isinstance(given, str) and given
            else f"call_{self._answer_id.removeprefix('chatcmpl-')}_{index}",
            "type": "function",
            "function": {
                "name": name,
                "arguments": arguments if isinstance(arguments, str) else orjson.dumps(arguments or {}).decode(),
            },
        }

    def _end(self, native: Mapping[str, object]) -> list[Event]:
        reason = native.get("done_reason")
        if not isinstance(reason, str) or reason not in {"stop", "length"}:
            found = f'"{reason[:60]}"' if isinstance(reason, str) else "null" if reason is None else "not a text"
            raise UpstreamFailed(
                f"Ollama ended its answer without saying why (done_reason {found})", failure=FailureClass.TRUNCATED
            )
        if self.skipped and not self._told:
            message = f"nothing of Ollama's answer could be read ({self.skipped} parts of it were not understood)"
            raise UpstreamFailed(message, failure=FailureClass.UPSTREAM_ERROR)
        self.done = True
        finish = "tool_calls" if self._calls and reason == "stop" else reason
        prompt_tokens, answer_tokens = _count(native, "prompt_eval_count"), _count(native, "eval_count")
        usage = {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": answer_tokens,
            "total_tokens": prompt_tokens + answer_tokens,
        }
        return [
            self._event(EventKind.FINISH, {}, finish=finish),
            Event(EventKind.USAGE, self._chunk([], usage=usage)),
        ]

    def _event(
        self, kind: EventKind, delta: Mapping[str, object], *, finish: object = None, logprobs: object = None
    ) -> Event:
        choice: dict[str, object] = {"index": 0, "delta": delta, "finish_reason": finish}
        if logprobs:
            choice["logprobs"] = {"content": logprobs}
        return Event(kind, self._chunk([choice]), finished=finish is not None)

    def _chunk(self, choices: list[dict[str, object]], **more: object) -> dict[str, object]:
        return {**self._head, "choices": choices, **more}

    @property
    def _head(self) -> dict[str, object]:
        return {
            "id": self._answer_id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
        }


def _count(native: Mapping[str, object], key: str) -> int:
    value = native.get(key)
    return value if type(value) is int and 0 <= value <= _MAX_COUNT else 0

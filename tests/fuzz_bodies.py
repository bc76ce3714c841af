"""Request bodies that are nearly right, and some that are not at all: what the fuzzing tests send."""

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from hypothesis import strategies as st

SAID: Final = "the canary of the prompt sings"
"""Stands wherever a request holds what its caller says; no log may repeat it."""

IMAGE: Final = "data:image/png;base64,aGk="
PARAMETERS: Final = {"type": "object", "properties": {"a": {"type": "integer"}}}

CHAT: Final[dict[str, Any]] = {
    "model": "planner",
    "messages": [
        {"role": "system", "content": SAID},
        {
            "role": "user",
            "name": "ada",
            "content": [{"type": "text", "text": SAID}, {"type": "image_url", "image_url": {"url": IMAGE}}],
        },
        {
            "role": "assistant",
            "content": None,
            "reasoning": SAID,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": SAID},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "description": SAID, "parameters": PARAMETERS}}],
    "tool_choice": "auto",
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": PARAMETERS}},
    "stop": [SAID],
    "stream": True,
    "stream_options": {"include_usage": True},
    "temperature": 0.5,
    "top_p": 0.9,
    "max_completion_tokens": 32,
    "seed": 7,
    "logprobs": True,
    "top_logprobs": 2,
    "logit_bias": {},
    "n": 1,
    "parallel_tool_calls": True,
    "reasoning_effort": "low",
    "user": "ada",
}
COMPLETIONS: Final[dict[str, Any]] = {
    "model": "planner",
    "prompt": [SAID],
    "suffix": "",
    "stream": True,
    "stream_options": {"include_usage": True},
    "max_tokens": 16,
    "temperature": 1,
    "logprobs": 2,
    "stop": SAID,
    "n": 1,
    "best_of": 1,
    "echo": False,
    "user": "ada",
}
EMBEDDINGS: Final[dict[str, Any]] = {
    "model": "embedder",
    "input": [SAID, "two"],
    "dimensions": 8,
    "encoding_format": "base64",
    "user": "ada",
}
RESPONSES: Final[dict[str, Any]] = {
    "model": "planner",
    "instructions": SAID,
    "input": [
        {
            "role": "user",
            "content": [{"type": "input_text", "text": SAID}, {"type": "input_image", "image_url": IMAGE}],
        },
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": SAID}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a": 1}'},
        {"type": "function_call_output", "call_id": "c1", "output": SAID},
    ],
    "tools": [{"type": "function", "name": "f", "description": SAID, "parameters": PARAMETERS, "strict": False}],
    "tool_choice": "auto",
    "text": {"format": {"type": "json_schema", "name": "n", "schema": PARAMETERS}},
    "reasoning": {"effort": "low", "summary": "auto"},
    "include": ["message.output_text.logprobs"],
    "max_output_tokens": 32,
    "metadata": {"a": "b"},
    "store": False,
    "stream": True,
    "temperature": 1,
}
MESSAGES: Final[dict[str, Any]] = {
    "model": "planner",
    "max_tokens": 2048,
    "system": [{"type": "text", "text": SAID, "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": SAID},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": SAID, "signature": "c2ln"},
                {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": SAID}]},
            ],
        },
    ],
    "tools": [{"name": "f", "description": SAID, "input_schema": PARAMETERS}],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "stop_sequences": [SAID],
    "metadata": {"user_id": "ada"},
    "stream": True,
    "temperature": 1,
    "top_k": 5,
}
BODIES: Final[Mapping[str, dict[str, Any]]] = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": COMPLETIONS,
    "/v1/embeddings": EMBEDDINGS,
    "/v1/responses": RESPONSES,
    "/v1/messages": MESSAGES,
}

Path = tuple[str | int, ...]
MAX_STEPS: Final = 12


def _nested(levels: int) -> object:
    value: object = SAID
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


scalars: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(None, True, False, 0, 1, -1, 1 << 31, 1 << 53, (1 << 64) - 1, 1 << 64, -(1 << 63), 1 << 200, 1e308, -0.0, 0.5),
        *(float("nan"), float("inf"), "", " ", "\x00", "\u2028", "\ud800", "auto", "user", "text", "true", "{}", "[1]"),
        *(SAID, "x" * 300, "embedder", "writer", "ollama:all:1b", "https://example.invalid/a.png", IMAGE, "\U0001f600"),
        *([], {}, [None], [[]], [{}], {"": None}, {"type": None}, {"type": "text"}, [SAID], {"a": SAID}, {SAID: 1}),
    ]
) | st.integers() | st.floats() | st.text(max_size=8)  # fmt: skip
odd_values = (scalars | st.sampled_from([60, 99, 100, 101, 250, 260]).map(_nested) | st.lists(scalars, max_size=3)).map(
    copy.deepcopy
)


def paths(value: object, *, at: Path = ()) -> Iterator[Path]:
    """Every place in a JSON value down to ``MAX_STEPS``, the value itself first."""
    yield at
    if len(at) == MAX_STEPS:
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, at=(*at, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from paths(inner, at=(*at, index))


def found_at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


@st.composite
def bent(draw: st.DrawFn, valid: Mapping[str, Any]) -> Any:
    """A copy of ``valid`` with up to three places changed: another value, none, one more, or one from elsewhere in it."""
    body = json.loads(json.dumps(valid))
    if draw(st.booleans()):
        kept = draw(st.sets(st.sampled_from(sorted(body))))
        body = {key: value for key, value in body.items() if key in kept or key in {"model", "messages", "input"}}
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from(list(paths(body))))
        change = draw(st.sampled_from(["replace", "replace", "remove", "move", "add"]))
        if not path:
            return draw(odd_values)
        holder, last = found_at(body, path[:-1]), path[-1]
        if change == "remove":
            del holder[last]
        elif change == "move":
            holder[last] = copy.deepcopy(found_at(body, draw(st.sampled_from(list(paths(body))))))
        elif change == "add" and isinstance(holder, list):
            holder.insert(draw(st.integers(0, len(holder))), draw(odd_values))
        elif change == "add":
            holder[draw(st.sampled_from(sorted(valid)) | st.text(max_size=6))] = draw(odd_values)
        else:
            holder[last] = draw(odd_values)
    if SAID in str(body.get("model")):
        body["model"] = "nobody"  # the name of what was asked for is told in the log, and is to be
    return body


def _written(value: object) -> str:
    """As a careless client writes JSON: NaN and lone surrogates included."""
    return json.dumps(value, ensure_ascii=True, allow_nan=True)


def _deep(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


@st.composite
def spoilt(draw: st.DrawFn, valid: Mapping[str, Any]) -> bytes:
    """The bytes of a bent body, sometimes spoilt on the way: cut, in another encoding, with bytes or keys too many."""
    text = _written(draw(bent(valid)))
    data = text.encode()
    how = draw(st.sampled_from(["", "", "", "", "cut", "utf-16", "bom", "bytes", "twice", "latin", "deep"]))
    if how == "cut":
        return data[: draw(st.integers(0, len(data)))]
    if how == "utf-16":
        return text.encode("utf-16")
    if how == "bom":
        return b"\xef\xbb\xbf" + data
    if how == "bytes":
        at = draw(st.integers(0, len(data)))
        return data[:at] + draw(st.binary(max_size=6)) + data[at:]
    if how == "twice":
        key = draw(st.sampled_from(sorted(valid.keys() - {"model"})))
        return data[:-1] + f", {json.dumps(key)}: {_written(draw(odd_values))}}}".encode()
    if how == "latin":
        return data.replace(b"canary", b"can\xe4ry\xff")
    if how == "deep":
        return data[:-1] + b', "x": ' + _deep(draw(st.sampled_from([200, 1023, 1025, 100_000]))) + b"}"
    return data


def anything_for(valid: Mapping[str, Any]) -> st.SearchStrategy[bytes]:
    """Bodies bent and spoilt, and now and then bytes without any sense."""
    return st.one_of(spoilt(valid), spoilt(valid), spoilt(valid), st.binary(max_size=80))

"""Request bodies as a Go server reads them: typed fields, unknown ones dropped, refusals in the decoder's words."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any

from fakes.serving import WireError

Spec = str | dict[str, Any] | list[Any]
"""A Go type: ``"string"``, ``"bool"``, ``"int"``, ``"float32"``, ``"any"``, ``"map"``, ``"bytes"``; ``{field: spec}`` for a
struct; ``[spec]`` for a slice. The key ``"$name"`` of a struct is its Go name."""

TOOL_CALL: Spec = {
    "$name": "ToolCall",
    "id": "string",
    "function": {"$name": "ToolCallFunction", "index": "int", "name": "string", "arguments": "map"},
}
MESSAGE: Spec = {
    "$name": "Message",
    "role": "string",
    "content": "string",
    "thinking": "string",
    "images": ["bytes"],
    "tool_calls": [TOOL_CALL],
    "tool_name": "string",
    "tool_call_id": "string",
}
_RUN: dict[str, Any] = {
    "model": "string",
    "stream": "bool",
    "format": "any",
    "keep_alive": "duration",
    "options": "map",
    "truncate": "bool",
}
_SPEAK: dict[str, Any] = {**_RUN, "think": "think", "shift": "bool", "logprobs": "bool", "top_logprobs": "int"}
_TOOL: Spec = {
    "$name": "Tool",
    "type": "string",
    "function": {"$name": "ToolFunction", "name": "string", "description": "string", "parameters": "map"},
}
CHAT: Spec = {"$name": "ChatRequest", **_SPEAK, "messages": [MESSAGE], "tools": [_TOOL]}
GENERATE: Spec = {
    "$name": "GenerateRequest",
    **_SPEAK,
    "prompt": "string",
    "suffix": "string",
    "system": "string",
    "template": "string",
    "raw": "bool",
    "images": ["bytes"],
    "context": ["int"],
}
EMBED: Spec = {"$name": "EmbedRequest", **_RUN, "input": "any", "dimensions": "int"}
SHOW: Spec = {
    "$name": "ShowRequest",
    "model": "string",
    "name": "string",
    "verbose": "bool",
    "system": "string",
    "options": "map",
}
PULL: Spec = {"$name": "PullRequest", "model": "string", "name": "string", "stream": "bool", "insecure": "bool"}
DELETE: Spec = {"$name": "DeleteRequest", "model": "string", "name": "string"}
COPY: Spec = {"$name": "CopyRequest", "source": "string", "destination": "string"}
CREATE: Spec = {
    "$name": "CreateRequest",
    "model": "string",
    "from": "string",
    "stream": "bool",
    "parameters": "map",
    "system": "string",
}

OPTION_TYPES: Mapping[str, str] = {
    **dict.fromkeys(
        ("num_keep", "seed", "num_predict", "top_k", "repeat_last_n", "num_ctx", "num_batch", "num_gpu", "main_gpu"),
        "integer",
    ),
    **dict.fromkeys(("num_thread", "draft_num_predict"), "integer"),
    **dict.fromkeys(("top_p", "min_p", "typical_p", "temperature", "repeat_penalty"), "float32"),
    **dict.fromkeys(("presence_penalty", "frequency_penalty"), "float32"),
    "stop": "array",
    "use_mmap": "boolean",
}
RUNNER_OPTIONS = ("num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread", "draft_num_predict")

_JSON_NAMES = {bool: "bool", str: "string", int: "number", float: "number", list: "array", dict: "object"}
_GO_NAMES = {"think": "api.ThinkValue", "map": "map[string]interface {}", "bytes": "[]uint8"}
_DURATION = re.compile(r"([0-9]*\.?[0-9]+)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def decode(body: bytes, spec: Spec) -> dict[str, Any]:
    """The known fields of ``body``; raises ``WireError`` 400 as the Go decoder words it."""
    if not body.strip():
        raise WireError(400, "missing request body")
    try:
        value = json.loads(body)
    except UnicodeDecodeError:
        raise WireError(400, "invalid character '\\u00ff' looking for beginning of value") from None
    except json.JSONDecodeError as error:
        raise WireError(400, _syntax_error(error)) from None
    if not isinstance(value, dict):
        raise WireError(
            400, f"json: cannot unmarshal {_JSON_NAMES[type(value)]} into Go value of type api.{_name(spec)}"
        )
    return _struct(value, spec, "")


def _name(spec: Spec) -> str:
    return str(spec.get("$name", "")) if isinstance(spec, dict) else ""


def _syntax_error(error: json.JSONDecodeError) -> str:
    if error.pos >= len(error.doc.rstrip()):
        return "unexpected EOF"
    return f"invalid character '{error.doc[error.pos]}' looking for beginning of value"


def _struct(value: Mapping[str, Any], spec: Spec, path: str) -> dict[str, Any]:
    assert isinstance(spec, dict)
    known: dict[str, Any] = {}
    for key, item in value.items():
        if key in spec and not key.startswith("$") and item is not None:
            known[key] = _value(item, spec[key], struct=_name(spec), path=f"{path}.{key}" if path else key)
    return known


def _value(item: Any, spec: Spec, *, struct: str, path: str) -> Any:
    if isinstance(spec, dict):
        if not isinstance(item, dict):
            raise _mismatch(item, f"api.{_name(spec)}", struct=struct, path=path)
        return _struct(item, spec, path)
    if isinstance(spec, list):
        if not isinstance(item, list):
            raise _mismatch(item, f"[]{_go_name(spec[0])}", struct=struct, path=path)
        return [_value(one, spec[0], struct=struct, path=path) for one in item]
    if spec == "duration":
        return duration_s(item)
    if spec == "think":
        return _think(item)
    if spec == "bytes":
        return _decoded_base64(item, struct=struct, path=path)
    fits = {
        "string": isinstance(item, str),
        "bool": isinstance(item, bool),
        "int": isinstance(item, int) and not isinstance(item, bool),
        "float32": isinstance(item, int | float) and not isinstance(item, bool),
        "map": isinstance(item, dict),
        "any": True,
    }
    if not fits[spec]:
        raise _mismatch(item, _go_name(spec), struct=struct, path=path)
    return item


def _go_name(spec: Spec) -> str:
    if isinstance(spec, dict):
        return f"api.{_name(spec)}"
    return _GO_NAMES.get(str(spec), str(spec))


def _mismatch(item: Any, go_type: str, *, struct: str, path: str) -> WireError:
    found = _JSON_NAMES[type(item)]
    if isinstance(item, float) and go_type == "int":
        found = f"number {item}"
    return WireError(400, f"json: cannot unmarshal {found} into Go struct field {struct}.{path} of type {go_type}")


def _decoded_base64(item: Any, *, struct: str, path: str) -> bytes:
    if not isinstance(item, str):
        raise _mismatch(item, "[]uint8", struct=struct, path=path)
    try:
        return base64.b64decode(item, validate=True)
    except (binascii.Error, ValueError):
        raise WireError(400, "illegal base64 data at input byte 0") from None


def _think(item: Any) -> bool | str:
    if isinstance(item, bool) or item in ("low", "medium", "high", "max"):
        return item  # type: ignore[no-any-return]
    raise WireError(400, f'invalid think value: "{item}" (must be "high", "medium", "low", "max", true, or false)')


def duration_s(item: Any) -> float:
    """``keep_alive``: a number is seconds, a string a Go duration with a unit, negative is for ever (infinity)."""
    if isinstance(item, int | float) and not isinstance(item, bool):
        return float(item) if item >= 0 else float("inf")
    if not isinstance(item, str):
        raise WireError(400, f"Unsupported type: '{_JSON_NAMES[type(item)]}'")
    text = item.lstrip("+-")
    if re.fullmatch(r"[0-9.]+", text) and float(text) != 0:
        raise WireError(400, f'time: missing unit in duration "{item}"')
    if not text or (text != "0" and not re.fullmatch(rf"({_DURATION.pattern})+", text)):
        raise WireError(400, f'time: invalid duration "{item}"')
    total = sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(text))
    return float("inf") if item.startswith("-") and total else total


def checked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Known options with their types checked (500 otherwise, as the server words it); unknown ones are dropped."""
    known: dict[str, Any] = {}
    for name, item in options.items():
        kind = OPTION_TYPES.get(name)
        if kind is None or item is None:
            continue
        number = isinstance(item, int | float) and not isinstance(item, bool)
        fits = {
            "integer": number,
            "float32": number,
            "boolean": isinstance(item, bool),
            "array": isinstance(item, list),
        }
        if not fits[kind]:
            raise WireError(500, f'option "{name}" must be of type {kind}')
        if kind == "array" and not all(isinstance(one, str) for one in item):
            raise WireError(500, f'option "{name}" must be of an array of strings')
        known[name] = int(item) if kind == "integer" else item
    return known


def check_format(value: Any) -> None:
    if value in (None, "", "json") or isinstance(value, dict):
        return
    shown = json.dumps(value)
    raise WireError(500, f'invalid format: {shown}; expected "json" or a valid JSON Schema object')

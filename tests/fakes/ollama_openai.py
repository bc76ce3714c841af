"""Ollama's own OpenAI layer: what it accepts, drops, forces and hides."""

import json
import random
import re
import time
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import web

from fakes import ollama_decode as wire
from fakes.ollama_speech import gathered
from fakes.serving import WireError, compact

if TYPE_CHECKING:
    from fakes.ollama import FakeOllama

_DATA_URI = re.compile(r"data:(image/(jpeg|jpg|png|webp))?;base64,(?P<data>.*)", re.DOTALL)
_EFFORT: Mapping[str, bool | str] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "max": "max",
    "xhigh": "max",
    "ultra": "max",
}
_CHAT: wire.Spec = {
    "$name": "ChatCompletionRequest",
    "model": "string",
    "messages": ["map"],
    "stream": "bool",
    "stream_options": {"$name": "StreamOptions", "include_usage": "bool"},
    "max_tokens": "int",
    "seed": "int",
    "stop": "any",
    "temperature": "float32",
    "frequency_penalty": "float32",
    "presence_penalty": "float32",
    "top_p": "float32",
    "response_format": {"$name": "ResponseFormat", "type": "string", "json_schema": "map"},
    "tools": ["map"],
    "reasoning": {"$name": "Reasoning", "effort": "string"},
    "reasoning_effort": "string",
    "logprobs": "bool",
    "top_logprobs": "int",
}
_COMPLETION: wire.Spec = {
    "$name": "CompletionRequest",
    "model": "string",
    "prompt": "string",
    "stream": "bool",
    "stream_options": {"$name": "StreamOptions", "include_usage": "bool"},
    "max_tokens": "int",
    "seed": "int",
    "stop": "any",
    "temperature": "float32",
    "top_p": "float32",
    "suffix": "string",
}
_EMBEDDING: wire.Spec = {
    "$name": "EmbedRequest",
    "model": "string",
    "input": "any",
    "dimensions": "int",
    "encoding_format": "string",
}


def error_body(error: WireError) -> dict[str, Any]:
    """The compat shape; cloud refusals keep the native one."""
    if "signin_url" in error.payload or error.message.startswith(("ollama cloud", "error contacting")):
        return dict(error.payload)
    kinds = {400: "invalid_request_error", 404: "not_found_error"}
    kind = kinds.get(error.status, "api_error")
    return {"error": {"message": error.message, "type": kind, "param": None, "code": None}}


def routes(fake: "FakeOllama") -> list[web.RouteDef]:
    layer = _Layer(fake)
    return [
        web.post("/v1/chat/completions", layer.chat),
        web.post("/v1/completions", layer.completions),
        web.post("/v1/embeddings", layer.embeddings),
        web.get("/v1/models", layer.models),
        web.get("/v1/models/{model}", layer.one_model),
    ]


class _Layer:
    def __init__(self, fake: "FakeOllama") -> None:
        self._fake = fake

    async def models(self, request: web.Request) -> web.StreamResponse:
        listed = [_listed(name) for name in self._fake.models]
        return await self._fake.answer_json(request, {"object": "list", "data": listed or None})

    async def one_model(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["model"]
        self._fake.find(name)
        return await self._fake.answer_json(request, _listed(name))

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = wire.decode(await request.read(), _CHAT)
        if not body.get("messages"):
            raise WireError(400, "[] is too short - 'messages'")
        native = _native(body)
        parts = self._fake.native_chunks(native)
        heading = _heading(body["model"], "chat.completion.chunk")
        if body.get("stream"):
            frames = _frames(parts, heading=heading, include_usage=_usage_asked(body))
            return await self._stream(request, frames, heading=heading)
        whole = gathered([part async for part in parts])
        return await self._fake.answer_json(request, _completion(whole, body["model"]))

    async def _stream(
        self, request: web.Request, frames: AsyncIterator[bytes], *, heading: dict[str, Any]
    ) -> web.StreamResponse:
        return await self._fake.answer_stream(
            request, frames, content_type="text/event-stream", error_chunk=lambda _: _lost_error(heading)
        )

    async def completions(self, request: web.Request) -> web.StreamResponse:
        body = wire.decode(await request.read(), _COMPLETION)
        if not body.get("prompt"):
            raise WireError(400, "prompt is required")
        asked = {**_native(body), "messages": [{"role": "user", "content": body["prompt"]}]}
        parts = self._fake.native_chunks(asked, verb="generate")
        heading = _heading(body["model"], "text_completion")
        if body.get("stream"):
            frames = _text_frames(parts, heading=heading, include_usage=_usage_asked(body))
            return await self._stream(request, frames, heading=heading)
        whole = gathered([part async for part in parts])
        choice = {"text": whole["message"]["content"], "index": 0, "finish_reason": whole.get("done_reason")}
        return await self._fake.answer_json(request, {**heading, "choices": [choice], "usage": _usage(whole)})

    async def embeddings(self, request: web.Request) -> web.StreamResponse:
        body = wire.decode(await request.read(), _EMBEDDING)
        answer = await self._fake.embedded(body)
        data = [
            {"object": "embedding", "embedding": vector, "index": index}
            for index, vector in enumerate(answer["embeddings"])
        ]
        count = answer.get("prompt_eval_count", 0)
        usage = {"prompt_tokens": count, "total_tokens": count}
        told = {"object": "list", "data": data, "model": body["model"], "usage": usage}
        return await self._fake.answer_json(request, told)


def _listed(name: str) -> dict[str, Any]:
    owner = name.split("/", maxsplit=1)[0] if "/" in name else "library"
    return {"id": name, "object": "model", "created": 1_785_578_400, "owned_by": owner}


def _usage_asked(body: dict[str, Any]) -> bool:
    return bool(body.get("stream_options", {}).get("include_usage", False))


def _heading(model: str, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{random.randint(0, 998)}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": "fp_ollama",
    }


def _native(body: Mapping[str, Any]) -> dict[str, Any]:
    """The request as the layer hands it on: defaults forced, the rest dropped."""
    options: dict[str, Any] = {"temperature": body.get("temperature", 1.0), "top_p": body.get("top_p", 1.0)}
    for ours, theirs in (("max_tokens", "num_predict"), ("seed", "seed")):
        if ours in body:
            options[theirs] = body[ours]
    for name in ("frequency_penalty", "presence_penalty"):
        if name in body:
            options[name] = body[name]
    if isinstance(body.get("stop"), str | list):
        options["stop"] = [body["stop"]] if isinstance(body["stop"], str) else body["stop"]
    native: dict[str, Any] = {"model": body.get("model", ""), "options": options}
    native["messages"] = [one for message in body.get("messages", ()) for one in _messages(message)]
    effort = body.get("reasoning", {}).get("effort") or body.get("reasoning_effort")
    if effort is not None:
        if effort not in _EFFORT:
            raise WireError(400, f'invalid reasoning value: \'{effort}\' (must be "high", "medium", "low", or "none")')
        native["think"] = _EFFORT[effort]
    wanted = body.get("response_format", {})
    if wanted.get("type") == "json_object":
        native["format"] = "json"
    elif wanted.get("type") == "json_schema":
        native["format"] = wanted.get("json_schema", {}).get("schema")
    native.update({name: body[name] for name in ("tools", "logprobs", "top_logprobs") if name in body})
    return native


def _messages(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One message becomes one per content part."""
    role, content = message.get("role", ""), message.get("content")
    calls = _tool_calls(message)
    if isinstance(content, str):
        more = {"tool_call_id": message["tool_call_id"]} if "tool_call_id" in message else {}
        return [{"role": role, "content": content, "tool_calls": calls, **more}]
    if isinstance(content, list):
        return [{"role": role, **_part(part)} for part in content]
    if content is None and calls:
        return [{"role": role, "content": "", "tool_calls": calls}]
    names = {type(None): "<nil>", int: "float64", float: "float64", bool: "bool", dict: "map[string]interface {}"}
    raise WireError(400, f"invalid message content type: {names[type(content)]}")


def _part(part: Any) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return {"content": part["text"]}
    if kind != "image_url":
        raise WireError(400, "invalid message format")
    url = part["image_url"].get("url", "") if isinstance(part["image_url"], dict) else part["image_url"]
    if url.startswith(("http://", "https://")):
        raise WireError(400, "image URLs are not currently supported, please use base64 encoded data instead")
    found = _DATA_URI.fullmatch(url)
    if found is None:
        raise WireError(400, "invalid image input")
    return {"content": "", "images": [found["data"]]}


def _tool_calls(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    calls = []
    for call in message.get("tool_calls") or ():
        try:
            arguments = json.loads(call["function"]["arguments"])
        except (KeyError, TypeError, ValueError):
            arguments = None
        if not isinstance(arguments, dict):
            raise WireError(400, "invalid tool call arguments")
        calls.append({"id": call.get("id", ""), "function": {**call["function"], "arguments": arguments}})
    return calls


def _openai_calls(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "id": call["id"],
            "index": call["function"]["index"],
            "type": "function",
            "function": {
                "name": call["function"]["name"],
                "arguments": json.dumps(call["function"]["arguments"], separators=(",", ":")),
            },
        }
        for call in calls
    ]


def _finish(done_reason: str, *, called: bool) -> str | None:
    return ("tool_calls" if called and done_reason == "stop" else done_reason) or None


def _usage(whole: Mapping[str, Any]) -> dict[str, int]:
    prompt, spoken = whole.get("prompt_eval_count", 0), whole.get("eval_count", 0)
    return {"prompt_tokens": prompt, "completion_tokens": spoken, "total_tokens": prompt + spoken}


def _completion(whole: Mapping[str, Any], model: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": whole["message"]["content"]}
    if whole["message"].get("thinking"):
        message["reasoning"] = whole["message"]["thinking"]
    calls = whole["message"].get("tool_calls", [])
    if calls:
        message["tool_calls"] = _openai_calls(calls)
    choice: dict[str, Any] = {
        "index": 0,
        "message": message,
        "finish_reason": _finish(whole.get("done_reason", ""), called=bool(calls)),
    }
    if whole.get("logprobs"):
        choice["logprobs"] = {"content": whole["logprobs"]}
    return {**_heading(model, "chat.completion"), "choices": [choice], "usage": _usage(whole)}


def _event(payload: Mapping[str, Any]) -> bytes:
    return b"data: " + compact(payload) + b"\n\n"


def _delta(heading: Mapping[str, Any], delta: Mapping[str, Any], *, finish: str | None = None) -> bytes:
    return _event({**heading, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def _lost_error(heading: Mapping[str, Any]) -> bytes:
    """An error in the middle of a stream comes out as an empty chunk; its text is lost."""
    return _delta(heading, {"content": ""})


async def _frames(
    parts: AsyncIterator[dict[str, Any]], *, heading: Mapping[str, Any], include_usage: bool
) -> AsyncIterator[bytes]:
    role: dict[str, Any] = {"role": "assistant"}
    called, finished = False, False
    async for part in parts:
        message = part["message"]
        delta: dict[str, Any] = {**role, "content": message.get("content", "")}
        if message.get("thinking"):
            delta["reasoning"] = message["thinking"]
        if message.get("tool_calls"):
            called = True
            delta["tool_calls"] = _openai_calls(message["tool_calls"])
        if not part["done"] or role or message.get("tool_calls"):
            role = {}
            yield _delta(heading, delta)
        if part["done"]:
            finished = True
            yield _delta(heading, {}, finish=_finish(part.get("done_reason", ""), called=called))
            if include_usage:
                yield _event({**heading, "choices": [], "usage": _usage(part)})
    if finished:
        yield b"data: [DONE]\n\n"


async def _text_frames(
    parts: AsyncIterator[dict[str, Any]], *, heading: Mapping[str, Any], include_usage: bool
) -> AsyncIterator[bytes]:
    zero = {"usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}} if include_usage else {}
    async for part in parts:
        finish = _finish(part.get("done_reason", ""), called=False) if part["done"] else None
        choice = {"text": part["message"].get("content", ""), "index": 0, "finish_reason": finish}
        yield _event({**heading, "choices": [choice], **zero})
        if part["done"]:
            if include_usage:
                yield _event({**heading, "choices": [], "usage": _usage(part)})
            yield b"data: [DONE]\n\n"

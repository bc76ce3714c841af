"""A server on the OpenAI wire over real TCP (chat, completions, embeddings, models) that also answers Anthropic's `/v1/messages`.

    async with FakeUpstream(models=["gpt-4o-mini"], key="sk-test") as fake:
        fake.base_url                                     # http://127.0.0.1:<port>/v1
        fake.say("gpt-4o-mini", Reply(content=("Hi",), tool_calls=(ToolCall(name="f", arguments={"a": 1}),)))
        fake.fail(faults.stall(after_chunks=2), route="/v1/chat/completions")
        fake.sends_done = False                           # complete streams without `data: [DONE]`
        fake.comments = True                              # a comment line before every event
        fake.requests, fake.connections, fake.active      # see fakes.serving.FakeServer

A model may be an ``UpstreamModel``: with ``meta`` (llama.cpp's ``n_ctx_train``, ``size``, ``n_params``), a ``context_tokens``
limit (a longer prompt is 400 ``context_length_exceeded``), and ``embeds`` where it gives vectors instead of answers.

Standalone: ``python tests/fakes/upstream.py --port 8000 --model gpt-4o-mini --key sk-test``.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import argparse
import asyncio
import base64
import contextlib
import itertools
import json
import struct
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from fakes.replies import Reply, Script, ToolCall, count_tokens, spoken
from fakes.serving import FakeServer, WireError, compact, compact_json

CREATED = 1_785_578_400
MOST_DIMENSIONS = 4096
_TEXT_LOGPROBS = ("tokens", "token_logprobs", "top_logprobs", "text_offset")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamModel:
    name: str
    meta: Mapping[str, Any] = field(default_factory=dict)
    context_tokens: int | None = None
    embeds: bool = False
    owned_by: str = "fake"


class FakeUpstream(FakeServer):
    """See the module's text."""

    def __init__(
        self,
        *,
        models: Iterable[str | UpstreamModel] = ("gpt-4o-mini",),
        key: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        super().__init__(host=host, port=port)
        chosen = [UpstreamModel(name=one) if isinstance(one, str) else one for one in models]
        self.models = {model.name: model for model in chosen}
        self.key = key
        self.scripts: dict[str, Script] = {}
        self.sends_done = True
        self.comments = False
        self.overrides: dict[str, bytes] = {}
        self._ids = itertools.count(1)

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    def say(self, model: str, reply: Script) -> None:
        """What ``model`` ("" is every model without its own) answers from now on."""
        self.scripts[model] = reply

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/health", self._health),
            web.get("/v1/models", self._models),
            web.post("/v1/chat/completions", self._chat),
            web.post("/v1/completions", self._completions),
            web.post("/v1/embeddings", self._embeddings),
            web.post("/v1/messages", self._messages),
        ]

    def refusal(self, error: WireError, *, path: str) -> web.Response:
        if path == "/v1/messages":
            return compact_json(_anthropic_error(error), status=error.status)
        return compact_json(_error_body(error), status=error.status)

    async def _health(self, _: web.Request) -> web.Response:
        return compact_json({"status": "ok"})

    async def _models(self, request: web.Request) -> web.StreamResponse:
        self._authorise(request)
        raw = self.overrides.get(request.path)
        if raw is not None:
            return web.Response(body=raw, content_type="application/json")
        data = [
            {
                "id": model.name,
                "object": "model",
                "created": CREATED,
                "owned_by": model.owned_by,
                **({"meta": dict(model.meta)} if model.meta else {}),
            }
            for model in self.models.values()
        ]
        return await self.answer_json(request, {"object": "list", "data": data})

    def _authorise(self, request: web.Request) -> None:
        given = request.headers.get("x-api-key") or request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.key is not None and given != self.key:
            shown = f"Incorrect API key provided: {given[:2]}***." if given else "You didn't provide an API key."
            raise WireError(401, shown, code="invalid_api_key")

    async def _admitted(self, request: web.Request) -> tuple[dict[str, Any], UpstreamModel]:
        self._authorise(request)
        try:
            body = json.loads(await request.read())
        except ValueError:
            raise WireError(400, "We could not parse the JSON body of your request.") from None
        if not isinstance(body, dict):
            raise WireError(400, "The JSON body of your request must be an object.")
        name = body.get("model")
        if not isinstance(name, str) or not name:
            raise WireError(400, "you must provide a model parameter", param="model")
        model = self.models.get(name)
        if model is None:
            raise WireError(404, f"The model `{name}` does not exist", code="model_not_found")
        return body, model

    def _reply(self, model: UpstreamModel, body: Mapping[str, Any]) -> Reply:
        script = self.scripts.get(model.name) or self.scripts.get("") or Reply(content=("Hello", " from ", model.name))
        return spoken(script, body)

    def _prompt_tokens(self, model: UpstreamModel, texts: Iterable[str], reply: Reply) -> int:
        count = sum(count_tokens(text) + 4 for text in texts)
        if model.context_tokens is not None and count > model.context_tokens:
            text = (
                f"This model's maximum context length is {model.context_tokens} tokens. "
                f"However, your messages resulted in {count} tokens. Please reduce the length of the messages."
            )
            raise WireError(400, text, code="context_length_exceeded", param="messages")
        return count if reply.prompt_tokens is None else reply.prompt_tokens

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body, model = await self._admitted(request)
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise WireError(400, "[] is too short - 'messages'", param="messages")
        reply = self._reply(model, body)
        count = self._prompt_tokens(model, map(_text_of, messages), reply)
        heading = {"id": f"chatcmpl-{next(self._ids)}", "created": CREATED, "model": model.name}
        if body.get("stream"):
            wants_usage = bool((body.get("stream_options") or {}).get("include_usage"))
            usage = _usage(count, reply) if wants_usage else None
            frames = self._chat_frames(heading, reply, body=body, usage=usage)
            return await self._stream(request, frames)
        _refuse_broken(reply)
        message: dict[str, Any] = {"role": "assistant", "content": "".join(reply.content) or None}
        if reply.thinking:
            message["reasoning_content"] = "".join(reply.thinking)
        if reply.tool_calls:
            message["tool_calls"] = [self._call(one) for one in reply.tool_calls]
        logprobs = {"content": _chat_logprobs(reply.content, body)} if body.get("logprobs") else None
        choice = {"index": 0, "message": message, "finish_reason": _finish(reply), "logprobs": logprobs}
        told = {**heading, "object": "chat.completion", "choices": [choice], "usage": _usage(count, reply)}
        return await self.answer_json(request, told)

    async def _chat_frames(
        self,
        heading: Mapping[str, Any],
        reply: Reply,
        *,
        body: Mapping[str, Any],
        usage: Mapping[str, Any] | None,
    ) -> AsyncIterator[bytes]:
        """Role first, then thinking, content, tool calls whose arguments come in two pieces, finish, usage, `[DONE]`."""
        base = {**heading, "object": "chat.completion.chunk"}
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"reasoning_content": text} for text in reply.thinking]
        deltas += [{"content": text} for text in reply.content]
        for index, call in enumerate(reply.tool_calls):
            whole = self._call(call)
            arguments = whole["function"]["arguments"]
            opening = {**whole, "index": index, "function": {"name": call.name, "arguments": ""}}
            deltas.append({"tool_calls": [opening]})
            half = len(arguments) // 2
            deltas += [
                {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
                for piece in (arguments[:half], arguments[half:])
            ]
        for delta in deltas:
            await asyncio.sleep(reply.gap_s)
            choice: dict[str, Any] = {"index": 0, "delta": delta, "finish_reason": None}
            if body.get("logprobs") and delta.get("content"):
                choice["logprobs"] = {"content": _chat_logprobs([delta["content"]], body)}
            yield _event({**base, "choices": [choice]})
        if reply.error:
            raise WireError(500, reply.error)
        if reply.ends_without_finish:
            return
        yield _event({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": _finish(reply)}]})
        if usage is not None:
            yield _event({**base, "choices": [], "usage": usage})
        if self.sends_done:
            yield b"data: [DONE]\n\n"

    async def _stream(self, request: web.Request, frames: AsyncIterator[bytes]) -> web.StreamResponse:
        commented = (b": ping\n\n" + frame async for frame in frames) if self.comments else frames
        return await self.answer_stream(
            request, commented, content_type="text/event-stream", error_chunk=lambda error: _event(_error_body(error))
        )

    def _call(self, call: ToolCall) -> dict[str, Any]:
        function = {"name": call.name, "arguments": compact(dict(call.arguments)).decode()}
        return {"id": call.call_id or f"call_{next(self._ids)}", "type": "function", "function": function}

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        body, model = await self._admitted(request)
        reply = self._reply(model, body)
        count = self._prompt_tokens(model, [str(body.get("prompt", ""))], reply)
        heading = {
            "id": f"cmpl-{next(self._ids)}",
            "object": "text_completion",
            "created": CREATED,
            "model": model.name,
        }
        told: list[dict[str, Any]] = [
            {"index": 0, "text": text, "finish_reason": None, "logprobs": logprobs}
            for text, logprobs in zip(reply.content, _text_logprobs(reply, top=body.get("logprobs")), strict=True)
        ]
        if body.get("stream"):
            wants_usage = bool((body.get("stream_options") or {}).get("include_usage"))
            usage = _usage(count, reply) if wants_usage else None
            return await self._stream(request, self._text_frames(heading, reply, told=told, usage=usage))
        _refuse_broken(reply)
        logprobs = {
            key: [one for choice in told for one in (choice["logprobs"] or {}).get(key, ())] for key in _TEXT_LOGPROBS
        }
        choice = {
            "index": 0,
            "text": "".join(reply.content),
            "finish_reason": _finish(reply),
            "logprobs": logprobs if body.get("logprobs") is not None else None,
        }
        return await self.answer_json(request, {**heading, "choices": [choice], "usage": _usage(count, reply)})

    async def _text_frames(
        self,
        heading: Mapping[str, Any],
        reply: Reply,
        *,
        told: Iterable[Mapping[str, Any]],
        usage: Mapping[str, Any] | None,
    ) -> AsyncIterator[bytes]:
        for choice in told:
            await asyncio.sleep(reply.gap_s)
            yield _event({**heading, "choices": [choice]})
        if reply.error:
            raise WireError(500, reply.error)
        if reply.ends_without_finish:
            return
        yield _event({**heading, "choices": [{"index": 0, "text": "", "finish_reason": _finish(reply)}]})
        if usage is not None:
            yield _event({**heading, "choices": [], "usage": usage})
        if self.sends_done:
            yield b"data: [DONE]\n\n"

    async def _embeddings(self, request: web.Request) -> web.StreamResponse:
        body, model = await self._admitted(request)
        if not model.embeds:
            raise WireError(400, f"{model.name} does not give embeddings", param="model")
        given = body.get("input", "")
        texts = [given] if isinstance(given, str) else given
        width = body.get("dimensions") or 8
        if width > MOST_DIMENSIONS:
            raise WireError(400, f"dimensions: at most {MOST_DIMENSIONS}", param="dimensions")
        vectors = [[float((index + len(str(text))) % 7 + 1) / 8 for index in range(width)] for text in texts]
        encoded = body.get("encoding_format") == "base64"
        shown: list[Any] = [_packed(one) for one in vectors] if encoded else vectors
        count = sum(count_tokens(str(text)) for text in texts)
        told = {
            "object": "list",
            "model": model.name,
            "data": [{"object": "embedding", "index": index, "embedding": one} for index, one in enumerate(shown)],
            "usage": {"prompt_tokens": count, "total_tokens": count},
        }
        return await self.answer_json(request, told)

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        body, model = await self._admitted(request)
        if not isinstance(body.get("max_tokens"), int):
            raise WireError(400, "max_tokens: Field required")
        reply = self._reply(model, body)
        texts = [_text_of(one) for one in body.get("messages", [])]
        count = self._prompt_tokens(model, [*texts, _text_of({"content": body.get("system", "")})], reply)
        message: dict[str, Any] = {
            "id": f"msg_{next(self._ids)}",
            "type": "message",
            "role": "assistant",
            "model": model.name,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": count, "output_tokens": 0},
        }
        if body.get("stream"):
            return await self.answer_stream(
                request,
                self._message_events(message, reply),
                content_type="text/event-stream",
                error_chunk=lambda error: _named_event("error", _anthropic_error(error)),
            )
        _refuse_broken(reply)
        usage = {"input_tokens": count, "output_tokens": _spoken_tokens(reply)}
        told = {**message, "content": self._blocks(reply), "stop_reason": _stop_reason(reply), "usage": usage}
        return await self.answer_json(request, told)

    def _blocks(self, reply: Reply) -> list[dict[str, Any]]:
        blocks: list[dict[str, Any]] = []
        if reply.thinking:
            blocks.append({"type": "thinking", "thinking": "".join(reply.thinking), "signature": "c2ln"})
        if reply.content:
            blocks.append({"type": "text", "text": "".join(reply.content)})
        blocks += [
            {
                "type": "tool_use",
                "id": call.call_id or f"toolu_{next(self._ids)}",
                "name": call.name,
                "input": dict(call.arguments),
            }
            for call in reply.tool_calls
        ]
        return blocks

    async def _message_events(self, message: Mapping[str, Any], reply: Reply) -> AsyncIterator[bytes]:
        yield _named_event("message_start", {"type": "message_start", "message": message})
        for index, block in enumerate(self._blocks(reply)):
            opening, deltas = _opened(block, reply)
            start = {"type": "content_block_start", "index": index, "content_block": opening}
            yield _named_event("content_block_start", start)
            for delta in deltas:
                await asyncio.sleep(reply.gap_s)
                told = {"type": "content_block_delta", "index": index, "delta": delta}
                yield _named_event("content_block_delta", told)
            yield _named_event("content_block_stop", {"type": "content_block_stop", "index": index})
        if reply.error:
            raise WireError(500, reply.error)
        if reply.ends_without_finish:
            return
        delta = {"stop_reason": _stop_reason(reply), "stop_sequence": None}
        usage = {"output_tokens": _spoken_tokens(reply)}
        yield _named_event("message_delta", {"type": "message_delta", "delta": delta, "usage": usage})
        yield _named_event("message_stop", {"type": "message_stop"})


def _opened(block: Mapping[str, Any], reply: Reply) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    kind = block["type"]
    if kind == "text":
        return {"type": "text", "text": ""}, [{"type": "text_delta", "text": one} for one in reply.content]
    if kind == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": one} for one in reply.thinking]
        return {"type": "thinking", "thinking": ""}, [*deltas, {"type": "signature_delta", "signature": "c2ln"}]
    written = compact(block["input"]).decode()
    return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": written}]


def _refuse_broken(reply: Reply) -> None:
    if reply.error or reply.ends_without_finish:
        raise WireError(500, reply.error or "the answer was lost")


def _error_body(error: WireError) -> dict[str, Any]:
    kinds = {400: "invalid_request_error", 401: "invalid_request_error", 404: "invalid_request_error"}
    kind = kinds.get(error.status, "server_error")
    told = {"message": error.message, "type": kind, "param": error.payload.get("param")}
    return {"error": {**told, "code": error.payload.get("code")}}


def _anthropic_error(error: WireError) -> dict[str, Any]:
    kinds = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 529: "overloaded_error"}
    told = {"type": kinds.get(error.status, "api_error"), "message": error.message}
    return {"type": "error", "error": told, "request_id": "req_1"}


def _text_of(message: Any) -> str:
    content = message.get("content") if isinstance(message, dict) else ""
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _finish(reply: Reply) -> str:
    return "tool_calls" if reply.tool_calls and reply.done_reason == "stop" else reply.done_reason


def _stop_reason(reply: Reply) -> str:
    if reply.done_reason == "length":
        return "max_tokens"
    return "tool_use" if reply.tool_calls else "end_turn"


def _spoken_tokens(reply: Reply) -> int:
    return len(reply.thinking) + len(reply.content) + len(reply.tool_calls)


def _usage(prompt: int, reply: Reply) -> dict[str, int]:
    completion = _spoken_tokens(reply)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _chat_logprobs(pieces: Iterable[str], body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Log probabilities as chats have them."""
    alternatives = [f"alt{number}" for number in range(1, body.get("top_logprobs") or 0)]

    def entry(token: str, logprob: float) -> dict[str, Any]:
        return {"token": token, "logprob": logprob, "bytes": list(token.encode())}

    return [
        {
            **entry(piece, -0.1),
            "top_logprobs": [entry(one, -0.1 - rank) for rank, one in enumerate([piece, *alternatives])]
            if body.get("top_logprobs")
            else [],
        }
        for piece in pieces
    ]


def _text_logprobs(reply: Reply, *, top: int | None) -> list[dict[str, Any] | None]:
    """Log probabilities as text completions have them, for each piece of the answer."""
    if top is None:
        return [None] * len(reply.content)
    offsets = itertools.accumulate((len(text) for text in reply.content), initial=0)
    return [
        {
            "tokens": [text],
            "token_logprobs": [-0.1],
            "top_logprobs": [{text: -0.1, **{f"alt{n}": -1.0 - n for n in range(1, top)}}],
            "text_offset": [offset],
        }
        for text, offset in zip(reply.content, offsets, strict=False)
    ]


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _event(payload: Mapping[str, Any]) -> bytes:
    return b"data: " + compact(payload) + b"\n\n"


def _named_event(name: str, payload: Mapping[str, Any]) -> bytes:
    return f"event: {name}\n".encode() + _event(payload)


def main() -> None:
    parser = argparse.ArgumentParser(description="A server on the OpenAI wire, for tests.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--model", action="append", help="may be repeated")
    parser.add_argument("--key", default=None)
    parser.add_argument("--gap-s", type=float, default=0.0, help="seconds between chunks")
    asked = parser.parse_args()
    fake = FakeUpstream(models=asked.model or ("gpt-4o-mini",), key=asked.key, host=asked.host, port=asked.port)
    if asked.gap_s:
        fake.say("", Reply(content=("Hello ", "from ", "a ", "slow ", "model."), gap_s=asked.gap_s))
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(fake.serve_forever())


if __name__ == "__main__":
    main()

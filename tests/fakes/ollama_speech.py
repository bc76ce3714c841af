"""How the fake's models answer: prompt counting and cutting, chunks, metrics."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from fakes.ollama_models import FakeModel
from fakes.replies import Reply, ToolCall, count_tokens
from fakes.serving import WireError

IMAGE_TOKENS = 768
MESSAGE_TOKENS = 4


def rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def prompt_tokens(messages: Sequence[Mapping[str, Any]]) -> int:
    """One token per word, 4 per message, 768 per image."""
    return sum(
        MESSAGE_TOKENS + count_tokens(one.get("content", "")) + IMAGE_TOKENS * len(one.get("images", ()))
        for one in messages
    )


def fitted_prompt_tokens(
    model: FakeModel, messages: Sequence[Mapping[str, Any]], *, num_ctx: int, truncate: bool, shift: bool
) -> int:
    """Tokens of the prompt as the model gets to see it; raises ``WireError`` 400 when it does not fit."""
    kept = list(messages)
    if truncate:
        while prompt_tokens(kept) > num_ctx:
            oldest = next((one for one in kept[:-1] if one.get("role") != "system"), None)
            if oldest is None:
                break
            kept.remove(oldest)
    count = prompt_tokens(kept)
    if count <= num_ctx:
        return count
    if truncate and model.path == "rendered" and shift and not any(one.get("images") for one in kept):
        return num_ctx // 2
    raise backend_error(
        400,
        f"request ({count} tokens) exceeds the available context size ({num_ctx} tokens), try increasing it",
        "exceed_context_size_error",
        n_prompt_tokens=count,
        n_ctx=num_ctx,
    )


def backend_error(code: int, message: str, kind: str, **more: object) -> WireError:
    """An error of the server behind: its JSON body as a string."""
    inner = {"error": {"code": code, "message": message, "type": kind, **more}}
    return WireError(code, json.dumps(inner, separators=(",", ":")))


def image_refusal(model: FakeModel) -> WireError:
    if model.path == "native":
        hint = "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"
        return backend_error(500, hint, "server_error")
    text = "Multimodal data provided, but model does not support multimodal requests."
    return backend_error(400, text, "invalid_request_error")


def logprob_of(token: str, *, top: int) -> dict[str, Any]:
    entry: dict[str, Any] = {"token": token, "logprob": -0.1, "bytes": list(token.encode())}
    if top:
        alternatives = [(token, -0.1), *((f"alt{n}", -1.0 - n) for n in range(1, top))]
        entry["top_logprobs"] = [
            {"token": text, "logprob": value, "bytes": list(text.encode())} for text, value in alternatives
        ]
    return entry


def native_tool_calls(calls: Sequence[ToolCall], *, start: int) -> list[dict[str, Any]]:
    return [
        {
            "id": call.call_id or f"call_{start + index:08x}",
            "function": {"index": index, "name": call.name, "arguments": dict(call.arguments)},
        }
        for index, call in enumerate(calls)
    ]


def shortened(reply: Reply, *, limit: int) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Thinking, content and done reason under ``num_predict``."""
    thinking = reply.thinking if limit < 0 else reply.thinking[:limit]
    room = limit - len(thinking)
    content = reply.content if limit < 0 else reply.content[: max(room, 0)]
    cut = len(thinking) + len(content) < len(reply.thinking) + len(reply.content)
    return thinking, content, "length" if cut else reply.done_reason


async def chunks(
    model: FakeModel,
    reply: Reply,
    *,
    asked_name: str,
    prompt_count: int,
    limit: int,
    logprobs: bool,
    top_logprobs: int,
    first_call: int,
    started: float,
    loaded: float,
) -> AsyncIterator[dict[str, Any]]:
    """The native chat chunks of one reply. Tool calls come mid-stream on the rendered path, in the last chunk on the native."""
    thinking, content, reason = shortened(reply, limit=limit)
    calls = native_tool_calls(reply.tool_calls, start=first_call)
    pieces: list[dict[str, Any]] = [{"content": "", "thinking": text} for text in thinking]
    pieces += [{"content": text} for text in content]
    if calls and model.path == "rendered":
        pieces.append({"content": "", "tool_calls": calls})
    for piece in pieces:
        if reply.gap_s:
            await asyncio.sleep(reply.gap_s)
        chunk = _chunk(asked_name, {"role": "assistant", **piece}, done=False)
        if logprobs and (piece["content"] or piece.get("thinking")):
            chunk["logprobs"] = [logprob_of(piece["content"] or piece["thinking"], top=top_logprobs)]
        yield chunk
    if reply.error:
        raise WireError(500, reply.error)
    if reply.ends_without_finish:
        return
    last: dict[str, Any] = {"role": "assistant", "content": ""}
    if calls and model.path == "native":
        last["tool_calls"] = calls
    done = _chunk(asked_name, last, done=True)
    if reason:
        done["done_reason"] = reason
    spoken = len(thinking) + len(content) + len(calls)
    done.update(metrics(started=started, loaded=loaded, prompt=prompt_count, spoken=spoken))
    yield done


def metrics(*, started: float, loaded: float, prompt: int, spoken: int) -> dict[str, int]:
    """Durations in nanoseconds; zero fields are absent."""
    now = time.perf_counter()
    figures = {
        "total_duration": int((now - started) * 1e9),
        "load_duration": int((loaded - started) * 1e9),
        "prompt_eval_count": prompt,
        "prompt_eval_duration": 1_000_000 if prompt else 0,
        "eval_count": spoken,
        "eval_duration": int((now - loaded) * 1e9) if spoken else 0,
    }
    return {name: value for name, value in figures.items() if value}


def _chunk(asked_name: str, message: dict[str, Any], *, done: bool) -> dict[str, Any]:
    return {"model": asked_name, "created_at": rfc3339(time.time()), "message": message, "done": done}


def gathered(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The single object of a call that did not ask for a stream."""
    whole = dict(parts[-1]) if parts else {}
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    collected: list[dict[str, Any]] = []
    for part in parts:
        message["content"] += part["message"].get("content", "")
        for name in ("thinking", "tool_calls"):
            if part["message"].get(name):
                message[name] = message.get(name, type(part["message"][name])()) + part["message"][name]
        collected += part.get("logprobs", [])
    whole["message"] = message
    if collected:
        whole["logprobs"] = collected
    return whole


def as_generate(chunk: dict[str, Any]) -> dict[str, Any]:
    """A chat chunk in the shape of `/api/generate`."""
    flat = {name: value for name, value in chunk.items() if name != "message"}
    message = chunk["message"]
    flat["response"] = message.get("content", "")
    flat.update({name: message[name] for name in ("thinking", "tool_calls") if message.get(name)})
    if chunk["done"] and chunk.get("done_reason") not in ("load", "unload"):
        flat["context"] = [1, 2, 3]
    return flat

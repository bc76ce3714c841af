"""What is remembered of a request once it is over."""

from typing import NamedTuple

from gateway.errors import AttemptFacts


class RequestRecord(NamedTuple):
    """One request of the data plane. Nothing of what was asked or answered is in it.

    ``endpoint`` is the dialect's word (``chat``, ``embeddings``, …); ``role`` the role or model reference asked for, empty
    where it was unknown; ``model`` the reference of the deployment that answered, empty when none did. ``status`` is the HTTP
    status as sent; an answer that broke off after it began has ``failure`` and still 200. ``failure`` is the error's code,
    empty for success, ``cancelled`` when the caller went away. Token counts are ``None`` where upstream gave none;
    ``first_token_ms`` and ``duration_ms`` count from the request's arrival. ``cloud`` says that data left the machine.
    """

    request_id: str
    time_s: float
    endpoint: str
    role: str
    stream: bool
    status: int
    failure: str
    model: str
    generation: int | None
    cloud: bool
    attempts: tuple[AttemptFacts, ...]
    fallback_reason: str
    prompt_tokens: int | None
    completion_tokens: int | None
    first_token_ms: float | None
    duration_ms: float
    message: str
    """Why it failed, as the caller was told; empty for success."""
    key: str = ""
    """The name of the client key that it came with; empty where none was asked for."""
    cached_tokens: int | None = None
    """Of the prompt, as upstream counted them, where it did; so are the next three."""
    cache_write_tokens: int | None = None
    audio_tokens: int | None = None
    reasoning_tokens: int | None = None
    """Of the answer."""
    cost_usd: float | None = None
    """What a cloud's answer cost; ``None`` where that is unknown, and for local answers."""


def cloud_answered(one: RequestRecord) -> bool:
    """Was the answer a cloud's? Not every request that left the machine was answered there."""
    return bool(one.cloud and one.model) and any(each.cloud and each.model == one.model for each in one.attempts)


def request_data(one: RequestRecord) -> dict[str, object]:
    """A record as plain data, in the shape that the command and the route answer with. Its attempts look as in errors."""
    return {
        "id": one.request_id,
        "time_s": round(one.time_s, 3),
        "endpoint": one.endpoint,
        "role": one.role,
        "stream": one.stream,
        "status": one.status,
        "failure": one.failure,
        "model": one.model,
        "cloud": one.cloud,
        "generation": one.generation,
        "attempts": [
            {"model": each.model, "class": each.failure, "status": each.status, "ms": round(each.ms, 1)}
            for each in one.attempts
        ],
        "fallback_reason": one.fallback_reason,
        "prompt_tokens": one.prompt_tokens,
        "completion_tokens": one.completion_tokens,
        "cached_tokens": one.cached_tokens,
        "reasoning_tokens": one.reasoning_tokens,
        "cost_usd": None if one.cost_usd is None else round(one.cost_usd, 9),
        "first_token_ms": None if one.first_token_ms is None else round(one.first_token_ms, 1),
        "duration_ms": round(one.duration_ms, 1),
        "message": one.message,
        "key": one.key,
    }

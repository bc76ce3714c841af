"""Between OpenAI's embeddings and Ollama's ``/api/embed``. The load profile is part of every call, as it is of a chat."""

from collections.abc import Mapping

import orjson

from gateway.domain.failure import FailureClass
from gateway.domain.secret import Secret
from gateway.errors import UpstreamFailed
from gateway.relay.classify import classify
from gateway.relay.embedding_wire import Embeddings, as_asked, token_count
from gateway.relay.ollama_wire import load_options


def native_embed(body: Mapping[str, object], *, model: str, context_tokens: int | None) -> dict[str, object]:
    """The ``/api/embed`` body for the body of an ``EmbeddingRequest`` of texts. An input that is too long is refused there, not
    cut."""
    native: dict[str, object] = {
        "model": model,
        "input": body["input"],
        "truncate": False,
        "options": load_options(context_tokens),
    }
    if body.get("dimensions") is not None:
        native["dimensions"] = body["dimensions"]
    return native


def native_embed_load(*, model: str, context_tokens: int | None) -> dict[str, object]:
    """The ``/api/embed`` body that loads a model and asks it nothing: ``/api/generate`` refuses an embedding model."""
    return {"model": model, "input": [], "options": load_options(context_tokens)}


def read_native_embeddings(
    answer: bytes,
    *,
    asked: Mapping[str, object],
    keyed: bool = False,
    key: Secret | None = None,
    account: bool = False,
) -> Embeddings:
    """The vectors of an ``/api/embed`` answer. ``asked`` is the body of the ``EmbeddingRequest``; ``keyed``, ``key`` and
    ``account`` are those of ``classify``. Raises ``UpstreamFailed``."""
    try:
        native = orjson.loads(answer)
    except orjson.JSONDecodeError as exc:
        raise UpstreamFailed("Ollama's answer is not valid JSON", failure=FailureClass.TRUNCATED) from exc
    if isinstance(native, Mapping) and native.get("error"):
        raise classify(status=None, body=native, keyed=keyed, key=key, account=account)
    vectors = native.get("embeddings") if isinstance(native, Mapping) else None
    if not isinstance(vectors, list):
        raise UpstreamFailed("Ollama's answer holds no embeddings", failure=FailureClass.UPSTREAM_ERROR)
    return Embeddings(
        vectors=as_asked(vectors, asked=asked),
        prompt_tokens=token_count(native, "prompt_eval_count"),
    )

"""Embeddings through LiteLLM: what is handed on, and its answer as a plain OpenAI list."""

from collections.abc import Mapping
from typing import Any, Final

from gateway.domain.failure import FailureClass
from gateway.errors import UpstreamFailed

EMBEDDING_FIELDS: Final = frozenset({"dimensions", "input", "user"})
"""The fields of an embedding request that are handed on, for the reason that ``REQUEST_FIELDS`` gives. The format is not among
them: it is for the gateway to write."""


_COUNTS: Final = {"prompt_tokens", "total_tokens"}


def embedding_arguments(body: Mapping[str, object]) -> dict[str, object]:
    """What of ``body`` goes into a call of ``litellm.aembedding``.

    LiteLLM goes by a model's name in what it lets through to a server on the OpenAI wire; the server itself knows better.
    """
    arguments = {name: value for name, value in body.items() if name in EMBEDDING_FIELDS and value is not None}
    return {**arguments, "allowed_openai_params": ["dimensions"]} if "dimensions" in arguments else arguments


def plain_embeddings(answer: Any) -> dict[str, object]:
    """LiteLLM's answer as a mapping with ``data`` and, where it is known, ``usage``. Raises ``UpstreamFailed`` for an answer
    that cannot be read. What the vectors hold is not looked at."""
    try:
        data = [_plain(entry) for entry in answer.data]
        usage = {} if answer.usage is None else answer.usage.model_dump(include=_COUNTS, exclude_none=True)
    except (TypeError, ValueError, AttributeError, LookupError) as exc:
        raise UpstreamFailed("the answer cannot be read", failure=FailureClass.UPSTREAM_ERROR) from exc
    # LiteLLM writes 0 where a provider gave no count.
    return {"object": "list", "data": data, **({"usage": usage} if usage.get("prompt_tokens") else {})}


def _plain(entry: Any) -> dict[str, object]:
    given = entry if isinstance(entry, Mapping) else entry.model_dump(mode="python")
    return {"object": "embedding", "index": given["index"], "embedding": given["embedding"]}

"""Embeddings on the OpenAI wire: the caller's own body out, a checked list of vectors in."""

from collections.abc import Mapping

import orjson

from gateway.domain.failure import FailureClass
from gateway.domain.secret import Secret
from gateway.errors import UpstreamFailed
from gateway.relay.classify import classify
from gateway.relay.embedding_wire import Embeddings, as_asked, token_count


def openai_embed(body: Mapping[str, object], *, model: str) -> dict[str, object]:
    """The ``/embeddings`` body: the caller's own, the format of the vectors included, for ``model``."""
    return {**body, "model": model}


def read_openai_embeddings(
    answer: bytes, *, asked: Mapping[str, object], keyed: bool, key: Secret | None = None
) -> Embeddings:
    """The vectors of an ``/embeddings`` answer as it came. ``asked`` is the body of the ``EmbeddingRequest``; ``keyed`` and
    ``key`` are those of ``classify``. Raises ``UpstreamFailed``."""
    try:
        listed = orjson.loads(answer)
    except orjson.JSONDecodeError as exc:
        raise UpstreamFailed("the answer is not valid JSON", failure=FailureClass.TRUNCATED) from exc
    if not isinstance(listed, Mapping) or listed.get("error"):
        raise classify(status=None, body=listed, keyed=keyed, key=key)
    return listed_embeddings(listed, asked=asked)


def listed_embeddings(listed: Mapping[str, object], *, asked: Mapping[str, object]) -> Embeddings:
    """The vectors of an OpenAI embedding list, put in the order of the inputs. Raises ``UpstreamFailed``."""
    data = listed.get("data")
    if not isinstance(data, list) or not all(isinstance(one, Mapping) for one in data):
        raise UpstreamFailed("the answer holds no list of embeddings", failure=FailureClass.UPSTREAM_ERROR)
    usage = listed.get("usage")
    counts = usage if isinstance(usage, Mapping) else {}
    return Embeddings(
        vectors=as_asked(_in_order(data), asked=asked),
        prompt_tokens=token_count(counts, "prompt_tokens"),
        total_tokens=token_count(counts, "total_tokens"),
    )


def _in_order(data: list[Mapping[str, object]]) -> list[object]:
    """The vectors by index; as they came where no entry has one. Raises ``UpstreamFailed`` for indices that are no order."""
    indices = [one.get("index") for one in data]
    if all(index is None for index in indices):
        return [one.get("embedding") for one in data]
    by_index = {index: one.get("embedding") for index, one in zip(indices, data, strict=True) if type(index) is int}
    if sorted(by_index) != list(range(len(data))):
        message = "the embeddings of the answer are not numbered from 0, each once"
        raise UpstreamFailed(message, failure=FailureClass.UPSTREAM_ERROR)
    return [by_index[number] for number in range(len(data))]

"""What of an embedding request LiteLLM is given, and its answer in plain words."""

from types import SimpleNamespace
from typing import Any

import pytest

from gateway.backend.embedding import embedding_arguments, plain_embeddings
from gateway.domain.failure import FailureClass
from gateway.errors import UpstreamFailed


class Usage:
    """As LiteLLM has it: a model that can be dumped."""

    def __init__(self, prompt_tokens: int) -> None:
        self._counts = {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens, "completion_tokens": 0}

    def model_dump(self, *, include: set[str], **_: Any) -> dict[str, int]:
        return {name: count for name, count in self._counts.items() if name in include}


def answer(*data: object, prompt_tokens: int = 3) -> SimpleNamespace:
    return SimpleNamespace(data=list(data), usage=Usage(prompt_tokens))


def test_only_what_is_listed_is_handed_on() -> None:
    body = {
        "model": "embedder",
        "input": ["a"],
        "user": "u",
        "dimensions": None,
        "encoding_format": "base64",
        "api_base": "http://127.0.0.1:1",
        "mock_response": [0.5],
        "client": 1,
    }
    assert embedding_arguments(body) == {"input": ["a"], "user": "u"}


def test_dimensions_are_for_the_server_to_refuse() -> None:
    assert embedding_arguments({"input": ["a"], "dimensions": 4}) == {
        "input": ["a"],
        "dimensions": 4,
        "allowed_openai_params": ["dimensions"],
    }


def test_an_answer_is_plain_whether_its_entries_are_mappings_or_models() -> None:
    entry = {"object": "embedding", "index": 0, "embedding": [0.5]}
    as_model = SimpleNamespace(model_dump=lambda **_: {**entry, "index": 1, "extra": 1})
    assert plain_embeddings(answer({**entry, "extra": 1}, as_model)) == {
        "object": "list",
        "data": [entry, {**entry, "index": 1}],
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }


def test_a_count_that_no_provider_gave_is_unknown() -> None:
    assert plain_embeddings(answer(prompt_tokens=0)) == {"object": "list", "data": []}
    assert plain_embeddings(SimpleNamespace(data=[], usage=None)) == {"object": "list", "data": []}


@pytest.mark.parametrize(
    "wrong",
    [None, SimpleNamespace(data=None), answer({"index": 0}), answer(5)],
)
def test_an_answer_that_cannot_be_read_is_a_failure(wrong: object) -> None:
    with pytest.raises(UpstreamFailed, match="the answer cannot be read") as caught:
        plain_embeddings(wrong)
    assert caught.value.failure == FailureClass.UPSTREAM_ERROR

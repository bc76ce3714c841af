"""Vectors from each lane, checked, and written in the format that the caller asked for."""

import base64
import struct
from collections.abc import Sequence
from typing import Any

import httpx
import orjson
import pytest
from openai.types import CreateEmbeddingResponse

from fakes.ollama import FakeOllama
from fakes.upstream import FakeUpstream, UpstreamModel
from gateway.domain.failure import FailureClass
from gateway.errors import UpstreamFailed
from gateway.relay.embedding_wire import Embeddings, embedding_answer
from gateway.relay.ollama_embedding import native_embed, native_embed_load, read_native_embeddings
from gateway.relay.openai_embedding import listed_embeddings, openai_embed, read_openai_embeddings


def asked(count: int = 1, **body: Any) -> dict[str, object]:
    return {"model": "embedder", "input": ["a"] * count, **body}


def packed(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def listed(*vectors: object, **more: object) -> dict[str, object]:
    data = [{"object": "embedding", "index": index, "embedding": one} for index, one in enumerate(vectors)]
    return {"object": "list", "data": data, **more}


def native(vectors: object, *, count: int = 1, **body: Any) -> Embeddings:
    return read_native_embeddings(orjson.dumps({"embeddings": vectors}), asked=asked(count, **body))


def written(embeddings: Embeddings, *, as_base64: bool = False) -> dict[str, Any]:
    answer: dict[str, Any] = orjson.loads(embedding_answer(embeddings, model="m", as_base64=as_base64))
    return answer


async def answered(url: str, body: dict[str, object]) -> bytes:
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.post(url, json=body)).content


def test_a_native_request_carries_the_load_profile_and_refuses_to_be_cut() -> None:
    body = asked(2, dimensions=64, encoding_format="base64", user="u")
    assert native_embed(body, model="nomic-embed-text", context_tokens=2048) == {
        "model": "nomic-embed-text",
        "input": ["a", "a"],
        "truncate": False,
        "options": {"num_ctx": 2048},
        "dimensions": 64,
    }
    assert native_embed(asked(), model="e", context_tokens=None)["options"] == {}


def test_a_load_asks_nothing_under_the_same_profile() -> None:
    assert native_embed_load(model="e", context_tokens=2048) == {
        "model": "e",
        "input": [],
        "options": {"num_ctx": 2048},
    }


async def test_ollama_loads_a_model_once_and_gives_its_vectors() -> None:
    async with FakeOllama() as fake:
        name = "nomic-embed-text:latest"
        await answered(f"{fake.url}/api/embed", native_embed_load(model=name, context_tokens=2048))
        body = asked(2, dimensions=4)
        answer = await answered(f"{fake.url}/api/embed", native_embed(body, model=name, context_tokens=2048))
        assert [one.num_ctx for one in fake.runners.by_blob.values()] == [2048]
    embeddings = read_native_embeddings(answer, asked=body)
    assert [len(vector) for vector in embeddings.vectors] == [4, 4]
    assert embeddings.prompt_tokens == 2


async def test_an_openai_server_is_asked_in_the_callers_own_words() -> None:
    body = asked(2, encoding_format="base64", user="u")
    assert openai_embed(body, model="e") == {**body, "model": "e"}
    async with FakeUpstream(models=[UpstreamModel(name="e", embeds=True)]) as fake:
        answer = await answered(f"{fake.base_url}/embeddings", openai_embed(body, model="e"))
    embeddings = read_openai_embeddings(answer, asked=body, keyed=False)
    assert all(isinstance(vector, str) for vector in embeddings.vectors)
    assert (embeddings.prompt_tokens, embeddings.total_tokens) == (2, 2)


@pytest.mark.parametrize("given", [[0.5, -1.25], packed(0.5, -1.25)])
def test_the_format_is_the_callers_whatever_upstream_gave(given: object) -> None:
    embeddings = listed_embeddings(listed(given), asked=asked())
    assert written(embeddings)["data"] == [{"object": "embedding", "index": 0, "embedding": [0.5, -1.25]}]
    assert written(embeddings, as_base64=True)["data"][0]["embedding"] == packed(0.5, -1.25)


def test_numbers_keep_the_digits_that_upstream_gave() -> None:
    assert written(native([[0.1, 1, -2e-05]]))["data"][0]["embedding"] == [0.1, 1, -2e-05]


def test_an_answer_is_what_openai_clients_expect() -> None:
    embeddings = Embeddings(vectors=([0.5], [1.0]), prompt_tokens=3)
    answer = CreateEmbeddingResponse.model_validate(written(embeddings), strict=True)
    assert (answer.model, answer.usage.prompt_tokens, answer.usage.total_tokens) == ("m", 3, 3)
    assert [(one.index, one.embedding) for one in answer.data] == [(0, [0.5]), (1, [1.0])]


def test_unknown_token_counts_are_left_out() -> None:
    assert "usage" not in written(native([[0.5]]))
    unusable: list[object] = [None, {}, {"prompt_tokens": -1}, {"prompt_tokens": "3"}, [], {"total_tokens": 3}]
    for usage in unusable:
        assert "usage" not in written(listed_embeddings(listed([0.5], usage=usage), asked=asked()))


def test_vectors_are_put_in_the_order_of_the_inputs() -> None:
    data = [{"index": 1, "embedding": [1.0]}, {"index": 0, "embedding": [0.5]}]
    assert listed_embeddings({"data": data}, asked=asked(2)).vectors == ([0.5], [1.0])
    unnumbered = [{"embedding": [1.0]}, {"embedding": [0.5]}]
    assert listed_embeddings({"data": unnumbered}, asked=asked(2)).vectors == ([1.0], [0.5])


@pytest.mark.parametrize("indices", [(0, 0), (1, 2), (0, None), ("0", "1"), (True, False)])
def test_vectors_that_cannot_be_put_in_order_are_no_answer(indices: Sequence[object]) -> None:
    data = [{"index": index, "embedding": [1.0]} for index in indices]
    with pytest.raises(
        UpstreamFailed, match="the embeddings of the answer are not numbered from 0, each once"
    ) as caught:
        listed_embeddings({"data": data}, asked=asked(2))
    assert caught.value.failure == FailureClass.UPSTREAM_ERROR


@pytest.mark.parametrize(
    ("vectors", "count", "message"),
    [
        ([[0.5]], 2, "the answer holds 1 vector for 2 inputs"),
        ([[0.5], [0.5]], 1, "the answer holds 2 vectors for 1 input"),
        ([], 1, "the answer holds 0 vectors for 1 input"),
        ([[0.5], []], 2, "vector 1 of the answer is not a list of finite numbers"),
        ([["a"]], 1, "vector 0 of the answer is not a list of finite numbers"),
        ([[True]], 1, "vector 0 of the answer is not a list of finite numbers"),
        ([[None]], 1, "vector 0 of the answer is not a list of finite numbers"),
        ([[1e39]], 1, "vector 0 of the answer is not a list of finite numbers"),
        ([None], 1, "vector 0 of the answer is not a list of finite numbers"),
        ([{"0": 0.5}], 1, "vector 0 of the answer is not a list of finite numbers"),
        (["abc"], 1, "vector 0 of the answer is not a list of finite numbers"),
        (["AAA="], 1, "vector 0 of the answer is not a list of finite numbers"),
        (["ü"], 1, "vector 0 of the answer is not a list of finite numbers"),
        ([""], 1, "vector 0 of the answer is not a list of finite numbers"),
        ([packed(float("nan"))], 1, "vector 0 of the answer is not a list of finite numbers"),
        ([packed(float("inf"), float("-inf"))], 1, "vector 0 of the answer is not a list of finite numbers"),
        ("", 1, "Ollama's answer holds no embeddings"),
        (None, 1, "Ollama's answer holds no embeddings"),
    ],
)
def test_what_is_not_the_vectors_asked_for_is_a_failure(vectors: object, count: int, message: str) -> None:
    with pytest.raises(UpstreamFailed) as caught:
        native(vectors, count=count)
    assert (caught.value.message, caught.value.failure) == (message, FailureClass.UPSTREAM_ERROR)


@pytest.mark.parametrize("vector", [[0.5, 0.5, 0.5], packed(0.5, 0.5, 0.5)])
def test_vectors_of_another_length_than_asked_for_are_no_answer(vector: object) -> None:
    with pytest.raises(UpstreamFailed, match=r"does not give vectors of 2 dimensions \(it gave 3\)") as caught:
        listed_embeddings(listed(vector), asked=asked(dimensions=2))
    assert caught.value.failure == FailureClass.CAPABILITY
    assert listed_embeddings(listed(vector), asked=asked(dimensions=3)).vectors == (vector,)


@pytest.mark.parametrize("answer", [b'{"embeddings":[[0.5', b"", b'{"embeddings":[[NaN]]}'])
def test_an_answer_that_is_not_json_was_cut_short(answer: bytes) -> None:
    with pytest.raises(UpstreamFailed, match="Ollama's answer is not valid JSON") as caught:
        read_native_embeddings(answer, asked=asked())
    assert caught.value.failure == FailureClass.TRUNCATED
    with pytest.raises(UpstreamFailed, match="the answer is not valid JSON") as caught:
        read_openai_embeddings(answer, asked=asked(), keyed=False)
    assert caught.value.failure == FailureClass.TRUNCATED


@pytest.mark.parametrize("answer", [b"[]", b"null", b"5", b'{"data":5}', b'{"data":[5]}', b"{}"])
def test_an_answer_of_another_kind_is_a_failure(answer: bytes) -> None:
    with pytest.raises(UpstreamFailed) as caught:
        read_native_embeddings(answer, asked=asked())
    assert caught.value.failure == FailureClass.UPSTREAM_ERROR
    with pytest.raises(UpstreamFailed) as caught:
        read_openai_embeddings(answer, asked=asked(), keyed=False)
    assert caught.value.failure == FailureClass.UPSTREAM_ERROR


def test_an_error_under_a_status_of_200_is_that_error() -> None:
    told = b'{"error":"the input length exceeds the context length"}'
    with pytest.raises(UpstreamFailed) as caught:
        read_native_embeddings(told, asked=asked())
    assert caught.value.failure == FailureClass.CONTEXT_LENGTH
    with pytest.raises(UpstreamFailed) as caught:
        read_openai_embeddings(
            b'{"error":{"message":"slow down","type":"rate_limit_error"}}', asked=asked(), keyed=True
        )
    assert (caught.value.message, caught.value.failure) == ("slow down", FailureClass.RATE_LIMIT)

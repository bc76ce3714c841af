"""Embeddings through the real LiteLLM, against servers that answer well, badly and late."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from builders import a_provider
from contract.litellm_builders import ODD_WARNINGS
from fakes import faults
from fakes.ollama import FakeOllama
from fakes.upstream import FakeUpstream, UpstreamModel
from gateway.backend.router import LiteLLMBackend
from gateway.domain.failure import FailureClass
from gateway.domain.model import Lane, ModelRef
from gateway.domain.ports import CompletionBackend
from gateway.domain.role import Task
from gateway.errors import UpstreamFailed
from gateway.relay.openai_embedding import listed_embeddings
from gateway.rendering.render import render
from gateway.rendering.templates import Templates
from plans import ROUTER_TEMPLATES, KnownKeys, a_cloud_deployment, a_cloud_provider, a_deployment, a_plan, a_role_plan

KEY = "sk-made-up-0123456789"
SMALL = ModelRef(provider="openai", name="text-embedding-3-small")
OTHER = ModelRef(provider="openai", name="bge-m3")
CHAT = ModelRef(provider="openai", name="gpt-4o-mini")
pytestmark = [pytest.mark.litellm_facts, *ODD_WARNINGS, pytest.mark.usefixtures("litellm_stays_at_home")]


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    models = [
        UpstreamModel(name=SMALL.name, embeds=True),
        UpstreamModel(name=OTHER.name, embeds=True),
        UpstreamModel(name=CHAT.name),
    ]
    async with FakeUpstream(models=models, key=KEY) as fake:
        yield fake


@pytest.fixture
async def backend(upstream: FakeUpstream) -> AsyncIterator[LiteLLMBackend]:
    built = a_backend(openai_url=upstream.base_url)
    yield built
    await built.close()


def a_backend(*, openai_url: str, key: str = KEY) -> LiteLLMBackend:
    deployments = [a_cloud_deployment(str(ref), order=order) for order, ref in enumerate((SMALL, OTHER, CHAT), 1)]
    role = a_role_plan("embedder", *deployments, task=Task.EMBEDDING, parameters={"temperature": 0.2})
    config = render(
        plan=a_plan(role),
        providers={"openai": a_cloud_provider("openai", url=openai_url)},
        templates=Templates.load(ROUTER_TEMPLATES),
        gateway_url="http://127.0.0.1:4000",
    )
    return LiteLLMBackend.build(config, keys=KnownKeys(by_provider={"openai": key}))


async def embedded(
    backend: CompletionBackend, *, ref: ModelRef = SMALL, total_s: float = 20.0, **body: object
) -> Mapping[str, Any]:
    asked = {"model": "embedder", "input": ["one two", "three"], **body}
    return await backend.embed(role="embedder", ref=ref, body=asked, connect_s=2.0, total_s=total_s)


async def failure(backend: CompletionBackend, **more: Any) -> UpstreamFailed:
    with pytest.raises(UpstreamFailed) as caught:
        await embedded(backend, **more)
    return caught.value


async def test_vectors_come_as_numbers_with_their_tokens(backend: LiteLLMBackend, upstream: FakeUpstream) -> None:
    answer = await embedded(backend, user="u", encoding_format="base64")
    embeddings = listed_embeddings(answer, asked={"input": ["one two", "three"]})
    assert [len(vector) for vector in embeddings.vectors] == [8, 8]
    assert all(isinstance(vector, list) for vector in embeddings.vectors)
    assert (embeddings.prompt_tokens, embeddings.total_tokens) == (3, 3)
    sent = upstream.requests[-1]
    assert sent.json == {"model": SMALL.name, "input": ["one two", "three"], "user": "u"}
    assert sent.headers["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("ref", [SMALL, OTHER])
async def test_dimensions_and_token_numbers_reach_the_server(
    backend: LiteLLMBackend, upstream: FakeUpstream, ref: ModelRef
) -> None:
    answer = await embedded(backend, ref=ref, input=[[1, 2], [3]], dimensions=4)
    assert [len(one["embedding"]) for one in answer["data"]] == [4, 4]
    assert upstream.requests[-1].json == {"model": ref.name, "input": [[1, 2], [3]], "dimensions": 4}


async def test_what_a_caller_may_not_name_stays_here(backend: LiteLLMBackend, upstream: FakeUpstream) -> None:
    answer = await embedded(
        backend, api_base="http://127.0.0.1:1", mock_response=[9.0], extra_headers={"x": "y"}, num_retries=5
    )
    assert len(answer["data"]) == 2
    assert upstream.requests[-1].json == {"model": SMALL.name, "input": ["one two", "three"]}
    assert "x" not in upstream.requests[-1].headers


async def test_a_refusal_is_the_providers_own(backend: LiteLLMBackend) -> None:
    failed = await failure(backend, ref=CHAT)
    assert (failed.failure, failed.status) == (FailureClass.BAD_REQUEST, 400)
    assert "gpt-4o-mini does not give embeddings" in failed.message


async def test_a_key_that_is_refused_is_not_repeated(upstream: FakeUpstream) -> None:
    backend = a_backend(openai_url=upstream.base_url, key="sk-other-secret-1")
    failed = await failure(backend)
    await backend.close()
    assert failed.failure == FailureClass.AUTH
    assert "sk-other-secret-1" not in failed.message


async def test_a_failure_is_not_tried_again(backend: LiteLLMBackend, upstream: FakeUpstream) -> None:
    upstream.fail(faults.status(503))
    assert (await failure(backend)).failure == FailureClass.OVERLOADED
    assert len(upstream.requests) == 1


async def test_nobody_there_is_a_transport_failure() -> None:
    async with FakeUpstream() as gone:
        url = gone.base_url
    backend = a_backend(openai_url=url)
    assert (await failure(backend)).failure == FailureClass.TRANSPORT
    await backend.close()


async def test_the_deadline_ends_a_call(backend: LiteLLMBackend, upstream: FakeUpstream) -> None:
    upstream.fail(faults.hang())
    assert (await failure(backend, total_s=0.2)).failure == FailureClass.TIMEOUT


async def test_a_deployment_that_is_not_there_is_gone(backend: LiteLLMBackend) -> None:
    failed = await failure(backend, ref=ModelRef(provider="openai", name="nobody"))
    assert failed.failure == FailureClass.GONE


async def test_ollama_forced_onto_this_lane_keeps_the_load_profile() -> None:
    ref = ModelRef(provider="ollama", name="nomic-embed-text:latest")
    async with FakeOllama() as fake:
        role = a_role_plan("embedder", a_deployment(str(ref), lane=Lane.LITELLM, context=1024), task=Task.EMBEDDING)
        config = render(
            plan=a_plan(role),
            providers={"ollama": a_provider("ollama", lane=Lane.LITELLM, url=fake.url, litellm_name="ollama")},
            templates=Templates.load(ROUTER_TEMPLATES),
            gateway_url="http://127.0.0.1:4000",
        )
        backend = LiteLLMBackend.build(config, keys=KnownKeys())
        answer = await embedded(backend, ref=ref)
        await backend.close()
        sent = fake.requests[-1]
    assert [len(one["embedding"]) for one in answer["data"]] == [768, 768]
    assert sent.path == "/api/embed"
    assert (sent.json["truncate"], sent.json["options"]) == (False, {"num_ctx": 1024})

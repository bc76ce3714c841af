"""What an answer from a cloud costs is told from the tokens that its provider counted, on each wire."""

from collections.abc import Mapping
from typing import Any, Final

import httpx
import pytest

from client_builders import World
from gateway.catalog.cloud import CloudFacts

CHAT: Final[Mapping[str, object]] = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 16}
PROVIDERS: Final = {"cloud": "openai", "cloud-embed": "openai", "claude": "anthropic"}


async def journalled(world: World, path: str, **body: object) -> dict[str, Any]:
    """What the journal says of a request that was answered."""
    async with httpx.AsyncClient(trust_env=False, timeout=60, base_url=world.gateway.url) as client:
        answer = await client.post(path, json=body)
        assert answer.status_code == 200, answer.text
        query = {"role": str(body["model"]), "limit": "1"}
        (one,) = (await client.get("/admin/v1/requests", params=query)).json()["requests"]
    assert one["id"] == answer.headers["x-request-id"]
    return dict(one)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("role", ["cloud", "claude"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_an_answer_costs_what_its_tokens_do_by_the_map(world: World, role: str, path: str, stream: bool) -> None:
    one = await journalled(world, path, model=role, stream=stream, **CHAT)
    fact = CloudFacts.read().facts(litellm_name=PROVIDERS[role], model=world.model(role))
    assert fact is not None
    assert fact.input_usd_per_mtok is not None
    assert fact.output_usd_per_mtok is not None
    expected = one["prompt_tokens"] * fact.input_usd_per_mtok + one["completion_tokens"] * fact.output_usd_per_mtok
    assert one["cost_usd"] == pytest.approx(expected / 1e6)
    assert one["cost_usd"] > 0


async def test_vectors_cost_what_their_prompt_does(world: World) -> None:
    one = await journalled(world, "/v1/embeddings", model="cloud-embed", input="hello")
    fact = CloudFacts.read().facts(litellm_name="openai", model=world.model("cloud-embed"))
    assert fact is not None
    assert fact.input_usd_per_mtok is not None
    assert one["cost_usd"] == pytest.approx(one["prompt_tokens"] * fact.input_usd_per_mtok / 1e6)


@pytest.mark.parametrize("role", ["local", "wire"])
async def test_an_answer_from_the_operators_own_machines_has_no_cost(world: World, role: str) -> None:
    assert (await journalled(world, "/v1/chat/completions", model=role, **CHAT))["cost_usd"] is None

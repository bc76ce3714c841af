"""What many generations of LiteLLM backends leave behind in the one LiteLLM of the process: nothing."""

import gc
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from contract.litellm_builders import ALL_KEYS, CLAUDE, GPT, HELLO, KEY, ODD_WARNINGS, a_backend, chunks, config
from fakes.upstream import FakeUpstream
from gateway.backend.library import load_library
from gateway.backend.sharing import SharedBackends
from plans import KnownKeys

pytestmark = [pytest.mark.litellm_facts, *ODD_WARNINGS, pytest.mark.usefixtures("litellm_stays_at_home")]

CALLBACK_LISTS = (
    "callbacks",
    "success_callback",
    "failure_callback",
    "input_callback",
    "service_callback",
    "_async_success_callback",
    "_async_failure_callback",
)


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(models=[GPT.name, CLAUDE.name], key=KEY) as fake:
        yield fake


def text(answer: list[Mapping[str, Any]]) -> str:
    return "".join(choice["delta"].get("content") or "" for chunk in answer for choice in chunk["choices"])


async def test_thirty_backends_leave_nothing_behind_in_litellm(upstream: FakeUpstream) -> None:
    before = footprint()
    for _ in range(30):
        backend = a_backend(openai_url=upstream.base_url, anthropic_url=upstream.url)
        await backend.close()
    backend = a_backend(openai_url=upstream.base_url, anthropic_url=upstream.url)
    assert footprint() != before
    assert text(await chunks(backend)) == "Hello from gpt-4o-mini"
    await backend.close()
    await backend.close()
    gc.collect()
    assert footprint() == before


async def test_backends_with_the_same_keys_share_their_connections(upstream: FakeUpstream) -> None:
    clients = load_library().module.in_memory_llm_clients_cache.cache_dict
    held = set()
    for _ in range(10):
        backend = a_backend(openai_url=upstream.base_url, anthropic_url=upstream.url)
        await chunks(backend)
        await chunks(backend, role="critic", ref=CLAUDE)
        await backend.close()
        held.add(len(clients))
    assert len(held) == 1
    assert upstream.connections == 2


async def test_a_backend_that_drains_takes_nothing_from_the_one_that_follows(upstream: FakeUpstream) -> None:
    module = load_library().module
    before = footprint()
    names = set(module.model_cost)
    old = a_backend(openai_url=upstream.base_url)
    added = set(module.model_cost) - names
    new = a_backend(openai_url=upstream.base_url)
    await old.close()
    assert added <= set(module.model_cost)
    assert text(await chunks(new)) == "Hello from gpt-4o-mini"
    await new.close()
    assert footprint() == before


def footprint() -> dict[str, int]:
    """How long LiteLLM's process-wide tables are."""
    module = load_library().module
    lists = {name: len(getattr(module, name)) for name in CALLBACK_LISTS}
    return {**lists, "model_cost": len(module.model_cost)}


async def test_generations_that_would_build_the_same_share_one_router(upstream: FakeUpstream) -> None:
    before = footprint()
    shared = SharedBackends(keys=KnownKeys(by_provider=ALL_KEYS))
    first = shared.take(config(openai_url=upstream.base_url))
    second = shared.take(config(openai_url=upstream.base_url))
    assert second.backend is first.backend
    assert shared.built == 1
    await first.close()
    await first.close()
    assert text(await chunks(second)) == "Hello from gpt-4o-mini"
    await second.close()
    assert footprint() == before
    third = shared.take(config(openai_url=upstream.base_url))
    assert shared.built == 2
    await third.close()
    gc.collect()
    assert footprint() == before


async def test_a_stream_that_began_under_one_generation_ends_under_it_whatever_shares_its_router(
    upstream: FakeUpstream,
) -> None:
    shared = SharedBackends(keys=KnownKeys(by_provider=ALL_KEYS))
    old, new = (shared.take(config(openai_url=upstream.base_url)) for _ in range(2))
    streaming = old.stream(role="planner", ref=GPT, body=HELLO, connect_s=2.0, total_s=20.0)
    begun = [await anext(streaming), await anext(streaming)]
    await new.close()
    rest = [chunk async for chunk in streaming]
    assert text([chunk for chunk in (*begun, *rest) if chunk]) == "Hello from gpt-4o-mini"
    await old.close()


@pytest.mark.parametrize(
    ("url", "keys"),
    [("http://127.0.0.1:9/v1", ALL_KEYS), (None, {**ALL_KEYS, "openai": "sk-another"}), (None, {"openai": KEY})],
    ids=["another address", "another key", "no key"],
)
async def test_whatever_goes_into_a_router_makes_another_one(
    upstream: FakeUpstream, url: str | None, keys: Mapping[str, str]
) -> None:
    known = dict(ALL_KEYS)
    shared = SharedBackends(keys=KnownKeys(by_provider=known))
    one = shared.take(config(openai_url=upstream.base_url))
    known.clear()
    known.update(keys)
    other = shared.take(config(openai_url=url or upstream.base_url))
    assert shared.built == 2
    assert other.backend is not one.backend
    await one.close()
    await other.close()

"""The fake OpenAI-wire server streams, refuses and fails as such servers do."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from fakes import faults
from fakes.replies import Reply, ToolCall
from fakes.upstream import FakeUpstream, UpstreamModel

ASK = [{"role": "user", "content": "hello there"}]


@pytest.fixture
async def fake() -> AsyncIterator[FakeUpstream]:
    models = [
        UpstreamModel(name="big"),
        UpstreamModel(name="small", context_tokens=8),
        UpstreamModel(name="vectors", embeds=True),
    ]
    async with FakeUpstream(models=models, key="sk-test") as server:
        yield server


@pytest.fixture
async def client(fake: FakeUpstream) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": "Bearer sk-test"}
    async with httpx.AsyncClient(base_url=fake.base_url, headers=headers, trust_env=False) as session:
        yield session


def events(text: str) -> list[Any]:
    data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [one if one == "[DONE]" else json.loads(one) for one in data]


async def test_a_stream_has_role_content_finish_usage_done(client: httpx.AsyncClient, fake: FakeUpstream) -> None:
    fake.say("big", Reply(content=("Hi",), tool_calls=(ToolCall(name="f", arguments={"a": 1}),)))
    body = {"model": "big", "messages": ASK, "stream": True, "stream_options": {"include_usage": True}}
    frames = events((await client.post("/chat/completions", json=body)).text)
    assert frames[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert frames[-3]["choices"][0]["finish_reason"] == "tool_calls"
    assert frames[-2]["usage"]["total_tokens"] == 8
    assert frames[-1] == "[DONE]"
    pieces = [one["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] for one in frames[2:5]]
    assert json.loads("".join(pieces)) == {"a": 1}


async def test_a_wrong_key_an_unknown_model_and_a_long_prompt_are_refused(client: httpx.AsyncClient) -> None:
    wrong = await client.get("/models", headers={"Authorization": "Bearer no"})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (401, "invalid_api_key")
    unknown = await client.post("/chat/completions", json={"model": "x", "messages": ASK})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
    long = await client.post("/chat/completions", json={"model": "small", "messages": [{"content": "a " * 9}]})
    assert (long.status_code, long.json()["error"]["code"]) == (400, "context_length_exceeded")


async def test_an_error_in_the_stream_is_an_event_without_done(client: httpx.AsyncClient, fake: FakeUpstream) -> None:
    fake.fail(faults.error("it broke", after_chunks=2), route="/v1/chat/completions")
    body = {"model": "big", "messages": ASK, "stream": True}
    frames = events((await client.post("/chat/completions", json=body)).text)
    assert len(frames) == 3
    assert frames[-1]["error"]["message"] == "it broke"


async def test_done_can_be_left_out(client: httpx.AsyncClient, fake: FakeUpstream) -> None:
    fake.sends_done = False
    body = {"model": "big", "messages": ASK, "stream": True}
    frames = events((await client.post("/chat/completions", json=body)).text)
    assert frames[-1]["choices"][0]["finish_reason"] == "stop"


async def test_it_answers_messages_in_anthropics_shape(client: httpx.AsyncClient) -> None:
    body = {"model": "big", "messages": ASK, "max_tokens": 9}
    whole = (await client.post("/messages", json=body)).json()
    assert whole["content"] == [{"type": "text", "text": "Hello from big"}]
    assert whole["stop_reason"] == "end_turn"
    names = [
        line.removeprefix("event: ")
        for line in (await client.post("/messages", json={**body, "stream": True})).text.splitlines()
        if line.startswith("event: ")
    ]
    assert names[0] == "message_start"
    assert names[-2:] == ["message_delta", "message_stop"]


async def test_it_gives_vectors_for_embedding_models_only(client: httpx.AsyncClient) -> None:
    told = (await client.post("/embeddings", json={"model": "vectors", "input": ["a", "b"]})).json()
    assert [len(one["embedding"]) for one in told["data"]] == [8, 8]
    assert (await client.post("/embeddings", json={"model": "big", "input": "a"})).status_code == 400

"""The official client against a real gateway process, over each lane: chat, streams, tools, images, schema, errors."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest

from fakes import faults
from fakes.ollama import FakeOllama
from fakes.replies import Reply, ToolCall
from fakes.upstream import FakeUpstream, UpstreamModel
from gateway_process import GatewayProcess

LANES = ("ollama", "openai", "litellm")
MODEL = {"ollama": "qwen3:8b", "openai": "lab-model", "litellm": "lab-model"}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class World:
    """One fake of each kind behind one gateway with a role per lane."""

    def __init__(self, *, ollama: FakeOllama, upstream: FakeUpstream, client: openai.AsyncOpenAI) -> None:
        self.ollama = ollama
        self.upstream = upstream
        self.client = client

    def fake(self, lane: str) -> Any:
        return self.ollama if lane == "ollama" else self.upstream

    def chat_route(self, lane: str) -> str:
        return "/api/chat" if lane == "ollama" else "/v1/chat/completions"


@pytest.fixture(scope="module")
def role_config() -> dict[str, Any]:
    features = {"supports_tools": True, "supports_vision": True, "context_length": 32_768}
    names = {"ollama": "ollama:qwen3:8b", "openai": "lab:lab-model", "litellm": "far:lab-model"}
    return {
        "role_mappings": {lane: {"preferred": [names[lane]], "discover": False} for lane in LANES},
        "model_profiles": {names[lane]: {"capabilities": features} for lane in ("openai", "litellm")},
    }


@pytest.fixture
async def world(tmp_path: Path, role_config: dict[str, Any]) -> AsyncIterator[World]:
    async with (
        FakeOllama(models=["qwen3:8b"]) as ollama,
        FakeUpstream(models=[UpstreamModel(name="lab-model")]) as upstream,
    ):
        config = {
            **role_config,
            "local_providers": {
                "ollama": {"kind": "ollama", "url": ollama.url},
                "lab": {"kind": "openai", "url": upstream.base_url},
                "far": {"kind": "openai", "url": upstream.base_url, "lane": "litellm"},
            },
        }
        async with (
            GatewayProcess(tmp_path, config) as gateway,
            openai.AsyncOpenAI(base_url=gateway.base_url, api_key="none", max_retries=0) as client,
        ):
            yield World(ollama=ollama, upstream=upstream, client=client)


def ask(text: str = "Say hello.") -> list[Any]:
    return [{"role": "user", "content": text}]


async def test_every_lane_answers_whole_and_streamed_with_the_same_words(world: World) -> None:
    for lane in LANES:
        reply = Reply(content=("Good", " morning", "."), thinking=("Hm",) if lane == "ollama" else ())
        world.fake(lane).say(MODEL[lane], reply)
        raw = await world.client.chat.completions.with_raw_response.create(model=lane, messages=ask())
        assert raw.headers["x-rolegate-role"] == lane
        answer = raw.parse()
        assert answer.object == "chat.completion"
        assert answer.model == MODEL[lane]
        assert answer.choices[0].message.content == "Good morning."
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage is not None
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
        stream = await world.client.chat.completions.create(
            model=lane, messages=ask(), stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        assert "".join(one.choices[0].delta.content or "" for one in chunks if one.choices) == "Good morning."
        assert [one.choices[0].finish_reason for one in chunks if one.choices][-1] == "stop"
        assert chunks[-1].usage is not None
        assert len({one.id for one in chunks}) == 1


async def test_every_lane_carries_tool_calls_and_their_answers(world: World) -> None:
    for lane in LANES:
        call = ToolCall(name="weather", arguments={"city": "Oslo"}, call_id="call_1")
        world.fake(lane).say(MODEL[lane], Reply(content=(), tool_calls=(call,)))
        tools: Any = [WEATHER]
        answer = await world.client.chat.completions.create(model=lane, messages=ask("Weather?"), tools=tools)
        assert answer.choices[0].finish_reason == "tool_calls"
        assert answer.choices[0].message.tool_calls is not None
        (made,) = answer.choices[0].message.tool_calls
        assert made.type == "function"
        assert made.function.name == "weather"
        assert made.function.arguments.replace(" ", "") == '{"city":"Oslo"}'
        world.fake(lane).say(MODEL[lane], Reply(content=("Rain.",)))
        history = [
            *ask("Weather?"),
            answer.choices[0].message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": made.id, "content": "rain"},
        ]
        final = await world.client.chat.completions.create(model=lane, messages=history, tools=tools)
        assert final.choices[0].message.content == "Rain."


async def test_a_context_is_planned_and_sent_with_every_ollama_call(world: World) -> None:
    await world.client.chat.completions.create(model="ollama", messages=ask())
    options = [one.json["options"]["num_ctx"] for one in world.ollama.requests_to("/api/chat")]
    assert options == [8192]
    assert {load.num_ctx for load in world.ollama.runners.loads} == {8192}
    assert len(world.ollama.runners.loads) == 1


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (faults.status(500, "broken"), openai.InternalServerError),
        (faults.status(400, '{"error": {"message": "bad field"}}'), openai.BadRequestError),
        (faults.status(429, "slow down", retry_after="1000"), openai.RateLimitError),
    ],
    ids=["500", "400", "429"],
)
async def test_upstream_errors_are_the_clients_own_exceptions(
    world: World, lane: str, fault: faults.Fault, kind: type[openai.APIStatusError]
) -> None:
    world.fake(lane).fail(fault, route=world.chat_route(lane))
    with pytest.raises(kind) as refused:
        await world.client.chat.completions.create(model=lane, messages=ask())
    body: Any = refused.value.response.json()["error"]
    assert set(body) >= {"message", "type", "code", "param", "source"}
    assert refused.value.response.headers["x-rolegate-role"] == lane


@pytest.mark.parametrize("lane", LANES)
async def test_a_stream_cut_after_content_is_never_a_clean_end(world: World, lane: str) -> None:
    world.fake(lane).say(MODEL[lane], Reply(content=("One", " two", " three", " four")))
    world.fake(lane).fail(faults.eof(after_chunks=3), route=world.chat_route(lane))
    stream = await world.client.chat.completions.create(model=lane, messages=ask(), stream=True)
    with pytest.raises((openai.APIError, openai.APIConnectionError)):
        [chunk async for chunk in stream]


async def test_an_unknown_role_is_a_404_that_names_the_nearest(world: World) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        await world.client.chat.completions.create(model="olama", messages=ask())
    assert refused.value.response.json()["error"]["message"] == (
        'there is no role or model "olama"; the roles are: litellm, ollama, openai (did you mean "ollama"?)'
    )


async def test_what_is_not_offered_says_so(world: World) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        await world.client.embeddings.create(model="ollama", input="x")
    assert refused.value.status_code == 501
    assert refused.value.response.json()["error"]["message"] == (
        "/v1/embeddings is not offered (this version serves POST /v1/chat/completions)"
    )


async def test_nonsense_in_a_request_is_a_400_that_names_the_field(world: World) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await world.client.chat.completions.create(model="ollama", messages="hello")  # type: ignore[arg-type]  # on purpose
    assert refused.value.response.json()["error"]["param"] == "messages"


async def test_a_model_reference_can_be_asked_for_and_is_listed_after_the_roles(world: World) -> None:
    answer = await world.client.chat.completions.create(model="ollama:qwen3:8b", messages=ask())
    assert answer.choices[0].message.content
    listed = [model.id async for model in world.client.models.list()]
    assert listed == ["litellm", "ollama", "openai", "lab:lab-model", "ollama:qwen3:8b"]
    assert (await world.client.models.retrieve("lab:lab-model")).owned_by == "lab"

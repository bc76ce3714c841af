"""Text completions of the official OpenAI client over each lane."""

from typing import Any

import openai
import pytest

from client_builders import LANES, World, done, drained
from fakes.replies import Reply

ROUTES = {"local": "/api/generate", "local-infill": "/api/generate", "wire": "/v1/completions"}


@pytest.mark.parametrize("lane", LANES)
async def test_a_prompt_is_completed(world: World, client: Any, lane: str) -> None:
    world.say(lane, Reply(content=("upon", " a", " time")))
    answer = await done(client.completions.create(model=lane, prompt="Once", max_tokens=10))
    assert (answer.object, answer.model) == ("text_completion", world.model(lane))
    assert answer.id.startswith("cmpl-")
    (choice,) = answer.choices
    assert (choice.index, choice.text, choice.finish_reason) == (0, "upon a time", "stop")
    assert answer.usage.completion_tokens == 3
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 3


@pytest.mark.parametrize("lane", LANES)
async def test_a_completion_is_streamed_piece_by_piece(world: World, client: Any, lane: str) -> None:
    world.say(lane, Reply(content=("upon", " a", " time"), done_reason="length"))
    stream = await done(
        client.completions.create(model=lane, prompt="Once", stream=True, stream_options={"include_usage": True})
    )
    chunks = await drained(stream)
    assert {one.object for one in chunks} == {"text_completion"}
    assert len({(one.id, one.model) for one in chunks}) == 1
    choices = [one.choices[0] for one in chunks if one.choices]
    assert [one.text for one in choices if one.text] == ["upon", " a", " time"]
    assert [one.finish_reason for one in choices if one.finish_reason] == ["length"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 3


@pytest.mark.parametrize("lane", ["local-infill", "wire"])
async def test_what_shall_follow_reaches_a_model_that_fills_in_the_middle(world: World, client: Any, lane: str) -> None:
    world.say(lane, Reply(content=("a - b",)))
    answer = await done(client.completions.create(model=lane, prompt="def f(a, b): return ", suffix="\n\nf(2, 1)"))
    assert answer.choices[0].text == "a - b"
    sent = world.sent(lane, route=ROUTES[lane])
    assert (sent["prompt"], sent["suffix"]) == ("def f(a, b): return ", "\n\nf(2, 1)")


@pytest.mark.parametrize("lane", ["local", "cloud", "claude"])
async def test_a_model_that_cannot_fill_in_the_middle_is_ruled_out(client: Any, lane: str) -> None:
    with pytest.raises(openai.BadRequestError, match=r"does not fill in the middle \(suffix\)") as refused:
        await done(client.completions.create(model=lane, prompt="def f", suffix="end"))
    assert refused.value.code == "no_capable_deployment"


async def test_settings_reach_ollama_as_its_options(world: World, client: Any) -> None:
    await done(
        client.completions.create(model="local", prompt="Once", temperature=0.5, seed=3, stop=["."], max_tokens=9)
    )
    sent = world.sent("local", route="/api/generate")
    assert sent["options"] == {"temperature": 0.5, "seed": 3, "stop": ["."], "num_predict": 9, "num_ctx": 8192}
    assert sent["think"] is False


async def test_settings_reach_the_openai_wire_as_they_are(world: World, client: Any) -> None:
    settings: dict[str, Any] = {"temperature": 0.5, "seed": 3, "stop": ["."], "max_tokens": 9, "presence_penalty": 0.1}
    await done(client.completions.create(model="wire", prompt="Once", **settings))
    sent = world.sent("wire", route="/v1/completions")
    assert {key: sent[key] for key in settings} == settings


@pytest.mark.parametrize("lane", ["local", "wire", "cloud"])
async def test_log_probabilities_come_as_lists(world: World, client: Any, lane: str) -> None:
    world.say(lane, Reply(content=("upon", " a")))
    answer = await done(client.completions.create(model=lane, prompt="Once", logprobs=2))
    told = answer.choices[0].logprobs
    assert told.tokens == ["upon", " a"]
    assert told.token_logprobs == [-0.1, -0.1]
    assert told.text_offset == [0, 4]
    assert set(told.top_logprobs[0]) == {"upon", "alt1"}


@pytest.mark.parametrize(
    ("more", "field"),
    [({"n": 2}, "n"), ({"best_of": 3}, "best_of"), ({"echo": True}, "echo"), ({"prompt": ["a", "b"]}, "prompt")],
)
async def test_what_is_not_offered_is_refused_by_field(client: Any, more: dict[str, Any], field: str) -> None:
    with pytest.raises(openai.InternalServerError) as refused:
        await done(client.completions.create(**{"model": "wire", "prompt": "Once", **more}))
    assert (refused.value.status_code, refused.value.code, refused.value.param) == (501, "unsupported", field)


async def test_a_prompt_that_is_none_is_refused(client: Any) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await done(client.completions.create(model="wire", prompt=""))
    assert (refused.value.code, refused.value.param) == ("invalid_request", "prompt")

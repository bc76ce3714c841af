"""What a chat of the official OpenAI client can ask beyond words: JSON, log probabilities, images, sound, thinking."""

import json
from typing import Any

import openai
import pydantic
import pytest

from client_builders import LANES, PIXEL, SOUND, World, done, drained, opened, said, user
from fakes.replies import Reply

LOGGING_LANES = ("local", "wire", "cloud")


class Step(pydantic.BaseModel):
    why: str
    then: int


class Sum(pydantic.BaseModel):
    steps: list[Step]
    final: int


SUM = Sum(steps=[Step(why="because", then=1)], final=42)


@pytest.mark.parametrize("lane", LANES)
async def test_an_answer_is_parsed_into_the_callers_own_type(world: World, client: Any, lane: str) -> None:
    text = SUM.model_dump_json()
    world.say(lane, Reply(content=(text[:9], text[9:])))
    answer = await done(client.chat.completions.parse(model=lane, messages=user("Add."), response_format=Sum))
    assert answer.choices[0].message.parsed == SUM


@pytest.mark.parametrize("lane", LANES)
async def test_a_stream_is_parsed_into_the_callers_own_type(world: World, client: Any, lane: str) -> None:
    text = SUM.model_dump_json()
    world.say(lane, Reply(content=(text[:9], text[9:])))
    async with opened(client.chat.completions.stream(model=lane, messages=user("Add."), response_format=Sum)) as stream:
        await drained(stream)
        final = await done(stream.get_final_completion())
    assert final.choices[0].message.parsed == SUM


async def test_the_schema_itself_reaches_upstream(world: World, client: Any) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
    for lane in LANES:
        world.say(lane, Reply(content=('{"a": 1}',)))
        answer = await done(client.chat.completions.create(model=lane, messages=user("Add."), response_format=wanted))
        assert json.loads(answer.choices[0].message.content) == {"a": 1}
    assert world.sent("local")["format"] == schema
    assert world.sent("wire")["response_format"] == wanted
    assert world.sent("cloud")["response_format"]["json_schema"]["schema"]["properties"] == schema["properties"]
    assert '"integer"' in json.dumps(world.sent("claude"))


@pytest.mark.parametrize("lane", ["local", "wire", "cloud"])
async def test_json_mode_reaches_upstream(world: World, client: Any, lane: str) -> None:
    world.say(lane, Reply(content=('{"a": 1}',)))
    answer = await done(
        client.chat.completions.create(
            model=lane, messages=user("JSON, please."), response_format={"type": "json_object"}
        )
    )
    assert json.loads(answer.choices[0].message.content) == {"a": 1}
    if lane == "local":
        assert world.sent(lane)["format"] == "json"
    else:
        assert world.sent(lane)["response_format"] == {"type": "json_object"}


@pytest.mark.parametrize("lane", ["cloud-plain", "claude-plain"])
async def test_a_model_that_keeps_to_no_schema_is_named_with_the_reason(client: Any, lane: str) -> None:
    with pytest.raises((openai.BadRequestError, pydantic.ValidationError)) as refused:
        await done(client.chat.completions.parse(model=lane, messages=user("Add."), response_format=Sum))
    if isinstance(refused.value, openai.BadRequestError):
        assert "does not keep to a JSON schema" in refused.value.message


@pytest.mark.parametrize("lane", LOGGING_LANES)
async def test_log_probabilities_come_with_each_token(world: World, client: Any, lane: str) -> None:
    world.say(lane, Reply(content=("Yes", "!")))
    answer = await done(
        client.chat.completions.create(model=lane, messages=user("Yes?"), logprobs=True, top_logprobs=2)
    )
    tokens = [one for one in answer.choices[0].logprobs.content if one.token in ("Yes", "!")]
    assert [one.token for one in tokens] == ["Yes", "!"]
    assert [one.logprob for one in tokens] == [-0.1, -0.1]
    assert bytes(tokens[0].bytes) == b"Yes"
    assert [one.token for one in tokens[0].top_logprobs] == ["Yes", "alt1"]


@pytest.mark.parametrize("lane", LOGGING_LANES)
async def test_log_probabilities_come_with_a_stream(world: World, client: Any, lane: str) -> None:
    world.say(lane, Reply(content=("Yes", "!")))
    stream = await done(
        client.chat.completions.create(model=lane, messages=user("Yes?"), logprobs=True, top_logprobs=2, stream=True)
    )
    chunks = await drained(stream)
    tokens = [one.token for chunk in chunks if (told := chunk.choices[0].logprobs) for one in told.content or ()]
    assert [one for one in tokens if one in ("Yes", "!")] == ["Yes", "!"]
    assert said(chunks) == "Yes!"


async def test_log_probabilities_that_nobody_asked_for_are_not_there(client: Any) -> None:
    for lane in LANES:
        answer = await done(client.chat.completions.create(model=lane, messages=user("Yes?")))
        assert answer.choices[0].logprobs is None


async def test_log_probabilities_of_a_model_that_tells_none_are_not_pretended(world: World, client: Any) -> None:
    try:
        answer = await done(client.chat.completions.create(model="claude", messages=user("Yes?"), logprobs=True))
        assert answer.choices[0].logprobs is None
    except openai.BadRequestError as refused:
        assert refused.code == "no_capable_deployment"  # noqa: PT017  (either is honest)
    assert all("logprobs" not in one.json for one in world.asked("claude"))


def picture(url: str = PIXEL) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, "detail": "low"}}


def words(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


@pytest.mark.parametrize("lane", ["local-seeing", "wire", "cloud", "claude"])
async def test_an_image_in_the_request_reaches_upstream(world: World, client: Any, lane: str) -> None:
    answer = await done(client.chat.completions.create(model=lane, messages=user(words("What is it?"), picture())))
    assert answer.choices[0].message.content
    data = PIXEL.partition(",")[2]
    (message,) = world.sent(lane)["messages"]
    if lane == "local-seeing":
        assert (message["content"], message["images"]) == ("What is it?", [data])
    elif lane == "claude":
        (image,) = [one for one in message["content"] if one["type"] == "image"]
        assert image["source"] == {"type": "base64", "media_type": "image/png", "data": data}
    else:
        (image,) = [one for one in message["content"] if one["type"] == "image_url"]
        assert image["image_url"]["url"] == PIXEL


@pytest.mark.parametrize("lane", ["wire", "cloud"])
async def test_a_link_to_an_image_is_passed_on_as_it_is(world: World, client: Any, lane: str) -> None:
    url = "https://pictures.example/cat.png"
    await done(client.chat.completions.create(model=lane, messages=user(words("What is it?"), picture(url))))
    (message,) = world.sent(lane)["messages"]
    assert message["content"][1]["image_url"]["url"] == url


async def test_a_link_to_an_image_rules_ollama_out_with_the_reason(world: World, client: Any) -> None:
    url = "https://pictures.example/cat.png"
    with pytest.raises(openai.BadRequestError) as refused:
        await done(client.chat.completions.create(model="local-seeing", messages=user(picture(url))))
    assert refused.value.code == "no_capable_deployment"
    assert refused.value.body["message"] == (  # type: ignore[index]
        'no deployment of role "local-seeing" can serve this request: '
        "ollama:gemma3:4b: takes images as data URIs only, not by URL"
    )
    assert not world.asked("local-seeing")


@pytest.mark.parametrize("lane", ["local", "wire-plain", "cloud-plain", "claude-plain"])
async def test_a_model_that_does_not_see_is_never_sent_an_image(world: World, client: Any, lane: str) -> None:
    with pytest.raises(openai.BadRequestError, match="does not take images") as refused:
        await done(client.chat.completions.create(model=lane, messages=user(picture())))
    assert refused.value.code == "no_capable_deployment"
    assert not world.asked(lane)


async def test_sound_reaches_a_model_that_hears(world: World, client: Any) -> None:
    sound = {"type": "input_audio", "input_audio": {"data": SOUND, "format": "wav"}}
    await done(client.chat.completions.create(model="wire", messages=user(words("What is said?"), sound)))
    (message,) = world.sent("wire")["messages"]
    assert message["content"][1] == sound


@pytest.mark.parametrize("lane", ["local", "cloud", "claude"])
async def test_a_model_that_does_not_hear_is_never_sent_sound(world: World, client: Any, lane: str) -> None:
    sound = {"type": "input_audio", "input_audio": {"data": SOUND, "format": "wav"}}
    with pytest.raises(openai.BadRequestError, match="does not take audio") as refused:
        await done(client.chat.completions.create(model=lane, messages=user(sound)))
    assert refused.value.code == "no_capable_deployment"
    assert not world.asked(lane)


async def test_a_spoken_answer_is_refused(client: Any) -> None:
    with pytest.raises(openai.InternalServerError) as refused:
        await done(
            client.chat.completions.create(
                model="wire",
                messages=user("Speak."),
                modalities=["text", "audio"],
                audio={"voice": "alloy", "format": "wav"},
            )
        )
    assert (refused.value.status_code, refused.value.param) == (501, "audio")


@pytest.mark.parametrize(
    ("effort", "think"), [("none", False), ("minimal", "low"), ("low", "low"), ("medium", "medium"), ("high", "high")]
)
async def test_an_effort_reaches_an_ollama_model_that_thinks(
    world: World, client: Any, effort: Any, think: bool | str
) -> None:
    await done(client.chat.completions.create(model="local", messages=user("Hello."), reasoning_effort=effort))
    assert world.sent("local")["think"] == think


@pytest.mark.parametrize("lane", ["wire", "cloud-thinking"])
async def test_an_effort_reaches_a_model_on_the_openai_wire_that_thinks(world: World, client: Any, lane: str) -> None:
    await done(client.chat.completions.create(model=lane, messages=user("Hello."), reasoning_effort="high"))
    assert world.sent(lane)["reasoning_effort"] == "high"


async def test_an_effort_reaches_anthropic_as_a_budget_for_thinking(world: World, client: Any) -> None:
    await done(
        client.chat.completions.create(
            model="claude", messages=user("Hello."), reasoning_effort="medium", max_tokens=20_000
        )
    )
    assert world.sent("claude")["thinking"]["type"] == "enabled"
    assert world.sent("claude")["thinking"]["budget_tokens"] > 0


@pytest.mark.parametrize("lane", ["local-plain", "wire-plain", "cloud-plain", "claude-plain"])
async def test_an_effort_is_left_out_for_a_model_that_does_not_think(world: World, client: Any, lane: str) -> None:
    answer = await done(client.chat.completions.create(model=lane, messages=user("Hello."), reasoning_effort="high"))
    assert answer.choices[0].message.content
    assert not {"think", "thinking", "reasoning", "reasoning_effort"} & set(world.sent(lane))


@pytest.mark.parametrize("lane", LANES)
async def test_a_thought_is_told_beside_the_answer(world: World, client: Any, lane: str) -> None:
    world.say(lane, Reply(content=("Yes", "."), thinking=("Well", ", yes")))
    whole = await done(
        client.chat.completions.create(model=lane, messages=user("Yes?"), reasoning_effort="low", max_tokens=4000)
    )
    message = whole.choices[0].message
    assert (message.content, message.reasoning_content) == ("Yes.", "Well, yes")
    stream = await done(client.chat.completions.create(model=lane, messages=user("Yes?"), stream=True))
    chunks = await drained(stream)
    assert (said(chunks), said(chunks, "reasoning_content")) == ("Yes.", "Well, yes")
    if lane == "local":
        assert message.reasoning == "Well, yes"
        assert said(chunks, "reasoning") == "Well, yes"


async def test_a_thought_goes_back_to_an_ollama_model_that_thinks(world: World, client: Any) -> None:
    for name in ("reasoning_content", "reasoning"):
        for lane, expected in (("local", "Well, yes"), ("local-plain", None)):
            history = [*user("Yes?"), {"role": "assistant", "content": "Yes.", name: "Well, yes"}, *user("Sure?")]
            await done(client.chat.completions.create(model=lane, messages=history))
            assert world.sent(lane)["messages"][1].get("thinking") == expected


@pytest.mark.parametrize("beyond", ["sound", "json mode", "logit bias"])
async def test_what_anthropic_cannot_do_is_refused_and_never_dropped(world: World, client: Any, beyond: str) -> None:
    sound = {"type": "input_audio", "input_audio": {"data": SOUND, "format": "wav"}}
    requests: dict[str, dict[str, Any]] = {
        "sound": {"model": "claude-plain", "messages": user(words("What is said?"), sound)},
        "json mode": {"model": "claude", "response_format": {"type": "json_object"}},
        "logit bias": {"model": "claude", "logit_bias": {"50256": -100}},
    }
    asked = requests[beyond]
    with pytest.raises(openai.BadRequestError) as refused:
        await done(client.chat.completions.create(**{"messages": user("Hello."), **asked}))
    assert refused.value.code == "no_capable_deployment"
    assert not world.asked(asked["model"])

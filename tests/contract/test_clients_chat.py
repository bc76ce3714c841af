"""Chats of the official OpenAI client over each lane: whole answers, headers, settings, models, and what is not offered."""

from collections.abc import Callable
from typing import Any

import openai
import pytest

from client_builders import LANES, ROLES, World, done, drained, user
from fakes.ollama import FakeOllama
from fakes.replies import Reply

ON_LITELLM = ("cloud", "claude")


@pytest.mark.parametrize("lane", LANES)
async def test_an_answer_has_words_an_end_a_count_and_the_model_that_gave_it(
    world: World, client: Any, lane: str
) -> None:
    world.say(lane, Reply(content=("Good", " morning", "."), prompt_tokens=7))
    answer = await done(client.chat.completions.create(model=lane, messages=user("Say good morning.")))
    assert (answer.object, answer.model) == ("chat.completion", world.model(lane))
    assert answer.id
    assert answer.created > 0
    (choice,) = answer.choices
    assert (choice.index, choice.finish_reason) == (0, "stop")
    assert (choice.message.role, choice.message.content) == ("assistant", "Good morning.")
    assert choice.message.tool_calls is None
    assert choice.message.refusal is None
    assert answer.usage.prompt_tokens == 7
    assert answer.usage.completion_tokens >= 3
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


@pytest.mark.parametrize("lane", LANES)
async def test_an_answer_that_reached_its_limit_says_so(world: World, client: Any, lane: str) -> None:
    world.say(lane, Reply(content=("One", " two"), done_reason="length"))
    answer = await done(client.chat.completions.create(model=lane, messages=user("Count."), max_tokens=2))
    assert answer.choices[0].finish_reason == "length"
    assert answer.choices[0].message.content == "One two"


@pytest.mark.parametrize("lane", LANES)
async def test_headers_tell_who_answered_and_how(world: World, client: Any, lane: str) -> None:
    raw = await done(
        client.chat.completions.with_raw_response.create(
            model=lane,
            messages=user("Hello."),
            extra_headers={"x-request-id": "mine-1", "x-rolegate-trace": "1"},
        )
    )
    assert raw.headers["x-request-id"] == "mine-1"
    assert raw.headers["x-rolegate-role"] == lane
    assert raw.headers["x-rolegate-model"] == ROLES[lane].reference
    assert raw.headers["x-rolegate-attempts"] == "1"
    assert int(raw.headers["x-rolegate-generation"]) >= 1
    assert float(raw.headers["x-rolegate-overhead-ms"]) >= 0
    assert raw.headers["x-rolegate-trace"].startswith(f"{ROLES[lane].reference}=ok;ms=")
    assert raw.headers.get("x-rolegate-cloud") == ("true" if lane in ON_LITELLM else None)
    assert "x-rolegate-fallback-reason" not in raw.headers
    answer = raw.parse()
    assert answer._request_id == "mine-1"


async def test_a_request_without_an_id_is_given_one(client: Any) -> None:
    first = await done(client.chat.completions.create(model="wire", messages=user("Hello.")))
    second = await done(client.chat.completions.create(model="wire", messages=user("Hello.")))
    assert first._request_id
    assert first._request_id != second._request_id


@pytest.mark.parametrize("lane", LANES)
async def test_a_streaming_answer_has_the_headers_too(client: Any, lane: str) -> None:
    raw = await done(client.chat.completions.with_raw_response.create(model=lane, messages=user("Hello."), stream=True))
    assert raw.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert raw.headers["x-rolegate-role"] == lane
    assert raw.headers["x-rolegate-model"] == ROLES[lane].reference
    assert raw.headers["x-request-id"]
    assert await drained(raw.parse())


@pytest.mark.parametrize("role", ["system", "developer"])
@pytest.mark.parametrize("lane", LANES)
async def test_what_the_operator_of_the_chat_says_reaches_upstream(
    world: World, client: Any, lane: str, role: str
) -> None:
    messages = [{"role": role, "content": "Be brief."}, *user("Hello.")]
    await done(client.chat.completions.create(model=lane, messages=messages))
    sent = world.sent(lane)
    if lane == "claude":
        assert "Be brief." in str(sent["system"])
        assert len(sent["messages"]) == 1
    else:
        expected = role if lane == "wire" else "system"
        assert (sent["messages"][0]["role"], sent["messages"][0]["content"]) == (expected, "Be brief.")


async def test_sampling_settings_reach_ollama_as_its_options(world: World, client: Any) -> None:
    await done(
        client.chat.completions.create(
            model="local",
            messages=user("Hello."),
            temperature=0.3,
            top_p=0.9,
            seed=7,
            stop="END",
            presence_penalty=0.5,
            frequency_penalty=0.25,
            max_tokens=50,
            extra_body={"top_k": 30, "min_p": 0.1},
        )
    )
    assert world.sent("local")["options"] == {
        "temperature": 0.3,
        "top_p": 0.9,
        "seed": 7,
        "stop": ["END"],
        "presence_penalty": 0.5,
        "frequency_penalty": 0.25,
        "num_predict": 50,
        "top_k": 30,
        "min_p": 0.1,
        "num_ctx": 8192,
    }
    assert world.sent("local")["truncate"] is False


@pytest.mark.parametrize("lane", ["wire", "cloud"])
async def test_sampling_settings_reach_a_server_on_the_openai_wire_as_they_are(
    world: World, client: Any, lane: str
) -> None:
    settings: dict[str, Any] = {
        "temperature": 0.3,
        "top_p": 0.9,
        "seed": 7,
        "stop": ["END", "STOP"],
        "presence_penalty": 0.5,
        "frequency_penalty": 0.25,
        "max_tokens": 50,
        "logit_bias": {"50256": -100},
        "user": "someone",
    }
    await done(client.chat.completions.create(model=lane, messages=user("Hello."), **settings))
    sent = world.sent(lane)
    assert {key: sent.get(key) for key in settings} == settings


async def test_sampling_settings_reach_anthropic_in_its_own_words(world: World, client: Any) -> None:
    await done(
        client.chat.completions.create(
            model="claude", messages=user("Hello."), temperature=0.3, stop=["END", "STOP"], max_tokens=50
        )
    )
    sent = world.sent("claude")
    assert (sent["temperature"], sent["stop_sequences"], sent["max_tokens"]) == (0.3, ["END", "STOP"], 50)


@pytest.mark.parametrize(
    ("lane", "where"),
    [
        ("local", ("options", "num_predict")),
        ("wire", ("max_completion_tokens",)),
        ("wire", ("max_tokens",)),  # of servers at home, not all know the newer name
        ("cloud", ("max_completion_tokens",)),
        ("claude", ("max_tokens",)),
    ],
)
async def test_the_newer_limit_of_an_answer_holds_too(
    world: World, client: Any, lane: str, where: tuple[str, ...]
) -> None:
    await done(client.chat.completions.create(model=lane, messages=user("Hello."), max_completion_tokens=64))
    found = world.sent(lane)
    for key in where:
        found = found[key]
    assert found == 64


@pytest.mark.parametrize("lane", LANES)
async def test_fields_that_nobody_knows_do_no_harm(client: Any, lane: str) -> None:
    answer = await done(
        client.chat.completions.create(
            model=lane, messages=user("Hello."), extra_body={"made_up": {"a": 1}, "metadata": {"b": "2"}}, store=False
        )
    )
    assert answer.choices[0].message.content


@pytest.mark.parametrize("field", ["num_ctx", "api_base", "api_key", "base_url", "options", "keep_alive"])
@pytest.mark.parametrize("lane", LANES)
async def test_no_field_of_a_request_decides_where_it_goes_or_how_a_model_is_loaded(
    world: World, client: Any, lane: str, field: str
) -> None:
    value: Any = {"num_ctx": 64} if field == "options" else 64 if field == "num_ctx" else "http://127.0.0.1:9/v1"
    await done(client.chat.completions.create(model=lane, messages=user("Hello."), extra_body={field: value}))
    assert len(world.asked(lane)) == 1
    if lane == "local":
        assert world.sent(lane)["options"] == {"num_ctx": 8192}
        assert "keep_alive" not in world.sent(lane)


@pytest.mark.parametrize("lane", LANES)
async def test_more_than_one_answer_is_refused_and_never_pretended(world: World, client: Any, lane: str) -> None:
    with pytest.raises(openai.InternalServerError) as refused:
        await done(client.chat.completions.create(model=lane, messages=user("Hello."), n=2))
    assert refused.value.status_code == 501
    assert refused.value.code == "unsupported"
    assert refused.value.param == "n"
    assert refused.value.body["message"] == "n: found 2; allowed: 1; send the request 2 times instead"  # type: ignore[index]
    assert not world.asked(lane)


async def test_a_whole_conversation_reaches_upstream_in_order(world: World, client: Any) -> None:
    history: list[Any] = [*user("One."), {"role": "assistant", "content": "Two."}, *user("Three.")]
    for lane in LANES:
        await done(client.chat.completions.create(model=lane, messages=history))
        sent = world.sent(lane)["messages"]
        assert [one["role"] for one in sent] == ["user", "assistant", "user"]
        assert ["One." in str(sent[0]), "Two." in str(sent[1]), "Three." in str(sent[2])] == [True] * 3


async def test_text_in_parts_is_one_text(world: World, client: Any) -> None:
    parts = [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}]
    for lane in LANES:
        await done(client.chat.completions.create(model=lane, messages=user(*parts)))
    assert world.sent("local")["messages"][0]["content"] == "One.\nTwo."
    assert world.sent("wire")["messages"][0]["content"] == parts


async def test_a_model_is_loaded_once_with_the_planned_context(world: World, client: Any) -> None:
    fake = world.fake("local")
    assert isinstance(fake, FakeOllama)
    for _ in range(2):
        await done(client.chat.completions.create(model="local", messages=user("Hello.")))
    loads = [one for one in fake.runners.loads if one.model == world.model("local")]
    assert {one.num_ctx for one in loads} == {8192}
    assert fake.loaded[world.model("local")] == 8192


async def test_roles_are_listed_before_models_and_each_can_be_looked_up(client: Any) -> None:
    listed = [one.id for one in await drained(client.models.list())]
    assert listed[: len(ROLES)] == sorted(ROLES)
    at_home = {one.reference for one in ROLES.values() if one.at in ("ollama", "wire")}
    assert set(listed[len(ROLES) :]) == at_home
    role = await done(client.models.retrieve("local"))
    assert (role.id, role.object, role.owned_by) == ("local", "model", "rolegate")
    model = await done(client.models.retrieve("ollama:qwen3:8b"))
    assert (model.id, model.owned_by) == ("ollama:qwen3:8b", "ollama")
    assert model.created > 0


async def test_a_model_can_be_asked_for_by_its_reference(world: World, client: Any) -> None:
    for lane in ("local", "wire"):
        answer = await done(client.chat.completions.create(model=ROLES[lane].reference, messages=user("Hello.")))
        assert answer.model == world.model(lane)


async def test_a_model_that_is_not_there_cannot_be_looked_up(client: Any) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        await done(client.models.retrieve("gpt-5"))
    assert refused.value.code == "model_not_found"


def a_wave() -> tuple[str, bytes]:
    return ("a.wav", b"RIFF")


async def test_what_is_not_offered_is_refused_clearly(client: Any) -> None:
    png = ("a.png", b"png")
    calls: dict[str, Callable[[], Any]] = {
        "/v1/audio/speech": lambda: client.audio.speech.create(model="local", input="Hello.", voice="alloy"),
        "/v1/audio/transcriptions": lambda: client.audio.transcriptions.create(model="local", file=a_wave()),
        "/v1/audio/translations": lambda: client.audio.translations.create(model="local", file=a_wave()),
        "/v1/images/generations": lambda: client.images.generate(model="local", prompt="A cat."),
        "/v1/images/edits": lambda: client.images.edit(model="local", prompt="A cat.", image=png),
        "/v1/files": lambda: client.files.create(file=("a.txt", b"text"), purpose="batch"),
        "/v1/files/file-1": lambda: client.files.retrieve("file-1"),
        "/v1/files/file-1/content": lambda: client.files.content("file-1"),
        "/v1/batches": lambda: client.batches.create(
            completion_window="24h", endpoint="/v1/chat/completions", input_file_id="file-1"
        ),
        "/v1/batches/batch-1": lambda: client.batches.retrieve("batch-1"),
        "/v1/batches/batch-1/cancel": lambda: client.batches.cancel("batch-1"),
        "/v1/moderations": lambda: client.moderations.create(model="local", input="Hello."),
    }
    answers = {}
    for path, call in calls.items():
        with pytest.raises(openai.APIStatusError) as refused:
            await done(call())
        answers[path] = (refused.value.status_code, refused.value.code)
        assert f"{path} is not offered" in refused.value.message or refused.value.status_code != 501
    assert answers == dict.fromkeys(calls, (501, "unsupported"))


async def test_lists_of_what_is_not_offered_are_refused_clearly(client: Any) -> None:
    for call in (client.files.list, client.batches.list):
        with pytest.raises(openai.InternalServerError) as refused:
            await drained(await done(call()))
        assert refused.value.status_code == 501

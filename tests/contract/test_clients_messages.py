"""The official Anthropic client over each lane."""

import json
from itertools import groupby
from typing import Any

import anthropic
import pydantic
import pytest

from client_builders import LANES, PIXEL, ROLES, WEATHER, World, done, drained, opened, user
from fakes.replies import Reply, ToolCall

PIECES = ("Good", " morning", ".")
TOOL = {"name": "weather", "description": "Weather in a city.", "input_schema": WEATHER}
CLOCK = {"name": "time", "input_schema": {"type": "object", "properties": {}}}
OSLO = ToolCall(name="weather", arguments={"city": "Ósló", "deep": {"a": [1, None]}}, call_id="call_a")
ROME = ToolCall(name="weather", arguments={"city": "Rome"}, call_id="call_b")
PICTURE = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": PIXEL.partition(",")[2]},
}


class Sum(pydantic.BaseModel):
    final: int


async def ask(claude: Any, role: str, messages: Any = "Hello.", **more: Any) -> Any:
    asked = user(messages) if isinstance(messages, str) else messages
    return await done(claude.messages.create(**{"model": role, "max_tokens": 100, "messages": asked, **more}))


def used(message: Any) -> list[tuple[str, str, Any]]:
    return [(one.id, one.name, one.input) for one in message.content if one.type == "tool_use"]


def meant(*calls: ToolCall) -> list[tuple[str, str, Any]]:
    return [(one.call_id, one.name, dict(one.arguments)) for one in calls]


@pytest.mark.parametrize("lane", LANES)
async def test_a_message_has_text_a_reason_to_stop_and_counts(world: World, claude: Any, lane: str) -> None:
    world.say(lane, Reply(content=PIECES, prompt_tokens=7))
    message = await ask(claude, lane)
    assert (message.type, message.role, message.model) == ("message", "assistant", world.model(lane))
    assert message.id.startswith("msg_")
    assert [(one.type, one.text) for one in message.content] == [("text", "Good morning.")]
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    assert (message.usage.input_tokens, message.usage.output_tokens) == (7, 3)


@pytest.mark.parametrize("lane", LANES)
async def test_headers_tell_who_answered(claude: Any, lane: str) -> None:
    raw = await done(
        claude.messages.with_raw_response.create(
            model=lane, max_tokens=100, messages=user("Hello."), extra_headers={"x-request-id": "mine-1"}
        )
    )
    assert raw.headers["x-request-id"] == "mine-1"
    assert raw.headers["x-rolegate-role"] == lane
    assert raw.headers["x-rolegate-model"] == ROLES[lane].reference
    assert raw.headers.get("x-rolegate-cloud") == ("true" if lane in ("cloud", "claude") else None)
    assert raw.parse().content


@pytest.mark.parametrize("lane", LANES)
async def test_a_stream_is_anthropics_events_in_order(world: World, claude: Any, lane: str) -> None:
    world.say(lane, Reply(content=PIECES, prompt_tokens=7))
    events = [one for one in await drained(await ask(claude, lane, stream=True)) if one.type != "ping"]
    # Pieces that come at once may stand in one delta.
    assert [kind for kind, _ in groupby(one.type for one in events)] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert "".join(one.delta.text for one in events if one.type == "content_block_delta") == "".join(PIECES)
    assert events[0].message.model == world.model(lane)
    assert events[-2].delta.stop_reason == "end_turn"
    assert (events[-2].usage.input_tokens, events[-2].usage.output_tokens) == (7, 3)


@pytest.mark.parametrize("lane", LANES)
async def test_the_clients_own_helper_puts_a_stream_together(world: World, claude: Any, lane: str) -> None:
    world.say(lane, Reply(content=PIECES, prompt_tokens=7))
    async with opened(claude.messages.stream(model=lane, max_tokens=100, messages=user("Hello."))) as stream:
        texts = await drained(stream.text_stream)
        final = await done(stream.get_final_message())
    assert "".join(texts) == "".join(PIECES)
    assert final.content[0].text == "Good morning."
    assert final.stop_reason == "end_turn"
    assert (final.usage.input_tokens, final.usage.output_tokens) == (7, 3)


@pytest.mark.parametrize("lane", LANES)
async def test_the_use_of_tools_is_told_with_ids_and_input(world: World, claude: Any, lane: str) -> None:
    world.say(lane, Reply(content=("Let me see.",), tool_calls=(OSLO, ROME)))
    message = await ask(claude, lane, tools=[TOOL, CLOCK])
    assert message.stop_reason == "tool_use"
    assert message.content[0].text == "Let me see."
    assert used(message) == meant(OSLO, ROME)


@pytest.mark.parametrize("lane", [*LANES, "local-late"])
async def test_the_streamed_use_of_tools_adds_up_to_the_same(world: World, claude: Any, lane: str) -> None:
    world.say(lane, Reply(content=("Let me", " see."), tool_calls=(OSLO, ROME, ToolCall(name="time", call_id="c"))))
    asked: Any = {"model": lane, "max_tokens": 100, "messages": user("Weather?"), "tools": [TOOL, CLOCK]}
    async with opened(claude.messages.stream(**asked)) as stream:
        events = await drained(stream)
        final = await done(stream.get_final_message())
    assert final.stop_reason == "tool_use"
    assert used(final) == [*meant(OSLO, ROME), ("c", "time", {})]
    starts = [one for one in events if one.type == "content_block_start"]
    assert [one.index for one in starts] == list(range(len(starts)))


@pytest.mark.parametrize("lane", [*LANES, "local-late"])
async def test_results_of_tools_go_back_with_their_ids(world: World, claude: Any, lane: str) -> None:
    world.say(lane, Reply(content=("Let me see.",), tool_calls=(OSLO, ROME)))
    first = await ask(claude, lane, "Weather?", tools=[TOOL])
    world.say(lane, Reply(content=("Rain", " and sun.")))
    history = [
        *user("Weather?"),
        {"role": "assistant", "content": first.content},
        *user(
            {"type": "tool_result", "tool_use_id": "call_a", "content": "rain"},
            {"type": "tool_result", "tool_use_id": "call_b", "content": [{"type": "text", "text": "sun"}]},
            {"type": "text", "text": "So?"},
        ),
    ]
    second = await ask(claude, lane, history, tools=[TOOL])
    assert second.content[-1].text == "Rain and sun."
    assert second.stop_reason == "end_turn"
    sent = world.sent(lane)["messages"]
    if lane == "claude":
        parts = [part for one in sent[2:] for part in one["content"]]
        results = [(one["tool_use_id"]) for one in parts if one["type"] == "tool_result"]
        assert results == ["call_a", "call_b"]
        assert [one["input"] for one in sent[1]["content"] if one["type"] == "tool_use"] == [
            OSLO.arguments,
            ROME.arguments,
        ]
        return
    assert [one["role"] for one in sent] == ["user", "assistant", "tool", "tool", "user"]
    assert [one["id"] for one in sent[1]["tool_calls"]] == ["call_a", "call_b"]
    assert [one["tool_call_id"] for one in sent[2:4]] == ["call_a", "call_b"]
    assert ["rain" in str(sent[2]["content"]), "sun" in str(sent[3]["content"])] == [True, True]
    if lane.startswith("local"):
        assert [one["tool_name"] for one in sent[2:4]] == ["weather", "weather"]


@pytest.mark.parametrize("lane", ["wire", "cloud", "claude"])
async def test_a_tool_must_be_used_where_upstream_can_be_made_to(world: World, claude: Any, lane: str) -> None:
    seen = []
    for choice in ({"type": "any"}, {"type": "tool", "name": "time"}):
        await ask(claude, lane, tools=[TOOL, CLOCK], tool_choice=choice)
        seen.append(world.sent(lane)["tool_choice"])
    if lane == "claude":
        assert seen == [{"type": "any"}, {"type": "tool", "name": "time"}]
    else:
        assert seen == ["required", {"type": "function", "function": {"name": "time"}}]


async def test_ollama_cannot_be_made_to_use_a_tool_and_the_error_says_so(world: World, claude: Any) -> None:
    with pytest.raises(anthropic.BadRequestError, match="Ollama cannot be made to call a tool") as refused:
        await ask(claude, "local", tools=[TOOL], tool_choice={"type": "any"})
    error: Any = refused.value.body
    assert (error["type"], error["error"]["type"]) == ("error", "invalid_request_error")
    assert error["error"]["code"] == "no_capable_deployment"
    assert not world.asked("local")


async def test_one_tool_at_a_time_is_passed_on(world: World, claude: Any) -> None:
    for lane in ("wire", "claude"):
        await ask(claude, lane, tools=[TOOL], tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    assert world.sent("wire")["parallel_tool_calls"] is False
    assert world.sent("claude")["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}


@pytest.mark.parametrize("lane", LANES)
async def test_a_thought_is_a_block_before_the_answer(world: World, claude: Any, lane: str) -> None:
    world.say(lane, Reply(content=("Yes", "."), thinking=("Well", ", yes")))
    thinking = {"type": "enabled", "budget_tokens": 1024}
    message = await ask(claude, lane, max_tokens=2000, thinking=thinking)
    assert [one.type for one in message.content] == ["thinking", "text"]
    assert message.content[0].thinking == "Well, yes"
    asked: Any = {"model": lane, "max_tokens": 2000, "messages": user("Yes?"), "thinking": thinking}
    async with opened(claude.messages.stream(**asked)) as stream:
        await drained(stream)
        final = await done(stream.get_final_message())
    assert [one.type for one in final.content] == ["thinking", "text"]
    assert (final.content[0].thinking, final.content[1].text) == ("Well, yes", "Yes.")
    if lane == "local":
        assert world.sent(lane)["think"] == "low"


async def test_thinking_can_be_turned_off(world: World, claude: Any) -> None:
    await ask(claude, "local", thinking={"type": "disabled"})
    assert world.sent("local")["think"] is False


async def test_thinking_is_left_out_for_a_model_that_does_not_think(world: World, claude: Any) -> None:
    for lane in ("local-plain", "wire-plain", "cloud-plain", "claude-plain"):
        await ask(claude, lane, max_tokens=2000, thinking={"type": "enabled", "budget_tokens": 1024})
        assert not {"think", "thinking", "reasoning_effort"} & set(world.sent(lane))


@pytest.mark.parametrize("lane", LANES)
async def test_a_thought_goes_back_with_the_conversation(world: World, claude: Any, lane: str) -> None:
    world.say(lane, Reply(content=("Yes.",), thinking=("Well",)))
    first = await ask(claude, lane)
    history = [*user("Yes?"), {"role": "assistant", "content": first.content}, *user("Sure?")]
    assert (await ask(claude, lane, history)).content[-1].text == "Yes."
    if lane == "local":
        assert world.sent(lane)["messages"][1]["thinking"] == "Well"


@pytest.mark.parametrize("lane", LANES)
async def test_settings_reach_upstream(world: World, claude: Any, lane: str) -> None:
    await ask(
        claude,
        lane,
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        temperature=0.3,
        stop_sequences=["END"],
        max_tokens=50,
    )
    sent = world.sent(lane)
    assert "Be brief." in json.dumps(sent)
    if lane == "local":
        options = {"temperature": 0.3, "stop": ["END"], "num_predict": 50, "num_ctx": 8192}
        assert sent["options"] == options
    else:
        stop = sent["stop_sequences"] if lane == "claude" else sent["stop"]
        assert (sent["temperature"], stop, sent["max_tokens"]) == (0.3, ["END"], 50)


@pytest.mark.parametrize("lane", LANES)
async def test_an_answer_that_reached_its_limit_says_so(world: World, claude: Any, lane: str) -> None:
    world.say(lane, Reply(content=("One", " two"), done_reason="length"))
    assert (await ask(claude, lane, max_tokens=2)).stop_reason == "max_tokens"
    events = await drained(await ask(claude, lane, max_tokens=2, stream=True))
    assert [one.delta.stop_reason for one in events if one.type == "message_delta"] == ["max_tokens"]


@pytest.mark.parametrize("lane", ["local-seeing", "wire", "cloud", "claude"])
async def test_an_image_reaches_upstream(world: World, claude: Any, lane: str) -> None:
    await ask(claude, lane, user({"type": "text", "text": "What is it?"}, PICTURE))
    assert PIXEL.partition(",")[2] in json.dumps(world.sent(lane))


async def test_a_model_that_does_not_see_is_never_sent_an_image(world: World, claude: Any) -> None:
    for lane in ("local", "wire-plain", "cloud-plain", "claude-plain"):
        with pytest.raises(anthropic.BadRequestError, match="does not take images"):
            await ask(claude, lane, user(PICTURE))
        assert not world.asked(lane)


@pytest.mark.parametrize("lane", LANES)
async def test_an_answer_is_parsed_into_the_callers_own_type(world: World, claude: Any, lane: str) -> None:
    world.say(lane, Reply(content=('{"final"', ": 42}")))
    message = await done(claude.messages.parse(model=lane, max_tokens=100, messages=user("Add."), output_format=Sum))
    assert message.parsed_output == Sum(final=42)


@pytest.mark.parametrize("lane", LANES)
async def test_tokens_are_counted_without_asking_a_model(world: World, claude: Any, lane: str) -> None:
    few = await done(claude.messages.count_tokens(model=lane, messages=user("Hello.")))
    many = await done(
        claude.messages.count_tokens(model=lane, messages=user("Hello. " * 50), system="Be brief.", tools=[TOOL])
    )
    assert 0 < few.input_tokens < many.input_tokens
    assert not world.fake(lane).requests


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"temperature": 2}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"tools": [{"name": "x"}]}, "tools[0].input_schema"),
        ({"tool_choice": {"type": "any"}}, "tools"),
        ({"thinking": {"type": "enabled", "budget_tokens": 0}}, "thinking.budget_tokens"),
    ],
)
async def test_nonsense_is_refused_by_field(claude: Any, more: dict[str, Any], field: str) -> None:
    with pytest.raises(anthropic.BadRequestError) as refused:
        await ask(claude, "wire", **more)
    error: Any = refused.value.body
    assert (error["error"]["type"], error["error"]["param"]) == ("invalid_request_error", field)


async def test_tools_that_anthropic_would_run_are_not_offered(claude: Any) -> None:
    with pytest.raises(anthropic.InternalServerError) as refused:
        await ask(claude, "wire", tools=[{"type": "web_search_20250305", "name": "web_search"}])
    assert refused.value.status_code == 501
    body: Any = refused.value.body
    assert body["error"]["code"] == "unsupported"

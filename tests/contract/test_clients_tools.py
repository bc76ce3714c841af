"""Tools of the official OpenAI client over each lane: calls, several at once, streamed, answered, chosen."""

import json
from typing import Any

import openai
import pytest

from client_builders import LANES, WEATHER, World, done, drained, opened, said, user
from fakes.replies import Reply, ToolCall

WEATHER_TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "Weather in a city.", "parameters": WEATHER},
}
TIME_TOOL = {"type": "function", "function": {"name": "time", "parameters": {"type": "object", "properties": {}}}}
TOOLS = [WEATHER_TOOL, TIME_TOOL]
OSLO = ToolCall(name="weather", arguments={"city": "Ósló", "days": 3, "deep": {"a": [1, None]}}, call_id="call_a")
ROME = ToolCall(name="weather", arguments={"city": "Rome"}, call_id="call_b")
CLOCK = ToolCall(name="time", call_id="call_c")
TOOL_LANES = (*LANES, "local-late")
"""The last is a model whose calls come with the last line of its answer."""


def told(calls: Any) -> list[tuple[str, str, Any]]:
    return [(one.id, one.function.name, json.loads(one.function.arguments)) for one in calls]


def meant(*calls: ToolCall) -> list[tuple[str, str, Any]]:
    return [(one.call_id, one.name, dict(one.arguments)) for one in calls]


def gathered(chunks: list[Any]) -> list[tuple[str, str, Any]]:
    """The calls of a stream, by index."""
    calls: dict[int, list[str]] = {}
    for chunk in chunks:
        for delta in chunk.choices[0].delta.tool_calls or () if chunk.choices else ():
            call = calls.setdefault(delta.index, ["", "", ""])
            call[0] += delta.id or ""
            call[1] += delta.function.name or ""
            call[2] += delta.function.arguments or ""
    assert sorted(calls) == list(range(len(calls)))
    return [(one[0], one[1], json.loads(one[2])) for _, one in sorted(calls.items())]


@pytest.mark.parametrize("lane", TOOL_LANES)
async def test_a_call_has_an_id_a_name_and_its_arguments(world: World, client: Any, lane: str) -> None:
    world.say(lane, Reply(content=(), tool_calls=(OSLO,)))
    answer = await done(client.chat.completions.create(model=lane, messages=user("Weather?"), tools=TOOLS))
    (choice,) = answer.choices
    assert choice.finish_reason == "tool_calls"
    assert not choice.message.content
    assert [one.type for one in choice.message.tool_calls] == ["function"]
    assert told(choice.message.tool_calls) == meant(OSLO)


@pytest.mark.parametrize("lane", TOOL_LANES)
async def test_several_calls_keep_their_order_and_their_ids(world: World, client: Any, lane: str) -> None:
    world.say(lane, Reply(content=("Let me see.",), tool_calls=(OSLO, ROME, CLOCK)))
    answer = await done(client.chat.completions.create(model=lane, messages=user("Weather?"), tools=TOOLS))
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.choices[0].message.content == "Let me see."
    assert told(answer.choices[0].message.tool_calls) == meant(OSLO, ROME, CLOCK)


@pytest.mark.parametrize("lane", TOOL_LANES)
async def test_streamed_calls_add_up_to_the_same(world: World, client: Any, lane: str) -> None:
    world.say(lane, Reply(content=("Let me", " see."), tool_calls=(OSLO, ROME, CLOCK)))
    stream = await done(client.chat.completions.create(model=lane, messages=user("Weather?"), tools=TOOLS, stream=True))
    chunks = await drained(stream)
    assert said(chunks) == "Let me see."
    assert gathered(chunks) == meant(OSLO, ROME, CLOCK)
    assert [one.choices[0].finish_reason for one in chunks if one.choices[0].finish_reason] == ["tool_calls"]


@pytest.mark.parametrize("lane", TOOL_LANES)
async def test_the_clients_own_helper_puts_streamed_calls_together(world: World, client: Any, lane: str) -> None:
    world.say(lane, Reply(content=(), tool_calls=(OSLO, ROME)))
    strict = {"type": "function", "function": {"name": "weather", "parameters": WEATHER, "strict": True}}
    async with opened(client.chat.completions.stream(model=lane, messages=user("Weather?"), tools=[strict])) as stream:
        kinds = [event.type for event in await drained(stream)]
        final = await done(stream.get_final_completion())
    assert kinds.count("tool_calls.function.arguments.done") == 2
    assert told(final.choices[0].message.tool_calls) == meant(OSLO, ROME)


@pytest.mark.parametrize("lane", TOOL_LANES)
async def test_calls_without_an_id_are_given_one_each(world: World, client: Any, lane: str) -> None:
    calls = (ToolCall(name="weather", arguments={"city": "Oslo"}), ToolCall(name="time"))
    world.say(lane, Reply(content=(), tool_calls=calls))
    answer = await done(client.chat.completions.create(model=lane, messages=user("Weather?"), tools=TOOLS))
    ids = [one.id for one in answer.choices[0].message.tool_calls]
    assert all(ids)
    assert len(set(ids)) == 2


@pytest.mark.parametrize("lane", TOOL_LANES)
async def test_answers_of_tools_go_back_with_their_ids_and_names(world: World, client: Any, lane: str) -> None:
    world.say(lane, Reply(content=("Let me see.",), tool_calls=(OSLO, ROME)))
    first = await done(client.chat.completions.create(model=lane, messages=user("Weather?"), tools=TOOLS))
    calls = first.choices[0].message.tool_calls
    world.say(lane, Reply(content=("Rain", " and sun.")))
    history = [
        *user("Weather?"),
        first.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": calls[0].id, "content": "rain"},
        {"role": "tool", "tool_call_id": calls[1].id, "content": [{"type": "text", "text": "sun"}]},
    ]
    final = await done(client.chat.completions.create(model=lane, messages=history, tools=TOOLS))
    assert final.choices[0].message.content == "Rain and sun."
    assert final.choices[0].finish_reason == "stop"
    sent = world.sent(lane)["messages"]
    if lane in ("wire", "cloud"):
        assert sent[1]["content"] == "Let me see."
        assert [one["id"] for one in sent[1]["tool_calls"]] == ["call_a", "call_b"]
        assert [json.loads(one["function"]["arguments"]) for one in sent[1]["tool_calls"]] == [
            OSLO.arguments,
            ROME.arguments,
        ]
        assert [one["tool_call_id"] for one in sent[2:]] == ["call_a", "call_b"]
    elif lane == "claude":
        uses = [one for one in sent[1]["content"] if one["type"] == "tool_use"]
        assert [(one["id"], one["name"], one["input"]) for one in uses] == meant(OSLO, ROME)
        results = [part for one in sent[2:] for part in one["content"]]
        assert [(one["type"], one["tool_use_id"]) for one in results] == [
            ("tool_result", "call_a"),
            ("tool_result", "call_b"),
        ]
        assert ["rain" in str(results[0]), "sun" in str(results[1])] == [True, True]
    else:
        assert sent[1]["content"] == "Let me see."
        made = [(one["id"], one["function"]["name"], one["function"]["arguments"]) for one in sent[1]["tool_calls"]]
        assert made == meant(OSLO, ROME)
        assert [(one["role"], one["tool_call_id"], one["tool_name"], one["content"]) for one in sent[2:]] == [
            ("tool", "call_a", "weather", "rain"),
            ("tool", "call_b", "weather", "sun"),
        ]


@pytest.mark.parametrize("lane", TOOL_LANES)
async def test_tools_reach_upstream_with_their_schema(world: World, client: Any, lane: str) -> None:
    await done(client.chat.completions.create(model=lane, messages=user("Weather?"), tools=TOOLS, tool_choice="auto"))
    sent = world.sent(lane)["tools"]
    if lane == "claude":
        assert [one["name"] for one in sent] == ["weather", "time"]
        assert sent[0]["description"] == "Weather in a city."
        assert sent[0]["input_schema"]["properties"] == WEATHER["properties"]
        assert sent[0]["input_schema"]["required"] == ["city"]
    else:
        assert sent == TOOLS


@pytest.mark.parametrize("lane", TOOL_LANES)
async def test_no_tool_is_called_where_none_is_wanted(world: World, client: Any, lane: str) -> None:
    await done(client.chat.completions.create(model=lane, messages=user("Hello."), tools=TOOLS, tool_choice="none"))
    sent = world.sent(lane)
    if lane.startswith("local"):
        assert "tools" not in sent
    elif lane == "claude":
        assert sent.get("tool_choice") == {"type": "none"} or "tools" not in sent
    else:
        assert sent["tool_choice"] == "none"


@pytest.mark.parametrize("lane", ["wire", "cloud", "claude"])
async def test_a_tool_must_be_called_where_upstream_can_be_made_to(world: World, client: Any, lane: str) -> None:
    named: Any = {"type": "function", "function": {"name": "time"}}
    seen = []
    for choice in ("required", named):
        await done(client.chat.completions.create(model=lane, messages=user("Hello."), tools=TOOLS, tool_choice=choice))
        seen.append(world.sent(lane)["tool_choice"])
    assert seen == ([{"type": "any"}, {"type": "tool", "name": "time"}] if lane == "claude" else ["required", named])


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "time"}}])
async def test_ollama_cannot_be_made_to_call_a_tool_and_the_error_says_so(
    world: World, client: Any, choice: Any
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await done(
            client.chat.completions.create(model="local", messages=user("Hello."), tools=TOOLS, tool_choice=choice)
        )
    assert refused.value.code == "no_capable_deployment"
    assert refused.value.body["message"] == (  # type: ignore[index]
        'no deployment of role "local" can serve this request: '
        "ollama:qwen3:8b: Ollama cannot be made to call a tool (tool_choice)"
    )
    assert not world.asked("local")


@pytest.mark.parametrize("lane", ["local-seeing", "wire-plain", "cloud-plain", "claude-plain"])
async def test_a_model_without_tools_is_never_asked_for_them(world: World, client: Any, lane: str) -> None:
    with pytest.raises(openai.BadRequestError, match="does not support tools") as refused:
        await done(client.chat.completions.create(model=lane, messages=user("Hello."), tools=TOOLS))
    assert refused.value.code == "no_capable_deployment"
    assert not world.asked(lane)


@pytest.mark.parametrize("stream", [False, True])
async def test_one_call_at_a_time_holds_on_ollama_too(world: World, client: Any, stream: bool) -> None:
    for lane in ("local", "local-late"):
        world.say(lane, Reply(content=(), tool_calls=(OSLO, ROME)))
        answer = await done(
            client.chat.completions.create(
                model=lane, messages=user("Weather?"), tools=TOOLS, parallel_tool_calls=False, stream=stream
            )
        )
        calls = gathered(await drained(answer)) if stream else told(answer.choices[0].message.tool_calls)
        assert calls == meant(OSLO)


@pytest.mark.parametrize(("lane", "sent"), [("wire", False), ("cloud", False)])
async def test_one_call_at_a_time_is_passed_on(world: World, client: Any, lane: str, sent: bool) -> None:
    await done(
        client.chat.completions.create(model=lane, messages=user("Weather?"), tools=TOOLS, parallel_tool_calls=False)
    )
    assert world.sent(lane)["parallel_tool_calls"] is sent


async def test_one_call_at_a_time_is_passed_on_in_anthropics_words(world: World, client: Any) -> None:
    await done(
        client.chat.completions.create(
            model="claude", messages=user("Weather?"), tools=TOOLS, tool_choice="auto", parallel_tool_calls=False
        )
    )
    assert world.sent("claude")["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}


@pytest.mark.parametrize("lane", TOOL_LANES)
async def test_a_history_whose_arguments_are_no_json_is_refused_or_passed_on_but_never_a_crash(
    client: Any, lane: str
) -> None:
    function = {"name": "weather", "arguments": "{not json"}
    history = [
        *user("Weather?"),
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "c", "content": "rain"},
    ]
    try:
        answer = await done(client.chat.completions.create(model=lane, messages=history, tools=TOOLS))
        assert answer.choices[0].message.content
    except openai.BadRequestError as refused:
        assert refused.code == "invalid_request"  # noqa: PT017  (either is right, by lane)


@pytest.mark.parametrize("lane", TOOL_LANES)
async def test_tools_that_are_none_are_refused_by_field(client: Any, lane: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await done(client.chat.completions.create(model=lane, messages=user("Hello."), tools=[{"type": "function"}]))
    assert refused.value.param == "tools[0]"
    assert refused.value.code == "invalid_request"

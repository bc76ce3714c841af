"""The Responses API of the official OpenAI client over each lane."""

import json
from typing import Any

import openai
import pydantic
import pytest

from client_builders import LANES, PIXEL, WEATHER, World, done, drained, opened
from fakes import faults
from fakes.replies import Reply, ToolCall

PIECES = ("Good", " morning", ".")
TOOL = {"type": "function", "name": "weather", "description": "Weather.", "parameters": WEATHER, "strict": False}
OSLO = ToolCall(name="weather", arguments={"city": "Oslo"}, call_id="call_a")
ROME = ToolCall(name="weather", arguments={"city": "Rome"}, call_id="call_b")


class Answer(pydantic.BaseModel):
    final: int


@pytest.mark.parametrize("lane", LANES)
async def test_a_response_is_complete_with_text_and_counts(world: World, client: Any, lane: str) -> None:
    world.say(lane, Reply(content=PIECES, prompt_tokens=7))
    response = await done(client.responses.create(model=lane, input="Say good morning.", instructions="Be brief."))
    assert (response.object, response.status, response.model) == ("response", "completed", world.model(lane))
    assert response.id.startswith("resp_")
    assert response.output_text == "Good morning."
    assert response.error is None
    assert response.incomplete_details is None
    assert response.instructions == "Be brief."
    message = response.output[-1]
    assert (message.type, message.role, message.status) == ("message", "assistant", "completed")
    assert (response.usage.input_tokens, response.usage.total_tokens) == (7, 7 + response.usage.output_tokens)
    assert "Be brief." in json.dumps(world.sent(lane))


@pytest.mark.parametrize("lane", LANES)
async def test_a_streamed_response_is_its_events_in_order(world: World, client: Any, lane: str) -> None:
    world.say(lane, Reply(content=PIECES))
    stream = await done(client.responses.create(model=lane, input="Good morning.", stream=True))
    events = await drained(stream)
    kinds = [one.type for one in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert [one.sequence_number for one in events] == list(range(len(events)))
    spoken = [kind for kind in kinds if "output_text" in kind]
    assert spoken == ["response.output_text.delta"] * (len(spoken) - 1) + ["response.output_text.done"]
    text = "".join(one.delta for one in events if one.type == "response.output_text.delta")
    assert events[-1].response.output_text == text == "Good morning."
    assert kinds.count("response.output_item.added") == kinds.count("response.output_item.done")
    assert kinds.count("response.content_part.added") == kinds.count("response.content_part.done")
    assert events[-1].response.usage.output_tokens >= 1
    assert len({one.response.id for one in events if hasattr(one, "response")}) == 1


@pytest.mark.parametrize("lane", LANES)
async def test_the_clients_own_helper_puts_a_response_together(world: World, client: Any, lane: str) -> None:
    world.say(lane, Reply(content=PIECES))
    async with opened(client.responses.stream(model=lane, input="Good morning.")) as stream:
        await drained(stream)
        final = await done(stream.get_final_response())
    assert final.output_text == "Good morning."
    assert final.status == "completed"


@pytest.mark.parametrize("lane", LANES)
async def test_a_response_is_parsed_into_the_callers_own_type(world: World, client: Any, lane: str) -> None:
    world.say(lane, Reply(content=('{"final"', ": 42}")))
    response = await done(client.responses.parse(model=lane, input="Add.", text_format=Answer))
    assert response.output_parsed == Answer(final=42)


@pytest.mark.parametrize("lane", LANES)
async def test_function_calls_are_items_of_their_own(world: World, client: Any, lane: str) -> None:
    world.say(lane, Reply(content=("Let me see.",), tool_calls=(OSLO, ROME)))
    response = await done(client.responses.create(model=lane, input="Weather?", tools=[TOOL]))
    calls = [one for one in response.output if one.type == "function_call"]
    assert [(one.call_id, one.name, json.loads(one.arguments)) for one in calls] == [
        ("call_a", "weather", {"city": "Oslo"}),
        ("call_b", "weather", {"city": "Rome"}),
    ]
    assert len({one.id for one in response.output}) == len(response.output)
    assert response.output_text == "Let me see."


@pytest.mark.parametrize("lane", LANES)
async def test_streamed_function_calls_add_up_to_the_same(world: World, client: Any, lane: str) -> None:
    world.say(lane, Reply(content=(), tool_calls=(OSLO, ROME)))
    stream = await done(client.responses.create(model=lane, input="Weather?", tools=[TOOL], stream=True))
    events = await drained(stream)
    pieces: dict[int, str] = {}
    for event in events:
        if event.type == "response.function_call_arguments.delta":
            pieces[event.output_index] = pieces.get(event.output_index, "") + event.delta
    assert [json.loads(one) for one in pieces.values()] == [{"city": "Oslo"}, {"city": "Rome"}]
    ends = [one for one in events if one.type == "response.function_call_arguments.done"]
    assert [json.loads(one.arguments) for one in ends] == [{"city": "Oslo"}, {"city": "Rome"}]
    calls = [one for one in events[-1].response.output if one.type == "function_call"]
    assert [one.call_id for one in calls] == ["call_a", "call_b"]


@pytest.mark.parametrize("lane", LANES)
async def test_a_conversation_goes_on_with_what_functions_gave(world: World, client: Any, lane: str) -> None:
    thinking = ("Hm.",) if lane in ("local", "wire") else ()
    world.say(lane, Reply(content=("Let me see.",), thinking=thinking, tool_calls=(OSLO, ROME)))
    first = await done(client.responses.create(model=lane, input="Weather?", tools=[TOOL]))
    world.say(lane, Reply(content=("Rain", " and sun.")))
    history = [
        {"role": "user", "content": "Weather?"},
        *(item.model_dump(exclude_none=True) for item in first.output),
        {"type": "function_call_output", "call_id": "call_a", "output": "rain"},
        {"type": "function_call_output", "call_id": "call_b", "output": "sun"},
    ]
    second = await done(client.responses.create(model=lane, input=history, tools=[TOOL]))
    assert second.output_text == "Rain and sun."
    sent = world.sent(lane)["messages"]
    assert sent[0]["role"] == "user"
    if lane == "claude":
        assert [part["id"] for part in sent[1]["content"] if part["type"] == "tool_use"] == ["call_a", "call_b"]
    else:
        assert [one["role"] for one in sent] == ["user", "assistant", "tool", "tool"]
        assert [one["id"] for one in sent[1]["tool_calls"]] == ["call_a", "call_b"]
        assert [(one["tool_call_id"], one["content"]) for one in sent[2:]] == [("call_a", "rain"), ("call_b", "sun")]
    if lane == "local":
        assert sent[1]["thinking"] == "Hm."


@pytest.mark.parametrize("lane", ["wire", "cloud"])
async def test_a_function_can_be_demanded(world: World, client: Any, lane: str) -> None:
    named: Any = {"type": "function", "name": "weather"}
    await done(client.responses.create(model=lane, input="Weather?", tools=[TOOL], tool_choice=named))
    assert world.sent(lane)["tool_choice"] == {"type": "function", "function": {"name": "weather"}}


async def test_what_ollama_cannot_do_is_refused_here_too(client: Any) -> None:
    with pytest.raises(openai.BadRequestError, match="cannot be made to call a tool") as refused:
        await done(client.responses.create(model="local", input="Weather?", tools=[TOOL], tool_choice="required"))
    assert refused.value.code == "no_capable_deployment"


@pytest.mark.parametrize("lane", ["local", "wire", "cloud", "claude"])
async def test_a_thought_is_an_item_before_the_answer(world: World, client: Any, lane: str) -> None:
    world.say(lane, Reply(content=("Yes.",), thinking=("Well", ", yes")))
    response = await done(client.responses.create(model=lane, input="Yes?"))
    assert [one.type for one in response.output] == ["reasoning", "message"]
    assert response.output[0].content[0].text == "Well, yes"


async def test_an_effort_reaches_a_model_that_thinks(world: World, client: Any) -> None:
    for lane in ("local", "wire"):
        await done(client.responses.create(model=lane, input="Yes?", reasoning={"effort": "low"}))
    assert world.sent("local")["think"] == "low"
    assert world.sent("wire")["reasoning_effort"] == "low"


@pytest.mark.parametrize("lane", ["local-seeing", "wire", "cloud", "claude"])
async def test_an_image_reaches_upstream(world: World, client: Any, lane: str) -> None:
    parts = [{"type": "input_text", "text": "What is it?"}, {"type": "input_image", "image_url": PIXEL}]
    await done(client.responses.create(model=lane, input=[{"role": "user", "content": parts}]))
    assert PIXEL.partition(",")[2] in json.dumps(world.sent(lane))


@pytest.mark.parametrize("lane", LANES)
async def test_an_answer_that_reached_its_limit_is_incomplete(world: World, client: Any, lane: str) -> None:
    world.say(lane, Reply(content=("One", " two"), done_reason="length"))
    response = await done(client.responses.create(model=lane, input="Count.", max_output_tokens=16))
    assert response.status == "incomplete"
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.output_text == "One two"


async def test_log_probabilities_come_with_the_text(world: World, client: Any) -> None:
    for lane in ("local", "wire", "cloud"):
        world.say(lane, Reply(content=("Yes", "!")))
        response = await done(
            client.responses.create(model=lane, input="Yes?", include=["message.output_text.logprobs"], top_logprobs=2)
        )
        told = response.output[-1].content[0].logprobs
        assert [one.token for one in told] == ["Yes", "!"]
        assert [one.token for one in told[0].top_logprobs] == ["Yes", "alt1"]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"background": True}, "background"),
        ({"tools": [{"type": "web_search"}]}, "tools[0]"),
    ],
)
async def test_what_is_not_offered_is_refused_by_field(client: Any, more: dict[str, Any], field: str) -> None:
    with pytest.raises(openai.InternalServerError) as refused:
        await done(client.responses.create(model="wire", input="Hello.", **more))
    assert (refused.value.status_code, refused.value.code, refused.value.param) == (501, "unsupported", field)


@pytest.mark.parametrize("lane", LANES)
async def test_a_response_that_breaks_off_is_failed_and_never_completed(world: World, client: Any, lane: str) -> None:
    world.say(lane, Reply(content=("One", " two", " three", " four")))
    world.fail(lane, faults.eof(after_chunks=5 if lane == "claude" else 3))
    stream = await done(client.responses.create(model=lane, input="Count.", stream=True))
    kinds: list[str] = []
    last: Any = None
    try:
        if hasattr(stream, "__aiter__"):
            async for event in stream:
                kinds.append(event.type)
                last = event
        else:
            for event in stream:
                kinds.append(event.type)
                last = event
    except Exception as error:  # noqa: BLE001  (the connection is cut after the last event, which a client may notice)
        assert "incomplete" in str(error) or "closed" in str(error), error  # noqa: PT017
    assert "response.output_text.delta" in kinds
    assert kinds[-1] == "response.failed"
    assert "response.completed" not in kinds
    assert last.response.status == "failed"
    assert last.response.error.code == "server_error"
    assert last.response.error.message


async def test_a_response_is_not_stored_and_asking_for_it_says_so(client: Any) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        await done(client.responses.retrieve("resp_1"))
    assert refused.value.status_code in (404, 501)

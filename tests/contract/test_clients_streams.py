"""Streamed chats of the official OpenAI client over each lane."""

import json
from typing import Any

import pytest

from client_builders import LANES, World, done, drained, opened, said, user
from fakes.replies import Reply

PIECES = ("Good", " morning", ",", " world", ".")


@pytest.mark.parametrize("lane", LANES)
async def test_a_stream_is_role_first_words_in_order_and_one_end(world: World, client: Any, lane: str) -> None:
    world.say(lane, Reply(content=PIECES, thinking=("Hm. ",) if lane == "local" else ()))
    stream = await done(client.chat.completions.create(model=lane, messages=user("Hello."), stream=True))
    chunks = await drained(stream)
    assert {one.object for one in chunks} == {"chat.completion.chunk"}
    assert len({(one.id, one.created, one.model) for one in chunks}) == 1
    assert chunks[0].model == world.model(lane)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert all(len(one.choices) == 1 and one.choices[0].index == 0 for one in chunks)
    assert [one.choices[0].delta.content for one in chunks if one.choices[0].delta.content] == list(PIECES)
    assert [one.choices[0].finish_reason for one in chunks if one.choices[0].finish_reason] == ["stop"]
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(one.usage is None for one in chunks)


@pytest.mark.parametrize("lane", LANES)
async def test_token_counts_come_last_when_they_are_asked_for(world: World, client: Any, lane: str) -> None:
    world.say(lane, Reply(content=PIECES, prompt_tokens=7))
    stream = await done(
        client.chat.completions.create(
            model=lane, messages=user("One two three."), stream=True, stream_options={"include_usage": True}
        )
    )
    chunks = await drained(stream)
    assert [one.usage is not None for one in chunks] == [False] * (len(chunks) - 1) + [True]
    last = chunks[-1]
    assert last.choices == []
    assert last.usage.prompt_tokens == 7
    assert last.usage.completion_tokens >= len(PIECES)
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens
    assert len({one.id for one in chunks}) == 1
    assert said(chunks) == "".join(PIECES)


@pytest.mark.parametrize("lane", LANES)
async def test_a_stream_and_a_whole_answer_say_the_same(world: World, client: Any, lane: str) -> None:
    world.say(lane, Reply(content=("Zoë ", "said: 你好 ", '"🙂"\n'), done_reason="length"))
    whole = await done(client.chat.completions.create(model=lane, messages=user("Hello.")))
    stream = await done(client.chat.completions.create(model=lane, messages=user("Hello."), stream=True))
    chunks = await drained(stream)
    assert said(chunks) == whole.choices[0].message.content == 'Zoë said: 你好 "🙂"\n'
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason == "length"


@pytest.mark.parametrize("lane", LANES)
async def test_the_clients_own_helper_puts_a_stream_together(world: World, client: Any, lane: str) -> None:
    world.say(lane, Reply(content=PIECES))
    manager = client.chat.completions.stream(
        model=lane, messages=user("Hello."), stream_options={"include_usage": True}
    )
    async with opened(manager) as stream:
        events = await drained(stream)
        final = await done(stream.get_final_completion())
    deltas = [event.delta for event in events if event.type == "content.delta" and event.delta]
    assert deltas == list(PIECES)
    assert [event.content for event in events if event.type == "content.done"] == ["".join(PIECES)]
    assert final.choices[0].message.content == "".join(PIECES)
    assert final.choices[0].finish_reason == "stop"
    assert final.usage.completion_tokens >= len(PIECES)


@pytest.mark.parametrize("lane", LANES)
async def test_on_the_wire_a_stream_is_events_that_end_with_done(world: World, client: Any, lane: str) -> None:
    manager = client.chat.completions.with_streaming_response.create(model=lane, messages=user("Hello."), stream=True)
    async with opened(manager) as raw:
        lines = [line for line in await drained(raw.iter_lines()) if line]
    data = [line.removeprefix("data: ") for line in lines if not line.startswith(":")]
    assert all(line.startswith(("data: ", ":")) for line in lines)
    assert data[-1] == "[DONE]"
    assert data.count("[DONE]") == 1
    assert all(json.loads(one)["object"] == "chat.completion.chunk" for one in data[:-1])


@pytest.mark.parametrize("lane", ["wire", "cloud"])
async def test_comments_and_a_missing_last_word_are_no_trouble(world: World, client: Any, lane: str) -> None:
    fake: Any = world.fake(lane)
    fake.comments, fake.sends_done = True, False
    world.say(lane, Reply(content=PIECES))
    stream = await done(
        client.chat.completions.create(
            model=lane, messages=user("Hello."), stream=True, stream_options={"include_usage": True}
        )
    )
    chunks = await drained(stream)
    assert said(chunks) == "".join(PIECES)
    assert chunks[-1].usage is not None


@pytest.mark.parametrize("lane", LANES)
async def test_a_stream_that_is_closed_early_is_ended_upstream(world: World, client: Any, lane: str) -> None:
    world.say(lane, Reply(content=("la ",) * 10_000, gap_s=0.01))
    stream = await done(client.chat.completions.create(model=lane, messages=user("Sing."), stream=True))
    if hasattr(stream, "__aiter__"):
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
    else:
        for chunk in stream:
            if chunk.choices[0].delta.content:
                break
    await done(stream.close())
    (asked,) = world.asked(lane)
    await world.until(lane, lambda: asked.outcome != "running")
    assert asked.outcome == "disconnected"


async def test_an_answer_without_words_still_begins_and_ends(world: World, client: Any) -> None:
    for lane in LANES:
        world.say(lane, Reply(content=(), prompt_tokens=3))
        stream = await done(client.chat.completions.create(model=lane, messages=user("Hello."), stream=True))
        chunks = await drained(stream)
        assert said(chunks) == ""
        assert chunks[0].choices[0].delta.role == "assistant"
        assert [one.choices[0].finish_reason for one in chunks if one.choices[0].finish_reason] == ["stop"]

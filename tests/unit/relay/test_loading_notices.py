"""What a streaming caller hears while a model loads."""

import asyncio

import orjson

from core_builders import FIRST, SECOND, Listener, a_core, a_lab
from fakes.ollama import FakeOllama
from fakes.replies import Reply
from fakes.upstream import FakeUpstream
from gateway.domain.role import Deadlines
from gateway.relay.answer import Answer
from relay_builders import a_route, ask, ask_stream, text_of

NOTICE = b": loading ollama:llama3.1:8b\n\n"
LAB = a_lab()


def events_of(data: bytes) -> list[object]:
    lines = [block for block in data.split(b"\n\n") if block.startswith(b"data: ")]
    return ["[DONE]" if line == b"data: [DONE]" else orjson.loads(line[6:]) for line in lines]


async def test_a_caller_hears_that_the_model_loads_and_then_the_answer() -> None:
    async with FakeOllama() as ollama, a_core(notice_s=0.005) as relay:
        ollama.say("", Reply(content=("Good", " morning")))
        ollama.runners.gate.clear()
        answer = await ask_stream(relay, a_route(FIRST, urls={"ollama": ollama.url}))
        assert (answer.deployment, answer.attempts, answer.fallback_reason) == (None, (), "")
        listener = Listener()
        delivery = listener.follow(answer)
        await listener.hear(NOTICE * 3)
        assert events_of(listener.data) == []
        ollama.runners.gate.set()
        await delivery
    assert listener.data.replace(NOTICE, b"").startswith(b"data: ")
    events = events_of(listener.data)
    assert text_of(events) == "Good morning"
    assert events[-1] == "[DONE]"
    assert b"loading" not in listener.data.replace(NOTICE, b"")
    assert answer.deployment is FIRST
    assert answer.first_token_s is not None


async def test_who_does_not_stream_just_waits() -> None:
    async with FakeOllama() as ollama, a_core(notice_s=0.001) as relay:
        ollama.runners.gate.clear()
        asking = asyncio.create_task(ask(relay, a_route(FIRST, urls={"ollama": ollama.url})))
        await ollama.until(lambda: len(ollama.runners.loads) == 1)
        asyncio.get_running_loop().call_later(0.01, ollama.runners.gate.set)
        answer = await asking
    assert isinstance(answer, Answer)
    assert b"loading" not in answer.body


async def test_a_load_that_fails_after_a_notice_is_an_error_event_and_the_end() -> None:
    async with FakeOllama() as ollama, a_core(notice_s=0.005) as relay:
        ollama.runners.load_errors["llama3.1:8b"] = "llama runner process has terminated: exit status 2"
        ollama.runners.gate.clear()
        answer = await ask_stream(relay, a_route(FIRST, urls={"ollama": ollama.url}))
        listener = Listener()
        delivery = listener.follow(answer)
        await listener.hear(NOTICE)
        ollama.runners.gate.set()
        await delivery
    (event,) = events_of(listener.data)
    assert isinstance(event, dict)
    assert event["error"]["code"] == "model_load_failed"
    assert [one["class"] for one in event["error"]["attempts"]] == ["load_failed"]
    assert answer.failed


async def test_a_load_that_takes_too_long_after_a_notice_is_an_error_event() -> None:
    async with FakeOllama() as ollama, a_core(notice_s=0.005) as relay:
        ollama.runners.gate.clear()
        route = a_route(FIRST, urls={"ollama": ollama.url}, deadlines=Deadlines(load_s=0.03))
        listener = Listener()
        await listener.follow(await ask_stream(relay, route))
    (event,) = events_of(listener.data)
    assert isinstance(event, dict)
    assert event["error"]["code"] == "upstream_timeout"


async def test_after_a_failed_load_the_second_answers_in_the_same_stream() -> None:
    async with (
        FakeOllama() as ollama,
        FakeUpstream() as lab,
        a_core(urls={"lab": lab.base_url}, notice_s=0.005) as relay,
    ):
        ollama.runners.load_errors["llama3.1:8b"] = "out of memory"
        ollama.runners.gate.clear()
        answer = await ask_stream(relay, a_route(FIRST, LAB, urls={"ollama": ollama.url}))
        listener = Listener()
        delivery = listener.follow(answer)
        await listener.hear(NOTICE)
        ollama.runners.gate.set()
        await delivery
    events = events_of(listener.data)
    assert text_of(events) == "Hello from gpt-4o-mini"
    assert events[-1] == "[DONE]"
    assert answer.fallback_reason == "ollama:llama3.1:8b: load_failed"


async def test_a_second_that_loads_is_named_in_its_turn() -> None:
    async with FakeOllama() as ollama, a_core(notice_s=0.005) as relay:
        ollama.runners.load_errors["llama3.1:8b"] = "out of memory"
        ollama.runners.gate.clear()
        answer = await ask_stream(relay, a_route(FIRST, SECOND, urls={"ollama": ollama.url}))
        listener = Listener()
        delivery = listener.follow(answer)
        await listener.hear(NOTICE)
        ollama.runners.gate.set()
        await ollama.until(lambda: ollama.runners.loads[0].outcome == "failed")
        ollama.runners.gate.clear()
        await listener.hear(b": loading ollama:mistral:latest\n\n")
        ollama.runners.gate.set()
        await delivery
    assert events_of(listener.data)[-1] == "[DONE]"


async def test_a_caller_who_leaves_while_a_model_loads_leaves_only_the_load() -> None:
    async with FakeOllama() as ollama, a_core(notice_s=0.005) as relay:
        ollama.runners.gate.clear()
        listener = Listener()
        delivery = listener.follow(await ask_stream(relay, a_route(FIRST, urls={"ollama": ollama.url})))
        await listener.hear(NOTICE)
        delivery.cancel()
        await asyncio.gather(delivery, return_exceptions=True)
        ollama.runners.gate.set()
        await ollama.until(lambda: bool(ollama.loaded))
        assert ollama.requests_to("/api/chat") == []


async def test_the_first_token_clock_starts_when_the_model_is_there() -> None:
    async with FakeOllama() as ollama, a_core(notice_s=0.005) as relay:
        ollama.profile.load_s = 0.15
        route = a_route(FIRST, urls={"ollama": ollama.url}, deadlines=Deadlines(first_token_s=0.1, load_s=5))
        events = await heard_without_notices(await ask_stream(relay, route))
    assert events[-1] == "[DONE]"


async def heard_without_notices(answer: object) -> list[object]:
    listener = Listener()
    await listener.follow(answer)  # type: ignore[arg-type]  # what ask_stream gives
    return events_of(listener.data)

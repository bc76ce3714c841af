"""A stream whose caller can be written to at once: what goes that way, what does not, and that both make one answer."""

from collections.abc import Callable

import pytest

from core_builders import Listener, a_core, served
from fakes import faults
from fakes.ollama import FakeOllama
from fakes.replies import Reply
from fakes.upstream import FakeUpstream
from gateway.domain.model import Lane
from gateway.domain.role import Deadlines
from gateway.errors import RequestFailed
from gateway.relay.answer import StreamingAnswer
from relay_builders import a_deployment, a_route, ask_stream, ask_whole, events_in, text_of

WORDS = tuple(f"word-{number} " for number in range(60))


class Outlet:
    """Takes what ``accepts`` says, by the number of the offer; it and ``listener`` write to the same caller."""

    def __init__(self, listener: Listener, *, accepts: Callable[[int], bool] = lambda _: True) -> None:
        self._listener = listener
        self._accepts = accepts
        self.offers = 0
        self.taken = 0

    def offer(self, frames: bytes) -> bool:
        self.offers += 1
        if not self._accepts(self.offers):
            return False
        self.taken += 1
        self._listener.data += frames
        return True


async def delivered(answer: StreamingAnswer, *, listener: Listener, outlet: Outlet) -> None:
    try:
        await answer.deliver(listener.write, outlet=outlet)
    finally:
        await answer.aclose()


@pytest.mark.parametrize("accepts", [lambda _: True, lambda number: number % 2 == 0, lambda _: False])
@pytest.mark.parametrize("lane", [Lane.OLLAMA, Lane.OPENAI])
async def test_the_answer_is_whole_whichever_way_its_parts_go(lane: Lane, accepts: Callable[[int], bool]) -> None:
    async with FakeOllama() as ollama, FakeUpstream() as lab, a_core(urls={"lab": lab.base_url}) as relay:
        ollama.say("", Reply(content=WORDS, gap_s=0.001))
        lab.say("", Reply(content=WORDS, gap_s=0.001))
        reference = "ollama:llama3.1:8b" if lane is Lane.OLLAMA else "lab:gpt-4o-mini"
        route = a_route(a_deployment(reference, lane=lane), urls={"ollama": ollama.url, "lab": lab.base_url})
        listener = Listener()
        outlet = Outlet(listener, accepts=accepts)
        await delivered(await ask_stream(relay, route), listener=listener, outlet=outlet)
    events = events_in(listener.data)
    assert text_of(events) == "".join(WORDS)
    assert events[-1] == "[DONE]"
    assert [one["choices"][0]["finish_reason"] for one in events[:-1]][-1] == "stop"
    assert outlet.offers > 0
    assert (outlet.taken > 0) is accepts(2)


async def test_an_answer_that_breaks_off_after_text_that_went_past_ends_with_its_error() -> None:
    async with FakeOllama() as ollama, a_core() as relay:
        ollama.say("", Reply(content=WORDS, gap_s=0.001))
        ollama.fail(faults.cut(after_chunks=40), route="/api/chat")
        route = a_route(a_deployment("ollama:llama3.1:8b"), urls={"ollama": ollama.url})
        listener = Listener()
        answer = await ask_stream(relay, route)
        await delivered(answer, listener=listener, outlet=Outlet(listener))
    events = events_in(listener.data)
    assert answer.failed
    assert "error" in events[-1]
    assert "".join(WORDS).startswith(text_of(events))


async def test_an_answer_that_another_model_may_have_to_go_on_with_is_remembered_and_takes_the_long_way() -> None:
    async with FakeOllama() as ollama, a_core() as relay:
        ollama.say("", Reply(content=WORDS, gap_s=0.001))
        route = served(
            a_route(a_deployment("ollama:llama3.1:8b"), urls={"ollama": ollama.url}), stream_failure="continue"
        )
        listener = Listener()
        outlet = Outlet(listener)
        await delivered(await ask_stream(relay, route), listener=listener, outlet=outlet)
    assert outlet.offers == 0
    assert text_of(events_in(listener.data)) == "".join(WORDS)


@pytest.mark.parametrize("lane", [Lane.OLLAMA, Lane.OPENAI])
async def test_a_whole_answer_has_what_went_past_and_what_did_not(lane: Lane) -> None:
    async with FakeOllama() as ollama, FakeUpstream() as lab, a_core(urls={"lab": lab.base_url}) as relay:
        ollama.say("", Reply(content=WORDS, gap_s=0.001))
        lab.say("", Reply(content=WORDS, gap_s=0.001))
        reference = "ollama:llama3.1:8b" if lane is Lane.OLLAMA else "lab:gpt-4o-mini"
        route = a_route(a_deployment(reference, lane=lane), urls={"ollama": ollama.url, "lab": lab.base_url})
        answer, completion = await ask_whole(relay, route)
    (choice,) = completion["choices"]
    assert choice["message"]["content"] == "".join(WORDS)
    assert choice["finish_reason"] == "stop"
    assert answer.usage is not None


async def test_a_whole_answer_that_falls_silent_after_text_that_went_past_is_a_failure() -> None:
    async with FakeOllama() as ollama, a_core() as relay:
        ollama.say("", Reply(content=WORDS, gap_s=0.001))
        ollama.fail(faults.stall(after_chunks=30), route="/api/chat")
        route = a_route(
            a_deployment("ollama:llama3.1:8b"), urls={"ollama": ollama.url}, deadlines=Deadlines(gap_s=0.3, total_s=20)
        )
        with pytest.raises(RequestFailed) as caught:
            await ask_whole(relay, route)
    assert caught.value.failure_code == "stream_stalled"

"""Which deployments rest, who tries them again, and how long a request waits for one, over real connections."""

import asyncio

import pytest

from core_builders import ManualClock, a_lab
from fakes import faults
from fakes.ollama import FakeOllama
from fakes.upstream import FakeUpstream
from gateway.domain.model import Lane
from gateway.domain.role import Deadlines
from gateway.errors import RequestFailed
from gateway.relay.breaker import Breakers, State
from gateway.relay.connections import Connections
from gateway.relay.openai_lane import OpenAILane
from gateway.relay.relay import Relay
from gateway.relay.route import Route
from gateway_process import free_port
from relay_builders import Endpoints, a_deployment, a_relay, a_route, ask

LAB = a_lab(order=1)
ATTIC = a_lab("attic", order=2)


class Slope:
    """Two servers and a relay whose clock a test sets."""

    def __init__(self, lab: FakeUpstream, attic: FakeUpstream) -> None:
        self.lab, self.attic = lab, attic
        self.clock = ManualClock()
        self.breakers = Breakers()
        endpoints = Endpoints({"lab": lab.base_url, "attic": attic.base_url})
        lane = OpenAILane(connections=Connections(clock=self.clock), endpoints=endpoints)
        self.relay = Relay(lanes={Lane.OPENAI: lane}, clock=self.clock, breakers=self.breakers)
        self.both: Route = a_route(LAB, ATTIC)

    def state(self) -> State:
        return self.breakers.standings(self.both.keys, now_s=self.clock.now_s)[0].state

    async def fail(self, times: int) -> None:
        self.lab.fail(faults.status(503, "{}"))
        for _ in range(times):
            assert (await ask(self.relay, self.both)).deployment is ATTIC
        self.lab.heal()


async def test_a_rested_deployment_is_tried_by_one_request_alone() -> None:
    async with FakeUpstream() as lab, FakeUpstream() as attic:
        slope = Slope(lab, attic)
        await slope.fail(3)
        assert slope.state() is State.COOLING
        slope.clock.now_s += 5.1
        assert slope.state() is State.READY
        lab.fail(faults.hang(), times=1)
        trial = asyncio.create_task(ask(slope.relay, slope.both))
        await lab.until(lambda: lab.active == 1)
        asked = len(lab.requests)
        answers = await asyncio.gather(*(ask(slope.relay, slope.both) for _ in range(5)))
        assert {answer.deployment for answer in answers} == {ATTIC}
        assert answers[0].fallback_reason == "lab:gpt-4o-mini: cooling down after overloaded"
        assert len(lab.requests) == asked
        trial.cancel()
        await asyncio.gather(trial, return_exceptions=True)
        assert (await ask(slope.relay, slope.both)).deployment is LAB
        assert slope.state() is State.READY
        await slope.relay.close()


async def test_a_trial_that_fails_doubles_the_rest_and_one_success_ends_it() -> None:
    async with FakeUpstream() as lab, FakeUpstream() as attic:
        slope = Slope(lab, attic)
        await slope.fail(3)
        slope.clock.now_s += 5.1
        await slope.fail(1)
        slope.clock.now_s += 9.8
        assert slope.state() is State.COOLING
        slope.clock.now_s += 0.3
        assert (await ask(slope.relay, slope.both)).deployment is LAB
        await slope.fail(2)
        assert slope.state() is State.READY
        await slope.relay.close()


async def test_failures_far_apart_do_not_add_up() -> None:
    async with FakeUpstream() as lab, FakeUpstream() as attic:
        slope = Slope(lab, attic)
        await slope.fail(2)
        slope.clock.now_s += 61
        await slope.fail(2)
        assert slope.state() is State.READY
        await slope.relay.close()


async def test_all_resting_the_first_is_tried_first() -> None:
    async with FakeUpstream() as lab, FakeUpstream() as attic:
        slope = Slope(lab, attic)
        attic.fail(faults.reset())
        lab.fail(faults.reset())
        for _ in range(3):
            with pytest.raises(RequestFailed):
                await ask(slope.relay, slope.both)
            slope.clock.now_s += 1
        lab.heal()
        assert (await ask(slope.relay, slope.both)).deployment is LAB
        await slope.relay.close()


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (faults.status(429, "{}", retry_after="900"), "rate_limit_exceeded"),
        (faults.status(503, "{}", retry_after="900"), "upstream_overloaded"),
        (faults.status(404, "{}"), "model_gone"),
    ],
)
async def test_a_lone_deployment_that_is_held_is_not_called(fault: faults.Fault, code: str) -> None:
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        lab.fail(fault)
        for _ in range(3):
            with pytest.raises(RequestFailed) as caught:
                await ask(relay, a_route(LAB))
            assert caught.value.failure_code == code
        assert len(lab.requests) == 1


async def test_a_retry_after_is_honoured_where_nothing_else_is_left() -> None:
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        lab.fail(faults.status(429, "{}", retry_after="0.05"), times=1)
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        answer = await ask(relay, a_route(LAB))
        assert loop.time() - begun_s >= 0.05
        assert [one.failure for one in answer.attempts] == ["rate_limit", ""]


async def test_a_retry_after_beyond_the_total_deadline_is_not_waited_for() -> None:
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        lab.fail(faults.status(429, "{}", retry_after="30"))
        with pytest.raises(RequestFailed) as caught:
            await ask(relay, a_route(LAB, deadlines=Deadlines(total_s=20)))
        assert (caught.value.status, caught.value.retry_after_s) == (429, 30.0)
        assert len(lab.requests) == 1


async def test_a_deployment_that_asks_for_patience_gets_it_twice() -> None:
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        lab.fail(faults.status(429, "{}", retry_after="0.01"))
        with pytest.raises(RequestFailed) as caught:
            await ask(relay, a_route(LAB))
        assert [one.failure for one in caught.value.attempts] == ["rate_limit"] * 3
        assert len(lab.requests) == 3


async def test_a_provider_that_rests_at_one_address_is_called_at_once_at_another() -> None:
    llama = a_deployment("ollama:llama3.1:8b")
    async with FakeOllama() as moved, FakeUpstream() as attic, a_relay(urls={"attic": attic.base_url}) as relay:
        away = a_route(llama, ATTIC, urls={"ollama": f"http://127.0.0.1:{free_port()}"})
        for _ in range(3):
            assert (await ask(relay, away)).deployment is ATTIC
        assert (await ask(relay, a_route(llama, ATTIC, urls={"ollama": moved.url}))).deployment is llama
        assert (await ask(relay, away)).fallback_reason == "ollama:llama3.1:8b: cooling down after transport"


async def test_the_caller_may_leave_while_a_retry_after_is_waited_for() -> None:
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        lab.fail(faults.status(429, "{}", retry_after="100"))
        task = asyncio.create_task(ask(relay, a_route(LAB)))
        await lab.until(lambda: bool(lab.requests) and lab.active == 0)
        for _ in range(20):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()


async def test_a_request_without_any_time_is_refused_at_once() -> None:
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        with pytest.raises(RequestFailed) as caught:
            await ask(relay, a_route(a_lab(), deadlines=Deadlines(total_s=0.000001)))
    assert caught.value.status == 504
    assert caught.value.message == 'no time was left to call a deployment of role "planner"'

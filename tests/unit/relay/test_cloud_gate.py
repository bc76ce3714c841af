"""A cloud that is closed is not asked, and whoever asked is told why."""

import pytest

from fakes import faults
from fakes.replies import Reply
from fakes.upstream import FakeUpstream
from gateway.domain.model import Lane
from gateway.errors import NoCapableDeployment, RequestFailed
from relay_builders import (
    ScriptedBackend,
    a_deployment,
    a_relay,
    a_route,
    ask,
    ask_stream,
    ask_whole,
    heard,
    text_of,
)

LAB = a_deployment("lab:gpt-4o-mini", lane=Lane.OPENAI)
CLOUD = a_deployment("openai:gpt-4o-mini", lane=Lane.LITELLM)
CHUNKS = (
    {"id": "1", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hello"}, "finish_reason": None}]},
    {"id": "1", "choices": [{"index": 0, "delta": {"content": " there"}, "finish_reason": None}]},
    {"id": "1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
)


class Gate:
    """Closed for these providers, and counts who was asked after."""

    def __init__(self, **closed: str) -> None:
        self.reasons = closed
        self.asked: list[str] = []

    def closed(self, provider: str) -> str:
        self.asked.append(provider)
        return self.reasons.get(provider, "")


async def test_a_role_with_nothing_but_a_closed_cloud_is_refused_with_the_reason() -> None:
    backend = ScriptedBackend(CHUNKS)
    async with a_relay(gate=Gate(openai="its budget is used up")) as relay:
        with pytest.raises(NoCapableDeployment) as caught:
            await ask(relay, a_route(CLOUD, backend=backend))
    assert caught.value.message == (
        'no deployment of role "planner" can serve this request: openai:gpt-4o-mini: its budget is used up'
    )
    assert backend.bodies == []


async def test_where_a_local_model_failed_the_error_says_why_the_cloud_did_not_step_in() -> None:
    backend = ScriptedBackend(CHUNKS)
    async with (
        FakeUpstream() as lab,
        a_relay(urls={"lab": lab.base_url}, gate=Gate(openai="its budget is used up")) as relay,
    ):
        lab.fail(faults.status(503, ""))
        with pytest.raises(RequestFailed) as caught:
            await ask(relay, a_route(LAB, CLOUD, backend=backend))
    assert caught.value.message.endswith("; not asked: openai:gpt-4o-mini: its budget is used up")
    assert backend.bodies == []


async def test_an_open_cloud_steps_in() -> None:
    gate = Gate(other="closed")
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}, gate=gate) as relay:
        lab.fail(faults.status(503, ""))
        answer, body = await ask_whole(relay, a_route(LAB, CLOUD, backend=ScriptedBackend(CHUNKS)))
    assert body["choices"][0]["message"]["content"] == "Hello there"
    assert str(answer.deployment.ref) == "openai:gpt-4o-mini"
    assert gate.asked == ["openai"]


async def test_nobody_asks_after_clouds_where_a_role_has_none() -> None:
    gate = Gate()
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}, gate=gate) as relay:
        lab.say("gpt-4o-mini", Reply())
        await ask(relay, a_route(LAB))
    assert gate.asked == []


async def test_a_stream_that_is_under_way_when_its_cloud_closes_is_finished() -> None:
    gate = Gate()
    async with a_relay(gate=gate) as relay:
        route = a_route(CLOUD, backend=ScriptedBackend(CHUNKS))
        streaming = await ask_stream(relay, route)
        gate.reasons["openai"] = "its budget is used up"
        with pytest.raises(NoCapableDeployment):
            await ask(relay, route)
        events = await heard(streaming)
    assert text_of(events) == "Hello there"
    assert events[-1] == "[DONE]"

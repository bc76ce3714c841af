"""What the gateway asks clouds of its own accord is journalled however it ends, and what stays here is not."""

import asyncio
from typing import Any, Final

import pytest

from fakes import faults
from fakes.ollama import FakeOllama
from fakes.upstream import FakeUpstream
from gateway.compose.own_questions import ask_unasked
from gateway.domain.model import Lane
from gateway.domain.record import RequestRecord
from gateway.errors import RequestFailed
from gateway.relay.relay import Relay
from gateway.relay.route import Route
from gateway_process import free_port
from live_builders import until
from plans import a_cloud_provider, a_role_plan
from relay_builders import SystemClock, a_deployment, a_relay, a_request, a_route

GPT: Final = "openai:gpt-4o-mini"


class Kept:
    """A journal that only keeps what it is told."""

    def __init__(self) -> None:
        self.records: list[RequestRecord] = []

    def record(self, request: RequestRecord) -> None:
        self.records.append(request)


def to_the_cloud(url: str, *, generation: int = 3) -> Route:
    deployment = a_deployment(GPT, lane=Lane.OPENAI, cloud=True)
    providers = {"openai": a_cloud_provider("openai", url=url)}
    return Route(plan=a_role_plan("planner", deployment), providers=providers, generation=generation, backend=None)


async def asked(relay: Relay, route: Route, kept: Kept) -> Any:
    return await ask_unasked(
        relay, question=a_request(), route=route, role="planner", word="canary", journal=kept, clock=SystemClock()
    )


async def test_an_answer_from_a_cloud_is_journalled_with_its_tokens() -> None:
    kept = Kept()
    async with FakeUpstream() as cloud, a_relay(urls={"openai": cloud.base_url}) as relay:
        answer = await asked(relay, to_the_cloud(cloud.base_url), kept)
        await asked(relay, to_the_cloud(cloud.base_url, generation=0), kept)
    first, second = kept.records
    assert (first.endpoint, first.request_id, first.role, first.model) == ("canary", "canary", "planner", GPT)
    assert (first.status, first.failure, first.message, first.cloud) == (200, "", "", True)
    assert (first.prompt_tokens, first.completion_tokens) == (
        answer.usage["prompt_tokens"],
        answer.usage["completion_tokens"],
    )
    assert first.attempts == answer.attempts
    assert (first.generation, second.generation) == (3, None)


async def test_what_a_cloud_fails_at_is_journalled_as_it_failed() -> None:
    kept = Kept()
    async with FakeUpstream() as cloud, a_relay(urls={"openai": cloud.base_url}) as relay:
        cloud.fail(faults.status(401, '{"error": {"message": "no such key"}}'))
        with pytest.raises(RequestFailed) as failed:
            await asked(relay, to_the_cloud(cloud.base_url), kept)
    (record,) = kept.records
    assert (record.status, record.failure) == (failed.value.status, failed.value.failure_code)
    assert (record.message, record.model, record.attempts) == (failed.value.message, "", failed.value.attempts)


async def test_what_was_given_up_is_journalled_too() -> None:
    kept = Kept()
    async with FakeUpstream() as cloud, a_relay(urls={"openai": cloud.base_url}) as relay:
        cloud.fail(faults.hang())
        asking = asyncio.create_task(asked(relay, to_the_cloud(cloud.base_url), kept))
        await until(lambda: bool(cloud.requests))
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    (record,) = kept.records
    assert (record.status, record.failure, record.model) == (499, "cancelled", "")
    assert [one.cloud for one in record.attempts] == [True]


async def test_what_did_not_leave_the_machine_is_not_journalled() -> None:
    kept = Kept()
    nowhere = f"http://127.0.0.1:{free_port()}/v1"
    async with FakeOllama(models=["llama3.1:8b"]) as ollama, a_relay(urls={"openai": nowhere}) as relay:
        await asked(relay, a_route(a_deployment(), urls={"ollama": ollama.url}), kept)
        with pytest.raises(RequestFailed):
            await asked(relay, to_the_cloud(nowhere), kept)
    assert kept.records == []

"""Requests that must not leave the machine."""

import pytest

from fakes.ollama import FakeOllama
from fakes.upstream import FakeUpstream
from gateway.domain.model import Lane
from gateway.domain.role import Task
from gateway.errors import NoCapableDeployment, RequestFailed
from gateway.relay.embedding_request import EmbeddingRequest
from gateway.relay.route import STAYS, Route
from relay_builders import a_deployment, a_relay, a_route, ask

OLLAMA = a_deployment()
STUB = a_deployment("ollama:gpt-oss:120b-cloud", cloud=True, order=2)
LAB = a_deployment("lab:gpt-4o-mini", lane=Lane.OPENAI, cloud=True, order=2)
DEAD = "http://127.0.0.1:9"


def test_a_route_without_a_cloud_in_it_stays_as_it_is() -> None:
    route = a_route(OLLAMA)
    assert route.staying is route


def test_what_is_in_the_cloud_is_ruled_out_and_nothing_else() -> None:
    staying = a_route(OLLAMA, STUB).staying
    assert [one.excluded for one in staying.for_any] == ["", STAYS]
    assert staying.staying.at_home


async def test_the_next_model_is_asked_only_where_it_is_at_home() -> None:
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        route = a_route(OLLAMA, LAB, urls={"ollama": DEAD})
        with pytest.raises(RequestFailed) as refused:
            await ask(relay, route.staying)
        assert lab.requests == []
        assert refused.value.message.endswith(f"; not asked: lab:gpt-4o-mini: {STAYS}")
        assert (await ask(relay, route)).deployment == LAB


async def test_a_role_with_nothing_at_home_says_that_it_is_the_caller_who_rules_it_out() -> None:
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        with pytest.raises(NoCapableDeployment) as refused:
            await ask(relay, a_route(LAB).staying, tools=[])
        assert lab.requests == []
    assert refused.value.message == (
        f'no deployment of role "planner" can serve this request: lab:gpt-4o-mini: {STAYS}'
    )


async def test_what_the_plan_kept_back_is_told_where_a_need_rules_out_the_rest() -> None:
    plain = a_deployment(features=frozenset())
    base = a_route(plain)
    route = Route(
        plan=base.plan,
        providers=base.providers,
        generation=1,
        backend=None,
        withheld=lambda: (("openai:m", "the role's allow_cloud is false"),),
    )
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    async with FakeOllama(models=["llama3.1:8b"]), a_relay() as relay:
        with pytest.raises(NoCapableDeployment) as refused:
            await ask(relay, route, tools=tools)
    assert refused.value.message.endswith(
        ": ollama:llama3.1:8b: does not support tools; openai:m: the role's allow_cloud is false"
    )


async def test_embeddings_stay_too() -> None:
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        route = a_route(LAB, task=Task.EMBEDDING).staying
        request = EmbeddingRequest.parse(b'{"model":"planner","input":"hello"}')
        with pytest.raises(NoCapableDeployment, match="x-rolegate-cloud: never"):
            await relay.embed(request=request, route=route, request_id="one")
        assert lab.requests == []

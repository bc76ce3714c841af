"""The openai lane over real TCP: what is sent, and servers that answer in their own way."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence

import pytest
from aiohttp import web

from fakes import faults
from fakes.replies import Reply
from fakes.serving import FakeServer
from fakes.upstream import FakeUpstream
from gateway.domain.model import Lane
from gateway.domain.role import Task
from gateway.errors import RequestFailed
from gateway.relay.breaker import Breakers
from gateway.relay.connections import Connections
from gateway.relay.embedding_request import EmbeddingRequest
from gateway.relay.event import OPENED, Event
from gateway.relay.lane import Call
from gateway.relay.openai_lane import OpenAILane
from gateway.relay.relay import Relay
from gateway.relay.route import Route
from plans import a_cloud_provider, a_role_plan
from relay_builders import (
    Endpoints,
    SystemClock,
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


class Canned(FakeServer):
    """Answers every chat with the same bytes."""

    def __init__(self, body: bytes, *, content_type: str) -> None:
        super().__init__()
        self._body = body
        self._content_type = content_type

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/chat/completions", self._answer)]

    async def _answer(self, _: web.Request) -> web.Response:
        return web.Response(body=self._body, content_type=self._content_type)


async def test_the_request_goes_on_as_it_came_but_for_model_and_stream() -> None:
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}, key="sk-test") as relay:
        await ask(relay, a_route(LAB), custom={"a": [1]}, seed=7)
        sent, headers = lab.last.json, lab.last.headers
    assert sent == {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": "Say hello."}],
        "custom": {"a": [1]},
        "seed": 7,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert headers["Authorization"] == "Bearer sk-test"


async def test_a_cloud_hears_of_a_caller_what_openai_documents_and_of_the_role_whatever_it_says() -> None:
    said = {"provider": {"order": ["a"]}, "temperature": 0.2}
    plan = a_role_plan("planner", a_deployment("openai:gpt-4o-mini", lane=Lane.OPENAI, cloud=True), parameters=said)
    vectors = a_role_plan("embedder", *plan.deployments, task=Task.EMBEDDING, parameters=said)
    chosen = {
        "models": ["a/larger"],
        "fallbacks": ["b"],
        "api_base": "http://127.0.0.1:9",
        "provider": {"order": ["b"]},
    }
    async with FakeUpstream(key="sk-test") as cloud, a_relay(urls={"openai": cloud.base_url}, key="sk-test") as relay:
        providers = {"openai": a_cloud_provider("openai", url=cloud.base_url)}
        route = Route(plan=plan, providers=providers, generation=1, backend=None)
        await ask(relay, route, **chosen, temperature=1.0, seed=7, min_p=0.1)
        assert cloud.last.json == {
            "model": "gpt-4o-mini",
            "messages": [{"role": "user", "content": "Say hello."}],
            "provider": {"order": ["a"]},
            "temperature": 1.0,
            "seed": 7,
            "min_p": 0.1,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        request = EmbeddingRequest.parse(b'{"model": "embedder", "input": "red", "models": ["a"], "user": "me"}')
        with contextlib.suppress(RequestFailed):
            await relay.embed(
                request=request,
                route=Route(plan=vectors, providers=providers, generation=1, backend=None),
                request_id="1",
            )
        assert cloud.last.json == {"model": "gpt-4o-mini", "input": ["red"], "user": "me"}


async def test_an_effort_is_left_out_for_a_model_known_not_to_think() -> None:
    unknown = a_deployment("lab:gpt-4o-mini", lane=Lane.OPENAI, unknown_features=frozenset({"supports_thinking"}))
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        await ask(relay, a_route(LAB), reasoning_effort="low")
        await ask(relay, a_route(unknown), reasoning_effort="low")
    assert ["reasoning_effort" in one.json for one in lab.requests] == [False, True]


async def test_comments_between_events_are_no_part_of_the_answer() -> None:
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        lab.comments = True
        lab.say("", Reply(content=("a", "b")))
        assert text_of(await heard(await ask_stream(relay, a_route(LAB)))) == "ab"


async def test_a_server_that_does_not_stream_is_understood() -> None:
    body = b'{"id":"x","created":5,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},'
    body += b'"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
    async with Canned(body, content_type="application/json") as lab, a_relay(urls={"lab": lab.url}) as relay:
        _, whole = await ask_whole(relay, a_route(LAB))
        events = await heard(await ask_stream(relay, a_route(LAB)))
    assert whole["choices"][0]["message"]["content"] == "Hi"
    assert whole["usage"]["total_tokens"] == 2
    assert whole["model"] == "gpt-4o-mini"
    assert text_of(events) == "Hi"
    assert events[-1] == "[DONE]"


@pytest.mark.parametrize(
    ("body", "content_type", "code"),
    [
        (b"<html>Sign in</html>", "text/html", "upstream_error"),
        (b"{", "application/json", "stream_truncated"),
        (b'{"error":{"message":"no","type":"not_found_error"}}', "application/json", "model_gone"),
        (b'{"choices":[]}', "application/json", "stream_truncated"),
        (b"", "text/event-stream", "stream_truncated"),
        (b"data: [DONE]\n\n", "text/event-stream", "stream_truncated"),
        (b'data: {"error":{"message":"no","code":400}}\n\n', "text/event-stream", "invalid_request"),
    ],
)
async def test_what_is_no_answer_is_a_failure(body: bytes, content_type: str, code: str) -> None:
    async with Canned(body, content_type=content_type) as lab, a_relay(urls={"lab": lab.url}) as relay:
        with pytest.raises(RequestFailed) as caught:
            await ask(relay, a_route(LAB))
    assert caught.value.failure_code == code


async def test_a_redirect_is_not_followed() -> None:
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        lab.fail(faults.status(307, "", location="http://127.0.0.1:9/elsewhere"))
        with pytest.raises(RequestFailed) as caught:
            await ask(relay, a_route(LAB))
    assert [one.status for one in caught.value.attempts] == [307, 307]


async def test_a_key_repeated_by_upstream_is_masked() -> None:
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}, key="sk-canary-123") as relay:
        lab.fail(faults.status(400, '{"error":{"message":"bad header Bearer sk-canary-123"}}'))
        with pytest.raises(RequestFailed) as caught:
            await ask(relay, a_route(LAB))
    assert caught.value.message == "bad header Bearer **********"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'data: {"error":{"message":"bad header Bearer sk-canary-123"}}\n\n', "text/event-stream"),
        (b'{"error":{"message":"bad header Bearer sk-canary-123"}}', "application/json"),
    ],
)
async def test_a_key_repeated_in_an_answer_that_began_well_is_masked(body: bytes, content_type: str) -> None:
    async with (
        Canned(body, content_type=content_type) as lab,
        a_relay(urls={"lab": lab.url}, key="sk-canary-123") as relay,
    ):
        with pytest.raises(RequestFailed) as caught:
            await ask(relay, a_route(LAB))
    assert caught.value.message.endswith("failed with upstream_error: bad header Bearer **********")


async def test_a_server_that_closes_after_each_answer_without_saying_so_is_asked_on_a_new_connection() -> None:
    body = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(body)
    served: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}}")
        served.append(1)
        writer.write(head + body)
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"POST")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, a_relay(urls={"lab": url}) as relay:
        for _ in range(3):
            answer = await ask(relay, a_route(LAB))
            assert [one.failure for one in answer.attempts] == [""]
    assert len(served) == 3


async def test_connections_are_used_again() -> None:
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        for _ in range(5):
            await heard(await ask_stream(relay, a_route(LAB)))
        assert lab.connections == 1


@pytest.mark.parametrize("pause_s", [0.0, 0.02])
async def test_an_answer_that_comes_whole_behind_its_head_is_heard_every_time(pause_s: float) -> None:
    chunk = (
        b'data: {"id":"chatcmpl-%d","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,'
        b'"delta":%b,"finish_reason":%b}]}\n\n'
    )
    said = [b'{"role":"assistant","content":""}', b'{"content":"so"}', b'{"content":" it is"}']
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        for number in range(3):
            events = [chunk % (number, delta, b"null") for delta in said] + [chunk % (number, b"{}", b'"stop"')]
            body = b"".join([*events, b"data: [DONE]\n\n"])
            head = faults.head(content_type="text/event-stream", coded=True)
            whole = faults.coded(body) + faults.coded(b"")
            pieces = (head, whole) if pause_s else (head + whole,)
            lab.fail(faults.raw(*pieces, gap_s=pause_s), times=1)
            _, completion = await ask_whole(relay, a_route(LAB))
            assert completion["choices"][0]["message"]["content"] == "so it is"
            assert completion["id"] == f"chatcmpl-{number}"


class Mute(OpenAILane):
    """A lane whose answer ends well and says nothing."""

    async def _stream(self, call: Call) -> AsyncGenerator[Sequence[Event], None]:
        yield (OPENED,)


async def test_an_answer_without_a_choice_is_no_answer_however_it_ends() -> None:
    clock = SystemClock()
    lane = Mute(connections=Connections(clock=clock), endpoints=Endpoints({"lab": "http://127.0.0.1:1"}))
    relay = Relay(lanes={Lane.OPENAI: lane}, clock=clock, breakers=Breakers())
    with pytest.raises(RequestFailed, match=r"the answer came without any choice") as failed:
        await ask(relay, a_route(LAB))
    await relay.close()
    assert failed.value.failure_code == "stream_truncated"

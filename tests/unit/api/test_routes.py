"""The application's routes, called without a socket."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from builders import a_model, a_role
from fakes import faults
from fakes.ollama import FakeOllama
from fakes.replies import Reply
from gateway.api.reply import read_body
from gateway.domain.model import Provider
from gateway.domain.role import Deadlines, Task
from gateway.errors import RequestTooSlow
from live_builders import SteeredSource, a_live_gateway


def chat(**changes: Any) -> dict[str, Any]:
    return {"model": "planner", "messages": [{"role": "user", "content": "Say hello."}], **changes}


async def call(
    app: ASGIApp, body: dict[str, Any], *, left: asyncio.Event | None = None, reads: int | None = None
) -> list[Any]:
    """Call the application without a client between, and return what it sent. The caller leaves when ``left`` is set, and takes
    no more than ``reads`` messages."""
    sent: list[Any] = []
    content = httpx.Request("POST", "http://x", json=body).read()
    messages = iter([{"type": "http.request", "body": content, "more_body": False}])

    async def receive() -> Any:
        following = next(messages, None)
        if following is None:
            await (left or asyncio.Event()).wait()
            return {"type": "http.disconnect"}
        return following

    async def send(message: Any) -> None:
        if reads is not None and len(sent) >= reads:
            await asyncio.Event().wait()
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": [(b"host", b"127.0.0.1")]}
    await app(scope, receive, send)
    return sent


def source_at(url: str) -> SteeredSource:
    source = SteeredSource(a_model("ollama:llama3.1:8b"))
    source.provider = Provider(
        name="ollama", kind=source.provider.kind, lane=source.provider.lane, url=url, on_this_host=True
    )
    return source


async def test_an_answer_carries_who_was_asked_and_who_answered(tmp_path: Path) -> None:
    async with (
        FakeOllama(models=["llama3.1:8b"]) as ollama,
        a_live_gateway(tmp_path, a_role(), sources=[source_at(ollama.url)]) as live,
    ):
        answer = await live.client.post(
            "/v1/chat/completions", json=chat(), headers={"x-request-id": "mine-1", "x-rolegate-trace": "1"}
        )
        assert answer.status_code == 200
        told = {name: value for name, value in answer.headers.items() if name.startswith("x-")}
        overhead_ms = float(told.pop("x-rolegate-overhead-ms"))
        assert 0.0 <= overhead_ms < 10_000
        assert told.pop("x-rolegate-trace").startswith("ollama:llama3.1:8b=ok;ms=")
        assert told == {
            "x-request-id": "mine-1",
            "x-rolegate-role": "planner",
            "x-rolegate-model": "ollama:llama3.1:8b",
            "x-rolegate-attempts": "1",
            "x-rolegate-generation": "1",
        }
        assert answer.json()["choices"][0]["message"]["content"].startswith("Hello from")
        assert live.switchboard.live.in_flight == 0


async def test_a_stream_is_server_sent_events_that_end_with_done(tmp_path: Path) -> None:
    async with (
        FakeOllama(models=["llama3.1:8b"]) as ollama,
        a_live_gateway(tmp_path, a_role(), sources=[source_at(ollama.url)]) as live,
    ):
        ollama.say("llama3.1:8b", Reply(content=("One", " two")))
        answer = await live.client.post("/v1/chat/completions", json=chat(stream=True))
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["x-rolegate-model"] == "ollama:llama3.1:8b"
        frames = answer.text.removesuffix("\n\n").split("\n\n")
        assert all(frame.startswith("data: ") for frame in frames)
        assert frames[-1] == "data: [DONE]"


async def test_a_stream_that_breaks_after_content_ends_with_an_error_and_no_done(tmp_path: Path) -> None:
    async with (
        FakeOllama(models=["llama3.1:8b"]) as ollama,
        a_live_gateway(tmp_path, a_role(), sources=[source_at(ollama.url)]) as live,
    ):
        ollama.say("llama3.1:8b", Reply(content=("One", " two", " three")))
        ollama.fail(faults.eof(after_chunks=2), route="/api/chat")
        sent = await call(live.app, chat(stream=True))
        frames = b"".join(message.get("body", b"") for message in sent).decode()
        assert "[DONE]" not in frames
        assert '"code":"stream_truncated"' in frames.split("\n\n")[-2]
        assert sent[-1]["more_body"] is True


@pytest.mark.parametrize(
    ("content", "status", "code", "param"),
    [
        (b"", 400, "invalid_request", None),
        (b"{", 400, "invalid_request", None),
        (b"[]", 400, "invalid_request", None),
        (b'{"messages": []}', 400, "invalid_request", "model"),
        (b'{"model": "planner"}', 400, "invalid_request", "messages"),
        (b'{"model": "nobody", "messages": [{"role": "user", "content": "x"}]}', 404, "model_not_found", None),
        (b'{"model": "embedder", "messages": [{"role": "user", "content": "x"}]}', 400, "invalid_request", "model"),
        (b" " * (1 << 20) + b"{}", 413, "request_too_large", None),
    ],
)  # fmt: skip
async def test_what_cannot_be_understood_is_refused_in_one_shape(
    tmp_path: Path, content: bytes, status: int, code: str, param: str | None
) -> None:
    source = SteeredSource(a_model("ollama:a:1b"), a_model("ollama:e:1b", chats=False, embeds=True))
    roles = (a_role(), a_role("embedder", task=Task.EMBEDDING))
    async with a_live_gateway(tmp_path, *roles, sources=[source]) as live:
        answer = await live.client.post("/v1/chat/completions", content=content)
        assert answer.status_code == status
        error = answer.json()["error"]
        assert (error["code"], error["param"], error["source"]) == (code, param, "gateway")
        assert error["message"]
        assert answer.headers["x-request-id"]


async def test_a_body_that_does_not_arrive_in_time_is_refused() -> None:
    never = asyncio.Event()

    async def receive() -> Any:
        await never.wait()

    with pytest.raises(RequestTooSlow, match=r"the request body did not arrive within 0\.01 s"):
        await read_body(receive, limit_bytes=100, within_s=0.01)


async def test_before_the_first_plan_requests_are_told_to_come_back(tmp_path: Path) -> None:
    async with a_live_gateway(tmp_path, a_role(), sources=[SteeredSource()], started=False) as live:
        answer = await live.client.post("/v1/chat/completions", json=chat())
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "starting")
        assert (await live.client.get("/v1/models")).status_code == 503
        ready = await live.client.get("/readyz")
        assert (ready.status_code, ready.json()) == (503, {"status": "starting"})
        assert (await live.client.get("/healthz")).status_code == 200
        status = (await live.client.get("/admin/v1/status")).json()
        assert status["generation"] is None


async def test_readiness_names_the_roles_without_models_and_stays_when_a_provider_goes(tmp_path: Path) -> None:
    source = SteeredSource(a_model("ollama:a:1b"))
    roles = (a_role(), a_role("writer", preferred=["absent:1b"], discover=False))
    async with a_live_gateway(tmp_path, *roles, sources=[source]) as live:
        source.up = False
        await live.controller.look()
        ready = await live.client.get("/readyz")
        assert (ready.status_code, ready.json()) == (200, {"status": "ready", "generation": 1, "degraded": ["writer"]})


async def test_models_lists_the_roles_that_can_be_served_first_and_shows_each(tmp_path: Path) -> None:
    roles = (a_role(), a_role("writer", preferred=["absent:1b"], discover=False))
    async with a_live_gateway(tmp_path, *roles, sources=[SteeredSource(a_model("ollama:a:1b"))]) as live:
        listed = (await live.client.get("/v1/models")).json()
        assert [one["id"] for one in listed["data"]] == ["planner", "ollama:a:1b"]
        shown = (await live.client.get("/v1/models/ollama:a:1b")).json()
        assert (shown["object"], shown["owned_by"]) == ("model", "ollama")
        missing = await live.client.get("/v1/models/planer")
        assert missing.status_code == 404
        assert missing.json()["error"]["message"] == (
            'there is no role or model "planer"; the roles are: planner (did you mean "planner"?)'
        )


async def test_the_plan_is_shown_with_its_traces(tmp_path: Path) -> None:
    async with a_live_gateway(tmp_path, a_role(), sources=[SteeredSource(a_model("ollama:a:1b"))]) as live:
        plan = (await live.client.get("/admin/v1/plan")).json()
        assert plan["generation"] == 1
        assert plan["roles"]["planner"]["deployments"][0]["model"] == "ollama:a:1b"
        assert plan["roles"]["planner"]["trace"][0]["verdict"] == "ok"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/v1/images/generations", 501, "unsupported"),
        ("POST", "/v1/audio/speech", 501, "unsupported"),
        ("GET", "/v1/chat/completions", 405, "http_error"),
        ("GET", "/nowhere", 404, "not_found"),
        ("POST", "/v1/models", 405, "http_error"),
    ],
)
async def test_other_routes_are_refused_in_the_same_shape(
    tmp_path: Path, method: str, path: str, status: int, code: str
) -> None:
    async with a_live_gateway(tmp_path, a_role(), sources=[SteeredSource()]) as live:
        answer = await live.client.request(method, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "localhost:4000"}, 200),
        ({"host": "127.0.0.1"}, 200),
        ({"host": "[::1]:4000"}, 200),
        ({"host": "gateway.localhost"}, 200),
        ({"host": "rebound.example"}, 403),
        ({"host": "127.0.0.1.rebound.example"}, 403),
        ({"host": "[::1"}, 403),
        ({"host": ""}, 403),
        ({"origin": "http://localhost:8080"}, 200),
        ({"origin": "https://rebound.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
async def test_on_loopback_only_this_machine_is_answered(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    async with a_live_gateway(tmp_path, a_role(), sources=[SteeredSource()]) as live:
        assert (await live.client.get("/healthz", headers=headers)).status_code == status


async def test_a_caller_that_stops_reading_is_let_go_when_the_total_deadline_is_over(tmp_path: Path) -> None:
    role = a_role(deadlines=Deadlines(total_s=0.3))
    async with (
        FakeOllama(models=["llama3.1:8b"]) as ollama,
        a_live_gateway(tmp_path, role, sources=[source_at(ollama.url)]) as live,
    ):
        ollama.say("llama3.1:8b", Reply(content=("word ",) * 50))
        sent = await call(live.app, chat(stream=True), reads=2)
        assert len(sent) == 2
        assert sent[-1]["more_body"] is True
        await ollama.until(lambda: ollama.active == 0)
        assert live.switchboard.live.in_flight == 0


async def test_a_caller_that_leaves_while_a_model_loads_leaves_nothing_behind(tmp_path: Path) -> None:
    async with (
        FakeOllama(models=["llama3.1:8b"]) as ollama,
        a_live_gateway(tmp_path, a_role(), sources=[source_at(ollama.url)]) as live,
    ):
        ollama.runners.gate.clear()
        left = asyncio.Event()
        calling = asyncio.create_task(call(live.app, chat(), left=left))
        await ollama.until(lambda: bool(ollama.runners.loads))
        assert live.switchboard.live.in_flight == 1
        left.set()
        assert await calling == []
        assert live.switchboard.live.in_flight == 0
        ollama.runners.gate.set()

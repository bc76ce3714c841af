"""One dialect's endpoint, called without a socket: what is sent when, and what is sent when it goes wrong."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from builders import a_model, a_provider, a_role
from core_builders import a_core
from fakes import faults
from fakes.ollama import FakeOllama
from gateway.api.chat import Chat
from gateway.api.endpoint import Endpoint
from gateway.domain.record import RequestRecord
from live_builders import SteeredSource, a_live_gateway


class Notebook:
    """A journal in a list."""

    def __init__(self) -> None:
        self.records: list[RequestRecord] = []

    def record(self, record: RequestRecord) -> None:
        self.records.append(record)


class Visitor:
    """A caller without a socket."""

    def __init__(self, **body: Any) -> None:
        self.sent: list[Any] = []
        self.left = asyncio.Event()
        self._more = asyncio.Event()
        asked = {"model": "planner", "messages": [{"role": "user", "content": "Say hello."}], **body}
        self._messages = iter([{"type": "http.request", "body": orjson.dumps(asked), "more_body": False}])

    async def receive(self) -> Any:
        following = next(self._messages, None)
        if following is None:
            await self.left.wait()
            return {"type": "http.disconnect"}
        return following

    async def send(self, message: Any) -> None:
        self.sent.append(message)
        self._more.set()

    def visit(self, endpoint: Endpoint, *more: tuple[bytes, bytes]) -> asyncio.Task[None]:
        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions"}
        headers = [(b"host", b"127.0.0.1"), (b"x-request-id", b"mine-1"), *more]

        async def go() -> None:
            await endpoint({**scope, "headers": headers}, self.receive, self.send)

        return asyncio.create_task(go())

    async def hear(self, words: bytes) -> None:
        async with asyncio.timeout(10):
            while words not in self.body:
                self._more.clear()
                await self._more.wait()

    @property
    def body(self) -> bytes:
        return b"".join(one.get("body", b"") for one in self.sent)

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def ended(self) -> bool:
        return bool(self.sent) and not self.sent[-1].get("more_body", False)


@asynccontextmanager
async def an_endpoint(folder: Path) -> AsyncIterator[tuple[Endpoint, FakeOllama, Notebook]]:
    async with FakeOllama(models=["llama3.1:8b"]) as ollama, a_core(notice_s=0.005) as relay:
        source = SteeredSource(a_model("ollama:llama3.1:8b"), provider=a_provider(url=ollama.url))
        async with a_live_gateway(folder, a_role(), sources=[source]) as live:
            notebook = Notebook()
            yield (
                Endpoint(Chat(), relay=relay, switchboard=live.switchboard, body_limit_bytes=1 << 20, journal=notebook),
                ollama,
                notebook,
            )


async def test_headers_and_the_word_that_a_model_loads_go_out_before_anyone_answers(tmp_path: Path) -> None:
    async with an_endpoint(tmp_path) as (endpoint, ollama, notebook):
        ollama.runners.gate.clear()
        visitor = Visitor(stream=True)
        visit = visitor.visit(endpoint)
        await visitor.hear(b": loading ollama:llama3.1:8b\n\n")
        assert visitor.sent[0]["status"] == 200
        headers = visitor.headers
        assert headers["content-type"] == "text/event-stream; charset=utf-8"
        assert {
            name: value for name, value in headers.items() if name.startswith("x-ro") or name == "x-request-id"
        } == {
            "x-request-id": "mine-1",
            "x-rolegate-role": "planner",
            "x-rolegate-generation": "1",
        }
        ollama.runners.gate.set()
        await visit
    assert visitor.body.endswith(b"data: [DONE]\n\n")
    assert visitor.ended
    assert (notebook.records[0].status, notebook.records[0].failure) == (200, "")
    assert notebook.records[0].model == "ollama:llama3.1:8b"


async def test_a_load_that_fails_after_that_is_an_error_event_without_an_end(tmp_path: Path) -> None:
    async with an_endpoint(tmp_path) as (endpoint, ollama, notebook):
        ollama.runners.load_errors["llama3.1:8b"] = "out of memory"
        ollama.runners.gate.clear()
        visitor = Visitor(stream=True)
        visit = visitor.visit(endpoint)
        await visitor.hear(b": loading")
        ollama.runners.gate.set()
        await visit
    last = visitor.body.rstrip(b"\n").split(b"\n\n")[-1]
    assert orjson.loads(last.removeprefix(b"data: "))["error"]["code"] == "model_load_failed"
    assert b"[DONE]" not in visitor.body
    assert not visitor.ended
    assert notebook.records[0].failure == "model_load_failed"


async def test_a_load_that_fails_for_who_does_not_stream_is_a_status(tmp_path: Path) -> None:
    async with an_endpoint(tmp_path) as (endpoint, ollama, _):
        ollama.runners.load_errors["llama3.1:8b"] = "out of memory"
        visitor = Visitor()
        await visitor.visit(endpoint)
    assert visitor.sent[0]["status"] == 503
    assert visitor.headers["x-rolegate-attempts"] == "1"
    assert visitor.ended


@pytest.mark.parametrize("stream", [True, False])
async def test_a_caller_who_leaves_while_a_model_loads_leaves_only_the_load(tmp_path: Path, stream: bool) -> None:
    async with an_endpoint(tmp_path) as (endpoint, ollama, notebook):
        ollama.runners.gate.clear()
        visitor = Visitor(stream=stream)
        visit = visitor.visit(endpoint)
        await ollama.until(lambda: len(ollama.runners.loads) == 1)
        visitor.left.set()
        await visit
        ollama.runners.gate.set()
        await ollama.until(lambda: bool(ollama.loaded))
        assert ollama.requests_to("/api/chat") == []
    assert notebook.records[0].failure == "cancelled"


async def test_an_answer_that_breaks_off_has_no_end(tmp_path: Path) -> None:
    async with an_endpoint(tmp_path) as (endpoint, ollama, notebook):
        ollama.fail(faults.cut(after_chunks=2), route="/api/chat")
        visitor = Visitor(stream=True)
        await visitor.visit(endpoint)
    assert b'"code":"stream_truncated"' in visitor.body
    assert not visitor.ended
    assert (notebook.records[0].status, notebook.records[0].failure) == (200, "stream_truncated")


@pytest.mark.parametrize("stream", [True, False])
async def test_a_caller_who_leaves_closes_upstream_at_once(tmp_path: Path, stream: bool) -> None:
    async with an_endpoint(tmp_path) as (endpoint, ollama, notebook):
        ollama.fail(faults.stall(after_chunks=2), route="/api/chat")
        visitor = Visitor(stream=stream)
        visit = visitor.visit(endpoint)
        await ollama.until(lambda: any(one.chunks == 2 for one in ollama.requests_to("/api/chat")))
        visitor.left.set()
        await visit
        await ollama.until(lambda: ollama.active == 0)
    assert notebook.records[0].failure == "cancelled"


async def test_a_caller_who_leaves_before_the_first_word_leaves_a_record_of_whom_was_asked(tmp_path: Path) -> None:
    async with an_endpoint(tmp_path) as (endpoint, ollama, notebook):
        ollama.fail(faults.hang(), route="/api/chat")
        visitor = Visitor()
        visit = visitor.visit(endpoint)
        await ollama.until(lambda: bool(ollama.requests_to("/api/chat")))
        visitor.left.set()
        await visit
    (record,) = notebook.records
    assert (record.status, record.failure, record.role) == (499, "cancelled", "planner")
    assert [(one.model, one.failure) for one in record.attempts] == [("ollama:llama3.1:8b", "cancelled")]


async def test_a_wrong_request_is_recorded_under_the_role_that_it_asks_for(tmp_path: Path) -> None:
    async with an_endpoint(tmp_path) as (endpoint, _, notebook):
        visitor = Visitor(n=2)
        await visitor.visit(endpoint)
        assert visitor.headers["x-rolegate-role"] == "planner"
    assert (notebook.records[0].status, notebook.records[0].role) == (501, "planner")


async def test_a_wish_to_stay_home_is_kept_and_a_misspelt_one_refused(tmp_path: Path) -> None:
    async with an_endpoint(tmp_path) as (endpoint, _, notebook):
        kept = Visitor()
        await kept.visit(endpoint, (b"x-rolegate-cloud", b"never"))
        for wishes in ([b"Never"], [b"never", b"always"], [b""]):
            refused = Visitor()
            await refused.visit(endpoint, *((b"x-rolegate-cloud", one) for one in wishes))
            error = orjson.loads(refused.body)["error"]
            assert (refused.sent[0]["status"], error["param"]) == (400, "x-rolegate-cloud")
            assert error["message"] == f'the header x-rolegate-cloud is "{wishes[-1].decode()}"; allowed: never'
    assert kept.sent[0]["status"] == 200
    assert [one.status for one in notebook.records] == [200, 400, 400, 400]


@pytest.mark.parametrize("name", ["x-rolegate-clouds", "x_rolegate_cloud", "x-rolegate", "x-rolegatecloud"])
async def test_a_header_that_may_have_been_a_wish_is_refused(tmp_path: Path, name: str) -> None:
    async with an_endpoint(tmp_path) as (endpoint, _, _):
        refused, traced = Visitor(), Visitor()
        await refused.visit(endpoint, (name.encode(), b"never"))
        await traced.visit(endpoint, (b"x-rolegate-trace", b"1"), (b"x-of-somebody-else", b"rolegate"))
    error = orjson.loads(refused.body)["error"]
    assert (refused.sent[0]["status"], error["param"]) == (400, name)
    assert error["message"] == f'there is no header "{name}"; allowed: x-rolegate-cloud, x-rolegate-trace'
    assert traced.sent[0]["status"] == 200

"""Whatever a caller sends is answered: in the endpoint's own shape, never with a 500, and without a word of it in the log."""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.routing import Route
from starlette.types import ASGIApp

from builders import a_model, a_provider, a_role
from fakes.ollama import FakeOllama
from fakes.upstream import FakeUpstream, UpstreamModel
from fuzz_bodies import BODIES, SAID, anything_for
from gateway.api.app import build_app
from gateway.api.requests import Requests
from gateway.domain.cost import DaySum
from gateway.domain.model import ProviderKind
from gateway.domain.record import RequestRecord
from gateway.domain.role import Task
from gateway.domain.secret import Secret
from gateway.relay.sse import SseParser
from gateway.runtime.swap import Switchboard
from gateway.telemetry.logs import LineFormatter, Redactor
from live_builders import SteeredSource, a_configuration, a_controller
from relay_builders import a_relay

KEY: Final = "sk-canary-of-the-key-0123456789"
ENDPOINTS: Final = sorted(BODIES)
"""In the order of their names."""

both_forms = pytest.mark.parametrize("form", ["short", pytest.param("long", marks=pytest.mark.soak)])


class OneKey:
    """Every provider has the same key."""

    def key(self, provider: str) -> Secret | None:
        return Secret(KEY)


class Notebook:
    """A journal that only keeps what it is told."""

    dropped = 0

    def __init__(self) -> None:
        self.records: list[RequestRecord] = []

    def record(self, record: RequestRecord) -> None:
        self.records.append(record)

    def flush(self, *, within_s: float) -> bool:
        return True

    def recent(self, **_: object) -> Sequence[RequestRecord]:
        return ()

    def find(self, request_id: str) -> RequestRecord | None:
        return None

    def sums(self, *, since_day: int) -> Sequence[DaySum]:
        return ()


class Lines(logging.Handler):
    """Every line of the log as it would be written, nothing masked."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(LineFormatter(form="text", redactor=Redactor()))
        self.lines: list[str] = []
        self.worst = logging.NOTSET

    def emit(self, record: logging.LogRecord) -> None:
        self.worst = max(self.worst, record.levelno)
        self.lines.append(self.format(record))


@dataclass(kw_only=True)
class Said:
    """What the application answered."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    ended: bool = False


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """The application over an Ollama and an OpenAI-wire server, in an event loop of its own that runs while it is asked."""

    runner: asyncio.Runner
    app: ASGIApp
    switchboard: Switchboard
    journal: Notebook
    log: Lines

    def ask(self, method: str, path: str, *, body: bytes = b"", query: bytes = b"") -> Said:
        self.log.lines.clear()
        self.log.worst = logging.NOTSET
        self.journal.records.clear()
        said = self.runner.run(self._ask(method, path, body=body, query=query))
        assert self.switchboard.live.in_flight == 0
        told = "\n".join([*self.log.lines, *(repr(one) for one in self.journal.records)])
        assert KEY not in told
        assert SAID not in told
        assert self.log.worst < logging.ERROR, told
        assert KEY.encode() not in said.body
        return said

    async def _ask(self, method: str, path: str, *, body: bytes, query: bytes) -> Said:
        said = Said()
        halves = iter([(body[: len(body) // 2], True), (body[len(body) // 2 :], False)])

        async def receive() -> Any:
            following = next(halves, None)
            if following is None:
                await asyncio.Event().wait()
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": following[0], "more_body": following[1]}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                said.status = message["status"]
                said.headers = {name.decode(): value.decode("latin-1") for name, value in message["headers"]}
            else:
                said.body += message.get("body", b"")
                said.ended = not message.get("more_body", False)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query,
            "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")],
        }
        async with asyncio.timeout(60):
            await self.app(scope, receive, send)
        return said


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    log = Lines()
    loggers = [logging.getLogger(name) for name in ("gateway", "asyncio")]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.addHandler(log)
        one.setLevel(logging.DEBUG if one.name == "gateway" else logging.WARNING)
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            yield runner.run(_made(stack, runner=runner, folder=tmp_path_factory.mktemp("fuzz"), log=log))
        finally:
            runner.run(stack.aclose())
            for one, level in zip(loggers, levels, strict=True):
                one.removeHandler(log)
                one.setLevel(level)


async def _made(stack: AsyncExitStack, *, runner: asyncio.Runner, folder: Path, log: Lines) -> Gateway:
    models = ["llama3.1:8b", "gpt-oss:20b", "nomic-embed-text:latest"]
    ollama = await stack.enter_async_context(FakeOllama(models=models))
    plain, vectors = UpstreamModel(name="gpt-4o-mini"), UpstreamModel(name="vectors", embeds=True)
    upstream = await stack.enter_async_context(FakeUpstream(models=[plain, vectors], key=KEY))
    local = SteeredSource(
        a_model("ollama:llama3.1:8b", tools=True, vision=True, context=8192),
        a_model("ollama:gpt-oss:20b", tools=True, vision=False, context=8192),
        a_model("ollama:nomic-embed-text:latest", chats=False, embeds=True, context=2048),
        provider=a_provider(url=ollama.url),
    )
    lab = SteeredSource(
        a_model("lab:gpt-4o-mini", kind=ProviderKind.OPENAI, tools=True, vision=True, context=8192),
        a_model("lab:vectors", kind=ProviderKind.OPENAI, chats=False, embeds=True, context=8192),
        provider=a_provider("lab", kind=ProviderKind.OPENAI, url=upstream.base_url, has_key=True),
    )
    switchboard, journal = Switchboard(), Notebook()
    roles = (
        a_role("planner", preferred=["ollama:llama3.1:8b", "lab:gpt-4o-mini"]),
        a_role("writer", preferred=["lab:gpt-4o-mini"]),
        a_role("embedder", preferred=["lab:vectors"], task=Task.EMBEDDING),
    )
    controller = a_controller(a_configuration(folder, *roles), [local, lab], switchboard=switchboard)
    relay = await stack.enter_async_context(a_relay(urls={"lab": upstream.base_url}, key=KEY, keys=OneKey()))
    app = build_app(
        relay=relay,
        controller=controller,
        switchboard=switchboard,
        body_limit_bytes=1 << 20,
        loopback_only=True,
        journal=journal,
        more_routes=[Route("/admin/v1/requests", Requests(reader=journal, state=journal).recent)],
    )
    await controller.start()
    stack.push_async_callback(switchboard.close)
    return Gateway(runner=runner, app=app, switchboard=switchboard, journal=journal, log=log)


def check_answer(said: Said, *, path: str) -> None:
    """An answer, whole or streamed, or an error in the endpoint's shape."""
    assert said.status != 500, said.body
    if said.headers["content-type"].startswith("text/event-stream"):
        assert said.status == 200
        for event in SseParser().feed(said.body):
            assert event == b"[DONE]" or isinstance(orjson.loads(event), dict)
        return
    content = orjson.loads(said.body)
    assert isinstance(content, dict)
    assert said.ended
    assert int(said.headers["content-length"]) == len(said.body)
    if said.status == 200:
        assert "error" not in content or content["error"] is None
        return
    assert 400 <= said.status <= 599
    error = content["error"]
    message = error["message"]
    assert isinstance(message, str)
    assert message
    if path.startswith("/v1/messages"):
        assert content["type"] == "error"
        assert error["type"].endswith(("_error", "_too_large"))
    else:
        assert {"message", "type", "code", "param", "source"} <= set(error)
    if said.status == 400 and error["source"] == "gateway" and error["code"] == "invalid_request":
        named = error.get("param") is not None and str(error["param"]) in message
        assert named or message.startswith(("the body ", "the request has no body")), message


@both_forms
@pytest.mark.parametrize("path", ENDPOINTS)
@given(data=st.data())
def test_every_body_has_an_answer_that_keeps_to_the_endpoint(
    gateway: Gateway, path: str, form: str, data: st.DataObject
) -> None:
    body = data.draw(anything_for(BODIES[path]))
    check_answer(gateway.ask("POST", path, body=body), path=path)


@pytest.mark.parametrize("path", ENDPOINTS)
def test_the_bodies_that_are_bent_are_served_as_they_are(gateway: Gateway, path: str) -> None:
    said = gateway.ask("POST", path, body=orjson.dumps(BODIES[path]))
    assert said.status == 200, said.body
    check_answer(said, path=path)


queries = st.one_of(
    st.binary(max_size=30),
    st.dictionaries(
        st.sampled_from(["limit", "failed", "role", "since", "before", "force", ""]) | st.text(max_size=4),
        st.sampled_from(["", "0", "1", "-1", "nan", "1e999", "9" * 400, "\x00", "é", "\ud800"]) | st.text(max_size=6),
        max_size=4,
    ).map(lambda told: urlencode(told, errors="surrogatepass").encode()),
)
paths_to_read = st.sampled_from(
    ["/admin/v1/requests", "/admin/v1/status", "/v1/models", "/healthz", "/readyz", "/nowhere"]
) | st.text(max_size=20).map(lambda name: f"/v1/models/{name}")


@both_forms
@given(path=paths_to_read, query=queries, method=st.sampled_from(["GET", "GET", "POST", "DELETE", "X"]))
def test_every_query_has_an_answer_in_json(gateway: Gateway, form: str, path: str, query: bytes, method: str) -> None:
    said = gateway.ask(method, path, query=query)
    assert said.status < 500 or (path == "/readyz" and said.status == 503), said.body
    assert isinstance(orjson.loads(said.body), dict)

"""What is rendered, served by LiteLLM alone: its Router in this process, and the stock proxy as a child process."""

import inspect
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from builders import a_provider
from fakes import faults
from fakes.ollama import FakeOllama
from fakes.replies import Reply
from fakes.upstream import FakeUpstream, UpstreamModel
from gateway.backend.library import load_library
from gateway.backend.reach import reaching
from gateway.domain.address import Reach
from gateway.domain.model import Lane, ProviderKind
from gateway.domain.plan import Plan
from gateway.domain.role import Task
from gateway.rendering.output import to_yaml
from gateway.rendering.render import render, router_arguments
from gateway.rendering.router_settings import ROUTER_SETTINGS
from gateway.rendering.templates import Templates
from plans import (
    ROUTER_TEMPLATES,
    a_cloud_deployment,
    a_cloud_provider,
    a_deployment,
    a_plan,
    a_role_plan,
    by_name,
)

pytestmark = [
    pytest.mark.litellm_facts,
    pytest.mark.filterwarnings("ignore:Accessing the 'model_(computed_)?fields' attribute on the instance"),
    pytest.mark.filterwarnings(
        "ignore:Item '.*' on TypedDict class '.*' is using the `ReadOnly` qualifier:UserWarning"
    ),
]

KEY = "sk-made-up-0123456789"
ANYWHERE = Reach(local=True)
"""Stock LiteLLM asks whom it likes."""
HELLO = [{"role": "user", "content": "say hello please"}]


class Servers:
    """Two places with the same local models, an Ollama, and a cloud; all on this machine."""

    def __init__(self) -> None:
        local = UpstreamModel(name="qwen2.5-7b", context_tokens=40)
        self.first = FakeUpstream(models=[local, "embedded:smollm2:135m"])
        self.second = FakeUpstream(models=[local])
        self.cloud = FakeUpstream(models=["gpt-4o-mini"], key=KEY)
        self.ollama = FakeOllama()
        self.all = (self.first, self.second, self.cloud, self.ollama)

    async def __aenter__(self) -> "Servers":
        for server in self.all:
            await server.start()
        self.first.say("", Reply(content=("first",)))
        self.second.say("", Reply(content=("second",)))
        self.cloud.say("", Reply(content=("cloud",)))
        self.ollama.say("", Reply(content=("ollama",)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self.all:
            await server.stop()

    def config(self, *, plan: Plan) -> dict[str, object]:
        providers = by_name(
            [
                a_provider("first", kind=ProviderKind.OPENAI, url=self.first.base_url),
                a_provider("second", kind=ProviderKind.OPENAI, url=self.second.base_url),
                a_provider("embedded", kind=ProviderKind.EMBEDDED, url=None),
                a_provider("ollama", url=self.ollama.url),
                a_cloud_provider("openai", url=self.cloud.base_url),
            ]
        )
        # The first place stands in for the gateway, which is what serves the embedded engine's models.
        url = self.first.url
        return render(plan=plan, providers=providers, templates=Templates.load(ROUTER_TEMPLATES), gateway_url=url)


PLAN = a_plan(
    a_role_plan(
        "planner",
        a_deployment("first:qwen2.5-7b", order=1, lane=Lane.OPENAI),
        a_deployment("second:qwen2.5-7b", order=2, lane=Lane.OPENAI),
        a_cloud_deployment("openai:gpt-4o-mini", order=3),
    ),
    a_role_plan("critic", a_cloud_deployment("openai:gpt-4o-mini")),
    a_role_plan(
        "executor",
        a_deployment("ollama:llama3.1:8b", order=1, context=8192),
        a_deployment("embedded:smollm2:135m", order=2, lane=Lane.OPENAI),
        parameters={"temperature": 0.2},
    ),
    a_role_plan("embedder", a_deployment("ollama:nomic-embed-text:latest", context=2048), task=Task.EMBEDDING),
    a_role_plan("idle"),
)


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    async with Servers() as running:
        yield running


@pytest.fixture
def router(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    module = load_library().module
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    built = module.Router(**router_arguments(servers.config(plan=PLAN)))
    yield built
    built.discard()


async def said(router: Any, role: str, *, content: str = "say hello please") -> str:
    with reaching(ANYWHERE):
        answer = await router.acompletion(model=role, messages=[{"role": "user", "content": content}])
    return str(answer.choices[0].message.content)


def test_the_names_of_router_settings_are_those_of_the_installed_router() -> None:
    names = set(inspect.signature(load_library().module.Router.__init__).parameters) - {"self", "model_list"}
    new, gone = sorted(names - ROUTER_SETTINGS), sorted(ROUTER_SETTINGS - names)
    assert names == ROUTER_SETTINGS, f"new settings: {new}, gone: {gone}"


async def test_the_first_of_the_order_answers(router: Any) -> None:
    assert [await said(router, "planner") for _ in range(4)] == ["first"] * 4


async def test_the_next_of_the_order_answers_when_the_first_fails(router: Any, servers: Servers) -> None:
    servers.first.fail(faults.status(500, "{}"))
    assert await said(router, "planner") == "second"
    assert not servers.cloud.requests


async def test_the_cloud_answers_when_nothing_local_does(router: Any, servers: Servers) -> None:
    await servers.first.stop()
    servers.second.fail(faults.status(503, "{}"))
    assert await said(router, "planner") == "cloud"


async def test_the_cloud_answers_what_is_too_long_for_local_models(router: Any) -> None:
    assert await said(router, "planner", content="word " * 60) == "cloud"


async def test_a_role_with_cloud_only_answers_under_its_own_name(router: Any, servers: Servers) -> None:
    assert await said(router, "critic") == "cloud"
    assert servers.cloud.requests[-1].headers["Authorization"] == f"Bearer {KEY}"


async def test_ollama_is_asked_with_the_load_profile_and_without_truncation(router: Any, servers: Servers) -> None:
    assert await said(router, "executor") == "ollama"
    (request,) = servers.ollama.requests_to("/api/chat")
    assert request.json["options"] == {"num_ctx": 8192, "temperature": 0.2}
    assert request.json["truncate"] is False


async def test_the_embedded_model_is_reached_through_the_gateway_by_reference(router: Any, servers: Servers) -> None:
    await servers.ollama.stop()
    assert await said(router, "executor") == "first"
    assert servers.first.requests[-1].json["model"] == "embedded:smollm2:135m"


async def test_an_embedding_role_gives_vectors(router: Any, servers: Servers) -> None:
    with reaching(ANYWHERE):
        answer = await router.aembedding(model="embedder", input=["one", "two"])
    assert len(answer.data) == 2
    (request,) = servers.ollama.requests_to("/api/embed")
    assert request.json["truncate"] is False
    assert request.json["options"] == {"num_ctx": 2048}


async def test_a_role_without_deployments_is_not_there(router: Any) -> None:
    assert "idle" not in router.get_model_names()


async def test_the_stock_proxy_starts_from_the_file_and_answers_for_a_role(servers: Servers, tmp_path: Path) -> None:
    path = tmp_path / "router.yaml"
    path.write_text(to_yaml(servers.config(plan=PLAN)), encoding="utf-8")
    assert KEY not in path.read_text()
    with stock_proxy(path) as url:
        async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
            ask = {"model": "planner", "messages": HELLO}
            answer = (await client.post("/v1/chat/completions", json=ask)).json()
            assert answer["choices"][0]["message"]["content"] == "first"
            listed = (await client.get("/v1/models")).json()
            assert {model["id"] for model in listed["data"]} >= {"planner", "critic", "executor", "embedder"}
            await servers.first.stop()
            streamed = await client.post("/v1/chat/completions", json={**ask, "stream": True})
            assert '"content":"second"' in streamed.text
            await servers.second.stop()
            answer = (await client.post("/v1/chat/completions", json=ask)).json()
            assert answer["choices"][0]["message"]["content"] == "cloud"


@contextmanager
def stock_proxy(config: Path) -> Iterator[str]:
    """The proxy that LiteLLM ships, as anyone would start it; gives its address once it listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).with_name("litellm")), "--config", str(config)]
    settings = {
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "OPENAI_API_KEY": KEY,
        "NO_PROXY": "127.0.0.1",
        "PYTHONUNBUFFERED": "1",
    }
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        env={**os.environ, **settings},
        cwd=config.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        seen = list(read_until(process.stdout.readline, "Uvicorn running on"))
        assert process.poll() is None, "".join(seen)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=30)


def read_until(read: Callable[[], str], wanted: str) -> Iterator[str]:
    while line := read():
        yield line
        if wanted in line:
            return

"""The official clients, in both manners, the gateway they call, and LiteLLM kept off the network."""

import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anthropic
import openai
import pytest

from client_builders import World, a_world
from gateway.backend.library import load_library

MANNERS = ("sync", "async")


@pytest.fixture(scope="session")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture
def world(shared_world: World) -> World:
    shared_world.reset()
    return shared_world


@pytest.fixture(scope="session")
def trust() -> ssl.SSLContext:
    """What the clients would each make anew, which takes them most of their time."""
    return ssl.create_default_context()


@pytest.fixture
def litellm_stays_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that loading the library sets once per process, which the clean environment of each test takes away."""
    load_library()
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    monkeypatch.setenv("LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS", "True")


@pytest.fixture(params=MANNERS)
async def client(request: pytest.FixtureRequest, world: World, trust: ssl.SSLContext) -> AsyncIterator[Any]:
    """OpenAI's own client, which never asks twice."""
    settings: dict[str, Any] = {"base_url": world.base_url, "api_key": "none", "max_retries": 0, "timeout": 60}
    if request.param == "sync":
        with openai.OpenAI(**settings, http_client=openai.DefaultHttpxClient(verify=trust)) as blocking:
            yield blocking
    else:
        async with openai.AsyncOpenAI(**settings, http_client=openai.DefaultAsyncHttpxClient(verify=trust)) as awaited:
            yield awaited


@pytest.fixture(params=MANNERS)
async def claude(request: pytest.FixtureRequest, world: World, trust: ssl.SSLContext) -> AsyncIterator[Any]:
    """Anthropic's own client, which never asks twice."""
    settings: dict[str, Any] = {"base_url": world.gateway.url, "api_key": "none", "max_retries": 0, "timeout": 60}
    if request.param == "sync":
        with anthropic.Anthropic(**settings, http_client=anthropic.DefaultHttpxClient(verify=trust)) as blocking:
            yield blocking
    else:
        http = anthropic.DefaultAsyncHttpxClient(verify=trust)
        async with anthropic.AsyncAnthropic(**settings, http_client=http) as awaited:
            yield awaited

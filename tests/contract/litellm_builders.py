"""A LiteLLM backend over fakes: one deployment on OpenAI's wire for "planner", one on Anthropic's for "critic"."""

from collections.abc import Mapping
from typing import Any, Final

import pytest

from gateway.backend.router import LiteLLMBackend
from gateway.domain.model import Lane, ModelRef, Provider
from gateway.domain.ports import CompletionBackend
from gateway.rendering.render import render
from gateway.rendering.templates import Templates
from plans import (
    ROUTER_TEMPLATES,
    KnownKeys,
    a_cloud_deployment,
    a_cloud_provider,
    a_deployment,
    a_plan,
    a_role_plan,
)

ODD_WARNINGS: Final = (
    pytest.mark.filterwarnings("ignore:Accessing the 'model_(computed_)?fields' attribute on the instance"),
    pytest.mark.filterwarnings(
        "ignore:Item '.*' on TypedDict class '.*' is using the `ReadOnly` qualifier:UserWarning"
    ),
)
"""Marks for tests that run LiteLLM: what it and its models make other libraries say."""
KEY: Final = "sk-made-up-0123456789"
GPT: Final = ModelRef(provider="openai", name="gpt-4o-mini")
CLAUDE: Final = ModelRef(provider="anthropic", name="claude-sonnet-4-5")
HELLO: Final[Mapping[str, object]] = {"messages": [{"role": "user", "content": "say hello please"}]}
ALL_KEYS: Final = {"openai": KEY, "anthropic": KEY}


def config(*, openai_url: str, anthropic_url: str | None = None) -> dict[str, object]:
    providers: dict[str, Provider] = {
        "openai": a_cloud_provider("openai", url=openai_url),
        "anthropic": a_cloud_provider("anthropic", url=anthropic_url),
        "ollama": a_cloud_provider("ollama"),
    }
    planner = a_role_plan("planner", a_cloud_deployment(str(GPT)), parameters={"temperature": 0.2})
    critic = a_role_plan("critic", a_cloud_deployment(str(CLAUDE)))
    local = a_role_plan("local", a_deployment("ollama:mistral:latest", lane=Lane.OPENAI))
    return render(
        plan=a_plan(planner, critic, local),
        providers=providers,
        templates=Templates.load(ROUTER_TEMPLATES),
        gateway_url="http://127.0.0.1:4000",
    )


def a_backend(
    *, openai_url: str, anthropic_url: str | None = None, keys: Mapping[str, str] | None = None
) -> LiteLLMBackend:
    known = KnownKeys(by_provider=ALL_KEYS if keys is None else keys)
    return LiteLLMBackend.build(config(openai_url=openai_url, anthropic_url=anthropic_url), keys=known)


async def chunks(
    backend: CompletionBackend,
    body: Mapping[str, object] = HELLO,
    *,
    role: str = "planner",
    ref: ModelRef = GPT,
    total_s: float = 20.0,
) -> list[Mapping[str, Any]]:
    stream = backend.stream(role=role, ref=ref, body=body, connect_s=2.0, total_s=total_s)
    return [chunk async for chunk in stream if chunk]

"""A gateway process with one role per lane, and servers behind it that a test tells what to say.

``local`` leads to the native Ollama wire, ``wire`` to a server on the OpenAI wire, ``cloud`` and ``claude`` through LiteLLM to
OpenAI's and Anthropic's. All of it lives in a thread of its own, so that clients that block can call it too.
"""

import asyncio
import inspect
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pytest

from fakes.faults import Fault
from fakes.ollama import FakeOllama
from fakes.ollama_models import FakeModel, alias, catalogue, tensor_bytes
from fakes.replies import Script
from fakes.serving import FakeServer, Recorded
from fakes.upstream import FakeUpstream, UpstreamModel
from gateway_process import GatewayProcess

KEY: Final = "sk-made-up-0123456789"
LANES: Final = ("local", "wire", "cloud", "claude")
TROUBLES: Final = ("limited", "busy", "keyless", "missing", "hasty", "stalling")
"""A model of its own for every fault that keeps a deployment from being called for a while, and for roles that do not wait."""
HASTE: Final[Mapping[str, Mapping[str, object]]] = {
    "hasty": {"deadlines": {"first_token_s": 0.5}},
    "stalling": {"deadlines": {"gap_s": 0.5}},
}
PIXEL: Final = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SOUND: Final = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="
WEATHER: Final = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}

_KEPT_VARIABLES: Final = ("PATH", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "SYSTEMROOT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """What answers for a role: the server ``at``, the name that upstream knows it by, and the reference the gateway does."""

    at: str
    model: str
    reference: str
    features: Mapping[str, object] = field(default_factory=dict)
    task: str = "chat"
    then: str = ""
    """The reference of what answers when this does not."""


_ABLE: Final = {
    "supports_tools": True,
    "supports_vision": True,
    "supports_json_schema": True,
    "supports_thinking": True,
    "supports_audio": False,
    "context_length": 32_768,
}
_PLAIN: Final = {"supports_tools": False, "supports_vision": False, "supports_thinking": False, "context_length": 8192}


def _on_ollama(model: str, **more: Any) -> Deployed:
    return Deployed(at="ollama", model=model, reference=f"ollama:{model}", **more)


def _on_wire(model: str, **features: object) -> Deployed:
    return Deployed(at="wire", model=model, reference=f"lab:{model}", features=features)


def _on_cloud(model: str, **features: object) -> Deployed:
    return Deployed(at="cloud", model=model, reference=f"openai:{model}", features=features)


def _on_claude(model: str, **features: object) -> Deployed:
    return Deployed(at="claude", model=model, reference=f"anthropic:{model}", features=features)


ROLES: Final[Mapping[str, Deployed]] = {
    "local": _on_ollama("qwen3:8b"),
    "local-plain": _on_ollama("llama3.1:8b"),
    "local-seeing": _on_ollama("gemma3:4b"),
    "local-late": _on_ollama("gpt-oss:20b"),
    "local-infill": _on_ollama("infill:7b"),
    "local-embed": _on_ollama("nomic-embed-text:latest", task="embedding"),
    "wire": _on_wire("lab-model", **{**_ABLE, "supports_audio": True, "supports_insert": True}),
    "wire-plain": _on_wire("lab-plain", **_PLAIN),
    "wire-first": replace(_on_wire("lab-first"), then="ollama:llama3.1:8b"),
    "wire-embed": replace(_on_wire("lab-embed"), task="embedding"),
    "cloud": _on_cloud("gpt-4o-mini", **_ABLE),
    "cloud-plain": _on_cloud("gpt-3.5-turbo", **_PLAIN),
    "cloud-thinking": _on_cloud("o4-mini", **_ABLE),
    "cloud-embed": replace(_on_cloud("text-embedding-3-small"), task="embedding"),
    "claude": _on_claude("claude-sonnet-4-5", **_ABLE),
    "claude-plain": _on_claude("claude-3-haiku-20240307", **_PLAIN),
    **{f"local-{one}": _on_ollama(f"{one}:8b") for one in TROUBLES},
    **{f"wire-{one}": _on_wire(f"lab-{one}", **_ABLE) for one in TROUBLES},
    **{f"cloud-{one}": _on_cloud(f"gpt-4o-{one}", **_ABLE) for one in TROUBLES},
    **{f"claude-{one}": _on_claude(f"claude-sonnet-4-5-{one}", **_ABLE) for one in TROUBLES},
}


def _installed() -> list[FakeModel]:
    known = {name: _small(model) for name, model in catalogue().items()}
    infill = replace(known["qwen2.5:7b"], name="infill:7b", weights="infill", capabilities=("completion", "insert"))
    names = ("qwen3:8b", "llama3.1:8b", "gemma3:4b", "gpt-oss:20b", "nomic-embed-text:latest")
    return [*(known[name] for name in names), infill, *(alias(known["qwen3:8b"], f"{one}:8b") for one in TROUBLES)]


def _small(model: FakeModel) -> FakeModel:
    """The model with one layer of all it has, so that it fits whatever else this machine does."""
    tensors = tuple(one for one in model.tensors if one[0].startswith("blk.0."))
    info = {key: 1 if key.endswith(".block_count") else value for key, value in model.model_info.items()}
    return replace(model, tensors=tensors, model_info=info, size_bytes=tensor_bytes(tensors))


def _configuration(urls: Mapping[str, str]) -> dict[str, object]:
    declared = {one.reference: {"capabilities": dict(one.features)} for one in ROLES.values() if one.features}

    def cloud(at: str, url: str) -> dict[str, object]:
        models = {one.model: {"capabilities": dict(one.features)} for one in ROLES.values() if one.at == at}
        return {"api_endpoint": url, "models": models, "lane": "litellm"}

    return {
        "role_mappings": {
            name: {
                "preferred": [one.reference, one.then] if one.then else [one.reference],
                "discover": False,
                "allow_cloud": True,
                "task": one.task,
                **HASTE.get(name.rpartition("-")[2], {}),
            }
            for name, one in ROLES.items()
        },
        "model_profiles": {name: one for name, one in declared.items() if name.startswith("lab:")},
        "local_providers": {
            "ollama": {"kind": "ollama", "url": urls["ollama"]},
            "lab": {"kind": "openai", "url": f"{urls['wire']}/v1"},
        },
        "cloud_providers": {
            "openai": cloud("cloud", f"{urls['cloud']}/v1"),
            "anthropic": cloud("claude", urls["claude"]),
        },
        "selection": {"cloud_fallback": True},
        "gateway": {"body_limit_bytes": 1 << 20},
    }


class World:
    """The gateway and the servers behind it. Roles are those of ``ROLES``."""

    def __init__(self, *, gateway: GatewayProcess, fakes: Mapping[str, FakeOllama | FakeUpstream]) -> None:
        self.gateway = gateway
        self._fakes = fakes
        self._loop = asyncio.get_running_loop()

    @property
    def base_url(self) -> str:
        return self.gateway.base_url

    def fake(self, role: str) -> FakeOllama | FakeUpstream:
        return self._fakes[ROLES[role].at]

    def model(self, role: str) -> str:
        return ROLES[role].model

    def route(self, role: str) -> str:
        """Where upstream is asked for a chat."""
        return {"ollama": "/api/chat", "claude": "/v1/messages"}.get(ROLES[role].at, "/v1/chat/completions")

    def say(self, role: str, reply: Script) -> None:
        self.fake(role).say(self.model(role), reply)

    def fail(self, role: str, fault: Fault, *, times: int | None = None) -> None:
        """Show ``fault`` to chats of this role."""
        self.fake(role).fail(fault, route=self.route(role), model=self.model(role), times=times)

    def asked(self, role: str, *, route: str = "") -> list[Recorded]:
        """The requests that upstream saw for this role, preloads left out."""
        seen = self.fake(role).requests_to(route or self.route(role))
        return [one for one in seen if one.model == self.model(role) and (one.json or {}).get("messages") != []]

    def sent(self, role: str, *, route: str = "") -> Any:
        """The body of the last of them."""
        return self.asked(role, route=route)[-1].json

    async def until(self, role: str, holds: Callable[[], bool]) -> None:
        """Wait for a state of the server that answers for this role."""
        waiting = asyncio.run_coroutine_threadsafe(self.fake(role).until(holds), self._loop)
        await asyncio.wrap_future(waiting)

    def reset(self) -> None:
        """Forget what was said, asked and broken."""
        for fake in self._fakes.values():
            fake.scripts.clear()
            fake.heal()
            fake.requests.clear()
            if isinstance(fake, FakeUpstream):
                fake.sends_done, fake.comments = True, False


@contextmanager
def a_world(folder: Path) -> Iterator[World]:
    """Start it all in a thread, and take it down again."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="world")
    thread.start()
    stack = AsyncExitStack()
    try:
        with pytest.MonkeyPatch.context() as patch:
            _clean(patch, home=folder)
            world = asyncio.run_coroutine_threadsafe(_started(stack, folder=folder), loop).result(120)
        yield world
    finally:
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result(120)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _clean(patch: pytest.MonkeyPatch, *, home: Path) -> None:
    for name in set(os.environ) - set(_KEPT_VARIABLES):
        patch.delenv(name)
    patch.setenv("HOME", str(home))


async def _started(stack: AsyncExitStack, *, folder: Path) -> World:
    def upstream(at: str, key: str | None = None) -> FakeUpstream:
        chosen = [one for one in ROLES.values() if one.at == at]
        models = [UpstreamModel(name=one.model, embeds=one.task == "embedding") for one in chosen]
        return FakeUpstream(models=models, key=key)

    fakes: dict[str, FakeServer] = {
        "ollama": FakeOllama(models=_installed()),
        "wire": upstream("wire", KEY),
        "cloud": upstream("cloud", KEY),
        "claude": upstream("claude", KEY),
    }
    for fake in fakes.values():
        await stack.enter_async_context(fake)
    keys = {"LAB_API_KEY": KEY, "OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY}
    config = _configuration({name: fake.url for name, fake in fakes.items()})
    gateway = await stack.enter_async_context(GatewayProcess(folder, config, environment=keys))
    return World(gateway=gateway, fakes=fakes)  # type: ignore[arg-type]  # each is one of the two


async def done(value: Any) -> Any:
    """What a client's call gives, be it one that blocks or one that is awaited."""
    return await value if inspect.isawaitable(value) else value


async def drained(stream: Any) -> list[Any]:
    """All that a client's stream gives."""
    if isinstance(stream, AsyncIterator) or hasattr(stream, "__aiter__"):
        return [one async for one in stream]
    return list(stream)


@asynccontextmanager
async def opened(manager: Any) -> AsyncIterator[Any]:
    """Enter a client's context manager of either manner."""
    if hasattr(manager, "__aenter__"):
        async with manager as inside:
            yield inside
    else:
        with manager as inside:
            yield inside


def user(*content: Any) -> list[Any]:
    """A conversation of one message: a text, or parts."""
    if len(content) == 1 and isinstance(content[0], str):
        return [{"role": "user", "content": content[0]}]
    return [{"role": "user", "content": list(content)}]


def said(chunks: Iterable[Any], name: str = "content") -> str:
    """One field of all deltas of a chat stream, joined."""
    return "".join(getattr(one.choices[0].delta, name, None) or "" for one in chunks if one.choices)

"""What tests of the living system need: a controller over sources that a test steers, and the application over it."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from starlette.types import ASGIApp

from builders import a_machine, a_provider
from gateway.api.app import build_app
from gateway.config.environ import Environment
from gateway.config.load import load
from gateway.config.settings import Configuration
from gateway.domain.model import Model, ModelRef, Provider
from gateway.domain.plan import Plan
from gateway.domain.ports import CompletionBackend, Discovery, ProviderState
from gateway.domain.resources import Resources
from gateway.domain.role import Role
from gateway.errors import RolegateError
from gateway.registry.registry import Registry
from gateway.relay.relay import Relay
from gateway.runtime.controller import Controller
from gateway.runtime.effects import Effects
from gateway.runtime.swap import Switchboard
from relay_builders import SystemClock, a_relay


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a state of the gateway, one turn of the event loop at a time."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110  (what is waited for is the product's state, which has no event)
            await asyncio.sleep(0)


class SteeredSource:
    """A provider whose answers a test sets. Implements ``ModelSource``."""

    def __init__(
        self, *models: Model, provider: Provider | None = None, up: bool = True, complete: bool = True
    ) -> None:
        self.provider = provider or a_provider()
        self.models: Sequence[Model] = models
        self.up = up
        self.complete = complete
        self.asked = 0

    async def discover(self) -> tuple[ProviderState, Sequence[Model]]:
        self.asked += 1
        if self.up:
            state = ProviderState(provider=self.provider, up=True, complete=self.complete, version="1")
            return state, self.models
        return ProviderState(provider=self.provider, up=False, error=f"{self.provider.name} does not answer"), ()


class CountingBackend:
    """A LiteLLM backend that only knows whether it was closed."""

    chunks: Sequence[Mapping[str, object]] = ()

    def __init__(self) -> None:
        self.closed = 0

    async def stream(
        self, *, role: str, ref: ModelRef, body: Mapping[str, object], connect_s: float, total_s: float
    ) -> AsyncIterator[Mapping[str, object]]:
        for chunk in self.chunks:
            yield chunk

    async def embed(
        self, *, role: str, ref: ModelRef, body: Mapping[str, object], connect_s: float, total_s: float
    ) -> Mapping[str, object]:
        return {"object": "list", "data": []}

    async def close(self) -> None:
        self.closed += 1


@dataclass(kw_only=True)
class Recorder:
    """The controller's effects, recorded. ``trouble`` is raised by the next rendering, ``surprise`` by the next look; what
    ``template`` says is rendered too."""

    rendered: list[Plan] = field(default_factory=list)
    backends: list[CountingBackend] = field(default_factory=list)
    seen: list[Discovery] = field(default_factory=list)
    kept: list[Mapping[str, object]] = field(default_factory=list)
    template: Mapping[str, object] = field(default_factory=dict)
    trouble: RolegateError | None = None
    surprise: Exception | None = None

    def hear(self, discovery: Discovery) -> None:
        self.seen.append(discovery)
        surprise, self.surprise = self.surprise, None
        if surprise is not None:
            raise surprise

    def render(self, plan: Plan, discovery: Discovery) -> Mapping[str, object]:
        trouble, self.trouble = self.trouble, None
        if trouble is not None:
            raise trouble
        self.rendered.append(plan)
        return {"model_list": [], **self.template}

    def build(self, rendered: Mapping[str, object]) -> CompletionBackend:
        self.backends.append(CountingBackend())
        return self.backends[-1]

    def effects(self) -> Effects:
        return Effects(seen=self.hear, render=self.render, build_backend=self.build, keep=self.kept.append)


class SteadyMachine:
    def __init__(self) -> None:
        self.now = a_machine(available_gb=64.0, total_gb=64.0)

    def sample(self) -> Resources:
        return self.now


def a_configuration(folder: Path, *roles: Role, **settings: Any) -> Configuration:
    """An empty configuration with these roles; ``settings`` go to the gateway section."""
    empty = load(folder=folder, state_folder=folder, environment=Environment(variables={}))
    gateway = dataclasses.replace(empty.gateway, **settings)
    return dataclasses.replace(empty, roles={role.name: role for role in roles}, gateway=gateway)


def a_controller(
    configuration: Configuration,
    sources: Iterable[SteeredSource],
    *,
    switchboard: Switchboard | None = None,
    recorder: Recorder | None = None,
    await_s: float = 0.01,
) -> Controller:
    clock = SystemClock()
    return Controller(
        configuration=configuration,
        registry=Registry(list(sources)),
        probe=SteadyMachine(),
        switchboard=switchboard or Switchboard(),
        effects=(recorder or Recorder()).effects(),
        clock=clock,
        await_s=await_s,
        refresh_s=await_s,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    client: httpx.AsyncClient
    app: ASGIApp
    controller: Controller
    switchboard: Switchboard
    relay: Relay


@asynccontextmanager
async def a_live_gateway(
    folder: Path,
    *roles: Role,
    sources: Iterable[SteeredSource],
    urls: Mapping[str, str] | None = None,
    started: bool = True,
    body_limit_bytes: int = 1 << 20,
) -> AsyncIterator[Live]:
    """The application in this process, with a client that calls it without a socket."""
    switchboard = Switchboard()
    controller = a_controller(a_configuration(folder, *roles), sources, switchboard=switchboard)
    async with a_relay(urls=urls) as relay:
        app = build_app(
            relay=relay,
            controller=controller,
            switchboard=switchboard,
            body_limit_bytes=body_limit_bytes,
            loopback_only=True,
        )
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:4000") as client:
            if started:
                await controller.start()
            yield Live(client=client, app=app, controller=controller, switchboard=switchboard, relay=relay)
        await switchboard.close()

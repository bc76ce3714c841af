"""What tests of the relay's core need beyond a plain route: how a role is served, what a provider takes, a patient relay."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from gateway.domain.model import Lane
from gateway.domain.plan import Deployment
from gateway.domain.role import Manner
from gateway.relay.answer import StreamingAnswer
from gateway.relay.breaker import Breakers
from gateway.relay.connections import Connections
from gateway.relay.ledger import Observer
from gateway.relay.ollama_lane import OllamaLane
from gateway.relay.openai_lane import OpenAILane
from gateway.relay.relay import Relay
from gateway.relay.route import Route
from relay_builders import Endpoints, SystemClock, a_deployment

CARRIES_ON = frozenset({"supports_tools", "supports_prefill"})
FIRST = a_deployment("ollama:llama3.1:8b", features=CARRIES_ON)
SECOND = a_deployment("ollama:mistral:latest", order=2, features=CARRIES_ON)


def a_lab(name: str = "lab", *, order: int = 2, **changes: Any) -> Deployment:
    """A deployment on an OpenAI-wire server that goes on with what another one began."""
    return a_deployment(f"{name}:gpt-4o-mini", lane=Lane.OPENAI, order=order, **{"features": CARRIES_ON, **changes})


def served(route: Route, **manner: Any) -> Route:
    """The route of a role that is served in this manner."""
    return replace(route, plan=replace(route.plan, manner=Manner(**manner)))


def bounded(route: Route, provider: str, **limits: Any) -> Route:
    """The route with limits of one provider: ``max_parallel``, ``queue``, ``queue_wait_s``."""
    return replace(route, providers={**route.providers, provider: replace(route.providers[provider], **limits)})


class ManualClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s

    def time(self) -> float:
        return self.now_s


@asynccontextmanager
async def a_core(
    *,
    urls: Mapping[str, str] | None = None,
    notice_s: float = 2.0,
    breakers: Breakers | None = None,
    observer: Observer | None = None,
) -> AsyncIterator[Relay]:
    """A relay that says every ``notice_s`` that a model loads."""
    clock = SystemClock()
    connections = Connections(clock=clock)
    relay = Relay(
        lanes={
            Lane.OLLAMA: OllamaLane(connections=connections, clock=clock),
            Lane.OPENAI: OpenAILane(connections=connections, endpoints=Endpoints(urls or {})),
        },
        clock=clock,
        breakers=breakers or Breakers(),
        observer=observer,
        notice_s=notice_s,
    )
    try:
        yield relay
    finally:
        await relay.close()


class Listener:
    """A caller of a stream, who can be asked what came so far."""

    def __init__(self) -> None:
        self.data = b""
        self.came = asyncio.Event()

    async def write(self, frames: bytes) -> None:
        self.data += frames
        self.came.set()

    async def hear(self, words: bytes) -> None:
        """Wait until these words have come."""
        async with asyncio.timeout(10):
            while words not in self.data:
                self.came.clear()
                await self.came.wait()

    def follow(self, answer: StreamingAnswer) -> asyncio.Task[None]:
        async def deliver() -> None:
            try:
                await answer.deliver(self.write)
            finally:
                await answer.aclose()

        return asyncio.create_task(deliver())

"""What tests of the relay need: deployments, routes, and a relay with all its lanes over real connections."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import orjson

from builders import a_provider
from gateway.domain.capabilities import FEATURE_FIELDS
from gateway.domain.model import Lane, ModelRef, Provider, ProviderKind
from gateway.domain.plan import Deployment, RolePlan, Via
from gateway.domain.ports import CloudGate, CompletionBackend, Endpoint, KeySource
from gateway.domain.role import Deadlines, Task
from gateway.domain.secret import Secret
from gateway.errors import UpstreamFailed
from gateway.relay.answer import Answer, StreamingAnswer
from gateway.relay.breaker import Breakers
from gateway.relay.connections import Connections
from gateway.relay.ledger import Observer
from gateway.relay.litellm_lane import LiteLLMLane
from gateway.relay.ollama_lane import OllamaLane
from gateway.relay.openai_lane import OpenAILane
from gateway.relay.relay import Relay
from gateway.relay.request import ChatRequest
from gateway.relay.route import Route
from gateway.relay.wire import ChatWire

ALL_FEATURES: Final = frozenset(FEATURE_FIELDS)
KIND_OF_LANE: Final = {
    Lane.OLLAMA: ProviderKind.OLLAMA,
    Lane.OPENAI: ProviderKind.OPENAI,
    Lane.LITELLM: ProviderKind.CLOUD,
}


class SystemClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()


def a_deployment(reference: str = "ollama:llama3.1:8b", *, lane: Lane = Lane.OLLAMA, **changes: Any) -> Deployment:
    provider, _, name = reference.partition(":")
    settings: dict[str, Any] = {
        "ref": ModelRef(provider=provider, name=name),
        "lane": lane,
        "order": 1,
        "cloud": lane is Lane.LITELLM,
        "via": Via.PREFERRED,
        "context_tokens": 4096,
        "features": frozenset({"supports_tools"}),
        **changes,
    }
    return Deployment(**settings)


def a_route(
    *deployments: Deployment,
    urls: Mapping[str, str] | None = None,
    deadlines: Deadlines | None = None,
    parameters: Mapping[str, object] | None = None,
    task: Task = Task.CHAT,
    backend: CompletionBackend | None = None,
) -> Route:
    """A route for the role ``planner``. ``urls`` maps provider names to where they listen."""
    providers: dict[str, Provider] = {}
    for one in deployments:
        name = one.ref.provider
        kind = KIND_OF_LANE[one.lane]
        providers[name] = a_provider(
            name,
            kind=kind,
            url=(urls or {}).get(name),
            has_key=kind is ProviderKind.CLOUD,
            key_variable=f"{name.upper()}_API_KEY",
        )
    plan = RolePlan(
        role="planner",
        task=task,
        deployments=deployments,
        deadlines=deadlines or Deadlines(),
        parameters=parameters or {},
    )
    return Route(plan=plan, providers=providers, generation=1, backend=backend)


class Endpoints:
    """Resolves every reference to the URL of its provider."""

    def __init__(self, urls: Mapping[str, str], *, key: str | None = None) -> None:
        self._urls = urls
        self._key = None if key is None else Secret(key)

    def known(self, ref: ModelRef, *, provider: Provider) -> Endpoint | None:
        return None

    async def resolve(self, ref: ModelRef, *, provider: Provider, context_tokens: int | None) -> Endpoint:
        return Endpoint(base_url=self._urls[ref.provider], model=ref.name, key=self._key)

    def resident(self, ref: ModelRef, *, provider: Provider, context_tokens: int | None) -> bool:
        return True


class ScriptedBackend:
    """A litellm lane without LiteLLM: yields chunks, then raises the failure if there is one."""

    def __init__(self, chunks: Sequence[Mapping[str, object]] = (), *, failed: UpstreamFailed | None = None) -> None:
        self._chunks = chunks
        self._failed = failed
        self.bodies: list[Mapping[str, object]] = []
        self.closed = 0

    async def stream(
        self, *, role: str, ref: ModelRef, body: Mapping[str, object], connect_s: float, total_s: float
    ) -> AsyncIterator[Mapping[str, object]]:
        self.bodies.append({"role": role, "ref": str(ref), "connect_s": connect_s, "total_s": total_s, **body})
        try:
            for chunk in self._chunks:
                yield chunk
            if self._failed is not None:
                raise self._failed
        finally:
            self.closed += 1

    async def embed(
        self, *, role: str, ref: ModelRef, body: Mapping[str, object], connect_s: float, total_s: float
    ) -> Mapping[str, object]:
        raise self._failed or UpstreamFailed("nothing is embedded here", failure="gone")

    async def close(self) -> None:
        """Nothing is held."""


@asynccontextmanager
async def a_relay(
    *,
    urls: Mapping[str, str] | None = None,
    key: str | None = None,
    keys: KeySource | None = None,
    breakers: Breakers | None = None,
    observer: Observer | None = None,
    gate: CloudGate | None = None,
) -> AsyncIterator[Relay]:
    clock = SystemClock()
    connections = Connections(clock=clock)
    relay = Relay(
        lanes={
            Lane.OLLAMA: OllamaLane(connections=connections, clock=clock, keys=keys),
            Lane.OPENAI: OpenAILane(connections=connections, endpoints=Endpoints(urls or {}, key=key)),
            Lane.LITELLM: LiteLLMLane(),
        },
        clock=clock,
        breakers=breakers or Breakers(),
        observer=observer,
        gate=gate,
    )
    try:
        yield relay
    finally:
        await relay.close()


def a_request(**changes: Any) -> ChatRequest:
    body = {"model": "planner", "messages": [{"role": "user", "content": "Say hello."}], **changes}
    return ChatRequest.parse(orjson.dumps(body))


async def ask(relay: Relay, route: Route, **changes: Any) -> Answer | StreamingAnswer:
    request = a_request(**changes)
    wire = ChatWire(include_usage=request.include_usage)
    return await relay.answer(inquiry=request, wire=wire, route=route, request_id="req-1")


async def ask_whole(relay: Relay, route: Route, **changes: Any) -> tuple[Answer, dict[str, Any]]:
    answer = await ask(relay, route, **changes)
    assert isinstance(answer, Answer)
    return answer, orjson.loads(answer.body)


async def ask_stream(relay: Relay, route: Route, **changes: Any) -> StreamingAnswer:
    answer = await ask(relay, route, stream=True, **changes)
    assert isinstance(answer, StreamingAnswer)
    return answer


async def delivered(answer: StreamingAnswer) -> bytes:
    """All of a stream, as it was written."""
    frames: list[bytes] = []

    async def write(data: bytes) -> None:
        frames.append(data)

    await answer.deliver(write)
    await answer.aclose()
    return b"".join(frames)


async def heard(answer: StreamingAnswer) -> list[Any]:
    """Every event of a stream."""
    return events_in(await delivered(answer))


def events_in(data: bytes) -> list[Any]:
    """Every event as JSON, ``"[DONE]"`` for the last word."""
    events = [event.removeprefix(b"data: ") for event in data.split(b"\n\n") if event]
    return ["[DONE]" if event == b"[DONE]" else orjson.loads(event) for event in events]


def text_of(events: Sequence[Any]) -> str:
    """All the content deltas of a stream."""
    choices = [choice for event in events if isinstance(event, dict) for choice in event.get("choices", [])]
    return "".join(choice["delta"].get("content") or "" for choice in choices)

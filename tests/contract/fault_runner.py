"""Runs cells of the fault matrix: for each the whole application behind a socket of its own, and servers that fail on demand."""

import asyncio
import contextlib
import socket
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson

from builders import a_model, a_provider, a_role
from contract.fault_cells import MODEL, SECOND, Cell
from contract.fault_wire import PIECES
from fakes.ollama import FakeOllama
from fakes.replies import Reply
from fakes.serving import FakeServer
from fakes.upstream import FakeUpstream
from gateway.api.app import build_app
from gateway.backend.library import load_library
from gateway.backend.router import LiteLLMBackend
from gateway.compose.listening import Server
from gateway.domain.model import Lane, Model, Provider, ProviderKind
from gateway.domain.plan import Plan
from gateway.domain.ports import Discovery
from gateway.registry.registry import Registry
from gateway.rendering.render import render
from gateway.rendering.templates import Templates
from gateway.runtime.controller import Controller
from gateway.runtime.effects import Effects
from gateway.runtime.swap import Switchboard
from live_builders import SteadyMachine, SteeredSource, a_configuration
from plans import ROUTER_TEMPLATES, KnownKeys, by_name
from relay_builders import SystemClock, a_relay

KEY: Final = "sk-made-up-0123456789"
GUARD_S: Final = 60.0
"""By then an exchange hangs. No cell comes near."""
SECOND_PIECES: Final = ("well ", "said")
CONTEXT_TOKENS: Final = 4096
NOWHERE: Final = "127." + ".".join(["nowhere-at-all" * 4] * 5)
"""Longer than a name can be, so that no name server is asked for it."""

_CELL: Final[ContextVar[str]] = ContextVar("cell")


@dataclass(slots=True, kw_only=True)
class Observed:
    """What came of one cell. Seconds count from the request; ``whole`` says that the answer's body was ended properly;
    ``asked_first`` and ``asked_second`` are the requests for answers that upstream saw; ``left`` names what was left behind."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    whole: bool = False
    first_byte_s: float = 0.0
    total_s: float = 0.0
    asked_first: int = 0
    asked_second: int = 0
    asked_elsewhere: int = 0
    left: list[str] = field(default_factory=list)
    trouble: BaseException | None = None

    @property
    def events(self) -> list[Any]:
        """A stream's events as JSON, "[DONE]" for the last word; comments are left out."""
        data = [event.removeprefix(b"data: ") for event in self.body.split(b"\n\n") if event.startswith(b"data: ")]
        return ["[DONE]" if event == b"[DONE]" else orjson.loads(event) for event in data]


class Census:
    """A task factory that remembers which cell each task was made for."""

    def __init__(self) -> None:
        self._tasks: dict[str, list[asyncio.Task[Any]]] = {}

    def __call__(
        self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **more: Any
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **more)
        cell = _CELL.get("")
        if cell:
            self._tasks.setdefault(cell, []).append(task)
        return task

    def alive(self, cell: str) -> set[asyncio.Task[Any]]:
        return {task for task in self._tasks.get(cell, ()) if not task.done()}


class _QuietServer(Server):
    """Leaves the signals to whoever runs the tests."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]  # the generator is not needed
        return nullcontext()


def run_cells(chosen: Iterable[Cell], *, folder: Path, at_once: int = 24) -> dict[str, Observed]:
    """Run the cells in one event loop, ``at_once`` at a time, those that wait for a deadline after the others."""

    async def run() -> dict[str, Observed]:
        census = Census()
        asyncio.get_running_loop().set_task_factory(census)  # type: ignore[arg-type]  # its protocol names no context
        room, door = asyncio.Semaphore(at_once), asyncio.Semaphore(2)
        ordered = sorted(chosen, key=lambda cell: cell.patient)

        async def one(cell: Cell) -> Observed:
            async with room:
                return await _Run(cell, folder=folder, census=census, door=door).observed()

        found = await asyncio.gather(*(one(cell) for cell in ordered))
        await close_litellm_clients()
        return {cell.id: seen for cell, seen in zip(ordered, found, strict=True)}

    return asyncio.run(run())


async def close_litellm_clients() -> None:
    """LiteLLM keeps its HTTP clients for the life of the process; they belong to an event loop that is about to end."""
    if "litellm" in sys.modules:
        module = load_library().module
        await module.close_litellm_async_clients()
        module.in_memory_llm_clients_cache.flush_cache()


class _Run:
    """One cell."""

    def __init__(self, cell: Cell, *, folder: Path, census: Census, door: asyncio.Semaphore) -> None:
        self._cell = cell
        self._folder = folder
        self._census = census
        self._door = door
        self._seen = Observed()
        self._first: FakeServer = _fake(cell.lane, PIECES)
        self._second: FakeServer = _fake(SECOND[cell.lane], SECOND_PIECES)
        self._elsewhere: FakeServer = FakeUpstream()

    async def observed(self) -> Observed:
        _CELL.set(self._cell.id)
        try:
            async with asyncio.timeout(GUARD_S), self._first, self._second, self._elsewhere:
                with self._address() as address:
                    await self._through(address)
                await self._closed()
        except Exception as error:  # noqa: BLE001  (the test of this cell raises it)
            self._seen.trouble = error
        return self._seen

    async def _through(self, address: str) -> None:
        async with contextlib.AsyncExitStack() as stack:
            async with self._door:
                url = await stack.enter_async_context(
                    a_gateway(self._cell, first=address, second=self._second.url, folder=self._folder)
                )
            before = self._census.alive(self._cell.id)
            await self._prepare(url)
            self._seen = await self._ask(url)
            cell, seen = self._cell, self._seen
            seen.asked_first = len(self._first.requests_to(cell.route))
            seen.asked_second = len(self._second.requests_to(replace(cell, lane=SECOND[cell.lane]).wire.route))
            seen.asked_elsewhere = len(self._elsewhere.requests)
            await self._settled(before)

    async def _prepare(self, url: str) -> None:
        """Have the fault there, and what is to happen before the request that is judged."""
        row = self._cell.row
        if row.idle_first:
            await self._ask(url)
            if row.hangs_up:
                await self._first.hang_up()
            self._first.requests.clear()
        self._arm()
        if row.asked_before:
            await self._ask(url)
            await self._first.until(lambda: self._first.active == 0)
            self._first.requests.clear()

    def _arm(self) -> None:
        row = self._cell.row
        if isinstance(self._first, FakeUpstream):
            self._first.sends_done = row.sends_done
        if row.fault is not None:
            fault = row.fault(self._cell.wire)
            if "Location" in fault.headers:
                fault = replace(fault, headers={"Location": self._elsewhere.url + self._cell.wire.route})
            self._first.fail(fault, route=self._cell.route, times=row.times)

    async def _ask(self, url: str) -> Observed:
        asked = {"model": "planner", "messages": [{"role": "user", "content": "Go on."}], "stream": self._cell.stream}
        seen = Observed()
        begun_s = time.perf_counter()
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
            session.post(f"{url}/v1/chat/completions", json=asked, headers={"x-rolegate-trace": "1"}) as answer,
        ):
            seen.status, seen.headers = answer.status, {name.lower(): text for name, text in answer.headers.items()}
            try:
                async for part in answer.content.iter_any():
                    seen.first_byte_s = seen.first_byte_s or time.perf_counter() - begun_s
                    seen.body += part
                seen.whole = True
            except aiohttp.ClientPayloadError:
                seen.whole = False
        seen.total_s = time.perf_counter() - begun_s
        return seen

    async def _settled(self, before: set[asyncio.Task[Any]]) -> None:
        """Wait until nothing of the exchange goes on, neither here nor upstream; after a while note what does."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                while self._still_there(before):  # noqa: ASYNC110  (the tasks of a whole application have no event)
                    await asyncio.sleep(0.005)
        self._seen.left = self._still_there(before)

    def _still_there(self, before: set[asyncio.Task[Any]]) -> list[str]:
        tasks = [_name(task) for task in self._census.alive(self._cell.id) - before]
        left = [name for name in tasks if not name.startswith(_SERVERS_OWN)]
        for name, fake in (("first", self._first), ("second", self._second)):
            left += [f"{name}: {one.path} is {one.outcome}" for one in fake.requests if one.outcome == "running"]
        return left

    async def _closed(self) -> None:
        """With the gateway gone its connections are too; LiteLLM keeps those of its own pool."""
        fakes = [self._second] if self._cell.lane is Lane.LITELLM else [self._first, self._second]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                while any(fake.connections for fake in fakes):  # noqa: ASYNC110  (aiohttp's list has no event)
                    await asyncio.sleep(0.005)
        self._seen.left += [f"{fake.connections} connections to {fake.url}" for fake in fakes if fake.connections]

    @contextmanager
    def _address(self) -> Iterator[str]:
        """Where the faulty deployment is said to be."""
        door = self._cell.row.door
        if door == "nowhere":
            yield f"http://{NOWHERE}:80"
        elif door == "tls":
            yield self._first.url.replace("http:", "https:")
        elif door in {"refuses", "drops"}:
            with _closed_port(full=door == "drops") as port:
                yield f"http://127.0.0.1:{port}"
        else:
            yield self._first.url


_SERVERS_OWN: Final = ("RequestHandler.start", "LoggingWorker.", "ServiceLogging", "Server.", "LifespanOff")


def _name(task: asyncio.Task[Any]) -> str:
    work = task.get_coro()
    return str(getattr(work, "__qualname__", work))


def _fake(lane: Lane, pieces: tuple[str, ...]) -> FakeOllama | FakeUpstream:
    fake = FakeOllama(models=[MODEL[lane]]) if lane is Lane.OLLAMA else FakeUpstream(models=[MODEL[lane]])
    fake.say("", Reply(content=pieces))
    return fake


@contextmanager
def _closed_port(*, full: bool) -> Iterator[int]:
    """A port that nobody listens on; or (``full``) one whose queue of new connections is full, so that no more are answered."""
    with contextlib.ExitStack() as stack:
        taken = stack.enter_context(socket.socket())
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        if full:
            taken.listen(0)
            for _ in range(2):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(("127.0.0.1", port))
        yield port


def _party(name: str, lane: Lane, url: str, *, context: int) -> SteeredSource:
    """A provider with its one model."""
    kind = ProviderKind.OLLAMA if lane is Lane.OLLAMA else ProviderKind.OPENAI
    provider: Provider = a_provider(
        name,
        kind=kind,
        lane=lane,
        url=url if lane is Lane.OLLAMA else f"{url}/v1",
        key_variable=f"{name.upper()}_API_KEY",
        has_key=True,
    )
    model: Model = a_model(f"{name}:{MODEL[lane]}", kind=kind, context=context, tools=True, vision=True)
    return SteeredSource(replace(model, lane=lane), provider=provider)


@asynccontextmanager
async def a_gateway(cell: Cell, *, first: str, second: str, folder: Path) -> AsyncIterator[str]:
    """The whole application, listening on a port of its own; its URL. The role ``planner`` has the faulty deployment first."""
    sources = [_party("first", cell.lane, first, context=CONTEXT_TOKENS)]
    if cell.beside:
        room = 2 * CONTEXT_TOKENS if cell.row.roomy else CONTEXT_TOKENS
        sources.append(_party("second", SECOND[cell.lane], second, context=room))
    names = [cell.first, cell.second] if cell.beside else [cell.first]
    role = a_role("planner", preferred=names, discover=False, deadlines=cell.row.deadlines)
    keys = KnownKeys(by_provider={"first": KEY, "second": KEY})

    def rendered(plan: Plan, discovery: Discovery) -> Mapping[str, object]:
        providers = by_name(state.provider for state in discovery.providers)
        templates = Templates.load(ROUTER_TEMPLATES)
        return render(plan=plan, providers=providers, templates=templates, gateway_url="http://127.0.0.1:4000")

    switchboard = Switchboard()
    controller = Controller(
        configuration=a_configuration(folder, role),
        registry=Registry(list(sources)),
        probe=SteadyMachine(),
        switchboard=switchboard,
        effects=Effects(
            seen=lambda _: None,
            render=rendered,
            build_backend=lambda config: LiteLLMBackend.build(config, keys=keys),
        ),
        clock=SystemClock(),
    )
    urls = {source.provider.name: source.provider.url or "" for source in sources}
    async with a_relay(urls=urls, key=KEY, keys=keys, observer=controller) as relay:
        app = build_app(
            relay=relay,
            controller=controller,
            switchboard=switchboard,
            body_limit_bytes=1 << 20,
            loopback_only=True,
        )
        server = _QuietServer(app, switchboard=switchboard)
        await controller.start()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            try:
                await server.listening.wait()
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.should_exit = True
                await serving
        await switchboard.close()

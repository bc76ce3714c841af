"""The gateway as a process: bind, make the first plan live, serve, and leave nothing behind."""

import asyncio
import logging
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final

import uvicorn

from gateway.api.app import build_app
from gateway.api.origin import is_loopback_host
from gateway.compose.announcements import Announcement, Note, Pulling, Ready
from gateway.compose.parts import Endpoints, Parts, SystemClock, missing_models
from gateway.compose.workspace import Options, Workspace
from gateway.config.atomic import write_atomically
from gateway.domain.model import Lane, ProviderKind
from gateway.domain.plan import Plan, RolePlan
from gateway.domain.ports import CompletionBackend, Discovery
from gateway.domain.role import Task
from gateway.embedded.pull import PullProgress
from gateway.errors import AddressTaken, RolegateError
from gateway.relay.breaker import Breakers
from gateway.relay.connections import Connections
from gateway.relay.litellm_lane import LiteLLMLane
from gateway.relay.ollama_lane import OllamaLane
from gateway.relay.openai_lane import OpenAILane
from gateway.relay.relay import Relay
from gateway.relay.request import ChatRequest
from gateway.rendering.output import to_yaml
from gateway.resources import HostProbe
from gateway.runtime.clashes import check_names
from gateway.runtime.controller import Controller, Effects
from gateway.runtime.generation import Generation
from gateway.runtime.swap import Switchboard
from gateway.telemetry.logs import Redactor, start_logging

_log = logging.getLogger(__name__)

Announce = Callable[[Announcement], None]

ROUTER_FILE: Final = "router.yaml"
GRACE_S: Final = 30
"""How long requests may go on after the signal to stop."""
BACKLOG: Final = 2048
GREETING: Final = b'{"model":"%s","messages":[{"role":"user","content":"Say hello."}],"max_tokens":8,"temperature":0}'


def serve(options: Options, *, announce: Announce) -> int:
    """Run the gateway until it is told to stop; the exit code. Raises ``RolegateError`` when it cannot start."""
    workspace = Workspace.open(options)
    configuration = workspace.configuration()
    secrets = [key for one in configuration.providers if (key := workspace.environment.provider_key(one.name))]
    start_logging(form=configuration.gateway.log_format, level=logging.INFO, redactor=Redactor(secrets))
    for problem in configuration.warnings:
        announce(Note(text=f"warning: {problem}"))
    listener = _bind(configuration.gateway.host, configuration.gateway.port)
    with listener:
        if options.settings.get("embedded"):
            _fetch_missing(workspace, announce=announce)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_Serving(workspace, announce=announce).run(listener))
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _bind(host: str, port: int) -> socket.socket:
    """Take the address before anything else is done, so that a second gateway fails at once. Raises ``AddressTaken``."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as exc:
        raise AddressTaken(host=host, port=port, reason=exc.strerror or str(exc)) from exc


def _fetch_missing(workspace: Workspace, *, announce: Announce) -> None:
    """Pull the engine's models that are configured and not here yet; say so first, and say plainly when it cannot be done."""
    for reference in missing_models(workspace.configuration(), data_folder=workspace.data_folder):
        announce(Note(text=f"{reference} is not on this machine yet; fetching it once, to {workspace.data_folder}"))

        def progress(step: PullProgress, *, name: str = reference) -> None:
            announce(
                Pulling(name=name, phase=step.phase.value, done_bytes=step.done_bytes, total_bytes=step.total_bytes)
            )

        try:
            workspace.pull(reference, progress=progress)
        except RolegateError as error:
            hint = f" ({error.hint})" if error.hint else ""
            announce(Note(text=f"{reference} could not be fetched: {error.message}{hint}"))


class _Server(uvicorn.Server):
    """Says when it listens, and ends with exit code 0 when it is asked to stop."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        taken = []
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError):  # Windows has no such handlers on its loop
                loop.add_signal_handler(number, self.handle_exit, number, None)
                taken.append(number)
        try:
            yield
        finally:
            for number in taken:
                loop.remove_signal_handler(number)


class _Serving:
    """One run of the gateway."""

    def __init__(self, workspace: Workspace, *, announce: Announce) -> None:
        self._workspace = workspace
        self._announce = announce
        self._configuration = workspace.configuration()
        self._clock = SystemClock()
        self._switchboard = Switchboard()
        self._breakers = Breakers()

    async def run(self, listener: socket.socket) -> None:
        parts = await asyncio.to_thread(self._workspace.parts)
        relay = self._relay(parts)
        controller = Controller(
            configuration=self._configuration,
            registry=parts.registry,
            probe=HostProbe(),
            switchboard=self._switchboard,
            effects=Effects(
                check=self._check, seen=self._seen, render=self._render, build_backend=self._backend(parts)
            ),
            clock=self._clock,
        )
        try:
            generation = await controller.start()
            async with _background(controller.watch()):
                await self._listen(listener, relay=relay, controller=controller, generation=generation)
        finally:
            await relay.close()
            await self._switchboard.close()
            await parts.close()

    async def _listen(
        self, listener: socket.socket, *, relay: Relay, controller: Controller, generation: Generation
    ) -> None:
        settings = self._configuration.gateway
        app = build_app(
            relay=relay,
            controller=controller,
            switchboard=self._switchboard,
            body_limit_bytes=settings.body_limit_bytes,
            loopback_only=is_loopback_host(settings.host),
        )
        if not is_loopback_host(settings.host):
            self._announce(
                Note(text=f"listening on {settings.host}: everyone who can reach this address can use the gateway")
            )
        server = _Server(
            uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                timeout_graceful_shutdown=GRACE_S,
                timeout_keep_alive=75,
                backlog=BACKLOG,
                ws="none",
            )
        )
        async with _background(self._greet(server, relay=relay, generation=generation)):
            await server.serve(sockets=[listener])

    async def _greet(self, server: _Server, *, relay: Relay, generation: Generation) -> None:
        await server.listening.wait()
        roles = generation.roles
        for state in generation.discovery.providers:
            if not state.up:
                self._announce(Note(text=state.error))
        self._announce(
            Ready(
                url=f"{self._workspace.url}/v1",
                roles={name: tuple(str(one.ref) for one in plan.deployments) for name, plan in roles.items()},
                degraded=generation.selection.plan.degraded,
                generation=generation.number,
                profile=self._configuration.profile,
                config_folder=str(self._workspace.config_folder),
                curl=_curl(self._workspace.url, roles=roles),
                answered=await self._first_answer(relay, generation=generation),
            )
        )

    async def _first_answer(self, relay: Relay, *, generation: Generation) -> str:
        """One real completion, if a role's first model is the engine's or loaded already: it costs nothing then."""
        resident = {model.ref for model in generation.discovery.models if model.resident is not None}
        engines = {
            state.provider.name
            for state in generation.discovery.providers
            if state.provider.kind is ProviderKind.EMBEDDED
        }
        for name, plan in generation.roles.items():
            if plan.task is not Task.CHAT or not plan.deployments:
                continue
            first = plan.deployments[0].ref
            if first not in resident and first.provider not in engines:
                continue
            started = self._clock.monotonic()
            request = ChatRequest.parse(GREETING % name.encode())
            try:
                answer = await relay.chat(request=request, route=generation.route(name), request_id="greeting")
            except RolegateError as error:
                self._announce(Note(text=f"the first completion failed: {error.message}"))
                return ""
            elapsed_ms = (self._clock.monotonic() - started) * 1000
            return f"{answer.deployment.ref} answered {name} in {elapsed_ms:.0f} ms"
        return ""

    def _relay(self, parts: Parts) -> Relay:
        endpoints = Endpoints(providers=parts.providers, engine=parts.engine, keys=parts.keys)
        return Relay(
            lanes={
                Lane.OLLAMA: OllamaLane(connections=Connections(clock=self._clock), clock=self._clock),
                Lane.OPENAI: OpenAILane(connections=Connections(clock=self._clock), endpoints=endpoints),
                Lane.LITELLM: LiteLLMLane(),
            },
            clock=self._clock,
            breakers=self._breakers,
        )

    def _check(self, discovery: Discovery) -> None:
        check_names(self._configuration, discovery)

    def _seen(self, discovery: Discovery) -> None:
        self._breakers.seen([model.ref for model in discovery.models if model.provider_up])

    def _render(self, plan: Plan, discovery: Discovery) -> Mapping[str, object]:
        rendered = self._workspace.render_plan(plan, discovery)
        path = self._workspace.state_folder / ROUTER_FILE
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(path, to_yaml(rendered).encode())
        except OSError as error:
            _log.warning("the router config could not be written", extra={"path": str(path), "reason": str(error)})
        return rendered

    def _backend(self, parts: Parts) -> Callable[[Mapping[str, object]], CompletionBackend]:
        def build(rendered: Mapping[str, object]) -> CompletionBackend:
            from gateway.backend.router import LiteLLMBackend

            started = time.monotonic()
            backend = LiteLLMBackend.build(rendered, keys=parts.keys)
            _log.info("litellm is ready", extra={"ms": round((time.monotonic() - started) * 1000)})
            return backend

        return build


@asynccontextmanager
async def _background(work: Coroutine[object, object, None]) -> AsyncIterator[None]:
    """Run ``work`` beside the block, and end it with the block."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _curl(url: str, *, roles: Mapping[str, RolePlan]) -> str:
    """A command that works: for the first chat role that something can serve; empty when there is none."""
    names = [name for name, plan in roles.items() if plan.deployments and plan.task is Task.CHAT]
    if not names:
        return ""
    name = "planner" if "planner" in names else names[0]
    body = f'{{"model": "{name}", "messages": [{{"role": "user", "content": "Say hello."}}]}}'
    return f"curl {url}/v1/chat/completions -H 'content-type: application/json' -d '{body}'"

"""The gateway as a process: bind, make the first plan live, serve, and leave nothing behind."""

import asyncio
import gc
import logging
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from typing import Final

from starlette.routing import Route

from gateway.api.app import build_app
from gateway.api.costs import Costs
from gateway.api.doors import LOGGER as DOOR_LOG
from gateway.api.exchange import LOGGER as REQUEST_LOG
from gateway.api.guard import Guard
from gateway.api.model_routes import ModelRoutes
from gateway.api.origin import is_loopback_host
from gateway.api.requests import Requests
from gateway.compose.address import address_left
from gateway.compose.announcements import Announcement, Note, Pulling, Ready
from gateway.compose.backends import Backends
from gateway.compose.canary import Canary
from gateway.compose.certificate import check_certificate
from gateway.compose.client_keys import client_keys_of, provided_secrets
from gateway.compose.doors import check_doors, told_of_doors
from gateway.compose.explaining import LiveExplainer
from gateway.compose.following import Following
from gateway.compose.generations import generation_log_of
from gateway.compose.journal import journal_of, journal_reader_of
from gateway.compose.keeping import live_keeping, live_resources
from gateway.compose.listening import MAX_CONNECTIONS, Server, bind, leave_no_core, loop_factory, make_room
from gateway.compose.parts import Parts, SystemClock, missing_models
from gateway.compose.profiles import ProfileDesk
from gateway.compose.proof import own_identity
from gateway.compose.role_desk import RoleDesk
from gateway.compose.spending import spending_of
from gateway.compose.watching import Watch
from gateway.compose.workspace import Options, Workspace
from gateway.domain.model import Lane, ProviderKind
from gateway.domain.plan import Deployment, RolePlan
from gateway.domain.ports import CloudGate, Discovery
from gateway.domain.role import Task
from gateway.embedded.pull import PullProgress
from gateway.errors import RolegateError
from gateway.files.atomic import write_atomically
from gateway.relay.breaker import Breakers
from gateway.relay.connections import Connections
from gateway.relay.ledger import Observer
from gateway.relay.litellm_lane import LiteLLMLane
from gateway.relay.ollama_lane import OllamaLane
from gateway.relay.openai_lane import OpenAILane
from gateway.relay.relay import Relay
from gateway.relay.request import ChatRequest
from gateway.relay.wire import ChatWire
from gateway.rendering.output import to_yaml
from gateway.resources import HostProbe
from gateway.runtime.controller import Controller
from gateway.runtime.effects import Effects
from gateway.runtime.generation import Generation
from gateway.runtime.resting import Resting
from gateway.runtime.spending import Spending
from gateway.runtime.swap import Switchboard
from gateway.telemetry.logs import Redactor, logging_to
from gateway.telemetry.request_counts import RequestCounts
from gateway.vault.client_key import Scope as KeyScope
from gateway.vault.client_keys import ClientKeys

_log = logging.getLogger(__name__)

Announce = Callable[[Announcement], None]

ROUTER_FILE: Final = "router.yaml"
GC_THRESHOLD: Final = 20_000
"""New objects between two looks of the garbage collector: a request makes hundreds, and hardly any in a cycle."""
GREETING_S: Final = 10.0
"""How long the gateway waits for its own first completion before it says ready without one."""
GREETING: Final = b'{"model":"%s","messages":[{"role":"user","content":"Say hello."}],"max_tokens":8,"temperature":0}'


def serve(options: Options, *, announce: Announce) -> int:
    """Run the gateway until it is told to stop; the exit code. Raises ``RolegateError`` when it cannot start."""
    workspace = Workspace.open(options)
    # Before anything is read, so that no edit falls between the two.
    watch = Watch(folder=workspace.config_folder, state_folder=workspace.state_folder)
    configuration = workspace.configuration()
    settings = configuration.gateway
    workspace.keys.read()
    workspace.keys.require(configuration.providers)
    client_keys = client_keys_of(workspace)
    openable = _openable(client_keys, host=settings.host)
    check_doors(configuration, openable=openable)
    check_certificate(configuration)
    for problem in (*configuration.warnings, *workspace.keys.warnings):
        announce(Note(text=f"warning: {problem}"))
    for text in told_of_doors(settings.host, openable=openable, encrypted=bool(settings.tls_cert)):
        announce(Note(text=text))
    make_room(MAX_CONNECTIONS)
    leave_no_core()
    with bind(settings.host, settings.port) as listener, address_left(workspace):
        if options.settings.get("embedded"):
            _fetch_missing(workspace, announce=announce)
        redactor = Redactor()
        workspace.keys.tell(redactor.add)
        for key in filter(None, (workspace.keys.key(one.name) for one in configuration.providers)):
            redactor.add(key)
        for key in provided_secrets(workspace.environment):
            redactor.add(key)
        with (
            logging_to(
                sys.stderr,
                form=settings.log_format,
                level=logging.INFO,
                redactor=redactor,
                together=(REQUEST_LOG, DOOR_LOG),
            ),
            asyncio.Runner(loop_factory=loop_factory()) as runner,
        ):
            # What goes wrong in a request is logged where it is known; their own words would repeat it, traceback and all.
            for name in ("uvicorn.error", "LiteLLM", "LiteLLM Router"):
                logging.getLogger(name).setLevel(logging.CRITICAL)
            serving = _Serving(workspace, client_keys=client_keys, watch=watch, announce=announce, redactor=redactor)
            runner.run(serving.run(listener))
    return 0


def _openable(keys: ClientKeys, *, host: str) -> frozenset[KeyScope]:
    """The scopes of the keys in force; on loopback it does not matter, and a list that cannot be used stops nothing."""
    return frozenset() if is_loopback_host(host) else keys.open_doors(now_s=SystemClock.time())


def _fetch_missing(workspace: Workspace, *, announce: Announce) -> None:
    """Pull the engine's models that are configured and not here yet; say so first, and say plainly when it cannot be done."""
    for reference in missing_models(workspace.configuration(), data_folder=workspace.data_folder):
        announce(Note(text=f"{reference} is not on this machine yet; fetching it once, to {workspace.data_folder}"))

        def progress(step: PullProgress, *, name: str = reference) -> None:
            announce(
                Pulling(name=name, phase=step.phase.value, done_bytes=step.done_bytes, total_bytes=step.total_bytes)
            )

        try:
            announce(Note(text=f"{reference} is in {workspace.pull(reference, progress=progress)}"))
        except RolegateError as error:
            hint = f" ({error.hint})" if error.hint else ""
            announce(Note(text=f"{reference} could not be fetched: {error.message}{hint}"))


class _Serving:
    """One run of the gateway."""

    def __init__(
        self, workspace: Workspace, *, client_keys: ClientKeys, watch: Watch, announce: Announce, redactor: Redactor
    ) -> None:
        self._workspace = workspace
        self._client_keys = client_keys
        self._redactor = redactor
        self._journal = journal_of(workspace.state_folder, redactor=redactor)
        self._generations = generation_log_of(workspace.state_folder, redactor=redactor)
        self._announce = announce
        self._configuration = workspace.configuration()
        self._watch = watch
        self._clock = SystemClock()
        self._switchboard = Switchboard()
        self._counts = RequestCounts(self._journal, roles=self._switchboard.roles)
        self._breakers = Breakers()

    async def run(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        # Keys are read in threads, and breakers are the loop's.
        self._workspace.keys.when_moved(lambda name: loop.call_soon_threadsafe(self._breakers.forget, name))
        parts = await asyncio.to_thread(self._workspace.parts)
        ollama = OllamaLane(connections=Connections(clock=self._clock), clock=self._clock, keys=parts.keys)
        following = Following(
            workspace=self._workspace,
            parts=parts,
            watch=self._watch,
            redactor=self._redactor,
            ollama=ollama,
            moved=self._breakers.forget,
        )
        canary = Canary()
        controller = Controller(
            configuration=self._configuration,
            registry=parts.registry,
            probe=HostProbe(),
            switchboard=self._switchboard,
            effects=self._effects(parts, following=following, canary=canary),
            clock=self._clock,
            log=self._generations,
        )
        reader = journal_reader_of(self._workspace.state_folder)
        spending = await spending_of(parts, journal=self._counts, reader=reader, clock=self._clock)
        canary.purse = spending
        relay = canary.relay = self._relay(
            parts, following=following, ollama=ollama, observer=controller, gate=spending
        )
        routes = self._admin_routes(parts, following=following, controller=controller, ollama=ollama)
        server = self._server(relay=relay, controller=controller, spending=spending, more_routes=routes)
        self._journal.start()
        try:
            async with _beside(self._come_up(server, relay=relay, controller=controller), server=server):
                await server.serve(sockets=[listener])
        finally:
            await controller.close()
            await relay.close()
            await self._switchboard.close()
            await parts.close()
            await asyncio.to_thread(self._journal.close)

    def _effects(self, parts: Parts, *, following: Following, canary: Canary) -> Effects:
        return Effects(
            seen=self._seen,
            render=self._workspace.render_plan,
            build_backend=Backends(keys=parts.keys).build,
            keep=self._keep,
            noticed=following.noticed,
            read=following.read,
            persist=following.persist,
            facts=following.facts,
            adopted=following.adopted,
            generate=canary.generate,
            load=following.load,
            unload=following.unload,
        )

    def _server(
        self, *, relay: Relay, controller: Controller, spending: Spending, more_routes: Sequence[Route]
    ) -> Server:
        settings = self._configuration.gateway
        app = build_app(
            relay=relay,
            controller=controller,
            switchboard=self._switchboard,
            body_limit_bytes=settings.body_limit_bytes,
            loopback_only=is_loopback_host(settings.host),
            state_folder=self._workspace.state_folder,
            guard=Guard(self._client_keys, clock=self._clock),
            identity=own_identity(self._workspace),
            journal=spending,
            counts=self._counts,
            journal_state=self._journal,
            spending=spending.data,
            resting=Resting(self._breakers, switchboard=self._switchboard, clock=self._clock).data,
            generations=self._generations,
            profiles=ProfileDesk(self._workspace, active=lambda: controller.configuration.profile),
            roles=RoleDesk(self._workspace),
            explainer=LiveExplainer(
                controller=controller,
                switchboard=self._switchboard,
                probe=HostProbe(),
                read=self._workspace.read_again,
            ),
            more_routes=more_routes,
        )
        return Server(
            app,
            switchboard=self._switchboard,
            grace_s=settings.shutdown_grace_s,
            max_connections=settings.max_connections,
            certificate=(settings.tls_cert, settings.tls_key) if settings.tls_cert else None,
        )

    def _admin_routes(
        self, parts: Parts, *, following: Following, controller: Controller, ollama: OllamaLane
    ) -> list[Route]:
        reader = journal_reader_of(self._workspace.state_folder)
        requests = Requests(reader=reader, state=self._journal)
        costs = Costs(reader=reader, state=self._journal, as_if=parts.price_as_if, clock=self._clock)
        models = ModelRoutes(
            keeping=live_keeping(
                parts=parts,
                controller=controller,
                switchboard=self._switchboard,
                known=following.keepers,
                let_go=lambda model: ollama.forget(model.ref),
            ),
            resources=live_resources(
                parts=parts, probe=HostProbe(), controller=controller, switchboard=self._switchboard
            ),
        )
        return [
            Route("/admin/v1/requests", requests.recent),
            Route("/admin/v1/costs", costs.show),
            *models.routes(),
        ]

    async def _come_up(self, server: Server, *, relay: Relay, controller: Controller) -> None:
        """Listen first, so that health checks are answered while the first plan is made; then greet, and watch from then on."""
        await server.listening.wait()
        generation = await controller.start()
        # What is alive now stays: without this, every full collection walks all models and stalls requests meanwhile.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD)
        await self._greet(relay=relay, generation=generation)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(controller.watch())
            tasks.create_task(self._follow_edits(controller))

    async def _follow_edits(self, controller: Controller) -> None:
        async with aclosing(self._watch.edits(ailing=controller.ailing)) as edits:
            async for cause in edits:
                await controller.edited(cause=cause)

    async def _greet(self, *, relay: Relay, generation: Generation) -> None:
        roles = generation.roles
        for state in generation.discovery.providers:
            for text in (state.error, *state.warnings):
                if text:
                    self._announce(Note(text=text))
        self._announce(
            Ready(
                url=f"{self._workspace.url}/v1",
                roles={name: tuple(str(one.ref) for one in plan.deployments) for name, plan in roles.items()},
                degraded=generation.selection.plan.degraded,
                generation=generation.number,
                profile=self._configuration.profile,
                config_folder=str(self._workspace.config_folder),
                curl=_curl(
                    self._workspace.url, roles=roles, keyed=not is_loopback_host(self._configuration.gateway.host)
                ),
                answered=await self._first_answer(relay, generation=generation),
            )
        )

    async def _first_answer(self, relay: Relay, *, generation: Generation) -> str:
        """One real completion, if a role's first model is the engine's or loaded already as planned: it costs nothing then."""
        free = _free_models(generation)
        for name, plan in generation.roles.items():
            if plan.task is not Task.CHAT or not plan.deployments or plan.deployments[0] not in free:
                continue
            started = self._clock.monotonic()
            route = generation.route(name)
            alone = replace(route, plan=replace(plan, deployments=plan.deployments[:1]))
            try:
                async with asyncio.timeout(GREETING_S):
                    await relay.answer(
                        inquiry=ChatRequest.parse(GREETING % name.encode()),
                        wire=ChatWire(include_usage=False),
                        route=alone,
                        request_id="greeting",
                    )
            except (RolegateError, TimeoutError) as error:
                reason = str(error) or f"no answer within {GREETING_S:g} s"
                self._announce(Note(text=f"the first completion failed: {reason}"))
                return ""
            elapsed_ms = (self._clock.monotonic() - started) * 1000
            return f"{plan.deployments[0].ref} answered {name} in {elapsed_ms:.0f} ms"
        return ""

    def _relay(
        self, parts: Parts, *, following: Following, ollama: OllamaLane, observer: Observer, gate: CloudGate
    ) -> Relay:
        endpoints = following.endpoints
        return Relay(
            lanes={
                Lane.OLLAMA: ollama,
                Lane.OPENAI: OpenAILane(connections=Connections(clock=self._clock), endpoints=endpoints),
                Lane.LITELLM: LiteLLMLane(),
            },
            clock=self._clock,
            breakers=self._breakers,
            observer=observer,
            refusals=parts.registry.corrections,
            gate=gate,
        )

    def _seen(self, discovery: Discovery) -> None:
        self._breakers.seen([model.ref for model in discovery.models if model.provider_up])

    def _keep(self, rendered: Mapping[str, object]) -> None:
        path = self._workspace.state_folder / ROUTER_FILE
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(path, to_yaml(rendered).encode())
        except OSError as error:
            _log.warning("the router config could not be written", extra={"path": str(path), "reason": str(error)})


@asynccontextmanager
async def _beside(work: Coroutine[object, object, None], *, server: Server) -> AsyncIterator[None]:
    """Run ``work`` beside the block and end it with the block. Should it fail, the server is told to stop, and the failure is
    raised when the block is done."""
    task = asyncio.ensure_future(work)

    def stop_server(done: asyncio.Task[None]) -> None:
        if not done.cancelled() and done.exception() is not None:
            server.should_exit = True

    task.add_done_callback(stop_server)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _free_models(generation: Generation) -> frozenset[Deployment]:
    """Deployments that can be called at no cost: those of the engine, and those loaded with the context that is planned."""
    loaded = {
        model.ref: model.resident.context_tokens for model in generation.discovery.models if model.resident is not None
    }
    engines = {
        state.provider.name for state in generation.discovery.providers if state.provider.kind is ProviderKind.EMBEDDED
    }
    return frozenset(
        one
        for plan in generation.roles.values()
        for one in plan.deployments
        if not one.cloud
        and (one.ref.provider in engines or (one.ref in loaded and loaded[one.ref] == one.context_tokens))
    )


def _curl(url: str, *, roles: Mapping[str, RolePlan], keyed: bool) -> str:
    """A command that works: for the first chat role that something can serve; empty when there is none. Where a key is needed
    (``keyed``), it is taken from the shell."""
    names = [name for name, plan in roles.items() if plan.deployments and plan.task is Task.CHAT]
    if not names:
        return ""
    name = "planner" if "planner" in names else names[0]
    body = f'{{"model": "{name}", "messages": [{{"role": "user", "content": "Say hello."}}], "max_tokens": 64}}'
    # On this machine, by an address that its certificate seldom names.
    trusting = " -k" if url.startswith("https:") else ""
    key = ' -H "authorization: Bearer $ROLEGATE_CLIENT_KEY"' if keyed else ""
    return f"curl{trusting} {url}/v1/chat/completions{key} -H 'content-type: application/json' -d '{body}'"

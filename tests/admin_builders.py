"""What tests of the admin routes need: the application over real files, a real discovery and a controller that follows both."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp

from gateway.api.app import build_app
from gateway.api.costs import Costs
from gateway.api.guard import Guard
from gateway.api.model_routes import ModelRoutes
from gateway.api.requests import Requests
from gateway.compose.explaining import LiveExplainer
from gateway.compose.following import Following
from gateway.compose.generations import generation_log_of
from gateway.compose.journal import journal_of, journal_reader_of
from gateway.compose.keeping import live_keeping, live_resources
from gateway.compose.parts import SystemClock
from gateway.compose.profiles import ProfileDesk
from gateway.compose.proof import own_identity
from gateway.compose.role_desk import RoleDesk
from gateway.compose.watching import Watch
from gateway.compose.workspace import Options, Workspace
from gateway.relay.connections import Connections
from gateway.relay.ollama_lane import OllamaLane
from gateway.runtime.controller import Controller
from gateway.runtime.effects import Effects
from gateway.runtime.swap import Switchboard
from gateway.telemetry.journal import JournalFile
from gateway.telemetry.logs import Redactor
from live_builders import SteadyMachine
from relay_builders import a_relay

ADDRESS = "http://127.0.0.1:4000"

MISTRAL = {"role_mappings": {"planner": {"preferred": ["mistral:latest"]}}}
"""A profile under which the planner is answered by another model than without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """``client`` calls ``app`` without a socket."""

    client: httpx.AsyncClient
    app: ASGIApp
    controller: Controller
    switchboard: Switchboard
    folder: Path

    async def error(self, method: str, path: str, **more: Any) -> tuple[int, dict[str, Any]]:
        """What is said instead of an answer."""
        answer = await self.client.request(method, path, **more)
        error: dict[str, Any] = answer.json()["error"]
        return answer.status_code, error


def write_layers(
    folder: Path, *, url: str, port: int = 4000, hot_swap: bool = True, memory_gb: int | None = None, **profiles: Any
) -> Path:
    """A configuration folder with one Ollama provider, the role ``planner`` (llama3.1:8b, then mistral) and these profiles.
    ``memory_gb`` is what its host has, where that is not to be this machine."""
    content = {
        "role_mappings": {"planner": {"preferred": ["llama3.1:8b", "mistral:latest"], "discover": False}},
        "local_providers": {"ollama": {"kind": "ollama", "url": url, "memory_gb": memory_gb}},
        "gateway": {"port": port, "hot_swap": hot_swap},
    }
    place = folder / "config"
    (place / "user_profiles").mkdir(parents=True, exist_ok=True)
    (place / "models.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    for name, values in profiles.items():
        write_profile(place, name, values)
    return place


def write_profile(folder: Path, name: str, values: object) -> Path:
    path = folder / "user_profiles" / f"{name}.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


@asynccontextmanager
async def an_admin_gateway(
    folder: Path,
    *,
    started: bool = True,
    watching: bool = False,
    loopback_only: bool = True,
    guard: Guard | None = None,
    journal: JournalFile | None = None,
) -> AsyncIterator[Gateway]:
    """The application with every admin route. Unless it is ``watching`` its files, only what is asked happens. ``journal`` hears
    of the requests to the data plane."""
    workspace = Workspace.open(Options(config_dir=folder))
    parts = await asyncio.to_thread(workspace.parts)
    clock, redactor, switchboard = SystemClock(), Redactor(), Switchboard()
    watch = Watch(folder=workspace.config_folder, state_folder=workspace.state_folder)
    following = Following(
        workspace=workspace,
        parts=parts,
        watch=watch,
        redactor=redactor,
        ollama=OllamaLane(connections=Connections(clock=clock), clock=clock, keys=parts.keys),
    )
    log = generation_log_of(workspace.state_folder)
    controller = Controller(
        configuration=workspace.configuration(),
        registry=parts.registry,
        probe=SteadyMachine(),
        switchboard=switchboard,
        effects=Effects(
            seen=lambda _: None,
            render=workspace.render_plan,
            build_backend=_no_backend,
            noticed=following.noticed,
            read=following.read,
            persist=following.persist,
            facts=following.facts,
            adopted=following.adopted,
        ),
        clock=clock,
        log=log,
    )
    models = ModelRoutes(
        keeping=live_keeping(parts=parts, controller=controller, switchboard=switchboard),
        resources=live_resources(parts=parts, probe=SteadyMachine(), controller=controller, switchboard=switchboard),
    )
    requests = Requests(
        reader=journal_reader_of(workspace.state_folder), state=journal_of(workspace.state_folder, redactor=redactor)
    )
    costs = Costs(
        reader=journal_reader_of(workspace.state_folder),
        state=journal_of(workspace.state_folder, redactor=redactor),
        as_if=parts.price_as_if,
        clock=clock,
    )
    async with a_relay() as relay:
        app = build_app(
            relay=relay,
            controller=controller,
            switchboard=switchboard,
            body_limit_bytes=1 << 20,
            loopback_only=loopback_only,
            state_folder=workspace.state_folder,
            guard=guard,
            identity=own_identity(workspace),
            journal=journal,
            generations=log,
            profiles=ProfileDesk(workspace, active=lambda: controller.configuration.profile),
            roles=RoleDesk(workspace),
            explainer=LiveExplainer(
                controller=controller, switchboard=switchboard, probe=SteadyMachine(), read=workspace.read_again
            ),
            more_routes=[
                Route("/admin/v1/requests", requests.recent),
                Route("/admin/v1/costs", costs.show),
                *models.routes(),
            ],
        )
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ADDRESS) as client:
            if started:
                await controller.start()
            task = asyncio.create_task(_follow(watch, controller=controller)) if watching else None
            yield Gateway(client=client, app=app, controller=controller, switchboard=switchboard, folder=folder)
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await controller.close()
    await switchboard.close()
    await parts.close()


async def _follow(watch: Watch, *, controller: Controller) -> None:
    async with aclosing(watch.edits()) as edits:
        async for cause in edits:
            await controller.edited(cause=cause)


def mounted(app: Any) -> set[tuple[str, str]]:
    """Every method and path below ``/admin`` that an application answers, whatever wraps it; HEAD goes with GET."""
    while not isinstance(app, Starlette):
        app = app._app
    return {
        (method, route.path.replace(":path", ""))
        for route in app.routes
        if isinstance(route, Route) and route.path.startswith("/admin")
        for method in (route.methods or set()) - {"HEAD"}
    }


def _no_backend(rendered: object) -> Any:
    raise AssertionError("no plan of these tests goes by LiteLLM")

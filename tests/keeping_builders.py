"""What tests of keeping models need: the admin routes over a real discovery and a real plan."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import uvicorn
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.api.admin import Admin
from gateway.api.model_routes import ModelRoutes
from gateway.compose.keeping import live_keeping, live_resources
from gateway.compose.parts import SystemClock
from gateway.compose.workspace import Options, Workspace
from gateway.errors import RolegateError
from gateway.relay.error_shape import error_object
from gateway.runtime.controller import Controller
from gateway.runtime.swap import Switchboard
from gateway.telemetry.request_counts import RequestCounts
from live_builders import Recorder, SteadyMachine


def write_configuration(folder: Path, *, url: str, port: int = 0, **more: Any) -> Path:
    """A configuration folder with one Ollama provider at ``url`` and a role that wants 16,000 tokens of llama3.1:8b."""
    content = {
        "role_mappings": {
            "planner": {
                "preferred": ["llama3.1:8b"],
                "discover": False,
                "requirements": {"context_length_min": 16_000},
                "deadlines": {"load_s": 60},
            }
        },
        "local_providers": {"ollama": {"kind": "ollama", "url": url}},
        "gateway": {"port": port or 4000},
        **more,
    }
    place = folder / "config"
    place.mkdir(exist_ok=True)
    (place / "models.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return place


@asynccontextmanager
async def admin_of_models(
    config_folder: Path, *, started: bool = True, unload_s: float = 30.0
) -> AsyncIterator[Starlette]:
    """An application with the status and the routes of models, live over that configuration."""
    workspace = Workspace.open(Options(config_dir=config_folder))
    parts = await asyncio.to_thread(workspace.parts)
    switchboard = Switchboard()
    controller = Controller(
        configuration=workspace.configuration(),
        registry=parts.registry,
        probe=SteadyMachine(),
        switchboard=switchboard,
        effects=Recorder().effects(),
        clock=SystemClock(),
    )
    routes = ModelRoutes(
        keeping=live_keeping(parts=parts, controller=controller, switchboard=switchboard, unload_s=unload_s),
        resources=live_resources(parts=parts, probe=SteadyMachine(), controller=controller, switchboard=switchboard),
    )
    counts = RequestCounts(None, roles=switchboard.roles)
    admin = Admin(controller=controller, switchboard=switchboard, doors=dict, cloud=counts.cloud_data)
    status = Route("/admin/v1/status", admin.status)
    if started:
        await controller.start()
    try:
        yield Starlette(routes=[status, *routes.routes()], exception_handlers={RolegateError: _told})
    finally:
        await switchboard.close()
        await parts.close()


@asynccontextmanager
async def served(app: Starlette, *, port: int) -> AsyncIterator[None]:
    """``app`` on a port of this machine."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, interface="asgi3", log_config=None, lifespan="off", ws="none"
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(20):
        while not server.started:  # noqa: ASYNC110  (uvicorn has no event for it)
            await asyncio.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        await task


class _Server(uvicorn.Server):
    """Leaves the signals to the test runner."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _told(request: Request, error: Exception) -> Response:
    assert isinstance(error, RolegateError)
    return JSONResponse(error_object(error), status_code=error.http_status)

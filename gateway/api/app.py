"""The ASGI application, assembled in one place: routes, then what wraps them, in order."""

import logging
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.api.admin import Admin, History, Told
from gateway.api.admin_edits import EditThreads
from gateway.api.admin_errors import problems_error
from gateway.api.admin_explain import Explainer, Explanations
from gateway.api.admin_openapi import Description
from gateway.api.admin_profile_tools import ProfileTools
from gateway.api.admin_profiles import Profiles, ProfileShelf
from gateway.api.admin_roles import Roles, RoleShelf
from gateway.api.admin_swap import Swaps
from gateway.api.caller import CALLER
from gateway.api.chat import Chat
from gateway.api.completions import Completions
from gateway.api.dialect import Dialect
from gateway.api.doors import Doors
from gateway.api.early import Unforeseen, early_error
from gateway.api.embeddings import Embeddings
from gateway.api.endpoint import Endpoint
from gateway.api.guard import Guard
from gateway.api.health import Health
from gateway.api.messages import Messages, count_tokens
from gateway.api.metrics import Metrics
from gateway.api.models import Models
from gateway.api.origin import LoopbackOnly
from gateway.api.reply import read_body
from gateway.api.responses import Responses
from gateway.domain.ports import GenerationLog, Journal, JournalState
from gateway.errors import NoSuchRoute, RolegateError, Unsupported, WrongMethod
from gateway.file_errors import ConfigInvalid
from gateway.relay.relay import Relay
from gateway.runtime.controller import Controller
from gateway.runtime.swap import Switchboard
from gateway.telemetry.request_counts import RequestCounts
from gateway.vault.identity import Identity

_log = logging.getLogger(__name__)

CHAT_PATH: Final = "/v1/chat/completions"
_FAMILIES: Final = (
    "assistants",
    "batches",
    "containers",
    "conversations",
    "files",
    "fine_tuning",
    "moderations",
    "realtime",
    "threads",
    "uploads",
    "vector_stores",
    "videos",
)
_NOT_OFFERED: Final = (
    *(f"/v1/{name}" for name in _FAMILIES),
    *(f"/v1/{name}/{{rest:path}}" for name in (*_FAMILIES, "audio", "images", "responses")),
)


def build_app(
    *,
    relay: Relay,
    controller: Controller,
    switchboard: Switchboard,
    body_limit_bytes: int,
    loopback_only: bool,
    state_folder: Path | None = None,
    guard: Guard | None = None,
    identity: Identity | None = None,
    journal: Journal | None = None,
    counts: RequestCounts | None = None,
    journal_state: JournalState | None = None,
    generations: GenerationLog | None = None,
    profiles: ProfileShelf | None = None,
    roles: RoleShelf | None = None,
    explainer: Explainer | None = None,
    spending: Told = list,
    resting: Told = list,
    more_routes: Sequence[Route] = (),
) -> ASGIApp:
    """The whole application. ``loopback_only``: callers on this machine need no key, and their Host and Origin are checked.
    ``guard`` knows the keys of all others; without one nobody else comes in. ``identity`` is what commands know the gateway by.
    ``counts`` is told of every request by ``journal``; where it is ``None``, they are counted before they go there.
    ``journal_state`` is how the writing goes. ``spending`` says what clouds have cost, and ``resting`` which models are
    passed over now. What else is ``None`` has no routes."""
    keeper = guard or Guard(None)
    told = journal
    if counts is None:
        told = counts = RequestCounts(journal, roles=switchboard.roles)

    def endpoint(dialect: Dialect) -> ASGIApp:
        return Endpoint(dialect, relay=relay, switchboard=switchboard, body_limit_bytes=body_limit_bytes, journal=told)

    hot: dict[str, ASGIApp] = {
        CHAT_PATH: endpoint(Chat()),
        "/v1/completions": endpoint(Completions()),
        "/v1/embeddings": endpoint(Embeddings()),
        "/v1/responses": endpoint(Responses()),
        "/v1/messages": endpoint(Messages()),
    }
    models = Models(switchboard=switchboard)
    health = Health(switchboard=switchboard, identity=identity)
    admin = Admin(
        controller=controller,
        switchboard=switchboard,
        doors=lambda: keeper.doors(open_here=loopback_only),
        cloud=counts.cloud_data,
        spending=spending,
        resting=resting,
        state_folder=state_folder,
    )
    metrics = Metrics(
        counts=counts,
        controller=controller,
        switchboard=switchboard,
        spending=spending,
        resting=resting,
        journal_state=journal_state,
    )
    swaps = Swaps(controller=controller)
    threads = EditThreads()
    routes = [
        *(Route(path, app, methods=["POST"]) for path, app in hot.items()),
        Route("/v1/messages/count_tokens", _count_tokens, methods=["POST"]),
        Route("/v1/models", models.list),
        Route("/v1/models/{id:path}", models.show),
        Route("/healthz", health.alive),
        Route("/readyz", health.ready),
        Route("/metrics", metrics.show),
        Route("/admin/v1/status", admin.status),
        Route("/admin/v1/plan", admin.plan),
        Route("/admin/v1/plan/profile", admin.pinned),
        Route("/admin/v1/look", admin.look, methods=["POST"]),
        Route("/admin/v1/swap", swaps.swap, methods=["POST"]),
        Route("/admin/v1/reload", swaps.reload, methods=["POST"]),
        Route("/admin/v1/rollback", swaps.rollback, methods=["POST"]),
        Route("/admin/v1/openapi.json", Description(open_here=loopback_only).show),
        *_remembering(generations),
        *_explaining(explainer),
        *_of_profiles(profiles, controller=controller, threads=threads),
        *_of_roles(roles, controller=controller, threads=threads),
        *more_routes,
        *(Route(path, _not_offered, methods=["GET", "POST", "DELETE"]) for path in _NOT_OFFERED),
    ]
    starlette = Starlette(
        routes=routes,
        exception_handlers={
            ConfigInvalid: _every_problem,
            RolegateError: _our_error,
            HTTPException: _http_error,
        },
    )
    # A redirect would lead to whatever the Host header says, without the body.
    starlette.router.redirect_slashes = False
    starlette.state.body_limit_bytes = body_limit_bytes
    app: ASGIApp = _HotPath(starlette, hot=hot)
    return _LastLine(Doors(app, guard=keeper, here=LoopbackOnly(app) if loopback_only else None))


def _remembering(generations: GenerationLog | None) -> list[Route]:
    if generations is None:
        return []
    return [Route("/admin/v1/generations", History(log=generations).generations)]


def _explaining(explainer: Explainer | None) -> list[Route]:
    if explainer is None:
        return []
    explanations = Explanations(explainer=explainer)
    return [Route("/admin/v1/explain/{role}", explanations.explain, methods=["POST"])]


def _of_profiles(shelf: ProfileShelf | None, *, controller: Controller, threads: EditThreads) -> list[Route]:
    if shelf is None:
        return []
    profiles = Profiles(shelf=shelf, controller=controller, threads=threads)
    tools = ProfileTools(shelf=shelf, controller=controller, threads=threads)
    return [
        Route("/admin/v1/profiles", profiles.list),
        Route("/admin/v1/profiles", tools.take_in, methods=["POST"]),
        Route("/admin/v1/profiles/{name}", profiles.one, methods=["GET", "PUT", "PATCH", "DELETE"]),
        Route("/admin/v1/profiles/{name}/copy", tools.copy, methods=["POST"]),
        Route("/admin/v1/profiles/{name}/diff", tools.diff),
        Route("/admin/v1/profiles/{name}/validate", tools.validate),
        Route("/admin/v1/profiles/{name}/export", tools.export),
    ]


def _of_roles(shelf: RoleShelf | None, *, controller: Controller, threads: EditThreads) -> list[Route]:
    if shelf is None:
        return []
    roles = Roles(shelf=shelf, controller=controller, threads=threads)
    return [
        Route("/admin/v1/roles", roles.list),
        Route("/admin/v1/roles/{role}", roles.one, methods=["GET", "PUT", "PATCH", "DELETE"]),
    ]


async def _count_tokens(request: Request) -> Response:
    body = await read_body(request.receive, limit_bytes=request.app.state.body_limit_bytes)
    return Response(count_tokens(body), media_type="application/json")


async def _not_offered(request: Request) -> Response:
    path = request.scope["path"]
    raise Unsupported(f"{path} is not offered", hint="docs/api.md lists what is; GET /v1/models what can be asked for")


async def _our_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RolegateError)  # noqa: S101  (starlette's handler type is wider than its registration)
    return early_error(error, scope=request.scope)


async def _every_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ConfigInvalid)  # noqa: S101  (as above)
    return problems_error(error, scope=request.scope)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  (as above)
    message = f"{request.method} {request.scope['path']}: {error.detail}"
    if error.status_code == 404:
        return early_error(NoSuchRoute(message), scope=request.scope)
    return early_error(WrongMethod(message), scope=request.scope, headers={"allow": ", ".join(_methods_at(request))})


def _methods_at(request: Request) -> list[str]:
    """What the path takes, by all of its routes: the router itself tells of the first alone."""
    routes = [one for one in request.app.routes if isinstance(one, Route)]
    path = next((one.path for one in routes if one.matches(request.scope)[0] is not Match.NONE), "")
    return sorted({method for one in routes if one.path == path for method in one.methods or ()})


class _HotPath:
    """Takes the data plane's requests before the router: they are nearly all of the traffic, and need none of it."""

    def __init__(self, app: ASGIApp, *, hot: Mapping[str, ASGIApp]) -> None:
        self._app = app
        self._hot = hot

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        app = self._app
        if scope["type"] == "http" and scope["method"] == "POST":
            app = self._hot.get(scope["path"], app)
        return app(scope, receive, send)


class _LastLine:
    """Whatever nobody foresaw becomes a logged 500 in the common shape, if the answer has not begun. A ``Caller`` sees to that
    itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http" or CALLER in scope.get("extensions", ()):
            return self._app(scope, receive, send)
        return self._watched(scope, receive, send)

    async def _watched(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception as unforeseen:  # noqa: BLE001 - logged, and told to the caller
            _log.exception("unexpected error", extra={"path": scope["path"]})
            try:
                await early_error(Unforeseen(), scope=scope)(scope, receive, send)
            except (RuntimeError, AssertionError):
                # The answer has begun: the server refuses a second one, and cuts the connection for the error.
                raise unforeseen from None

"""Who gets through which door: every route, asked by every kind of visitor, wherever the gateway listens.

The routes are those that the application has. One without a row here is expected to be a 501, so that a new route fails this test
until somebody has said whose it is.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from admin_builders import Gateway
from door_builders import a_guarded_gateway, a_keyring, bearer
from fakes.ollama import FakeOllama

Kind = Literal["open", "client", "role", "admin"]
Place = Literal["loopback", "other", "behind a proxy"]

VISITORS: Final = (
    "no_key",
    "wrong",
    "junk",
    "expired",
    "expired_admin",
    "revoked",
    "client",
    "client_of_another_role",
    "admin",
)
STRANGERS: Final = frozenset(VISITORS[:6])
ASK: Final = {"model": "planner", "messages": [{"role": "user", "content": "Say hello."}]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One route: whose it is, and the status of an answer to somebody who may ask. ``role``: of whoever may use the planner."""

    kind: Kind
    status: int
    path: str = ""
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


ROWS: Final[Mapping[tuple[str, str], Row]] = {
    ("GET", "/healthz"): Row(kind="open", status=200),
    ("GET", "/readyz"): Row(kind="open", status=200),
    ("GET", "/metrics"): Row(kind="admin", status=200),
    ("POST", "/v1/chat/completions"): Row(kind="role", status=200, body=ASK),
    ("POST", "/v1/completions"): Row(kind="role", status=200, body={"model": "planner", "prompt": "Say hello."}),
    ("POST", "/v1/embeddings"): Row(kind="role", status=400, body={"model": "planner", "input": "red"}),
    ("POST", "/v1/responses"): Row(kind="role", status=200, body={"model": "planner", "input": "Say hello."}),
    ("POST", "/v1/messages"): Row(kind="role", status=200, body={**ASK, "max_tokens": 16}),
    ("POST", "/v1/messages/count_tokens"): Row(kind="client", status=200, body=ASK),
    ("GET", "/v1/models"): Row(kind="client", status=200),
    ("GET", "/v1/models/{id}"): Row(kind="role", status=200, path="/v1/models/planner"),
    ("GET", "/admin/v1/status"): Row(kind="admin", status=200),
    ("GET", "/admin/v1/plan"): Row(kind="admin", status=200),
    ("GET", "/admin/v1/plan/profile"): Row(kind="admin", status=200),
    ("POST", "/admin/v1/look"): Row(kind="admin", status=200),
    ("POST", "/admin/v1/swap"): Row(kind="admin", status=404, body={"profile": "nobodys"}),
    ("POST", "/admin/v1/reload"): Row(kind="admin", status=200),
    ("POST", "/admin/v1/rollback"): Row(kind="admin", status=400),
    ("GET", "/admin/v1/openapi.json"): Row(kind="admin", status=200),
    ("GET", "/admin/v1/generations"): Row(kind="admin", status=200),
    ("POST", "/admin/v1/explain/{role}"): Row(kind="admin", status=200, path="/admin/v1/explain/planner"),
    ("GET", "/admin/v1/profiles"): Row(kind="admin", status=200),
    ("GET", "/admin/v1/profiles/{name}"): Row(kind="admin", status=404, path="/admin/v1/profiles/nobodys"),
    ("PUT", "/admin/v1/profiles/{name}"): Row(
        kind="admin", status=404, path="/admin/v1/profiles/nobodys", body={}, headers={"if-match": '"another"'}
    ),
    ("PATCH", "/admin/v1/profiles/{name}"): Row(
        kind="admin", status=404, path="/admin/v1/profiles/nobodys", body={"set": {"gateway.port": 4001}}
    ),
    ("DELETE", "/admin/v1/profiles/{name}"): Row(kind="admin", status=404, path="/admin/v1/profiles/nobodys"),
    ("POST", "/admin/v1/profiles"): Row(kind="admin", status=400, body={}),
    ("POST", "/admin/v1/profiles/{name}/copy"): Row(
        kind="admin", status=404, path="/admin/v1/profiles/nobodys/copy", body={"name": "another"}
    ),
    ("GET", "/admin/v1/profiles/{name}/diff"): Row(
        kind="admin", status=404, path="/admin/v1/profiles/nobodys/diff?with=another"
    ),
    ("GET", "/admin/v1/profiles/{name}/validate"): Row(
        kind="admin", status=404, path="/admin/v1/profiles/nobodys/validate"
    ),
    ("GET", "/admin/v1/profiles/{name}/export"): Row(
        kind="admin", status=404, path="/admin/v1/profiles/nobodys/export"
    ),
    ("GET", "/admin/v1/roles"): Row(kind="admin", status=200),
    ("GET", "/admin/v1/roles/{role}"): Row(kind="admin", status=404, path="/admin/v1/roles/nobodys"),
    ("PUT", "/admin/v1/roles/{role}"): Row(
        kind="admin", status=404, path="/admin/v1/roles/nobodys", body={}, headers={"if-match": '"another"'}
    ),
    ("PATCH", "/admin/v1/roles/{role}"): Row(
        kind="admin", status=404, path="/admin/v1/roles/nobodys", body={"set": {"discover": False}}
    ),
    ("DELETE", "/admin/v1/roles/{role}"): Row(kind="admin", status=404, path="/admin/v1/roles/nobodys"),
    ("GET", "/admin/v1/requests"): Row(kind="admin", status=200),
    ("GET", "/admin/v1/costs"): Row(kind="admin", status=200),
    ("GET", "/admin/v1/models"): Row(kind="admin", status=200),
    ("POST", "/admin/v1/models/{ref}/load"): Row(kind="admin", status=404, path="/admin/v1/models/ollama:no/load"),
    ("POST", "/admin/v1/models/{ref}/unload"): Row(kind="admin", status=404, path="/admin/v1/models/ollama:no/unload"),
    ("DELETE", "/admin/v1/models/{ref}"): Row(kind="admin", status=404, path="/admin/v1/models/ollama:no"),
    ("GET", "/admin/v1/resources"): Row(kind="admin", status=200),
}
AS_IT_IS: Final = "as it is"
NOT_OFFERED: Final = Row(kind="client", status=501)
NOWHERE: Final = (
    (Row(kind="admin", status=404, path=AS_IT_IS), "GET", "/"),
    (Row(kind="admin", status=404, path=AS_IT_IS), "GET", "/ui/"),
    (Row(kind="admin", status=404, path=AS_IT_IS), "GET", "/v1x"),
    (Row(kind="admin", status=404, path=AS_IT_IS), "GET", "/Metrics"),
    (Row(kind="admin", status=405, path=AS_IT_IS), "POST", "/metrics"),
    (Row(kind="admin", status=404, path=AS_IT_IS), "GET", "/ADMIN/v1/status"),
    (Row(kind="admin", status=404, path=AS_IT_IS), "GET", "//admin/v1/status"),
    (Row(kind="admin", status=404, path=AS_IT_IS), "GET", "/admin"),
    (Row(kind="admin", status=405, path=AS_IT_IS), "DELETE", "/admin/v1/status"),
    (Row(kind="client", status=404, path=AS_IT_IS), "GET", "/v1"),
    (Row(kind="client", status=404, path=AS_IT_IS), "GET", "/v1/nothing"),
    (Row(kind="client", status=405, path=AS_IT_IS), "OPTIONS", "/v1/chat/completions"),
    (Row(kind="client", status=404, path=AS_IT_IS), "GET", "/v1/../admin/v1/status"),
    (Row(kind="client", status=404, path=AS_IT_IS), "GET", "/v1//admin/v1/status"),
)
"""What no route is for is nobody's but an admin's, unless it is below ``/v1``. Paths as a server hands them on: decoded."""


def expected(row: Row, *, visitor: str, place: Place) -> int:
    if row.kind == "open" or place == "loopback":
        return row.status
    if visitor in STRANGERS:
        return 401
    if row.kind == "admin":
        return row.status if visitor == "admin" else 403
    if visitor == "admin":
        return 403
    return 403 if row.kind == "role" and visitor == "client_of_another_role" else row.status


def mounted(app: Any) -> dict[tuple[str, str], str]:
    """Every method and path that the application answers, and a path to ask for where the row names none."""
    while not isinstance(app, Starlette):
        app = app._app
    return {
        (method, route.path.replace(":path", "")): route.path.replace("{rest:path}", "x/y").replace("{id}", "x")
        for route in app.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }


@pytest.fixture
async def ollama() -> AsyncIterator[FakeOllama]:
    async with FakeOllama(models=["llama3.1:8b", "mistral"]) as server:
        yield server


async def asked(gateway: Gateway, row: Row, method: str, path: str, headers: Mapping[str, str]) -> int:
    if row.path == AS_IT_IS:
        return await asked_as_it_is(gateway, method, path, headers)
    answer = await gateway.client.request(method, path, json=row.body, headers={**row.headers, **headers})
    if answer.status_code == 401:
        assert answer.headers["www-authenticate"] == 'Bearer realm="rolegate"'
    if answer.status_code in {401, 403}:
        error = answer.json()["error"]
        assert error["code"] == ("invalid_api_key" if answer.status_code == 401 else "key_not_allowed")
        assert ("request_id" in answer.json()) is path.startswith("/v1/messages")
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    return answer.status_code


async def asked_as_it_is(gateway: Gateway, method: str, path: str, headers: Mapping[str, str]) -> int:
    """Without a client that puts the path in order first."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in {"host": "127.0.0.1", **headers}.items()]
    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": raw, "root_path": ""}
    await gateway.app(scope, receive, send)
    status: int = sent[0]["status"]
    return status


@pytest.mark.parametrize("place", ["loopback", "other", "behind a proxy"])
async def test_every_route_lets_in_whom_it_should_and_nobody_else(
    place: Place, ollama: FakeOllama, tmp_path: Path
) -> None:
    ring = a_keyring(tmp_path)
    wrong = []
    async with a_guarded_gateway(tmp_path, url=ollama.url, keys=ring.keys, loopback_only=place != "other") as gateway:
        routes = mounted(gateway.app)
        offered = {one for one in routes if one in ROWS}
        left = {path for method, path in routes if (method, path) not in ROWS}
        assert offered == set(ROWS), "a row without a route"
        plan = [(ROWS[one], one[0], ROWS[one].path or routes[one]) for one in sorted(offered)]
        plan += [(NOT_OFFERED, method, asks) for (method, path), asks in sorted(routes.items()) if path in left]
        plan += NOWHERE
        for visitor in VISITORS:
            headers = bearer(ring.texts[visitor])
            if place == "behind a proxy":
                headers |= {"x-forwarded-for": "203.0.113.7", "host": "ai.example.org"}
            for row, method, path in plan:
                status = await asked(gateway, row, method, path, headers)
                if status != (should := expected(row, visitor=visitor, place=place)):
                    wrong.append(f"{visitor} {place}: {method} {path}: {status}, expected {should}")
    assert wrong == []

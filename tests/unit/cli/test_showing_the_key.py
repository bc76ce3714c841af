"""Commands show the admin key to a gateway of their own configuration and state folder, and to one that a person names."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, cast

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from admin_builders import an_admin_gateway, write_layers
from command_builders import Run
from fakes.ollama import FakeOllama
from gateway.api.guard import Guard
from gateway.compose.address import address_left
from gateway.compose.client_keys import client_keys_of
from gateway.compose.proof import IDENTITY_FILE
from gateway.compose.workspace import Options, Workspace
from gateway.vault.identity import CHALLENGE, PROOF
from gateway_process import free_port
from keeping_builders import served

KEY: Final = "an-admin-key-of-this-test"
ASKS: Final = {"error": {"message": "this gateway asks for a key, and the request has none", "code": "invalid_api_key"}}
Answer = Callable[[Request], Awaitable[Response]]


@pytest.fixture(autouse=True)
def _with_an_admin_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLEGATE_ADMIN_KEY", KEY)


def workspace_of(folder: Path) -> Workspace:
    return Workspace.open(Options(config_dir=folder))


def port_of(folder: Path) -> int:
    return workspace_of(folder).configuration().gateway.port


@asynccontextmanager
async def a_gateway(folder: Path, *, port: int) -> AsyncIterator[None]:
    """One that asks everybody for a key."""
    guard = Guard(client_keys_of(workspace_of(folder)))
    async with (
        an_admin_gateway(folder, loopback_only=False, guard=guard) as live,
        served(cast(Any, live.app), port=port),
    ):
        yield


class Stranger:
    """Listens where a gateway used to, asks for a key as one does, and remembers every header that it is shown."""

    def __init__(self, *, healthz: Answer | None = None) -> None:
        self.shown: list[str] = []
        self._healthz = healthz

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        self.shown += request.headers.values()
        answer: Response = JSONResponse(ASKS, status_code=401)
        if request.url.path == "/healthz" and self._healthz is not None:
            answer = await self._healthz(request)
        await answer(scope, receive, send)

    @asynccontextmanager
    async def listening(self, port: int) -> AsyncIterator["Stranger"]:
        async with served(cast(Starlette, self), port=port):
            yield self

    @property
    def knows_the_key(self) -> bool:
        return any(KEY in one for one in self.shown)


def leave_address(folder: Path, *, port: int) -> None:
    """What a gateway leaves behind that is killed."""
    workspace = Workspace.open(Options(config_dir=folder, settings={"port": port}))
    with address_left(workspace):
        content = (workspace.state_folder / "gateway.json").read_bytes()
    (workspace.state_folder / "gateway.json").write_bytes(content)


async def test_the_gateway_of_this_configuration_and_state_folder_is_shown_the_key(rolegate: Run, folder: Path) -> None:
    async with a_gateway(folder, port=port_of(folder)):
        assert (await rolegate("status", "--json")).json["generation"]["number"] == 1
        assert (await rolegate("profiles", "use", "fast")).code == 0
    port = free_port()
    leave_address(folder, port=port)
    async with a_gateway(folder, port=port):
        assert (await rolegate("status")).code == 0


@pytest.mark.parametrize("command", [("status",), ("profiles", "use", "fast"), ("models", "load", "mistral")])
async def test_whoever_listens_where_a_killed_gateway_did_is_not_shown_the_key(
    command: tuple[str, ...], rolegate: Run, folder: Path
) -> None:
    port = free_port()
    async with a_gateway(folder, port=port):
        leave_address(folder, port=port)
    async with Stranger().listening(port) as stranger:
        nowhere = await rolegate("status")
        async with a_gateway(folder, port=port_of(folder)):
            ran = await rolegate(*command)
    assert stranger.shown
    assert not stranger.knows_the_key
    assert (nowhere.code, ran.code) == (5, 0)
    assert nowhere.err.startswith(f"error: no gateway answers at http://127.0.0.1:{port_of(folder)}: ")


async def test_whoever_listens_where_the_files_have_the_gateway_listen_is_not_shown_the_key(
    rolegate: Run, folder: Path
) -> None:
    async with Stranger().listening(port_of(folder)) as stranger:
        before = await rolegate("status")
        async with a_gateway(folder, port=free_port()):
            assert (workspace_of(folder).state_folder / IDENTITY_FILE).exists()
        after = await rolegate("status")
    told = (
        "error: this gateway asks for a key, and the request has none\n"
        f"hint: the admin key was not shown: what answers at http://127.0.0.1:{port_of(folder)} has not proven that it goes"
        f" by {folder} and {workspace_of(folder).state_folder}; if it is yours, name it with --url\n"
    )
    assert (before.code, before.err) == (after.code, after.err) == (2, told)
    assert not stranger.knows_the_key


async def test_a_proof_that_is_fetched_from_the_gateway_itself_is_no_good_at_another_address(
    rolegate: Run, folder: Path
) -> None:
    port = port_of(folder)

    async def fetched(request: Request) -> Response:
        async with httpx.AsyncClient(trust_env=False) as client:
            headers = {CHALLENGE: request.headers[CHALLENGE], "host": f"127.0.0.1:{left}"}
            told = await client.get(f"http://127.0.0.1:{port}/healthz", headers=headers)
        return JSONResponse({"status": "ok"}, headers={PROOF: told.headers[PROOF]})

    left = free_port()
    leave_address(folder, port=left)
    async with a_gateway(folder, port=port), Stranger(healthz=fetched).listening(left) as stranger:
        assert (await rolegate("status")).code == 0
    assert stranger.shown
    assert not stranger.knows_the_key


async def test_a_proof_that_was_heard_before_is_no_good(rolegate: Run, folder: Path) -> None:
    port = port_of(folder)
    async with a_gateway(folder, port=port), httpx.AsyncClient(trust_env=False) as client:
        heard = (await client.get(f"http://127.0.0.1:{port}/healthz", headers={CHALLENGE: "ab" * 32})).headers[PROOF]

    async def repeated(request: Request) -> Response:
        return JSONResponse({"status": "ok"}, headers={PROOF: heard})

    async with Stranger(healthz=repeated).listening(port) as stranger:
        assert (await rolegate("status")).code == 2
    assert not stranger.knows_the_key


async def test_a_gateway_of_another_configuration_is_not_shown_the_key(
    rolegate: Run, folder: Path, fake: FakeOllama, tmp_path: Path
) -> None:
    theirs = write_layers(tmp_path / "theirs", url=fake.url, port=port_of(folder), memory_gb=64, fast={})
    async with a_gateway(theirs, port=port_of(folder)):
        ran = await rolegate("status")
    assert ran.code == 2
    assert f"has not proven that it goes by {folder} and " in ran.err


async def test_who_is_named_is_shown_the_key_without_a_proof(rolegate: Run, folder: Path) -> None:
    port = free_port()
    async with Stranger().listening(port) as stranger:
        ran = await rolegate("status", "--url", f"http://127.0.0.1:{port}")
    assert stranger.knows_the_key
    assert "hint: commands show the admin key in ROLEGATE_ADMIN_KEY" in ran.err


async def test_a_gateway_that_asks_for_no_key_is_used_without_a_proof(rolegate: Run, folder: Path) -> None:
    async with an_admin_gateway(folder) as live, served(cast(Any, live.app), port=port_of(folder)):
        (workspace_of(folder).state_folder / IDENTITY_FILE).unlink()
        assert (await rolegate("status")).code == 0
        assert (await rolegate("profiles", "use", "fast")).code == 0


@pytest.mark.parametrize("challenge", ["", "ab", "AB" * 32, "ab" * 33, "zz" * 32])
async def test_what_is_no_challenge_is_not_answered(challenge: str, folder: Path) -> None:
    async with an_admin_gateway(folder) as live:
        given = {CHALLENGE: challenge} if challenge else {}
        answer = await live.client.get("/healthz", headers=given)
        proven = await live.client.get("/healthz", headers={CHALLENGE: "ab" * 32})
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert PROOF not in answer.headers
    assert PROOF in proven.headers


async def test_where_the_state_folder_can_keep_no_secret_the_gateway_says_so_and_serves(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (workspace_of(folder).state_folder / IDENTITY_FILE).mkdir(parents=True)
    async with an_admin_gateway(folder) as live:
        answer = await live.client.get("/healthz", headers={CHALLENGE: "ab" * 32})
    assert (answer.status_code, PROOF in answer.headers) == (200, False)
    assert "commands cannot make sure of this gateway" in caplog.text

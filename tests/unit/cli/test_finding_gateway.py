"""Commands find the gateway that goes by their configuration, wherever it listens, and leave every other one alone."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from admin_builders import Gateway, an_admin_gateway, write_layers, write_profile
from command_builders import Run
from fakes.ollama import FakeOllama
from gateway.compose.address import ADDRESS_FILE, address_left
from gateway.compose.workspace import Options, Workspace
from gateway_process import free_port
from keeping_builders import served


def workspace_of(folder: Path) -> Workspace:
    return Workspace.open(Options(config_dir=folder))


def address_file(folder: Path) -> Path:
    return workspace_of(folder).state_folder / ADDRESS_FILE


@contextmanager
def left(folder: Path, content: object) -> Iterator[None]:
    """An address that a gateway left, or what passes for one."""
    path = address_file(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    yield
    path.unlink()


@asynccontextmanager
async def a_gateway(folder: Path, *, port: int) -> AsyncIterator[Gateway]:
    async with an_admin_gateway(folder) as live, served(cast(Any, live.app), port=port):
        yield live


def port_of(folder: Path) -> int:
    return workspace_of(folder).configuration().gateway.port


async def test_a_gateway_is_found_where_it_said_that_it_listens(rolegate: Run, folder: Path) -> None:
    port = free_port()
    async with a_gateway(folder, port=port) as live:
        with left(folder, {"url": f"http://127.0.0.1:{port}"}):
            assert (await rolegate("status", "--json")).json["generation"]["number"] == 1
            used = await rolegate("profiles", "use", "fast")
            assert used.err.startswith("the running gateway took it up in ")
            back = await rolegate("profiles", "rollback")
            assert (back.code, back.out) == (0, "generation 3\n")
            edited = await rolegate("roles", "set", "planner", 'preferred=["mistral"]', "--json")
            assert edited.json["running"]["swap"]["swapped"] is True
            loaded = await rolegate("models", "load", "mistral", "--json")
            assert (loaded.code, loaded.json["loaded"]) == (0, True)
        assert live.switchboard.live.number == 4
        assert (await rolegate("status")).code == 5


async def test_an_edit_of_the_port_does_not_lose_the_gateway(rolegate: Run, folder: Path) -> None:
    async with a_gateway(folder, port=port_of(folder)) as live:
        with address_left(workspace_of(folder)):
            (folder / "user_models.json").write_text('{"gateway": {"port": 1}}', encoding="utf-8")
            ran = await rolegate("profiles", "use", "fast")
        assert (ran.code, live.controller.configuration.profile) == (0, "fast")
        assert ran.err.startswith("the running gateway took it up in ")


async def test_a_choice_that_cannot_be_used_any_more_does_not_lose_the_gateway(rolegate: Run, folder: Path) -> None:
    write_profile(folder, "passing", {})
    async with a_gateway(folder, port=port_of(folder)) as live:
        await rolegate("profiles", "use", "passing")
        (folder / "user_profiles" / "passing.json").unlink()
        ran = await rolegate("profiles", "use", "fast")
        assert (ran.code, live.controller.configuration.profile) == (0, "fast")
        assert ran.err.startswith("the running gateway took it up in ")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"url": 3}', '{"url": "http://127.0.0.1:1"}', '{"url": "no url"}'])
async def test_an_address_that_leads_nowhere_is_passed_over(content: str, rolegate: Run, folder: Path) -> None:
    async with a_gateway(folder, port=port_of(folder)):
        with left(folder, content):
            assert (await rolegate("status", "--json")).json["generation"]["number"] == 1


async def test_an_address_at_which_somebody_else_listens_by_now_is_passed_over(
    rolegate: Run, folder: Path, fake: FakeOllama, tmp_path: Path
) -> None:
    port = free_port()
    theirs = write_layers(tmp_path / "theirs", url=fake.url, port=port, memory_gb=64, fast={})
    async with a_gateway(theirs, port=port) as other:
        with left(folder, {"url": f"http://127.0.0.1:{port}"}):
            ran = await rolegate("profiles", "use", "fast")
            assert ran.err == "no gateway is running; the next `rolegate serve` goes by it\n"
            async with a_gateway(folder, port=port_of(folder)):
                ran = await rolegate("profiles", "use", "--none")
                assert ran.err.startswith("the running gateway took it up in ")
        assert other.switchboard.live.number == 1


async def test_a_gateway_of_the_same_configuration_but_another_state_folder_left_no_address_here(
    rolegate: Run, folder: Path
) -> None:
    async def status(request: Request) -> JSONResponse:
        return JSONResponse({"generation": {}, "config_folder": str(folder), "state_folder": str(folder / "elsewhere")})

    port = free_port()
    async with served(Starlette(routes=[Route("/admin/v1/status", status)]), port=port):
        with left(folder, {"url": f"http://127.0.0.1:{port}"}):
            assert (await rolegate("status")).code == 5
        assert (await rolegate("status", "--url", f"127.0.0.1:{port}/v1/")).code == 0


async def test_a_gateway_of_another_configuration_is_never_changed(
    rolegate: Run, folder: Path, fake: FakeOllama, tmp_path: Path
) -> None:
    port = port_of(folder)
    theirs = write_layers(tmp_path / "theirs", url=fake.url, port=port, memory_gb=64, fast={})
    write_profile(folder, "next", {})
    told = f"the gateway at http://127.0.0.1:{port} goes by another configuration, {theirs}, and was not asked"
    async with a_gateway(theirs, port=port) as other:
        used = await rolegate("profiles", "use", "fast")
        assert (used.code, used.out) == (0, "active profile: fast\n")
        assert used.err == f"{told}\nno gateway is running; the next `rolegate serve` goes by it\n"
        deleted = await rolegate("profiles", "delete", "fast", "--successor", "next", "--yes")
        assert (deleted.code, deleted.err) == (0, f"{told}\nactive profile: next\n")
        edited = await rolegate("roles", "set", "planner", 'preferred=["mistral"]')
        assert (edited.code, edited.err.splitlines()[0]) == (0, told)
        back = await rolegate("profiles", "rollback")
        assert (back.code, back.err.splitlines()[0]) == (0, told)
        made = await rolegate("profiles", "create", "now", "--from-running")
        assert (made.code, made.err.splitlines()[0]) == (5, f"error: {told}")
        named = await rolegate("profiles", "rollback", "--url", f"http://127.0.0.1:{port}")
        assert (named.code, named.err) == (
            5,
            (
                f"error: {told}\nhint: name its folder with --config-dir, or start one that goes by this configuration with "
                "`rolegate serve`\n"
            ),
        )
        seen = await rolegate("status")
        assert seen.code == 0
        assert seen.err.startswith(
            f"warning: the gateway at http://127.0.0.1:{port} goes by another configuration than {folder}\n"
        )
        assert (other.controller.configuration.profile, other.switchboard.live.number) == (None, 1)
    assert (theirs / "user_profiles" / "fast.json").exists()


async def test_where_a_gateway_listens_can_be_said(rolegate: Run, folder: Path) -> None:
    port = free_port()
    async with a_gateway(folder, port=port) as live:
        url = f"http://127.0.0.1:{port}"
        ran = await rolegate("profiles", "use", "fast", "--url", url)
        assert (ran.code, live.controller.configuration.profile) == (0, "fast")
        for line in (
            ["profiles", "rollback"],
            ["models", "load", "mistral"],
            ["roles", "set", "planner", "discover=true"],
        ):
            assert (await rolegate(*line, "--url", url)).code == 0
    ran = await rolegate("profiles", "use", "--none", "--url", url)
    assert (ran.code, ran.out) == (5, "")
    assert ran.err.startswith(f"error: no gateway answers at {url}: ")


async def test_what_is_written_stays_written_where_no_gateway_answers_at_the_address_that_was_named(
    rolegate: Run, folder: Path
) -> None:
    url = "http://127.0.0.1:1"
    ran = await rolegate("profiles", "set", "fast", "description=other", "--url", url)
    assert (ran.code, ran.out) == (0, f"wrote {folder / 'user_profiles' / 'fast.json'}\n")
    assert ran.err.startswith(f"no gateway answers at {url}: ")
    edited = await rolegate("roles", "set", "planner", "discover=true", "--url", url, "--json")
    assert (edited.code, edited.json["changed"], edited.json["running"]) == (0, True, None)


async def test_what_a_gateway_has_made_last_is_not_written_again(rolegate: Run, folder: Path) -> None:
    """By then somebody may have chosen another."""
    state = workspace_of(folder).state_folder

    async def status(request: Request) -> JSONResponse:
        told = {"generation": {}, "config_folder": str(folder), "state_folder": str(state), "hot_swap": True}
        return JSONResponse(told)

    async def swap(request: Request) -> JSONResponse:
        return JSONResponse({"generation": 2, "digest": "", "changed_roles": [], "ms": 1.0, "swapped": True})

    routes = [Route("/admin/v1/status", status), Route("/admin/v1/swap", swap, methods=["POST"])]
    async with served(Starlette(routes=routes), port=port_of(folder)):
        ran = await rolegate("profiles", "use", "fast")
    assert (ran.code, ran.out) == (0, "active profile: fast\n")
    assert not (state / "active_profile").exists()


def test_an_address_is_left_for_this_user_only_and_taken_away_again(folder: Path) -> None:
    path = address_file(folder)
    with address_left(workspace_of(folder)):
        told = json.loads(path.read_text(encoding="utf-8"))
        assert (told["url"], told["config_folder"]) == (f"http://127.0.0.1:{port_of(folder)}", str(folder))
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()


def test_the_address_of_a_gateway_that_came_since_is_not_taken_away(folder: Path) -> None:
    path = address_file(folder)
    with address_left(workspace_of(folder)):
        path.write_text('{"url": "http://127.0.0.1:1", "pid": 0}', encoding="utf-8")
    assert path.exists()


def test_where_no_address_can_be_left_the_gateway_serves_all_the_same(folder: Path) -> None:
    path = address_file(folder)
    path.mkdir(parents=True)
    with address_left(workspace_of(folder)):
        assert path.is_dir()
    assert path.is_dir()


def test_what_a_killed_gateway_was_writing_is_swept_away(folder: Path) -> None:
    state = workspace_of(folder).state_folder
    state.mkdir(parents=True, exist_ok=True)
    torn = state / ".router.yaml.abcd1234.tmp"
    torn.write_text("model_li", encoding="utf-8")
    with address_left(workspace_of(folder)):
        assert not torn.exists()

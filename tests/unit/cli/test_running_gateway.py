"""The commands that a running gateway takes part in: choosing a profile, going back, and edits that it takes up or not."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from admin_builders import Gateway, an_admin_gateway, write_layers, write_profile
from command_builders import Run, a_command
from fakes.ollama import FakeOllama
from gateway_process import free_port
from keeping_builders import served
from live_builders import until

FAST = {"role_mappings": {"planner": {"preferred": ["mistral:latest"]}}}
TOOK_UP = r"the running gateway took it up in [\d.]+ m?s: generation {number}, changed roles: planner\n"


@pytest.fixture
async def fake() -> AsyncIterator[FakeOllama]:
    async with FakeOllama(models=["llama3.1:8b", "mistral"]) as server:
        yield server


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def hot_swap() -> bool:
    return True


@pytest.fixture
def folder(tmp_path: Path, fake: FakeOllama, port: int, hot_swap: bool) -> Path:
    return write_layers(tmp_path, url=fake.url, port=port, hot_swap=hot_swap, memory_gb=64, fast=FAST)


@pytest.fixture
def rolegate(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    return a_command(folder, capsys)


@pytest.fixture
async def gateway(folder: Path, port: int) -> AsyncIterator[Gateway]:
    async with an_admin_gateway(folder) as live, served(cast(Any, live.app), port=port):
        yield live


def stored(folder: Path, name: str) -> Any:
    return json.loads((folder / "user_profiles" / f"{name}.json").read_text(encoding="utf-8"))


async def test_a_profile_is_used_at_once_and_after_a_restart(rolegate: Run, gateway: Gateway) -> None:
    ran = await rolegate("profiles", "use", "fast")
    assert (ran.code, ran.out) == (0, "active profile: fast\n")
    assert re.fullmatch(TOOK_UP.format(number=2), ran.err)
    assert gateway.controller.configuration.profile == "fast"
    assert (await rolegate("profiles", "list", "--json")).json["active"] == "fast"
    again = await rolegate("profiles", "use", "fast")
    assert again.err == "the running gateway goes on with generation 2: no role is served differently\n"
    told = (await rolegate("profiles", "use", "--none", "--json")).json
    assert (told["profile"], told["persisted"], told["running"]["hot_swap"]) == (None, True, True)
    assert told["running"]["swap"]["changed_roles"] == ["planner"]


@pytest.mark.parametrize("hot_swap", [False])
@pytest.mark.usefixtures("gateway")
async def test_without_hot_swap_the_choice_waits_for_a_restart(rolegate: Run) -> None:
    ran = await rolegate("profiles", "use", "fast")
    assert (ran.code, ran.out) == (0, "active profile: fast\n")
    assert ran.err == (
        "the running gateway goes on with no profile, since hot-swap is off; restart it to use this one\n"
    )
    assert (await rolegate("profiles", "use", "fast", "--json")).json["running"] == {
        "profile": None,
        "hot_swap": False,
        "swap": None,
    }


async def test_the_running_gateway_goes_back_one_generation(rolegate: Run, gateway: Gateway) -> None:
    await rolegate("profiles", "use", "fast")
    ran = await rolegate("profiles", "rollback")
    assert (ran.code, ran.out) == (0, "generation 3\n")
    assert re.fullmatch(TOOK_UP.format(number=3) + r"generation 2 \(profile fast\) is undone\n", ran.err)
    assert gateway.controller.configuration.profile is None
    assert (await rolegate("profiles", "rollback", "--json")).json["generation"] == 4


async def test_without_a_gateway_the_profile_that_served_before_becomes_the_active_one(
    rolegate: Run, folder: Path, port: int
) -> None:
    write_profile(folder, "quick", {"extends": "fast", "role_mappings": {"planner": {"discover": True}}})
    async with an_admin_gateway(folder) as live, served(cast(Any, live.app), port=port):
        for name in ("fast", "quick"):
            await rolegate("profiles", "use", name)
    ran = await rolegate("profiles", "rollback")
    assert (ran.code, ran.out) == (0, "active profile: fast\n")
    assert ran.err == (
        'no gateway is running: "fast" is what served before "quick"; what the files say stays as it is, and the next '
        "`rolegate serve` goes by it\n"
    )
    again = await rolegate("profiles", "rollback", "--json")
    assert again.json == {"profile": "quick", "persisted": True, "running": None}
    assert (await rolegate("profiles", "list", "--json")).json["active"] == "quick"


async def test_without_a_gateway_going_back_to_no_profile_is_going_back_too(
    rolegate: Run, folder: Path, port: int
) -> None:
    async with an_admin_gateway(folder) as live, served(cast(Any, live.app), port=port):
        pass
    await rolegate("profiles", "use", "fast")
    ran = await rolegate("profiles", "rollback")
    assert (ran.code, ran.out) == (0, "active profile: none\n")
    assert ran.err.startswith('no gateway is running: no profile is what served before "fast"; ')


async def test_without_a_gateway_nothing_is_gone_back_to_that_cannot_be_used(
    rolegate: Run, folder: Path, port: int
) -> None:
    async with an_admin_gateway(folder) as live, served(cast(Any, live.app), port=port):
        await rolegate("profiles", "use", "fast")
    await rolegate("profiles", "use", "--none")
    write_profile(folder, "fast", {"unheard_of": 1})
    assert (await rolegate("profiles", "rollback")).code == 3
    (folder / "user_profiles" / "fast.json").unlink()
    ran = await rolegate("profiles", "rollback")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        'error: the profile that served before, "fast", is not there any more\n'
        "hint: `rolegate profiles use` chooses another\n"
    )
    assert (await rolegate("profiles", "list", "--json")).json["active"] is None


async def test_a_rollback_without_a_gateway_or_a_history_is_exit_code_5(rolegate: Run) -> None:
    ran = await rolegate("profiles", "rollback")
    assert (ran.code, ran.out) == (5, "")
    assert ran.err.startswith("error: no gateway answers at http://127.0.0.1:")
    assert ran.err.endswith(
        "hint: the history names no other profile that served; `rolegate profiles use` chooses one\n"
    )


async def test_the_problems_that_a_gateway_has_with_a_profile_are_told(rolegate: Run, folder: Path, port: int) -> None:
    """It was started with another environment than the command."""
    problem = {
        "file": "theirs.json", "line": 1, "key_path": "gateway.port", "found": "0", "allowed": "a port", "nearest": "",
        "hint": "",
    }  # fmt: skip
    error = {"message": "…", "code": "config_invalid", "problems": [problem]}

    async def status(request: Request) -> JSONResponse:
        return JSONResponse({"generation": {}, "config_folder": str(folder), "hot_swap": True, "profile": None})

    async def refuse(request: Request) -> JSONResponse:
        return JSONResponse({"error": error}, status_code=422)

    refusing = Starlette(
        routes=[
            Route("/admin/v1/status", status),
            Route("/admin/v1/swap", refuse, methods=["POST"]),
            Route("/admin/v1/reload", refuse, methods=["POST"]),
        ]
    )
    async with served(refusing, port=port):
        ran = await rolegate("profiles", "use", "fast")
        told = (await rolegate("profiles", "use", "fast", "--json")).json["error"]
        refused = await rolegate("roles", "set", "planner", "discover=true")
        refused_data = (await rolegate("roles", "set", "planner", "discover=false", "--json")).json["running"]
    words = "theirs.json:1: gateway.port: found 0; allowed: a port"
    assert (ran.code, ran.out) == (3, "")
    assert ran.err == (
        f"error: 1 problem in the configuration:\n  {words}\n"
        "hint: mend the lines named above and run `rolegate config validate`\n"
    )
    assert (told["code"], told["hint"]) == (
        "config_invalid",
        "mend the lines named above and run `rolegate config validate`",
    )
    assert told["problems"] == [problem]
    assert (await rolegate("profiles", "list", "--json")).json["active"] is None
    assert (refused.code, refused_data["problems"]) == (0, [problem])
    assert refused.err.splitlines()[:2] == [
        "the running gateway goes on as before: 1 problem in the configuration:",
        f"  {words}",
    ]


@pytest.mark.usefixtures("gateway")
async def test_a_rollback_to_nothing_is_a_usage_error(rolegate: Run) -> None:
    ran = await rolegate("profiles", "rollback")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: there is no generation to go back to")


@pytest.mark.parametrize("hot_swap", [False])
@pytest.mark.usefixtures("gateway")
async def test_a_rollback_without_hot_swap_says_how_to_turn_it_on(rolegate: Run) -> None:
    ran = await rolegate("profiles", "rollback", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (2, "hot_swap_disabled")
    assert "start it with --hot-swap" in ran.json["error"]["message"]


async def test_an_edit_of_the_profile_that_serves_is_taken_up(rolegate: Run, gateway: Gateway, folder: Path) -> None:
    await rolegate("profiles", "use", "fast")
    ran = await rolegate("profiles", "set", "fast", "role_mappings.planner.preferred[0]=llama3.1:8b")
    assert (ran.code, ran.out) == (0, f"wrote {folder / 'user_profiles' / 'fast.json'}\n")
    assert re.fullmatch(TOOK_UP.format(number=3), ran.err)
    assert gateway.switchboard.live.number == 3


async def test_an_edit_of_what_the_serving_profile_extends_is_taken_up_too(
    rolegate: Run, gateway: Gateway, folder: Path
) -> None:
    write_profile(folder, "faster", {"extends": "fast"})
    await rolegate("profiles", "use", "faster")
    told = await rolegate("profiles", "set", "fast", "role_mappings.planner.preferred[0]=llama3.1:8b", "--json")
    assert told.json["running"]["swap"]["changed_roles"] == ["planner"]


async def test_whoever_sees_an_edit_first_it_is_told_just_so(rolegate: Run, folder: Path, port: int) -> None:
    async with an_admin_gateway(folder, watching=True) as live, served(cast(Any, live.app), port=port):
        await rolegate("profiles", "use", "fast")
        for number, model in enumerate(["llama3.1:8b", "mistral", "llama3.1:8b", "mistral"], start=3):
            ran = await rolegate("profiles", "set", "fast", f"role_mappings.planner.preferred[0]={model}")
            assert re.fullmatch(TOOK_UP.format(number=number), ran.err)


async def test_an_import_of_what_serves_is_taken_up(
    rolegate: Run, gateway: Gateway, folder: Path, tmp_path: Path
) -> None:
    file = str(tmp_path / "bundle")
    write_profile(folder, "faster", {"extends": "fast"})
    await rolegate("profiles", "export", "faster", file)
    await rolegate("profiles", "use", "faster")
    await rolegate("profiles", "set", "fast", "role_mappings.planner.preferred[0]=llama3.1:8b")
    ran = await rolegate("profiles", "import", file, "--replace")
    assert (ran.code, gateway.switchboard.live.number) == (0, 4)
    assert re.fullmatch(TOOK_UP.format(number=4), ran.err)


async def test_an_edit_of_another_profile_leaves_the_gateway_alone(rolegate: Run, gateway: Gateway) -> None:
    ran = await rolegate("profiles", "set", "fast", "role_mappings.planner.discover=true")
    assert (ran.code, ran.err) == (0, "")
    assert gateway.switchboard.live.number == 1


@pytest.mark.parametrize("hot_swap", [False])
@pytest.mark.usefixtures("gateway")
async def test_without_hot_swap_an_edit_waits_for_a_restart(rolegate: Run) -> None:
    ran = await rolegate("roles", "set", "planner", "discover=true")
    assert ran.code == 0
    assert ran.err == (
        "hot-swap is off: the running gateway takes it up when it is restarted\n"
        "profiles that speak of planner stand above it: fast\n"
    )


async def test_an_edit_of_a_role_is_taken_up(rolegate: Run, gateway: Gateway, folder: Path) -> None:
    ran = await rolegate("roles", "set", "planner", 'preferred=["mistral"]')
    assert (ran.code, ran.out) == (0, f"wrote {folder / 'user_models.json'}\n")
    assert re.match(TOOK_UP.format(number=2), ran.err)
    assert "profiles that speak of planner stand above it: fast\n" in ran.err


@pytest.mark.usefixtures("gateway")
async def test_what_was_written_is_said_before_what_came_of_it(rolegate: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    await rolegate("profiles", "use", "fast")
    monkeypatch.setattr(sys, "stderr", sys.stdout)
    for line in (
        ("roles", "set", "planner", "keep_alive=5m"),
        ("profiles", "set", "fast", "role_mappings.planner.preferred[0]=llama3.1:8b"),
    ):
        told = (await rolegate(*line)).out.splitlines()
        assert (told[0].split()[0], told[1][:19]) == ("wrote", "the running gateway")


@pytest.mark.usefixtures("gateway")
async def test_a_profile_is_made_of_what_is_running(rolegate: Run, folder: Path) -> None:
    ran = await rolegate("profiles", "create", "now", "--from-running")
    assert ran.code == 0
    models = ["ollama:llama3.1:8b", "ollama:mistral:latest"]
    assert stored(folder, "now") == {
        "role_mappings": {"planner": {"preferred": models, "cloud_fallback": [], "discover": False}}
    }
    assert (await rolegate("profiles", "use", "now")).err == (
        "the running gateway goes on with generation 1: no role is served differently\n"
    )


async def test_the_profile_that_serves_is_deleted_with_a_successor_that_serves_then(
    rolegate: Run, gateway: Gateway, folder: Path
) -> None:
    write_profile(folder, "next", {})
    await rolegate("profiles", "use", "fast")
    ran = await rolegate("profiles", "delete", "fast", "--yes")
    assert (ran.code, ran.err) == (
        2,
        'error: the profile "fast" is needed: the running gateway serves by it\nhint: name a --successor\n',
    )
    ran = await rolegate("profiles", "delete", "fast", "--yes", "--successor", "next")
    assert (ran.code, ran.out) == (0, f"deleted {folder / 'user_profiles' / 'fast.json'}\n")
    assert re.fullmatch(r"active profile: next\n" + TOOK_UP.format(number=3), ran.err)
    assert gateway.controller.configuration.profile == "next"


@pytest.mark.usefixtures("gateway")
async def test_the_status_tells_how_it_came_to_be_as_it_is(rolegate: Run) -> None:
    await rolegate("profiles", "use", "fast")
    ran = await rolegate("status")
    assert ran.code == 0
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    head = lines.index("GENERATION SINCE CAUSE PROFILE CHANGED ROLES TOOK OUTCOME")
    assert re.fullmatch(r"2 \d\d:\d\d:\d\d profile fast fast planner [\d.]+ m?s adopted", lines[head + 1])
    assert re.fullmatch(r"1 \d\d:\d\d:\d\d start - planner [\d.]+ m?s adopted", lines[head + 2])
    assert not any(line.startswith("pending") for line in lines)


async def test_the_status_tells_what_the_files_ask_for_in_vain(rolegate: Run, gateway: Gateway, folder: Path) -> None:
    (folder / "user_models.json").write_text('{"role_mappings": {"planner": {"preferd": []}}}', encoding="utf-8")
    await gateway.controller.edited(cause="user_models.json was changed")
    ran = await rolegate("status")
    assert ran.code == 0
    problem = f"{folder / 'user_models.json'}:1: role_mappings.planner.preferd: found the unknown key"
    lines = ran.out.splitlines()
    at = lines.index("last error: 1 problem in the configuration:")
    assert lines[at + 1].startswith(f"  {problem}")
    assert lines[at + 2] == "pending: the files cannot be used as they are, and nothing changes until they can"
    assert any(line.endswith("failed: 1 problem in the configuration") for line in lines)
    assert gateway.switchboard.live.number == 1


async def test_a_gateway_goes_back_while_its_files_are_broken(rolegate: Run, gateway: Gateway, folder: Path) -> None:
    await rolegate("profiles", "use", "fast")
    (folder / "user_models.json").write_text("{", encoding="utf-8")
    assert (await rolegate("profiles", "rollback")).out == "generation 3\n"
    assert gateway.controller.configuration.profile is None


async def test_where_nobody_answers_the_problems_of_the_files_are_told(rolegate: Run, folder: Path) -> None:
    (folder / "user_models.json").write_text("{", encoding="utf-8")
    ran = await rolegate("status", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (3, "config_invalid")


@pytest.mark.parametrize("hot_swap", [False])
async def test_the_status_tells_what_would_change_at_a_restart(rolegate: Run, gateway: Gateway, folder: Path) -> None:
    await rolegate("profiles", "use", "fast")
    (folder / "user_models.json").write_text('{"gateway": {"max_connections": 9}}', encoding="utf-8")
    await gateway.controller.edited(cause="edits")
    ran = await rolegate("status")
    assert ran.code == 0
    assert "pending: profile fast, under which planner would be served differently\n" in ran.out
    assert "pending until a restart: gateway.max_connections\n" in ran.out
    assert (await rolegate("status", "--json")).json["pending"] == {
        "profile": "fast",
        "changed_roles": ["planner"],
        "restart": ["gateway.max_connections"],
        "problems": [],
        "files": ["user_models.json", "user_profiles/fast.json"],
    }


async def test_a_rollback_says_which_file_keeps_the_edit_and_the_status_which_one_is_pending(
    rolegate: Run, gateway: Gateway, folder: Path
) -> None:
    (folder / "user_models.json").write_text('{"role_mappings": {"planner": {"preferred": ["mistral"]}}}')
    await gateway.controller.reload(cause="user_models.json changed")
    ran = await rolegate("profiles", "rollback")
    note = "generation 2 (user_models.json changed) is undone; user_models.json keeps the edit: "
    assert ran.err.splitlines()[1:] == [f"{note}the next one, a reload or a restart takes it up again"]
    assert "pending: user_models.json\n" in (await rolegate("status")).out
    watching = asyncio.create_task(gateway.controller.watch())
    try:
        await until(lambda: bool(gateway.controller.pending and gateway.controller.pending.changed_roles))
    finally:
        watching.cancel()
    told = (await rolegate("status")).out
    assert "pending: user_models.json, under which planner would be served differently\n" in told

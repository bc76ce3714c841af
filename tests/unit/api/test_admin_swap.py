"""The admin routes that move the pointer, called without a socket, over real files and a real discovery."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from admin_builders import MISTRAL, Gateway, an_admin_gateway, write_layers, write_profile
from fakes.ollama import FakeOllama
from gateway.config.folders import packaged

DISABLED = (
    "hot-swap is off: this gateway keeps the plan it was started with "
    "(start it with --hot-swap, or set gateway.hot_swap to true and restart it)"
)


async def first_choice(gateway: Gateway) -> str:
    status = (await gateway.client.get("/admin/v1/status")).json()
    model: str = status["roles"]["planner"][0]["model"]
    return model


async def test_a_swap_answers_when_the_pointer_has_moved(gateway: Gateway) -> None:
    before = gateway.switchboard.live
    answer = await gateway.client.post("/admin/v1/swap", json={"profile": "fast"})
    told = answer.json()
    assert answer.status_code == 200
    assert told.pop("ms") >= 0
    live = gateway.switchboard.live
    assert told == {
        "generation": before.number + 1,
        "digest": live.selection.plan.digest,
        "changed_roles": ["planner"],
        "swapped": True,
    }
    assert live.number == before.number + 1
    assert await first_choice(gateway) == "ollama:mistral:latest"


async def test_no_profile_can_be_swapped_to_as_well(gateway: Gateway) -> None:
    await gateway.client.post("/admin/v1/swap", json={"profile": "fast"})
    answer = await gateway.client.post("/admin/v1/swap", json={"profile": None})
    assert (answer.status_code, answer.json()["changed_roles"]) == (200, ["planner"])
    assert (await gateway.client.get("/admin/v1/profiles")).json()["active"] is None


async def test_a_swap_to_what_serves_already_moves_nothing(gateway: Gateway) -> None:
    await gateway.client.post("/admin/v1/swap", json={"profile": "fast"})
    told = (await gateway.client.post("/admin/v1/swap", json={"profile": "fast"})).json()
    assert (told["swapped"], told["changed_roles"], told["generation"]) == (False, [], 2)


async def test_a_profile_that_cannot_be_used_is_refused_with_every_problem_and_the_old_plan_serves_on(
    gateway: Gateway,
) -> None:
    path = write_profile(gateway.folder, "broken", {"role_mappings": {"planner": {"preferd": [], "discover": 3}}})
    status, error = await gateway.error("POST", "/admin/v1/swap", json={"profile": "broken"})
    assert (status, error["code"], error["source"]) == (422, "config_invalid", "gateway")
    assert [(one["file"], one["line"], one["key_path"]) for one in error["problems"]] == [
        (str(path), 1, "role_mappings.planner.discover"),
        (str(path), 1, "role_mappings.planner.preferd"),
    ]
    assert error["problems"][1]["nearest"] == "preferred"
    assert set(error["problems"][0]) == {"file", "line", "key_path", "found", "allowed", "nearest", "hint"}
    assert gateway.switchboard.live.number == 1
    assert await first_choice(gateway) == "ollama:llama3.1:8b"


async def test_a_profile_that_there_is_not_is_answered_with_the_nearest(gateway: Gateway) -> None:
    status, error = await gateway.error("POST", "/admin/v1/swap", json={"profile": "fsat"})
    assert (status, error["code"]) == (404, "not_found")
    assert error["message"] == 'there is no profile "fsat"; known: fast (did you mean "fast"?)'


@pytest.mark.parametrize(
    ("body", "message", "param"),
    [
        ({}, "profile: found nothing; allowed: the name of a profile, or null for none", "profile"),
        ({"profile": ""}, 'profile: found ""; allowed: the name of a profile, or null for none', "profile"),
        ({"profile": 3}, "profile: found 3; allowed: the name of a profile, or null for none", "profile"),
        (
            {"profil": "fast"},
            'the field "profil" is not known here; allowed: profile (did you mean "profile"?)',
            "profil",
        ),
    ],
)
async def test_a_swap_that_says_nothing_is_refused(body: Any, message: str, param: str, gateway: Gateway) -> None:
    status, error = await gateway.error("POST", "/admin/v1/swap", json=body)
    assert (status, error["code"], error["message"], error["param"]) == (400, "invalid_request", message, param)


async def test_a_reload_takes_up_what_the_files_say_now(gateway: Gateway) -> None:
    (gateway.folder / "user_models.json").write_text('{"role_mappings": {"planner": {"preferred": ["mistral"]}}}')
    told = (await gateway.client.post("/admin/v1/reload")).json()
    assert (told["swapped"], told["changed_roles"]) == (True, ["planner"])
    told = (await gateway.client.post("/admin/v1/reload")).json()
    assert (told["swapped"], told["generation"]) == (False, 2)


async def test_a_reload_takes_no_fields(gateway: Gateway) -> None:
    status, error = await gateway.error("POST", "/admin/v1/reload", json={"profile": "fast"})
    assert (status, error["message"]) == (400, 'the field "profile" is not known here; allowed: none')


async def test_a_rollback_goes_back_one_generation(gateway: Gateway) -> None:
    await gateway.client.post("/admin/v1/swap", json={"profile": "fast"})
    told = (await gateway.client.post("/admin/v1/rollback")).json()
    assert (told["generation"], told["swapped"], told["changed_roles"]) == (3, True, ["planner"])
    assert await first_choice(gateway) == "ollama:llama3.1:8b"
    assert (await gateway.client.get("/admin/v1/profiles")).json()["active"] is None


async def test_there_may_be_nothing_to_go_back_to(gateway: Gateway) -> None:
    status, error = await gateway.error("POST", "/admin/v1/rollback")
    assert (status, error["code"]) == (400, "invalid_request")
    assert error["message"].startswith("there is no generation to go back to")


@pytest.mark.parametrize(("path", "body"), [("swap", {"profile": "fast"}), ("reload", None), ("rollback", None)])
async def test_with_hot_swap_off_nothing_moves_and_the_answer_says_how_to_turn_it_on(
    path: str, body: Any, still: Gateway
) -> None:
    status, error = await still.error("POST", f"/admin/v1/{path}", json=body)
    assert (status, error["code"], error["message"]) == (409, "hot_swap_disabled", DISABLED)
    assert still.switchboard.live.number == 1


async def test_the_generations_are_told_with_cause_and_outcome_the_newest_first(gateway: Gateway) -> None:
    await gateway.client.post("/admin/v1/swap", json={"profile": "fast"})
    write_profile(gateway.folder, "fast", {"gateway": {"port": 0}})
    await gateway.client.post("/admin/v1/reload")
    told = (await gateway.client.get("/admin/v1/generations")).json()["generations"]
    assert [(one["generation"], one["cause"], one["profile"], one["outcome"]) for one in told] == [
        (2, "user_profiles/fast.json changed", "fast", "failed"),
        (2, "profile fast", "fast", "adopted"),
        (1, "start", None, "adopted"),
    ]
    assert "gateway.port: found 0" in told[0]["error"]
    assert told[1]["changed_roles"] == ["planner"]
    one = (await gateway.client.get("/admin/v1/generations?limit=1")).json()["generations"]
    assert one == told[:1]


@pytest.mark.parametrize("limit", ["0", "1001", "ten", "-1", "1e3"])
async def test_a_limit_that_is_none_is_refused(limit: str, gateway: Gateway) -> None:
    status, error = await gateway.error("GET", f"/admin/v1/generations?limit={limit}")
    assert (status, error["message"]) == (400, f'limit is "{limit}"; allowed: a whole number from 1 to 1,000')


async def test_a_query_that_means_nothing_is_refused(gateway: Gateway) -> None:
    status, error = await gateway.error("GET", "/admin/v1/generations?limti=3")
    assert (status, error["message"]) == (400, 'there is no query parameter "limti"; allowed: limit')


async def test_a_broken_template_is_told_like_any_file_and_the_old_plan_serves_on(tmp_path: Path) -> None:
    async with FakeOllama(models=["llama3.1:8b", "mistral"]) as server:
        folder = write_layers(tmp_path, url=server.url, fast=MISTRAL)
        templates = folder / "router_templates"
        shutil.copytree(packaged("router_templates"), templates)
        async with an_admin_gateway(folder) as gateway:
            (templates / "router.yaml").write_text("model_list: ${model_list}\nrouter_settings: 3\n", encoding="utf-8")
            status, error = await gateway.error("POST", "/admin/v1/swap", json={"profile": "fast"})
            assert (status, error["code"]) == (422, "template_invalid")
            assert [(one["file"], one["key_path"]) for one in error["problems"]] == [
                (str(templates / "router.yaml"), "router_settings")
            ]
            assert (gateway.switchboard.live.number, await first_choice(gateway)) == (1, "ollama:llama3.1:8b")

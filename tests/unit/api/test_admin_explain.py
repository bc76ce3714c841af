"""``POST /admin/v1/explain/{role}``."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from admin_builders import Gateway, an_admin_gateway, write_layers
from fakes.ollama import FakeOllama

PLANNER = "/admin/v1/explain/planner"
FAST = {"role_mappings": {"planner": {"preferred": ["mistral:latest"]}}}


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Path]:
    async with FakeOllama(models=["llama3.1:8b", "mistral"]) as server:
        yield write_layers(tmp_path, url=server.url, fast=FAST)


@pytest.fixture
async def gateway(folder: Path) -> AsyncIterator[Gateway]:
    async with an_admin_gateway(folder) as live:
        yield live


async def test_every_candidate_is_told_with_verdict_and_arithmetic(gateway: Gateway) -> None:
    answer = await gateway.client.post(PLANNER)
    told = answer.json()
    assert (answer.status_code, list(told)) == (200, ["role", "task", "deployments", "candidates"])
    assert (told["role"], told["task"]) == ("planner", "chat")
    assert [(one["model"], one["verdict"], one["order"]) for one in told["candidates"]] == [
        ("ollama:llama3.1:8b", "ok", 1),
        ("ollama:mistral:latest", "ok", 2),
    ]
    assert "GB" in told["candidates"][0]["reason"]


async def test_it_may_be_asked_for_more_than_the_role_does_and_with_other_memory(gateway: Gateway) -> None:
    told = (await gateway.client.post(PLANNER, json={"vision": True})).json()
    assert {one["verdict"] for one in told["candidates"]} == {"requirement_not_met"}
    told = (await gateway.client.post(PLANNER, json={"memory_gb": 1, "vram_gb": None})).json()
    assert {one["verdict"] for one in told["candidates"]} == {"does_not_fit_now"}
    told = (await gateway.client.post(PLANNER, json={"context": 100_000, "tools": True})).json()
    assert told["candidates"][1]["verdict"] == "context_too_small"
    assert gateway.switchboard.live.number == 1


async def test_it_may_be_explained_under_another_profile(gateway: Gateway) -> None:
    told = (await gateway.client.post(PLANNER, json={"profile": "fast"})).json()
    assert [one["model"] for one in told["deployments"]] == ["ollama:mistral:latest"]
    assert gateway.controller.configuration.profile is None


async def test_a_role_that_there_is_not_is_answered_with_the_nearest(gateway: Gateway) -> None:
    status, error = await gateway.error("POST", "/admin/v1/explain/planer")
    assert (status, error["code"]) == (404, "not_found")
    assert error["message"] == 'there is no role "planer"; known: planner (did you mean "planner"?)'


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"tools": 1}, "tools: found 1; allowed: true or false"),
        ({"context": 0}, "context: found 0; allowed: a whole number from 1"),
        ({"memory_gb": -1}, "memory_gb: found -1; allowed: a number from 0 to 100000"),
        ({"profile": ""}, 'profile: found ""; allowed: the name of a profile'),
        (
            {"tool": True},
            (
                'the field "tool" is not known here; allowed: tools, vision, json_schema, context, profile, memory_gb, '
                'vram_gb (did you mean "tools"?)'
            ),
        ),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(body: Any, message: str, gateway: Gateway) -> None:
    status, error = await gateway.error("POST", PLANNER, json=body)
    assert (status, error["code"], error["message"]) == (400, "invalid_request", message)


async def test_questions_in_the_query_are_refused_rather_than_passed_over(gateway: Gateway) -> None:
    status, error = await gateway.error("POST", f"{PLANNER}?tools=1")
    assert (status, error["message"]) == (400, "what is asked goes into the body, as a JSON object")


async def test_before_the_first_plan_there_is_nothing_to_explain(folder: Path) -> None:
    async with an_admin_gateway(folder, started=False) as starting:
        status, error = await starting.error("POST", PLANNER)
    assert (status, error["code"]) == (503, "starting")

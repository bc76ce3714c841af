"""``GET /metrics``, called without a socket: what it tells of requests, of the live plan and of what is around it."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from admin_builders import MISTRAL, Gateway, write_profile
from builders import a_cloud, a_model, a_role
from fakes import faults
from fakes.ollama import FakeOllama
from gateway import __version__
from gateway.api.metrics import Metrics
from gateway.runtime.swap import Switchboard
from gateway.telemetry.request_counts import RequestCounts
from live_builders import SteeredSource, a_configuration, a_controller, a_live_gateway
from metrics_builders import families, samples, scraped
from record_builders import a_record, an_attempt

CHAT = "/v1/chat/completions"
LLAMA, MISTRAL_REF = "ollama:llama3.1:8b", "ollama:mistral:latest"


def chat(model: str = "planner", **changes: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Say hello."}], **changes}


def requests(role: str, model: str, *, status: str = "2xx", failure: str = "", endpoint: str = "chat") -> str:
    told = f'endpoint="{endpoint}",failure="{failure}",model="{model}",role="{role}",status="{status}"'
    return f'rolegate_requests_total{{cloud="false",{told}}}'


class Journal:
    """How the writing of one goes that has lost some. Implements ``JournalState``."""

    dropped = 3

    def flush(self, *, within_s: float) -> bool:
        return True


async def told(
    folder: Path,
    *,
    counts: RequestCounts | None = None,
    spending: Sequence[Mapping[str, object]] = (),
    resting: Sequence[Mapping[str, object]] = (),
    journal: Journal | None = None,
    sources: Sequence[SteeredSource] = (),
    started: bool = False,
) -> dict[str, float]:
    """What the route says of these parts of a gateway."""
    switchboard = Switchboard()
    controller = a_controller(a_configuration(folder, a_role()), sources, switchboard=switchboard)
    if started:
        await controller.start()
    metrics = Metrics(
        counts=counts or RequestCounts(None, roles={"planner"}),
        controller=controller,
        switchboard=switchboard,
        spending=lambda: spending,
        resting=lambda: resting,
        journal_state=journal,
    )
    app = Starlette(routes=[Route("/metrics", metrics.show)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:4000") as client:
        found = await scraped(client)
    await switchboard.close()
    return found


async def test_before_the_first_plan_it_is_answered_already(tmp_path: Path) -> None:
    async with a_live_gateway(tmp_path, a_role(), sources=[SteeredSource()], started=False) as live:
        answer = await live.client.get("/metrics")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
        assert samples(families(answer.text).values()) == {
            f'rolegate_build_info{{version="{__version__}"}}': 1,
            "rolegate_generation": 0,
            'rolegate_swaps_total{outcome="adopted"}': 0,
            'rolegate_swaps_total{outcome="vetoed"}': 0,
            'rolegate_swaps_total{outcome="failed"}': 0,
            "rolegate_requests_in_flight": 0,
        }


async def test_every_family_says_its_type_and_what_it_is(gateway: Gateway) -> None:
    parsed = families((await gateway.client.get("/metrics")).text)
    assert [name for name in parsed if not name.startswith("rolegate_")] == []
    assert {one.type for one in parsed.values()} == {"counter", "gauge", "histogram"}
    assert [name for name, one in parsed.items() if not one.documentation.endswith(".")] == []


async def test_it_is_read_and_not_written(gateway: Gateway) -> None:
    told = await gateway.client.get("/metrics")
    head = await gateway.client.head("/metrics")
    assert (head.status_code, head.headers["content-type"]) == (200, told.headers["content-type"])
    assert await gateway.error("POST", "/metrics", json={}) == (
        405,
        {
            "message": "POST /metrics: Method Not Allowed",
            "type": "invalid_request_error",
            "param": None,
            "code": "http_error",
            "source": "gateway",
        },
    )


async def test_requests_are_told_with_their_failovers_tokens_and_times(fake: FakeOllama, gateway: Gateway) -> None:
    fake.fail(faults.status(500, '{"error": "out of order"}'), route="/api/chat", model="llama3.1:8b")
    for body in (chat(), chat(stream=True)):
        assert (await gateway.client.post(CHAT, json=body)).status_code == 200
    fake.fail(faults.status(500, '{"error": "out of order"}'), route="/api/chat")
    assert (await gateway.client.post(CHAT, json=chat())).status_code == 502
    found = await scraped(gateway.client)
    assert found[requests("planner", MISTRAL_REF)] == 2
    assert found[requests("planner", "", status="5xx", failure="upstream_error")] == 1
    assert found['rolegate_failovers_total{class="upstream_error",role="planner"}'] >= 2
    usage = {
        name: found[f'rolegate_{name}_tokens_total{{model="{MISTRAL_REF}",role="planner"}}']
        for name in ("prompt", "completion")
    }
    assert min(usage.values()) > 0
    for name, count in (("request_duration", 3), ("time_to_first_token", 2)):
        assert found[f'rolegate_{name}_seconds_count{{role="planner"}}'] == count
        assert found[f'rolegate_{name}_seconds_bucket{{le="+Inf",role="planner"}}'] == count
        assert found[f'rolegate_{name}_seconds_sum{{role="planner"}}'] > 0
    within = [count for name, count in found.items() if name.startswith("rolegate_request_duration_seconds_bucket")]
    assert within == sorted(within)


async def test_the_status_and_the_metrics_count_the_same_requests(tmp_path: Path) -> None:
    counts = RequestCounts(None, roles={"planner"})
    tried = an_attempt("openai:gpt-4o-mini", cloud=True)
    counts.record(a_record(model=tried.model, cloud=True, attempts=(tried,), cost_usd=0.5))
    counts.record(a_record(model=tried.model, cloud=True, attempts=(tried,)))
    counts.record(a_record())
    found = await told(tmp_path, counts=counts)
    left = [count for name, count in found.items() if name.startswith('rolegate_requests_total{cloud="true"')]
    assert left == [counts.cloud_data()["requests"]] == [2]
    assert found['rolegate_cloud_cost_usd_total{provider="openai"}'] == 0.5
    assert found['rolegate_cloud_unpriced_answers_total{provider="openai"}'] == 1


@pytest.mark.parametrize(
    "spelt", ["sk-of-somebody", "OLLAMA:llama3.1:8b", 'x"} 1\n# TYPE evil counter\nevil 1', "é" * 99]
)
async def test_nothing_that_a_caller_spelt_is_in_it(gateway: Gateway, spelt: str) -> None:
    headers = {"x-request-id": "of-somebody", "x-rolegate-trace": "1"}
    before = families((await gateway.client.get("/metrics")).text)
    await gateway.client.post(CHAT, json=chat(spelt), headers=headers)
    text = (await gateway.client.get("/metrics")).text
    assert spelt not in text
    assert "of-somebody" not in text
    assert families(text).keys() == before.keys()
    assert samples(families(text).values())[requests("", "", status="4xx", failure="model_not_found")] == 1


async def test_a_model_that_was_asked_for_by_its_reference_is_told_under_its_own_name_and_no_role(
    gateway: Gateway,
) -> None:
    for spelt in (LLAMA, "llama3.1:8b"):
        assert (await gateway.client.post(CHAT, json=chat(spelt))).status_code == 200
    assert (await scraped(gateway.client))[requests("", LLAMA)] == 2


async def test_the_plan_is_told_with_what_became_of_attempts_to_change_it(gateway: Gateway) -> None:
    found = await scraped(gateway.client)
    assert (found["rolegate_generation"], found['rolegate_swaps_total{outcome="adopted"}']) == (1, 1)
    await gateway.client.post("/admin/v1/swap", json={"profile": "fast"})
    write_profile(gateway.folder, "broken", {**MISTRAL, "nonsense": 1})
    assert (await gateway.client.post("/admin/v1/swap", json={"profile": "broken"})).status_code == 422
    found = await scraped(gateway.client)
    outcomes = {one: found[f'rolegate_swaps_total{{outcome="{one}"}}'] for one in ("adopted", "vetoed", "failed")}
    assert (found["rolegate_generation"], outcomes) == (2, {"adopted": 2, "vetoed": 0, "failed": 1})


async def test_requests_under_way_are_counted_in_every_generation(gateway: Gateway) -> None:
    with gateway.switchboard.admit():
        await gateway.client.post("/admin/v1/swap", json={"profile": "fast"})
        with gateway.switchboard.admit():
            assert (await scraped(gateway.client))["rolegate_requests_in_flight"] == 2
    assert (await scraped(gateway.client))["rolegate_requests_in_flight"] == 0


async def test_a_role_that_is_gone_keeps_what_was_counted_for_it(gateway: Gateway) -> None:
    write_profile(gateway.folder, "renamed", {"role_mappings": {"critic": {"preferred": ["mistral:latest"]}}})
    await gateway.client.post("/admin/v1/swap", json={"profile": "renamed"})
    await gateway.client.post(CHAT, json=chat("critic"))
    await gateway.client.post("/admin/v1/swap", json={"profile": None})
    assert "critic" not in gateway.switchboard.live.roles
    assert (await scraped(gateway.client))[requests("critic", MISTRAL_REF)] == 1


async def test_providers_are_told_as_they_were_last_seen(tmp_path: Path) -> None:
    up, down = SteeredSource(), SteeredSource(provider=a_cloud(), up=False)
    found = await told(tmp_path, sources=[up, down], started=True)
    assert found['rolegate_provider_up{kind="ollama",provider="ollama"}'] == 1
    assert found['rolegate_provider_up{kind="cloud",provider="openai"}'] == 0


async def test_what_is_left_of_budgets_is_told_where_there_is_one(tmp_path: Path) -> None:
    free = {"provider": "anthropic", "left_today_usd": None, "left_month_usd": None, "closed": ""}
    tight = {
        "provider": "openai",
        "left_today_usd": 0.0,
        "left_month_usd": 12.5,
        "closed": "the daily budget is used up",
    }
    wide = {"provider": "other", "left_today_usd": None, "left_month_usd": 7.0, "closed": ""}
    found = await told(tmp_path, spending=[free, tight, wide])
    assert {name: value for name, value in found.items() if "budget" in name} == {
        'rolegate_budget_left_usd{period="day",provider="openai"}': 0,
        'rolegate_budget_left_usd{period="month",provider="openai"}': 12.5,
        'rolegate_budget_left_usd{period="month",provider="other"}': 7,
        'rolegate_budget_closed{provider="openai"}': 1,
        'rolegate_budget_closed{provider="other"}': 0,
    }


async def test_models_that_are_passed_over_are_told_among_those_of_the_plan(tmp_path: Path) -> None:
    resting = [{"model": "ollama:a:1b"}, {"model": "ollama:gone:1b"}]
    source = SteeredSource(a_model("ollama:a:1b"), a_model("ollama:b:1b"))
    found = await told(tmp_path, resting=resting, sources=[source], started=True)
    assert {name: value for name, value in found.items() if name.startswith("rolegate_model_resting{")} == {
        'rolegate_model_resting{model="ollama:a:1b"}': 1,
        'rolegate_model_resting{model="ollama:b:1b"}': 0,
    }


async def test_what_the_journal_could_not_keep_is_told(tmp_path: Path) -> None:
    assert (await told(tmp_path, journal=Journal()))["rolegate_journal_dropped_requests_total"] == 3


async def test_requests_that_end_meanwhile_are_in_the_next_answer(tmp_path: Path) -> None:
    counts = RequestCounts(None, roles={"planner"})
    switchboard = Switchboard()
    metrics = Metrics(
        counts=counts,
        controller=a_controller(a_configuration(tmp_path, a_role()), (), switchboard=switchboard),
        switchboard=switchboard,
        spending=list,
        resting=list,
        journal_state=None,
    )
    app = Starlette(routes=[Route("/metrics", metrics.show)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:4000") as client:
        scrapes = [asyncio.ensure_future(scraped(client)) for _ in range(5)]
        while not all(one.done() for one in scrapes):
            counts.record(a_record())
            await asyncio.sleep(0)
        for one in scrapes:
            found = one.result()
            told = found.get(requests("planner", LLAMA), 0)
            assert found.get('rolegate_request_duration_seconds_count{role="planner"}', 0) == told

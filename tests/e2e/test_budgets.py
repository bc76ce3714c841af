"""What clouds cost is told, and a budget that is used up keeps them from being asked, over restarts too."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fakes import faults
from fakes.upstream import FakeUpstream, UpstreamModel
from gateway.files.atomic import write_atomically
from gateway_process import GatewayProcess

KEY = "sk-made-up-0123456789"
DECLARED = {"input_usd_per_mtok": 100_000, "output_usd_per_mtok": 200_000}
ASKED = {"model": "planner", "messages": [{"role": "user", "content": "Say hello."}]}


def configuration(lab: FakeUpstream, upstream: FakeUpstream, **provider: object) -> dict[str, object]:
    """A role with a local model first, and a cloud's behind it."""
    return {
        "role_mappings": {"planner": {"preferred": ["lab:small"], "cloud_fallback": "openai:gpt-4o-mini"}},
        "local_providers": {"lab": {"kind": "openai", "url": lab.base_url}},
        "cloud_providers": {
            "openai": {
                "api_endpoint": upstream.base_url,
                "lane": "openai",
                "models": {"gpt-4o-mini": DECLARED},
                **provider,
            }
        },
        "gateway": {"embedded": False},
    }


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(key=KEY) as fake:
        yield fake


@pytest.fixture
async def lab() -> AsyncIterator[FakeUpstream]:
    """A local server that fails whatever it is asked."""
    async with FakeUpstream(models=["small"]) as fake:
        fake.fail(faults.status(500, ""), route="/v1/chat/completions")
        yield fake


async def ask(gateway: GatewayProcess, **changes: object) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        return await client.post(f"{gateway.base_url}/chat/completions", json={**ASKED, **changes})


async def costs(gateway: GatewayProcess, **asked: str) -> Any:
    """By the admin route, which waits for what is not written yet."""
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(f"{gateway.url}/admin/v1/costs", params=asked)).json()


async def told(gateway: GatewayProcess, *arguments: str) -> Any:
    ran = await gateway.rolegate(*arguments, "--json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


async def test_a_budget_that_is_used_up_closes_the_cloud_until_it_is_raised(
    tmp_path: Path, lab: FakeUpstream, upstream: FakeUpstream
) -> None:
    budget = {"budget": {"daily_usd": 0.5, "monthly_usd": 100}}
    environment = {"OPENAI_API_KEY": KEY}
    async with GatewayProcess(tmp_path, configuration(lab, upstream, **budget), environment=environment) as gateway:
        answer = await ask(gateway)
        usage = answer.json()["usage"]
        cost_usd = round(usage["prompt_tokens"] * 0.1 + usage["completion_tokens"] * 0.2, 6)
        assert cost_usd > 0.5
        refused = await ask(gateway)
        assert refused.status_code == 502
        message = refused.json()["error"]["message"]
        reason = (
            f"the daily budget of openai is used up: ${cost_usd:.2f} of $0.50"
            " (until midnight UTC; cloud_providers.openai.budget.daily_usd)"
        )
        assert f"not asked: openai:gpt-4o-mini: {reason}" in message
        (spending,) = (await told(gateway, "status"))["spending"]
        assert spending == {
            "provider": "openai",
            "today_usd": cost_usd,
            "month_usd": cost_usd,
            "unpriced_requests": 0,
            "daily_usd": 0.5,
            "monthly_usd": 100,
            "left_today_usd": 0.0,
            "left_month_usd": round(100 - cost_usd, 6),
            "closed": reason,
        }
        (line,) = (await costs(gateway, by="provider"))["costs"]
        assert (line["provider"], line["cost_usd"], line["cloud_requests"]) == ("openai", cost_usd, 1)
    async with GatewayProcess(tmp_path, configuration(lab, upstream, **budget), environment=environment) as gateway:
        assert "the daily budget of openai is used up" in (await ask(gateway)).json()["error"]["message"]
        (first, *_) = reversed((await told(gateway, "requests"))["requests"])
        assert first["cost_usd"] == cost_usd
    spent = configuration(lab, upstream, **budget)
    raised = configuration(lab, upstream, budget={"daily_usd": 1000})
    async with GatewayProcess(tmp_path, spent, "--hot-swap", environment=environment) as gateway:
        assert (await ask(gateway)).status_code == 502
        write_atomically(tmp_path / "config" / "models.json", json.dumps(raised).encode())
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            assert (await client.post(f"{gateway.url}/admin/v1/reload")).status_code == 200
        assert (await ask(gateway)).status_code == 200
        assert (await costs(gateway))["total"]["cost_usd"] == 2 * cost_usd
        by_role = await told(gateway, "costs", "--by", "role", "--as", "openai:gpt-4o-mini")
    assert by_role["total"]["cost_usd"] == 2 * cost_usd
    assert [one["role"] for one in by_role["costs"]] == ["planner"]
    assert len(upstream.requests_to("/v1/chat/completions")) == 2


async def test_a_cloud_over_its_budget_is_asked_for_no_canary_either_and_holds_up_no_swap(
    tmp_path: Path, lab: FakeUpstream, upstream: FakeUpstream
) -> None:
    spent = {"budget": {"daily_usd": 0.5}, "models": {"gpt-4o-mini": DECLARED, "gpt-4o": DECLARED}}
    before = {**configuration(lab, upstream, **spent), "selection": {"canary": "generate"}}
    critic = {"critic": {"cloud_fallback": "openai:gpt-4o", "discover": False}}
    after = {**before, "role_mappings": {**configuration(lab, upstream)["role_mappings"], **critic}}  # type: ignore[dict-item]
    environment = {"OPENAI_API_KEY": KEY}
    async with GatewayProcess(tmp_path, before, "--hot-swap", environment=environment) as gateway:
        assert (await ask(gateway)).status_code == 200
        write_atomically(tmp_path / "config" / "models.json", json.dumps(after).encode())
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            assert (await client.post(f"{gateway.url}/admin/v1/reload")).status_code == 200
        refused = await ask(gateway, model="critic")
        assert "the daily budget of openai is used up" in refused.json()["error"]["message"]
    assert len(upstream.requests_to("/v1/chat/completions")) == 1


async def test_a_canarys_token_is_paid_for_and_the_next_is_not_asked_for_where_that_used_up_the_budget(
    tmp_path: Path, lab: FakeUpstream, upstream: FakeUpstream
) -> None:
    models = dict.fromkeys(("gpt-4o-mini", "gpt-4o", "gpt-4.1"), DECLARED)
    upstream.models |= {name: UpstreamModel(name=name) for name in models}
    before = {
        **configuration(lab, upstream, budget={"daily_usd": 0.5}, models=models),
        "selection": {"canary": "generate"},
    }

    def with_role(role: str, model: str, config: dict[str, Any]) -> dict[str, Any]:
        added = {role: {"cloud_fallback": f"openai:{model}", "discover": False}}
        return {**config, "role_mappings": {**config["role_mappings"], **added}}

    first = with_role("critic", "gpt-4o", before)
    second = with_role("writer", "gpt-4.1", first)
    environment = {"OPENAI_API_KEY": KEY}
    async with GatewayProcess(tmp_path, before, "--hot-swap", environment=environment) as gateway:
        for config in (first, second):
            write_atomically(tmp_path / "config" / "models.json", json.dumps(config).encode())
            async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
                assert (await client.post(f"{gateway.url}/admin/v1/reload")).status_code == 200
        (spending,) = (await told(gateway, "status"))["spending"]
        (row,) = await kept_requests(gateway)
        assert (await told(gateway, "status"))["cloud"]["requests"] == 1
        await gateway.logged("no canary was asked for")
    usage = row["prompt_tokens"] * 0.1 + row["completion_tokens"] * 0.2
    assert (row["endpoint"], row["role"], row["model"], row["cloud"]) == ("canary", "critic", "openai:gpt-4o", True)
    assert row["cost_usd"] == round(usage, 9) == spending["today_usd"]
    assert spending["closed"].startswith("the daily budget of openai is used up: ")
    assert [one.model for one in upstream.requests_to("/v1/chat/completions")] == ["gpt-4o"]


async def kept_requests(gateway: GatewayProcess) -> Any:
    """By the admin route, which waits for what is not written yet."""
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(f"{gateway.url}/admin/v1/requests")).json()["requests"]


async def test_what_has_no_known_price_is_said_where_a_budget_cannot_count_it(
    tmp_path: Path, lab: FakeUpstream, upstream: FakeUpstream
) -> None:
    settings = configuration(lab, upstream, budget={"daily_usd": 5}, models={"gpt-4o-mini": {}, "our-own-tune": {}})
    async with GatewayProcess(tmp_path, settings, environment={"OPENAI_API_KEY": KEY}) as gateway:
        assert (
            "the budget of openai cannot count what our-own-tune costs: no price is known; declare input_usd_per_mtok"
            " and output_usd_per_mtok under cloud_providers.openai.models"
        ) in gateway.log()

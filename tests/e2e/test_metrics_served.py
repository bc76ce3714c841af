"""What a real gateway tells a collector: after an answer from a cloud, and just as the documentation has it."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml

from fakes import faults
from fakes.upstream import FakeUpstream
from gateway_process import GatewayProcess
from metrics_builders import families, samples, scraped

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"
KEY: Final = "sk-made-up-0123456789"
GPT: Final = "openai:gpt-4o-mini"
ASKED: Final = {"model": "planner", "messages": [{"role": "user", "content": "Say hello."}]}
SHOWN: Final = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    """A local server that fails whatever it is asked, and a cloud with a price and a budget behind it."""
    async with FakeUpstream(models=["small"]) as lab, FakeUpstream(key=KEY) as cloud:
        lab.fail(faults.status(500, ""), route="/v1/chat/completions")
        priced = {"gpt-4o-mini": {"input_usd_per_mtok": 100_000, "output_usd_per_mtok": 200_000}}
        config = {
            "role_mappings": {"planner": {"preferred": ["lab:small"], "cloud_fallback": GPT}},
            "local_providers": {"lab": {"kind": "openai", "url": lab.base_url}},
            "cloud_providers": {
                "openai": {
                    "api_endpoint": cloud.base_url,
                    "lane": "openai",
                    "models": priced,
                    "budget": {"daily_usd": 100, "monthly_usd": 1000},
                }
            },
            "gateway": {"embedded": False},
        }
        async with GatewayProcess(tmp_path, config, environment={"OPENAI_API_KEY": KEY}) as started:
            yield started


def rows() -> dict[tuple[str, str], set[str]]:
    """Families and kinds of the table in the reference, with their labels."""
    section = (DOCS / "api.md").read_text(encoding="utf-8").partition("\n## Metrics\n")[2].partition("\n## ")[0]
    found: dict[tuple[str, str], set[str]] = {}
    for line in section.splitlines():
        if line.startswith("| `rolegate_"):
            names, kind, labels = (cell.strip() for cell in line.split("|")[1:4])
            found |= {(name, kind): set(re.findall(r"`(\w+)`", labels)) for name in re.findall(r"`(\w+)`", names)}
    return found


def shown(language: str) -> list[str]:
    section = (DOCS / "guide.md").read_text(encoding="utf-8").partition("\n## Metrics\n")[2].partition("\n## ")[0]
    return [block for kind, block in SHOWN.findall(section) if kind == language]


async def test_an_answer_from_a_cloud_is_told_with_its_cost_and_the_documentation_has_every_family(
    gateway: GatewayProcess,
) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=60, base_url=gateway.url) as client:
        answer = await client.post("/v1/chat/completions", json=ASKED)
        assert (answer.headers["x-rolegate-model"], answer.headers["x-rolegate-cloud"]) == (GPT, "true")
        usage: dict[str, int] = answer.json()["usage"]
        told = await client.get("/metrics")
        head = await client.head("/metrics")
        status: Any = (await client.get("/admin/v1/status")).json()
        assert (await scraped(client)).keys() == samples(families(told.text).values()).keys()
    assert (told.status_code, told.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert (head.status_code, head.content) == (200, b"")
    assert {name: head.headers[name] for name in ("content-type", "content-length")} == {
        "content-type": told.headers["content-type"],
        "content-length": str(len(told.content)),
    }
    found = samples(families(told.text).values())
    left = f'cloud="true",endpoint="chat",failure="",model="{GPT}",role="planner",status="2xx"'
    assert found[f"rolegate_requests_total{{{left}}}"] == status["cloud"]["requests"] == 1
    beyond_the_first = int(answer.headers["x-rolegate-attempts"]) - 1
    assert found['rolegate_failovers_total{class="upstream_error",role="planner"}'] == beyond_the_first > 0
    cost_usd = usage["prompt_tokens"] * 0.1 + usage["completion_tokens"] * 0.2
    assert found['rolegate_cloud_cost_usd_total{provider="openai"}'] == pytest.approx(cost_usd)
    for period, limit_usd in (("day", 100), ("month", 1000)):
        budget_left = found[f'rolegate_budget_left_usd{{period="{period}",provider="openai"}}']
        assert budget_left == pytest.approx(limit_usd - cost_usd)
    assert found['rolegate_provider_up{kind="openai",provider="lab"}'] == 1
    assert found["rolegate_journal_dropped_requests_total"] == 0
    served = {
        (name, family.type): {label for one in family.samples for label in one.labels} - {"le"}
        for name, family in families(told.text).items()
    }
    assert rows() == served


def test_the_queries_of_the_guide_ask_for_what_there_is() -> None:
    labels = {name: told | {"le"} for (name, _), told in rows().items()}
    queries = shown("promql")
    assert len(queries) == 2
    for query in queries:
        asked = set(re.findall(r"rolegate_\w+", query))
        assert asked
        known = [labels[re.sub(r"_(bucket|sum|count)$", "", name)] for name in asked]
        by = {name for listed in re.findall(r"by \(([^)]*)\)", query) for name in listed.split(", ")}
        chosen = set(re.findall(r"(\w+)=\"", query))
        assert all(by | chosen <= one for one in known)


def test_the_scrape_configurations_of_the_guide_can_be_read() -> None:
    jobs = [job for block in shown("yaml") for job in yaml.safe_load(block)["scrape_configs"]]
    assert [job["job_name"] for job in jobs] == ["rolegate", "rolegate"]
    assert [job["static_configs"] for job in jobs] == [
        [{"targets": ["127.0.0.1:4000"]}],
        [{"targets": ["gateway.lan:4000"]}],
    ]
    assert jobs[1]["authorization"] == {"credentials_file": "/etc/prometheus/rolegate.key"}

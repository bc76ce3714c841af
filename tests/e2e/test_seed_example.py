"""The example configuration of the user guide, against an Ollama with four models: what it chooses, and why not the rest."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fakes.ollama import FakeOllama

INSTALLED = ["llama3.1:8b", "mistral:latest", "qwen2.5:14b", "nomic-embed-text:latest"]
EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "example.yaml"


class Desk:
    """A configuration folder with the example in it, and a shell to run commands in."""

    def __init__(self, folder: Path, *, ollama: str) -> None:
        self._folder = folder
        (folder / "models.yaml").write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
        self.edit({"local_providers": {"ollama": {"url": ollama}}})

    def edit(self, changes: Mapping[str, object]) -> None:
        """Replace the user's own layer."""
        path = self._folder / "user_models.json"
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.write_text(json.dumps({**known, **changes}), encoding="utf-8")

    async def run(self, *arguments: str, **variables: str) -> tuple[int, Any]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", *arguments, "--json", "--config-dir", str(self._folder),
            env={**os.environ, **variables}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        stdout, stderr = await process.communicate()
        assert b"Traceback" not in stderr
        return process.returncode or 0, json.loads(stdout)


@pytest.fixture
async def desk(tmp_path: Path) -> Any:
    async with FakeOllama(models=INSTALLED) as ollama:
        yield Desk(tmp_path, ollama=ollama.url)


def chosen(plan: Any) -> list[str]:
    return [one["model"] for one in plan["roles"]["planner"]["deployments"]]


def verdicts(plan: Any) -> dict[str, tuple[str, str]]:
    return {one["model"]: (one["verdict"], one["reason"]) for one in plan["roles"]["planner"]["trace"]}


async def test_the_preferred_models_come_first_and_no_cloud_model_without_a_key(desk: Desk) -> None:
    code, plan = await desk.run("plan", "--memory-gb", "24")
    assert code == 0
    assert chosen(plan)[:2] == ["ollama:llama3.1:8b", "ollama:mistral:latest"]
    assert not any(one["cloud"] for one in plan["roles"]["planner"]["deployments"])
    assert verdicts(plan)["openai:gpt-4o-mini"] == (
        "no_api_key",
        "no API key is known for openai (`rolegate providers set-key openai`, or OPENAI_API_KEY)",
    )


async def test_with_a_key_the_cloud_model_comes_after_the_local_ones(desk: Desk) -> None:
    _, plan = await desk.run("plan", "--memory-gb", "24", OPENAI_API_KEY="sk-unused")
    assert chosen(plan)[-1] == "openai:gpt-4o-mini"
    assert plan["roles"]["planner"]["deployments"][-1]["lane"] == "litellm"


async def test_a_memory_limit_drops_a_model_with_the_arithmetic(desk: Desk) -> None:
    desk.edit({"role_mappings": {"planner": {"requirements": {"memory_gb_max": 5}}}})
    _, plan = await desk.run("plan", "--memory-gb", "24")
    verdict, reason = verdicts(plan)["ollama:llama3.1:8b"]
    assert verdict == "over_memory_limit"
    assert "weights" in reason
    assert "KV cache" in reason
    assert reason.endswith("at 8,000 tokens is over the role's limit of 5.00 GB")
    assert chosen(plan)[0] == "ollama:mistral:latest"


async def test_a_machine_with_little_memory_is_said_to_be_too_small(desk: Desk) -> None:
    code, plan = await desk.run("plan", "--memory-gb", "4")
    assert code == 4
    verdict, reason = verdicts(plan)["ollama:llama3.1:8b"]
    assert verdict == "does_not_fit_now"
    assert "does not fit in 4.00 GB assumed available" in reason
    assert verdicts(plan)["ollama:mistral:latest"][0] == "does_not_fit_now"


async def test_an_explanation_accounts_for_every_model_that_exists(desk: Desk) -> None:
    _, explanation = await desk.run("explain", "planner", "--memory-gb", "24")
    candidates = {one["model"]: one for one in explanation["candidates"]}
    assert {f"ollama:{name}" for name in INSTALLED} <= set(candidates)
    assert {"openai:gpt-4o-mini", "anthropic:claude-sonnet-4-5"} <= set(candidates)
    assert candidates["ollama:nomic-embed-text:latest"]["verdict"] == "not_chat_capable"
    assert all(one["reason"] for one in explanation["candidates"])

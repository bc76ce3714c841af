"""What is doubtful about a choice or an edit that is made all the same is said; what is not doubtful is not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from admin_builders import Gateway, an_admin_gateway, write_profile
from command_builders import Run
from fakes.ollama import FakeOllama
from fakes.ollama_models import catalogue
from gateway.compose.workspace import Options, Workspace
from keeping_builders import served

UNSERVED = {"role_mappings": {"planner": {"preferred": ["gone:70b"]}}}
NO_MODEL = "warning: no model can serve planner (`rolegate explain planner --profile bare` says why)\n"


@asynccontextmanager
async def a_gateway(folder: Path) -> AsyncIterator[Gateway]:
    port = Workspace.open(Options(config_dir=folder)).configuration().gateway.port
    async with an_admin_gateway(folder) as live, served(cast(Any, live.app), port=port):
        yield live


async def test_a_profile_that_leaves_a_role_without_a_model_is_used_with_a_warning(rolegate: Run, folder: Path) -> None:
    write_profile(folder, "bare", UNSERVED)
    ran = await rolegate("profiles", "use", "bare")
    assert (ran.code, ran.err) == (0, f"no gateway is running; the next `rolegate serve` goes by it\n{NO_MODEL}")
    edited = await rolegate("profiles", "set", "bare", "description=other")
    assert (edited.code, edited.err) == (0, NO_MODEL)
    assert (await rolegate("profiles", "set", "bare", "description=other")).err == ""


async def test_a_model_that_the_demands_rule_out_is_named(rolegate: Run) -> None:
    ran = await rolegate("profiles", "set", "fast", "role_mappings.planner.requirements.memory_gb_max=5")
    assert (ran.code, ran.err) == (
        0,
        (
            "warning: no model can serve planner (`rolegate explain planner --profile fast` says why)\n"
            "warning: planner is not served by ollama:mistral:latest, which is named for it: over_memory_limit\n"
        ),
    )
    judged = await rolegate("profiles", "validate", "fast")
    assert (judged.code, judged.out.splitlines()[1].split()) == (
        4,
        ["fast", "valid", "planner", "ollama:mistral:latest", "(over_memory_limit)"],
    )


async def test_what_is_so_without_the_profile_is_no_news(rolegate: Run, folder: Path) -> None:
    (folder / "user_models.json").write_text(
        '{"role_mappings": {"critic": {"preferred": ["gone:70b"], "discover": false}}}', encoding="utf-8"
    )
    ran = await rolegate("profiles", "use", "fast")
    assert ran.err == "no gateway is running; the next `rolegate serve` goes by it\n"
    ran = await rolegate("profiles", "set", "fast", "role_mappings.critic.preferred[0]=gone:8b")
    assert ran.err == "warning: no model can serve critic (`rolegate explain critic --profile fast` says why)\n"
    assert (await rolegate("profiles", "use", "--none")).err.count("warning") == 0


async def test_what_a_provider_has_that_does_not_answer_is_not_doubted(
    rolegate: Run, folder: Path, fake: FakeOllama
) -> None:
    write_profile(folder, "bare", UNSERVED)
    text = (folder / "models.yaml").read_text(encoding="utf-8").replace(fake.url, "http://127.0.0.1:1")
    (folder / "models.yaml").write_text(text, encoding="utf-8")
    assert (await rolegate("profiles", "set", "bare", "description=other")).err == ""


async def test_a_gateway_with_hot_swap_on_needs_no_warning_that_it_is_off(
    rolegate: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (folder / "models.yaml").read_text(encoding="utf-8").replace("hot_swap: true", "hot_swap: false")
    (folder / "models.yaml").write_text(text, encoding="utf-8")
    alone = await rolegate("profiles", "set", "fast", "selection.preload=before")
    assert "it has an effect only with hot-swap on" in alone.err
    monkeypatch.setenv("ROLEGATE_HOT_SWAP", "true")
    async with a_gateway(folder):
        monkeypatch.delenv("ROLEGATE_HOT_SWAP")
        beside = await rolegate("profiles", "set", "fast", "selection.preload=never")
        assert (beside.code, beside.err) == (0, "")


async def test_a_profile_that_there_is_not_is_a_usage_error_of_plan_and_explain(rolegate: Run) -> None:
    for line in (["plan"], ["explain", "planner"]):
        ran = await rolegate(*line, "--profile", "fats")
        assert (ran.code, ran.err) == (
            2,
            'error: there is no profile "fats"; known: fast\nhint: did you mean "fast"?\n',
        )


async def test_a_running_gateway_is_told_of_a_model_that_was_pulled(
    rolegate: Run, folder: Path, fake: FakeOllama
) -> None:
    async with a_gateway(folder) as live:
        assert "qwen3:8b" in catalogue()
        assert (await rolegate("models", "pull", "ollama:qwen3:8b", "--quiet")).code == 0
        seen = live.controller.registry.last
        assert seen is not None
        assert "ollama:qwen3:8b" in {str(model.ref) for model in seen.models}

"""A profile that is made of what is running holds to it: the models, the settings that chose them, and what stays at home."""

import json
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from admin_builders import an_admin_gateway, write_profile
from command_builders import Run
from gateway.compose.workspace import Options, Workspace
from keeping_builders import served

WRITING = {"parameters": {"temperature": 0.2, "extra_headers": {"Authorization": "Bearer x1"}}}
AT_HOME = {"cloud_fallback": False}


def stored(folder: Path, name: str) -> Any:
    return json.loads((folder / "user_profiles" / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture
def cloudy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files alone let the planner go to the cloud; the profile ``writing`` keeps it here."""
    path = folder / "models.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["role_mappings"]["planner"] |= {"cloud_fallback": "openai:gpt-4o-mini", "discover": True}
    content["cloud_providers"] = {"openai": {"models": {"gpt-4o-mini": {}}}}
    content["role_mappings"]["critic"] = {"preferred": ["mistral"]}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    write_profile(folder, "writing", {"selection": AT_HOME, "role_mappings": {"planner": WRITING, "critic": None}})
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    return folder


async def test_it_serves_as_what_it_was_made_of(rolegate: Run, cloudy: Path) -> None:
    await rolegate("profiles", "use", "writing")
    port = Workspace.open(Options(config_dir=cloudy)).configuration().gateway.port
    async with an_admin_gateway(cloudy) as live, served(cast(Any, live.app), port=port):
        for name, arguments in (("alone", ()), ("over", ("--extends", "writing"))):
            made = await rolegate("profiles", "create", name, "--from-running", *arguments)
            assert (made.code, made.out) == (0, f"created {cloudy / 'user_profiles' / f'{name}.json'}\n")
            planned = await rolegate("plan", "--profile", name, "--json")
            assert planned.json["digest"] == live.switchboard.live.selection.plan.digest
        shown = (await live.client.get("/admin/v1/plan/profile")).text
    pins = {"preferred": ["ollama:llama3.1:8b", "ollama:mistral:latest"], "cloud_fallback": [], "discover": False}
    assert stored(cloudy, "alone") == {
        "role_mappings": {"planner": {**WRITING, **pins}, "critic": None},
        "selection": AT_HOME,
    }
    assert stored(cloudy, "over") == {"extends": "writing", "role_mappings": {"planner": pins}}
    assert "x1" not in shown

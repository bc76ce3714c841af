"""A profile that keeps everything local, and who might want it otherwise."""

import json

import pytest

from unit.config.sandbox import Sandbox

ALLOWS = {
    "selection": {"cloud_fallback": True, "system_default": ["openai:m"]},
    "role_mappings": {"planner": {"cloud_fallback": "openai:m", "allow_cloud": True}},
    "cloud_providers": {"openai": {}},
}
LOCAL = {"selection": {"cloud_fallback": False}}


@pytest.mark.parametrize("layer", ["models.json", "models.yaml", "user_models.json"])
def test_no_lower_layer_lets_out_what_the_profile_keeps(layer: str, sandbox: Sandbox) -> None:
    sandbox.write({layer: json.dumps(ALLOWS), "user_profiles/quiet.json": json.dumps(LOCAL)})
    assert sandbox.load().policy.cloud_fallback
    assert not sandbox.load(profile="quiet").policy.cloud_fallback


def test_a_profile_over_it_keeps_it_unless_it_says_otherwise(sandbox: Sandbox) -> None:
    sandbox.write(
        {
            "models.json": json.dumps(ALLOWS),
            "user_profiles/quiet.json": json.dumps(LOCAL),
            "user_profiles/child.json": json.dumps({**ALLOWS, "extends": "quiet", "selection": {}}),
            "user_profiles/loud.json": json.dumps({"extends": "quiet", "selection": {"cloud_fallback": True}}),
        }
    )
    assert not sandbox.load(profile="child").policy.cloud_fallback
    assert sandbox.load(profile="loud").policy.cloud_fallback


def test_no_variable_lets_it_out(sandbox: Sandbox) -> None:
    sandbox.write({"models.json": json.dumps(ALLOWS), "user_profiles/quiet.json": json.dumps(LOCAL)})
    loaded = sandbox.load(profile="quiet", ROLEGATE_CLOUD_FALLBACK="true", OPENAI_API_KEY="x")
    assert not loaded.policy.cloud_fallback

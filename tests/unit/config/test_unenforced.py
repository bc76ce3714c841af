"""What is accepted and does nothing yet is never accepted without a word."""

import pytest

from gateway.config.environ import Environment
from gateway.config.load import load
from gateway.config.unenforced import unenforced_keys
from gateway.errors import Problem
from unit.config.sandbox import Sandbox

NO_EFFECT = "it has no effect in this version"


def test_settings_without_effect_are_warned_of_at_their_place(sandbox: Sandbox) -> None:
    sandbox.write(
        {
            "models.yaml": """\
selection:
  thermal: {hot_c: 90, cool_c: 60, dwell_s: 5}
gateway:
  hot_swap: true
"""
        }
    )
    assert sandbox.told(sandbox.load().warnings) == [
        f"config/models.yaml:4: gateway.hot_swap: found true; allowed: false; {NO_EFFECT}",
        f"config/models.yaml:2: selection.thermal.cool_c: found 60; allowed: 75.0; {NO_EFFECT}",
        f"config/models.yaml:2: selection.thermal.dwell_s: found 5; allowed: 60.0; {NO_EFFECT}",
    ]


def test_a_variable_or_a_flag_without_effect_is_named_itself(sandbox: Sandbox) -> None:
    sandbox.write({"models.json": "{}"})
    assert sandbox.told(sandbox.load(ROLEGATE_HOT_SWAP="yes").warnings) == [
        f"environment: ROLEGATE_HOT_SWAP: found true; allowed: false; {NO_EFFECT}"
    ]
    assert sandbox.told(sandbox.load(flags={"hot_swap": True}).warnings) == [
        f"command line: --hot-swap: found true; allowed: false; {NO_EFFECT}"
    ]


def _warnings(sandbox: Sandbox, name: str, value: str) -> tuple[Problem, ...]:
    environment = Environment(variables={"HOME": str(sandbox.root), name: value})
    return load(folder=sandbox.folder, state_folder=sandbox.state, environment=environment).warnings


@pytest.mark.parametrize(
    "name",
    [
        "ROLEGATE_CLIENT_KEY",
        "ROLEGATE_CLIENT_KEY_FILE",
        "ROLEGATE_ADMIN_KEY",
        "ROLEGATE_ADMIN_KEY_FILE",
        "ROLEGATE_VAULT_PASSPHRASE",
    ],
)
def test_a_secret_that_nothing_asks_for_is_warned_of_and_not_told(name: str, sandbox: Sandbox) -> None:
    sandbox.write({"models.json": "{}"})
    assert sandbox.told(_warnings(sandbox, name, "hunter2")) == [
        f"environment: {name}: found a value; allowed: leaving it out; {NO_EFFECT}"
    ]
    assert _warnings(sandbox, name, " ") == ()


def test_the_keys_that_keep_nobody_out_are_named() -> None:
    variables = {
        "ROLEGATE_ADMIN_KEY_FILE": "/run/key",
        "ROLEGATE_CLIENT_KEY": "x",
        "ROLEGATE_ADMIN_KEY": "",
        "ROLEGATE_VAULT_PASSPHRASE": "x",
        "OPENAI_API_KEY": "x",
    }
    assert unenforced_keys(Environment(variables=variables)) == ("ROLEGATE_CLIENT_KEY", "ROLEGATE_ADMIN_KEY_FILE")
    assert unenforced_keys(Environment(variables={})) == ()


def test_what_asks_for_nothing_more_than_what_happens_is_no_warning(sandbox: Sandbox) -> None:
    sandbox.write(
        {
            "models.yaml": """\
selection: {thermal: {hot_c: 85, cool_c: 75, dwell_s: 60}}
gateway: {hot_swap: false}
"""
        }
    )
    assert sandbox.load().warnings == ()

"""What is accepted and does nothing yet is never accepted without a word."""

import pytest

from gateway.config.environ import Environment
from gateway.config.load import load
from gateway.errors import Problem
from unit.config.sandbox import Sandbox

NEEDS_HOT_SWAP = "it has an effect only with hot-swap on"


def test_settings_of_swaps_are_warned_of_at_their_place_where_hot_swap_is_off(sandbox: Sandbox) -> None:
    sandbox.write(
        {
            "models.yaml": """\
selection:
  thermal: {hot_c: 90, cool_c: 60, dwell_s: 5}
  canary: generate
  preload: before
  unload: after_idle
"""
        }
    )
    assert sandbox.told(sandbox.load().warnings) == [
        f"config/models.yaml:2: selection.thermal.cool_c: found 60; allowed: 75.0; {NEEDS_HOT_SWAP}",
        f"config/models.yaml:2: selection.thermal.dwell_s: found 5; allowed: 60.0; {NEEDS_HOT_SWAP}",
        f'config/models.yaml:3: selection.canary: found "generate"; allowed: "metadata"; {NEEDS_HOT_SWAP}',
        f'config/models.yaml:4: selection.preload: found "before"; allowed: "after"; {NEEDS_HOT_SWAP}',
        f'config/models.yaml:5: selection.unload: found "after_idle"; allowed: "never"; {NEEDS_HOT_SWAP}',
    ]
    policy = sandbox.load().policy
    assert (policy.canary, policy.preload, policy.unload) == ("generate", "before", "after_idle")
    assert sandbox.load(flags={"hot_swap": True}).warnings == ()
    assert sandbox.load(ROLEGATE_HOT_SWAP="on").warnings == ()


def test_hot_swap_has_an_effect_wherever_it_is_asked_for(sandbox: Sandbox) -> None:
    sandbox.write({"models.json": '{"gateway": {"hot_swap": true}}'})
    assert sandbox.load().warnings == ()
    assert sandbox.load(ROLEGATE_HOT_SWAP="yes").warnings == ()
    assert sandbox.load(flags={"hot_swap": True}).warnings == ()


def _warnings(sandbox: Sandbox, name: str, value: str) -> tuple[Problem, ...]:
    environment = Environment(variables={"HOME": str(sandbox.root), name: value})
    return load(folder=sandbox.folder, state_folder=sandbox.state, environment=environment).warnings


@pytest.mark.parametrize("name", ["CLIENT_KEY", "CLIENT_KEY_FILE", "ADMIN_KEY", "ADMIN_KEY_FILE", "VAULT_PASSPHRASE"])
def test_a_secret_that_something_asks_for_is_no_warning(name: str, sandbox: Sandbox) -> None:
    sandbox.write({"models.json": "{}"})
    assert _warnings(sandbox, f"ROLEGATE_{name}", "hunter2") == ()


def test_what_asks_for_nothing_more_than_what_happens_is_no_warning(sandbox: Sandbox) -> None:
    sandbox.write(
        {
            "models.yaml": """\
selection: {thermal: {hot_c: 85, cool_c: 75, dwell_s: 60}, canary: metadata, preload: after, unload: never}
gateway: {hot_swap: false}
"""
        }
    )
    assert sandbox.load().warnings == ()

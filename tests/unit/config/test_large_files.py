"""Files and chains that are far larger than any configuration."""

import json
import sys
from types import FrameType

import pytest

from gateway.config import profiles
from gateway.config.environ import Environment
from gateway.config.load import check
from gateway.config.merge import Layer, Overlay, Source, merge
from unit.config.sandbox import Sandbox

TOO_MANY = (
    "found more than 200000 values; allowed: at most 200000 values in one file; "
    "no configuration needs that many; is it the right file?"
)


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        ("models.json", '{"x": [' + "1," * 200_000 + "1]}", ""),
        ("models.json", "{" + '"a":1,' * 200_000 + '"a":1}', ""),
        ("models.json", '{"role_mappings": {"a": {"preferred": [' + "1," * 200_000 + "1]}}}", ""),
        ("models.yaml", "x: [" + "1," * 200_000 + "1]", ":1"),
    ],
)
def test_a_file_of_too_many_values_is_refused_as_a_whole(name: str, text: str, where: str, sandbox: Sandbox) -> None:
    sandbox.write({name: text})
    assert sandbox.problems() == [f"config/{name}{where}: {TOO_MANY}"]


def _calls_to_check(sandbox: Sandbox, *, profiles_in_a_row: int) -> int:
    """How many functions are called to check a folder with a chain of profiles."""
    sandbox.write(
        {
            f"user_profiles/p{place}.json": json.dumps({"extends": f"p{place - 1}"} if place else {})
            for place in range(profiles_in_a_row)
        }
    )
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    environment = Environment(variables={"HOME": str(sandbox.root)})
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        told = check(folder=sandbox.folder, state_folder=sandbox.state, environment=environment)
    finally:
        sys.setprofile(before)
    assert told.problems == ()
    return calls


def test_a_chain_twice_as_long_takes_twice_the_work(sandbox: Sandbox) -> None:
    sandbox.write({"models.json": "{}"})
    short = _calls_to_check(sandbox, profiles_in_a_row=100)
    assert _calls_to_check(sandbox, profiles_in_a_row=200) < short * 2.2


def test_parents_come_before_what_extends_them_and_broken_chains_not_at_all() -> None:
    parents = {"c": "b", "a": None, "b": "a", "x": "y", "y": "x", "under": "x", "lost": "nowhere", "self": "self"}
    assert profiles.parents_first(parents) == ("a", "b", "c")


def test_a_merge_onto_a_merge_is_the_merge_of_all() -> None:
    written: list[dict[str, object]] = [
        {"a": {"b": 1, "c": 2}, "d": 1},
        {"a": {"b": 3}},
        {"a": 4, "d": None, "e": [1]},
    ]
    overlays = [
        Overlay(source=Source(layer=Layer.PROFILE, file=str(place)), values=values)
        for place, values in enumerate(written)
    ]
    whole, onto = merge(overlays), merge(overlays[2:], onto=merge(overlays[1:2], onto=merge(overlays[:1])))
    assert (onto.values, dict(onto.provenance), onto.conflicts) == (
        whole.values,
        dict(whole.provenance),
        whole.conflicts,
    )


def test_a_profile_far_up_the_chain_is_judged_with_all_that_it_extends(sandbox: Sandbox) -> None:
    sandbox.write(
        {
            "models.json": "{}",
            "user_profiles/base.json": '{"selection": {"thermal": {"hot_c": 50}}}',
            "user_profiles/mid.json": '{"extends": "base"}',
            "user_profiles/top.json": '{"extends": "mid", "selection": {"thermal": {"cool_c": 60}}}',
        }
    )
    told = check(
        folder=sandbox.folder,
        state_folder=sandbox.state,
        environment=Environment(variables={"HOME": str(sandbox.root)}),
    )
    assert sandbox.told(told.problems)[-1] == (
        "config/user_profiles/top.json:1: selection.thermal.cool_c: found cool_c 60 and hot_c 50; "
        'allowed: cool_c below hot_c; when the profile "top" is active'
    )

"""What waits is named: the settings that need a restart, and the files that say something else than what serves."""

from dataclasses import replace
from pathlib import Path

from gateway.config.environ import Environment
from gateway.config.load import load
from gateway.config.settings import Configuration
from gateway.runtime.pending import Pending, differing_files, pending_data, restart_settings, says_the_same


def read(folder: Path, **files: str) -> Configuration:
    (folder / "user_profiles").mkdir(exist_ok=True)
    for name, text in files.items():
        place = folder / f"{name}.json" if name.endswith("models") else folder / "user_profiles" / f"{name}.json"
        place.write_text(text, encoding="utf-8")
    return load(folder=folder, state_folder=folder, environment=Environment(variables={}), profile="mine")


def test_the_files_are_named_that_say_something_else_and_those_that_do_not_say_it_any_more(tmp_path: Path) -> None:
    before = read(tmp_path, models="{}", mine="{}", user_models='{"selection": {"memory_margin": 0.2}}')
    same = read(tmp_path, mine="{ }")
    assert (differing_files(before, same), says_the_same(before, same)) == ((), True)
    more = read(tmp_path, mine='{"role_mappings": {"planner": {"preferred": ["x"]}}}')
    assert (differing_files(before, more), says_the_same(before, more)) == (("user_profiles/mine.json",), False)
    less = read(tmp_path, user_models="{}")
    assert differing_files(before, less) == ("user_models.json", "user_profiles/mine.json")


def test_a_setting_that_a_swap_takes_up_waits_for_a_restart_where_nothing_swaps(tmp_path: Path) -> None:
    before = read(tmp_path, models="{}", mine="{}")
    after = replace(before, gateway=replace(before.gateway, expose_models=False, port=4001))
    assert restart_settings(before, after, hot_swap=True) == ("gateway.port",)
    assert restart_settings(before, after, hot_swap=False) == ("gateway.port", "gateway.expose_models")


def test_what_is_pending_is_plain_data_with_its_files() -> None:
    assert pending_data(Pending(profile="mine", changed_roles=("planner",), files=("user_models.json",))) == {
        "profile": "mine",
        "changed_roles": ["planner"],
        "restart": [],
        "problems": [],
        "files": ["user_models.json"],
    }

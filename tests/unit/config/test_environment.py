"""The environment, and the folders that follow from it."""

from pathlib import Path

import pytest

from gateway.config.environ import Environment, key_variable
from gateway.config.folders import config_folder, packaged, templates_folder
from gateway.file_errors import ConfigInvalid


def environment(**variables: str) -> Environment:
    return Environment(variables={"HOME": "/home/ada", **variables})


def test_the_process_own_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLEGATE_PROFILE", " coding ")
    assert Environment.read().profile == "coding"


def test_folders_follow_the_xdg_specification() -> None:
    plain = environment()
    assert plain.user_config_dir == Path("/home/ada/.config/rolegate")
    assert plain.state_dir == Path("/home/ada/.local/state/rolegate")
    assert plain.data_dir == Path("/home/ada/.local/share/rolegate")
    moved = environment(XDG_CONFIG_HOME="/c", XDG_STATE_HOME="/s", XDG_DATA_HOME="relative/is/ignored")
    assert moved.user_config_dir == Path("/c/rolegate")
    assert moved.state_dir == Path("/s/rolegate")
    assert moved.data_dir == Path("/home/ada/.local/share/rolegate")


def test_own_variables_move_the_folders() -> None:
    moved = environment(ROLEGATE_STATE_DIR="/s", ROLEGATE_DATA_DIR="~/models", ROLEGATE_CONFIG_DIR="conf")
    assert (moved.state_dir, moved.data_dir, moved.config_dir) == (Path("/s"), Path("/home/ada/models"), Path("conf"))
    assert environment().config_dir is None


@pytest.mark.parametrize("name", ["openai", "my-lab", "lab_2"])
def test_a_providers_key_is_found_by_its_name(name: str) -> None:
    variable = {"openai": "OPENAI_API_KEY", "my-lab": "MY_LAB_API_KEY", "lab_2": "LAB_2_API_KEY"}[name]
    assert key_variable(name) == variable
    key = environment(**{variable: " sk-hunter2\n"}).provider_key(name)
    assert key is not None
    assert key.reveal() == "sk-hunter2"
    assert environment(**{variable: " "}).provider_key(name) is None
    assert environment().provider_key(name) is None


def test_an_environment_does_not_print_what_it_holds() -> None:
    assert "hunter2" not in repr(environment(OPENAI_API_KEY="hunter2"))


def test_the_configuration_folder_is_the_first_that_is_there(tmp_path: Path) -> None:
    flag, variable, user, here = (tmp_path / name for name in ("flag", "variable", "user/rolegate", "here/config"))
    for folder in (flag, variable, user, here):
        folder.mkdir(parents=True)
    (user / "models.yaml").write_text("{}")
    (here / "user_profiles").mkdir()
    everything = environment(ROLEGATE_CONFIG_DIR=str(variable), XDG_CONFIG_HOME=str(tmp_path / "user"))
    users = environment(XDG_CONFIG_HOME=str(tmp_path / "user"))
    assert config_folder(flag=flag, environment=everything, working_folder=tmp_path / "here") == flag
    assert config_folder(flag=None, environment=everything, working_folder=tmp_path / "here") == variable
    assert config_folder(flag=None, environment=users, working_folder=tmp_path / "here") == here
    assert config_folder(flag=None, environment=users, working_folder=tmp_path) == user
    assert config_folder(flag=None, environment=environment(), working_folder=tmp_path) == packaged("config")


def test_the_folder_here_is_named_as_people_write_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "models.json").write_text("{}")
    assert str(config_folder(flag=None, environment=environment())) == "config"


def test_another_programs_config_folder_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "settings.json").write_text("{}")
    assert config_folder(flag=None, environment=environment(), working_folder=tmp_path) == packaged("config")


def test_a_folder_that_was_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid) as by_flag:
        config_folder(flag=tmp_path / "no", environment=environment())
    assert str(by_flag.value.problems[0]) == (
        f'command line: --config-dir: found "{tmp_path}/no", which is not a folder; allowed: an existing folder'
    )
    with pytest.raises(ConfigInvalid) as by_variable:
        config_folder(flag=None, environment=environment(ROLEGATE_CONFIG_DIR="/nowhere/at/all"))
    assert str(by_variable.value.problems[0]) == (
        'environment: ROLEGATE_CONFIG_DIR: found "/nowhere/at/all", which is not a folder; allowed: an existing folder'
    )
    with pytest.raises(ConfigInvalid) as templates:
        templates_folder(config_folder=tmp_path, environment=environment(), flag=tmp_path / "no")
    assert templates.value.problems[0].key_path == "--templates-dir"


def test_a_folder_that_does_not_exist_is_named_whole_however_long_it_is(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 80) / "\x1b[31m" / "configuration"
    with pytest.raises(ConfigInvalid) as refused:
        config_folder(flag=folder, environment=environment())
    shown = str(folder).replace("\x1b", "\\u001b")
    assert refused.value.problems[0].found == f'"{shown}", which is not a folder'


def test_templates_are_taken_from_beside_the_layers_first(tmp_path: Path) -> None:
    config, here = tmp_path / "config", tmp_path / "here"
    user = environment(XDG_CONFIG_HOME=str(tmp_path / "user"))
    folders = [config / "router_templates", here / "router_templates", tmp_path / "user/rolegate/router_templates"]
    for folder in folders:
        folder.mkdir(parents=True)
    for folder in folders:
        assert templates_folder(config_folder=config, environment=user, working_folder=here) == folder
        folder.rmdir()
    assert templates_folder(config_folder=config, environment=user, working_folder=here) == packaged("router_templates")
    assert templates_folder(config_folder=config, environment=user, flag=here) == here


def test_a_source_checkout_has_its_folders_at_the_top() -> None:
    assert (packaged("config") / "models.json").is_file()

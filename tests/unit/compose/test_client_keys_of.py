"""The first keys, which the environment provides, and whether the doors are fit for the address."""

import dataclasses
from pathlib import Path

import pytest

from gateway.compose.client_keys import KEYS_FILE, admin_key, client_keys_of, provided_keys, provided_secrets
from gateway.compose.doors import check_doors, told_of_doors
from gateway.compose.workspace import Options, Workspace
from gateway.config.environ import Environment
from gateway.config.load import load
from gateway.errors import BadRequest
from gateway.file_errors import ConfigInvalid
from gateway.vault.client_key import Scope

CLIENT, ADMIN = "a-client-key-of-a-container", "an-admin-key-of-a-container"


def problems(**variables: str) -> list[str]:
    with pytest.raises(ConfigInvalid) as refused:
        provided_keys(Environment(variables=variables))
    return [str(one) for one in refused.value.problems]


def test_the_first_keys_come_from_variables_or_from_the_files_they_name(tmp_path: Path) -> None:
    (tmp_path / "admin").write_text(f"{ADMIN}\n", encoding="utf-8")
    environment = Environment(
        variables={"ROLEGATE_CLIENT_KEY": f" {CLIENT} ", "ROLEGATE_ADMIN_KEY_FILE": str(tmp_path / "admin")}
    )
    found = provided_keys(environment)
    assert {scope: key.reveal() for scope, key in found.items()} == {Scope.CLIENT: CLIENT, Scope.ADMIN: ADMIN}
    assert {one.reveal() for one in provided_secrets(environment)} == {CLIENT, ADMIN}
    shown = admin_key(environment)
    assert shown is not None
    assert shown.reveal() == ADMIN
    assert provided_keys(Environment(variables={})) == {}


def test_a_variable_that_provides_no_key_is_told_without_its_value(tmp_path: Path) -> None:
    short = tmp_path / "short"
    short.write_text("hunter2", encoding="utf-8")
    allowed = "at least 20 letters, digits and signs, without spaces"
    assert problems(ROLEGATE_CLIENT_KEY="hunter2", ROLEGATE_ADMIN_KEY_FILE=str(tmp_path / "none")) == [
        (
            f"environment: ROLEGATE_CLIENT_KEY: found 7 characters; allowed: {allowed}; "
            "`openssl rand -hex 32` makes a good one"
        ),
        f"environment: ROLEGATE_ADMIN_KEY_FILE: found {tmp_path / 'none'}: no file; allowed: a file",
    ]
    assert problems(ROLEGATE_CLIENT_KEY_FILE=str(short))[0].startswith(
        "environment: ROLEGATE_CLIENT_KEY_FILE: found 7 characters; "
    )
    assert problems(ROLEGATE_CLIENT_KEY="two words are no key at all") == [
        f"environment: ROLEGATE_CLIENT_KEY: found characters that no header can carry; allowed: {allowed}"
    ]
    assert problems(ROLEGATE_ADMIN_KEY=ADMIN, ROLEGATE_ADMIN_KEY_FILE="x") == [
        "environment: ROLEGATE_ADMIN_KEY_FILE: found a file, and ROLEGATE_ADMIN_KEY as well; allowed: one of the two"
    ]


def a_workspace(folder: Path, **variables: str) -> Workspace:
    environment = Environment(variables={"HOME": str(folder), "ROLEGATE_STATE_DIR": str(folder), **variables})
    return Workspace(options=Options(config_dir=folder), environment=environment)


def test_the_keys_of_an_installation_are_those_of_its_state_folder_and_of_its_environment(tmp_path: Path) -> None:
    keys = client_keys_of(a_workspace(tmp_path, ROLEGATE_CLIENT_KEY=CLIENT))
    made = keys.create("ci", now_s=1.0)
    assert keys.path == tmp_path / KEYS_FILE
    assert [one.name for one in keys.list()] == ["ROLEGATE_CLIENT_KEY", "ci"]
    for text in (CLIENT, made.text.reveal()):
        assert keys.verify(text, now_s=2.0).admitted is not None
    with pytest.raises(BadRequest, match="are the same: every client would be an admin"):
        client_keys_of(a_workspace(tmp_path, ROLEGATE_CLIENT_KEY=CLIENT, ROLEGATE_ADMIN_KEY=CLIENT))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "gateway.lan"])
def test_nobody_listens_for_others_before_somebody_has_a_key(host: str, tmp_path: Path) -> None:
    environment = Environment(variables={"HOME": str(tmp_path)})
    configuration = load(folder=tmp_path, state_folder=tmp_path, environment=environment, flags={"host": host})
    with pytest.raises(ConfigInvalid) as refused:
        check_doors(configuration, openable=())
    assert (refused.value.exit_code, str(refused.value.problems[0])) == (
        3,
        (
            f'--host: gateway.host: found "{host}", and no client key; allowed: an address of this machine alone '
            "(127.0.0.1, ::1 or localhost) while nobody has a key; make one with `rolegate keys create NAME`, "
            "or set ROLEGATE_CLIENT_KEY"
        ),
    )
    check_doors(configuration, openable={Scope.ADMIN})


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.9.1"])
def test_on_loopback_no_key_is_needed(host: str, tmp_path: Path) -> None:
    environment = Environment(variables={"HOME": str(tmp_path)})
    configuration = load(folder=tmp_path, state_folder=tmp_path, environment=environment)
    gateway = dataclasses.replace(configuration.gateway, host=host)
    check_doors(dataclasses.replace(configuration, gateway=gateway), openable=())
    assert told_of_doors(host, openable=(), encrypted=False) == ()


def test_a_scope_that_nobody_can_open_is_told_of_when_the_gateway_starts() -> None:
    head = "listening on 0.0.0.0: whoever reaches this address needs a key"
    assert told_of_doors("0.0.0.0", openable={Scope.CLIENT, Scope.ADMIN}, encrypted=True) == (head,)
    assert told_of_doors("0.0.0.0", openable={Scope.CLIENT}, encrypted=True) == (
        head,
        "no admin key is in force, so /admin is shut, also to commands: `rolegate keys create NAME --admin`",
    )
    assert told_of_doors("0.0.0.0", openable={Scope.ADMIN}, encrypted=True) == (
        head,
        "no client key is in force, so nobody can use the models: `rolegate keys create NAME`",
    )


def test_an_address_that_others_reach_without_tls_is_told_of() -> None:
    assert told_of_doors("0.0.0.0", openable={Scope.CLIENT, Scope.ADMIN}, encrypted=False) == (
        "listening on 0.0.0.0: whoever reaches this address needs a key",
        "the way to it is not encrypted, and whoever reads it reads keys: --tls-cert FILE, or a proxy that speaks TLS",
    )

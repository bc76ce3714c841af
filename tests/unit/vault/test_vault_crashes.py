"""Edits that are killed at any line, and edits by two processes at once: never a wrong key, never a lost one."""

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.domain.secret import Secret
from gateway.errors import RolegateError
from gateway.vault.client_key import Refusal
from gateway.vault.client_keys import ClientKeys
from gateway.vault.vault import Opener, Vault
from vault_builders import KEYS, filled, key_file, new_vault, passphrase, revealed

TESTS = Path(__file__).resolve().parents[2]
ROOT = TESTS.parent

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")

WRITER = """
import sys
from pathlib import Path
from gateway.domain.secret import Secret
from vault_builders import new_vault, passphrase
folder, name = Path(sys.argv[1]), sys.argv[2]
for number in range(15):
    new_vault(folder).set(f"{name}{number}", Secret(f"sk-{name}-{number}"), unlock=passphrase())
"""


def environment() -> dict[str, str]:
    return {"PYTHONPATH": f"{ROOT}:{TESTS}", "PATH": "/usr/bin:/bin"}


def killed_everywhere(folder: Path, operation: str) -> list[Path]:
    """The folders that the killed children left."""
    finished = subprocess.run(
        [sys.executable, str(TESTS / "killed_editor.py"), str(folder), operation],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    killed, code = map(int, finished.stdout.split())
    assert code == 0
    assert killed > 60
    return [folder / str(number) for number in range(1, killed + 1)]


def opened_with_either(vault: Vault, first: Opener, second: Opener) -> dict[str, str]:
    """What is in a vault that was locked with one of the two."""
    glance = vault.look()
    assert glance is not None
    try:
        return revealed(vault, first)
    except RolegateError:
        return revealed(vault, second)


def leftovers(vault: Vault) -> list[str]:
    return [one.name for one in vault.path.parent.iterdir() if one.name.endswith(".tmp")]


def test_a_kill_while_a_key_is_set_leaves_the_old_keys_or_the_new(tmp_path: Path) -> None:
    filled(tmp_path / "start", passphrase())
    outcomes = set()
    for folder in killed_everywhere(tmp_path, "set_key"):
        vault = new_vault(folder)
        found = revealed(vault, passphrase())
        assert found in ({**KEYS}, {**KEYS, "openai": "sk-new"})
        outcomes.add(found["openai"])
        vault.set("openai", Secret("sk-again"), unlock=passphrase())
        assert revealed(vault, passphrase()) == {**KEYS, "openai": "sk-again"}
        assert leftovers(vault) == []
    assert outcomes == {KEYS["openai"], "sk-new"}


def test_a_kill_while_the_first_key_is_set_leaves_no_vault_or_one_that_opens(tmp_path: Path) -> None:
    (tmp_path / "start" / "config").mkdir(parents=True)
    outcomes = set()
    for folder in killed_everywhere(tmp_path, "first_key"):
        vault = new_vault(folder)
        found = revealed(vault, key_file(folder))
        assert found in ({}, {"openai": "sk-new"})
        outcomes.add(len(found))
        vault.set("lab", Secret("x"), unlock=key_file(folder))
        assert revealed(vault, key_file(folder)) == {**found, "lab": "x"}
    assert outcomes == {0, 1}


@pytest.mark.parametrize("operation", ["rotate_key_file", "rotate_to_key_file", "rotate_to_passphrase"])
def test_a_kill_in_the_middle_of_a_rotation_leaves_every_key_where_the_old_or_the_new_source_opens_it(
    operation: str, tmp_path: Path
) -> None:
    start = tmp_path / "start"
    filled(start, passphrase() if operation == "rotate_to_key_file" else key_file(start))
    revisions = set()
    for folder in killed_everywhere(tmp_path, operation):
        vault = new_vault(folder)
        assert opened_with_either(vault, key_file(folder), passphrase()) == KEYS
        glance = vault.look()
        assert glance is not None
        revisions.add(glance.revision)
        source = passphrase() if glance.source == "passphrase" else key_file(folder)
        vault.rotate(unlock=source)
        assert revealed(vault, source) == KEYS
        assert leftovers(vault) == []
    assert revisions == {2, 3}


def test_a_kill_while_a_client_key_is_revoked_leaves_it_in_force_or_revoked(tmp_path: Path) -> None:
    text = ClientKeys(tmp_path / "start" / "state" / "client_keys.json").create("ci", now_s=1.0).text.reveal()
    outcomes = set()
    for folder in killed_everywhere(tmp_path, "revoke"):
        keys = ClientKeys(folder / "state" / "client_keys.json")
        outcomes.add(keys.verify(text, now_s=3.0).refusal)
        keys.create("next", now_s=3.0)
        assert [key.name for key in keys.list()] == ["ci", "next"]
    assert outcomes == {None, Refusal.REVOKED}


def test_two_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    vault = new_vault(tmp_path)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), name], env=environment(), stderr=subprocess.PIPE, text=True
        )
        for name in ("a", "b")
    ]
    for writer in writers:
        _, said = writer.communicate()
        assert writer.returncode == 0, said
    opened = vault.open(passphrase())
    assert opened.revision == 30
    assert {name: key.reveal() for name, key in opened.keys.items()} == {
        f"{name}{number}": f"sk-{name}-{number}" for name in ("a", "b") for number in range(15)
    }

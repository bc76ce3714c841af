"""The key file: keys are added, found by name, and never lost."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.vault.key_file import add_key, find_key
from gateway.vault.private_file import Unreadable
from gateway.vault.sealing_key import SealingKey


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)


def test_every_key_that_was_added_is_found_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "state" / "vault.key"
    keys = [add_key(path) for _ in range(3)]
    assert len({key.text() for key in keys}) == 3
    for key in keys:
        found = find_key(path, key.fingerprint)
        assert found is not None
        assert found.text() == key.text()
    assert find_key(path, "0" * 16) is None
    assert find_key(tmp_path / "nowhere", "0" * 16) is None


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "vault.key"
    key = add_key(path)
    assert path.read_text(encoding="ascii") == (
        "# Keys of rolegate's vault (api_keys.json): the name of each, and the key. Who has a key and the vault can read what "
        "is in it;\n"
        "# without the key nobody can. Keep a copy in a safe place, and not beside a copy of the vault.\n"
        f"{key.fingerprint} {key.text()}\n"
    )


def test_a_line_without_its_end_is_not_run_into(tmp_path: Path) -> None:
    path = tmp_path / "vault.key"
    old = SealingKey.random()
    write(path, f"{old.fingerprint} {old.text()}")
    new = add_key(path)
    assert path.read_text(encoding="ascii") == f"{old.fingerprint} {old.text()}\n{new.fingerprint} {new.text()}\n"


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "0123456789abcdef",
        "0123456789abcdef AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        f"{SealingKey(bytes(32)).fingerprint} AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB",
        f"{SealingKey(bytes(32)).fingerprint} AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        f"{SealingKey(bytes(32)).fingerprint} AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA more",
        "é",
    ],
)
def test_a_damaged_file_is_neither_believed_nor_added_to(line: str, tmp_path: Path) -> None:
    path = tmp_path / "vault.key"
    write(path, f"# keys\n\n{line}\n")
    before = path.read_bytes()
    attempts: list[Callable[[], object]] = [lambda: find_key(path, "0" * 16), lambda: add_key(path)]
    for attempt in attempts:
        with pytest.raises(Unreadable) as raised:
            attempt()
        assert raised.value.reason == "line 3 is no key, or not the key that it names"
        assert raised.value.hint == "put the file back from a copy of it"
    assert path.read_bytes() == before


def test_two_processes_that_add_keys_at_once_lose_none(tmp_path: Path) -> None:
    path = tmp_path / "vault.key"
    code = (
        "import sys; from pathlib import Path; from gateway.vault.key_file import add_key\n"
        "for _ in range(25): print(add_key(Path(sys.argv[1])).fingerprint)\n"
    )
    adders = [
        subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    names = [name for adder in adders for name in adder.communicate()[0].split()]
    assert len(names) == 50
    assert all(find_key(path, name) is not None for name in names)

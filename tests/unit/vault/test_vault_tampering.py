"""A vault that was changed by something other than rolegate: it does not open, and no key is ever another's."""

import base64
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.file_errors import VaultLocked, VaultUnreadable
from gateway.vault.passphrase import STRETCHING
from gateway.vault.vault import Opener, Vault
from vault_builders import KEYS, data_of, filled, key_file, passphrase, put, revealed

Data = dict[str, Any]

NOT_AS_WRITTEN = "it was changed by something other than rolegate, or damaged"
NOT_THE_JSON = "it is not the JSON that rolegate wrote"


@pytest.fixture(params=["passphrase", "key file"])
def unlock(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Either kind of source."""
    return passphrase() if request.param == "passphrase" else key_file(tmp_path)


def why(vault: Vault, unlock: Opener) -> str:
    """Why it does not open."""
    with pytest.raises(VaultUnreadable) as raised:
        vault.open(unlock)
    assert raised.value.exit_code == 3
    return raised.value.reason


def test_no_single_bit_of_the_file_can_be_flipped(unlock: Opener, tmp_path: Path) -> None:
    vault = filled(tmp_path, unlock)
    good = vault.path.read_bytes()
    for place in range(len(good)):
        for bit in range(8):
            bad = bytearray(good)
            bad[place] ^= 1 << bit
            vault.path.write_bytes(bad)
            with pytest.raises((VaultLocked, VaultUnreadable)):
                vault.open(unlock)
    vault.path.write_bytes(good)
    assert revealed(vault, unlock) == KEYS


def test_no_part_of_the_file_can_be_missing(unlock: Opener, tmp_path: Path) -> None:
    vault = filled(tmp_path, unlock)
    good = vault.path.read_bytes().rstrip()
    for length in range(len(good)):
        vault.path.write_bytes(good[:length])
        assert why(vault, unlock) == NOT_THE_JSON


def test_another_spelling_of_the_same_content_is_the_same_vault(unlock: Opener, tmp_path: Path) -> None:
    vault = filled(tmp_path, unlock)
    value = data_of(vault)
    vault.path.write_text(json.dumps(dict(reversed(value.items()))), encoding="utf-8")
    assert revealed(vault, unlock) == KEYS


def swapped(value: Data) -> None:
    entries = value["entries"]
    entries["openai"], entries["anthropic"] = entries["anthropic"], entries["openai"]


def moved(value: Data) -> None:
    value["entries"]["lab"] = value["entries"].pop("openai")


def copied(value: Data) -> None:
    value["entries"]["lab"] = value["entries"]["openai"]


def dropped(value: Data) -> None:
    del value["entries"]["openai"]


def counted(value: Data) -> None:
    value["revision"] += 1


def renamed(value: Data) -> None:
    value["vault_id"] = "0" * 32


def resealed(value: Data) -> None:
    value["seal"] = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize("change", [swapped, moved, copied, dropped, counted, resealed])
def test_entries_cannot_be_swapped_moved_copied_or_dropped(
    change: Callable[[Data], None], unlock: Opener, tmp_path: Path
) -> None:
    vault = filled(tmp_path, unlock)
    value = data_of(vault)
    change(value)
    put(vault, value)
    assert why(vault, unlock) == NOT_AS_WRITTEN


def test_a_vault_cannot_be_given_another_identity(tmp_path: Path) -> None:
    by_key_file = filled(tmp_path / "one", key_file(tmp_path))
    value = data_of(by_key_file)
    renamed(value)
    put(by_key_file, value)
    assert why(by_key_file, key_file(tmp_path)) == NOT_AS_WRITTEN
    by_passphrase = filled(tmp_path / "two", passphrase())
    value = data_of(by_passphrase)
    renamed(value)
    put(by_passphrase, value)
    with pytest.raises(VaultLocked):
        by_passphrase.open(passphrase())


@pytest.mark.parametrize("part", ["entries", "seal", "data_key", "lock"])
def test_parts_of_another_vault_with_the_same_passphrase_do_not_fit(part: str, tmp_path: Path) -> None:
    vault, other = filled(tmp_path / "one", passphrase()), filled(tmp_path / "two", passphrase())
    value = data_of(vault)
    value[part] = data_of(other)[part]
    put(vault, value)
    with pytest.raises((VaultLocked, VaultUnreadable)):
        vault.open(passphrase())


@pytest.mark.parametrize("part", ["entries", "seal", "data_key", "lock", "revision"])
def test_parts_of_an_older_revision_do_not_fit(part: str, unlock: Opener, tmp_path: Path) -> None:
    vault = filled(tmp_path, unlock)
    older = data_of(vault)
    vault.rotate(unlock=unlock)
    value = data_of(vault)
    value[part] = older[part]
    put(vault, value)
    with pytest.raises((VaultLocked, VaultUnreadable)):
        vault.open(unlock)


def test_an_entry_sealed_for_one_provider_does_not_open_for_another_even_under_a_valid_seal(tmp_path: Path) -> None:
    vault = filled(tmp_path, passphrase())
    found = vault._read()
    assert found is not None
    data_key = vault._opened(found[1], passphrase())
    entries = {**found[1].entries, "openai": found[1].entries["anthropic"]}
    vault._write(found[1], data_key, entries=entries)
    assert why(vault, passphrase()) == NOT_AS_WRITTEN


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": 2}, "it has version 2 of the format, and this rolegate reads version 1"),
        ({"version": 10**30}, f"it has version {10**30} of the format, and this rolegate reads version 1"),
        ({"version": 0}, "its version is none that ever was"),
        ({"version": True}, "its version is none that ever was"),
        ({"version": 1.0}, "its version is none that ever was"),
        ({"version": "1"}, "its version is none that ever was"),
        ({"version": None}, "its version is none that ever was"),
        ({"format": "something else"}, "it is not a vault of rolegate"),
        ({"revision": 0}, 'its "revision" is not as rolegate writes it'),
        ({"revision": 2.0}, 'its "revision" is not as rolegate writes it'),
        ({"revision": True}, 'its "revision" is not as rolegate writes it'),
        ({"revision": "2"}, 'its "revision" is not as rolegate writes it'),
        ({"vault_id": "x"}, 'its "vault_id" is not as rolegate writes it'),
        ({"vault_id": "0" * 32 + "\n"}, 'its "vault_id" is not as rolegate writes it'),
        ({"seal": 7}, 'its "seal" is not as rolegate writes it'),
        ({"seal": "é"}, 'its "seal" is not as rolegate writes it'),
        ({"seal": "AA=="}, 'its "seal" is not as rolegate writes it'),
        ({"lock": {"source": "none"}}, 'its "lock" is not as rolegate writes it'),
        ({"lock": None}, 'its "lock" is not as rolegate writes it'),
        ({"entries": []}, 'its "entries" is not as rolegate writes it'),
        ({"entries": {"OPENAI": {}}}, 'its "entries" is not as rolegate writes it'),
        ({"entries": {"openai": {"nonce": "AA=="}}}, 'its "entries" is not as rolegate writes it'),
        ({"more\x1b[2J": 1}, "not all in it is as rolegate writes it"),
    ],
)
def test_what_rolegate_would_not_write_is_named(change: Data, told: str, tmp_path: Path) -> None:
    vault = filled(tmp_path, passphrase())
    put(vault, {**data_of(vault), **change})
    assert why(vault, passphrase()) == told
    with pytest.raises(VaultUnreadable):
        vault.look()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", NOT_THE_JSON),
        (b"[]", "it is not a vault of rolegate"),
        (b"{}", "it is not a vault of rolegate"),
        (b"null", "it is not a vault of rolegate"),
        (b"[" * 100_000, NOT_THE_JSON),
        (b'{"version": ' + b"9" * 5_000 + b"}", NOT_THE_JSON),
        (b"\xff\xfe", NOT_THE_JSON),
        (b"\xef\xbb\xbf{}", NOT_THE_JSON),
        (b'{"format": "rolegate-vault", "format": "rolegate-vault"}', NOT_THE_JSON),
        (b"x" * (4 * 1024 * 1024 + 1), "it has more than 4,194,304 bytes"),
    ],
)
def test_what_is_no_vault_at_all_is_refused(content: bytes, told: str, tmp_path: Path) -> None:
    vault = filled(tmp_path, passphrase())
    vault.path.write_bytes(content)
    assert why(vault, passphrase()) == told


@pytest.mark.parametrize(
    "change",
    [
        {"memory_kib": 65},
        {"memory_kib": 2**32 - 1},
        {"memory_kib": 2**62},
        {"memory_kib": 31},
        {"memory_kib": 0},
        {"memory_kib": -1},
        {"iterations": 0},
        {"iterations": 3},
        {"iterations": 2**31},
        {"lanes": 0},
        {"lanes": 3},
        {"lanes": 2**24},
    ],
)
def test_a_file_cannot_ask_for_more_memory_or_time_than_allowed_nor_for_less(change: Data, tmp_path: Path) -> None:
    vault = filled(tmp_path, passphrase())
    value = copy.deepcopy(data_of(vault))
    lock = value["lock"]
    assert isinstance(lock, dict)
    lock.update(change)
    put(vault, value)
    asked = f"{lock['memory_kib']:,} KiB of memory, {lock['iterations']} iterations, {lock['lanes']} lanes"
    assert why(vault, passphrase()) == (
        f"checking a passphrase is to take {asked}; from 32 KiB of memory, 1 iterations, 1 lanes to 64 KiB of memory, "
        "2 iterations, 2 lanes are allowed"
    )


def test_a_cost_that_is_allowed_but_not_the_one_that_was_used_opens_nothing(tmp_path: Path) -> None:
    vault = filled(tmp_path, passphrase())
    value = data_of(vault)
    lock = value["lock"]
    assert isinstance(lock, dict)
    lock["memory_kib"] = 33
    put(vault, value)
    with pytest.raises(VaultLocked):
        vault.open(passphrase())


def test_a_vault_that_is_quick_to_guess_at_is_not_opened_with_the_real_bounds(tmp_path: Path) -> None:
    quick = filled(tmp_path, passphrase())
    vault = Vault(quick.path, stretching=STRETCHING)
    assert why(vault, passphrase()).endswith(
        "from 19,456 KiB of memory, 2 iterations, 1 lanes to 262,144 KiB of memory, 10 iterations, 8 lanes are allowed"
    )

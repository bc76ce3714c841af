"""The vault: what goes in comes out, by the source it was locked with and by no other."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.domain.ports import KeySource
from gateway.domain.secret import Secret
from gateway.errors import BadRequest, UnknownName
from gateway.file_errors import CannotWrite, EditConflict, VaultLocked, VaultUnreadable
from gateway.files.etag import ABSENT
from gateway.vault.passphrase import STRETCHING
from gateway.vault.vault import MOST_KEY_BYTES, KeyFile, OpenedVault, Opener, Passphrase, Vault, opener
from vault_builders import FAST, KEYS, data_of, filled, key_file, new_vault, passphrase, revealed

posix = pytest.mark.skipif(sys.platform == "win32", reason="permission bits")


@pytest.fixture(params=["passphrase", "key file"])
def unlock(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Either kind of source."""
    return passphrase() if request.param == "passphrase" else key_file(tmp_path)


def test_what_was_put_in_comes_out(unlock: Opener, tmp_path: Path) -> None:
    vault = filled(tmp_path, unlock)
    opened = vault.open(unlock)
    assert {name: key.reveal() for name, key in opened.keys.items()} == KEYS
    assert opened.revision == 2
    assert opened.warnings == ()
    source: KeySource = opened
    key = source.key("openai")
    assert key is not None
    assert key.reveal() == KEYS["openai"]
    assert source.key("lab") is None


def test_a_vault_with_the_real_cost_of_a_passphrase_opens(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    vault = Vault(tmp_path / "config" / "api_keys.json")
    vault.set("openai", Secret("sk-canary"), unlock=passphrase())
    assert revealed(vault, passphrase()) == {"openai": "sk-canary"}
    lock = data_of(vault)["lock"]
    assert isinstance(lock, dict)
    assert {name: lock[name] for name in ("kdf", "memory_kib", "iterations", "lanes")} == {
        "kdf": "argon2id",
        "memory_kib": STRETCHING.cost.memory_kib,
        "iterations": STRETCHING.cost.iterations,
        "lanes": STRETCHING.cost.lanes,
    }
    assert (STRETCHING.cost.memory_kib, STRETCHING.cost.iterations, STRETCHING.cost.lanes) == (65_536, 3, 4)
    assert STRETCHING.cost.within(STRETCHING.floor, STRETCHING.ceiling)


def test_a_passphrase_comes_before_the_key_file(tmp_path: Path) -> None:
    path = tmp_path / "vault.key"
    assert opener(passphrase=None, key_file=path) == KeyFile(path=path)
    for given in (Secret("correct horse"), Secret("")):
        assert opener(passphrase=given, key_file=path) == Passphrase(secret=given)


def test_a_vault_that_is_not_there_is_empty_and_needs_nothing(unlock: Opener, tmp_path: Path) -> None:
    vault = new_vault(tmp_path)
    assert vault.look() is None
    assert vault.open(unlock) == OpenedVault(keys={})
    assert not (tmp_path / "state").exists()


def test_the_names_show_without_a_key_and_the_keys_do_not(unlock: Opener, tmp_path: Path) -> None:
    vault = filled(tmp_path, unlock)
    glance = vault.look()
    assert glance is not None
    assert glance.providers == ("anthropic", "openai")
    assert glance.source == ("key_file" if isinstance(unlock, KeyFile) else "passphrase")
    assert (glance.revision, glance.warnings) == (2, ())
    assert not any(key.encode() in vault.path.read_bytes() for key in KEYS.values())


def test_a_key_replaces_the_one_before(unlock: Opener, tmp_path: Path) -> None:
    vault = filled(tmp_path, unlock)
    glance = vault.set("openai", Secret("sk-new"), unlock=unlock)
    assert glance == vault.look()
    assert revealed(vault, unlock) == {**KEYS, "openai": "sk-new"}


def test_a_removed_key_is_gone_and_the_others_stay(unlock: Opener, tmp_path: Path) -> None:
    vault = filled(tmp_path, unlock)
    assert vault.remove("openai", unlock=unlock).providers == ("anthropic",)
    assert revealed(vault, unlock) == {"anthropic": KEYS["anthropic"]}
    assert vault.remove("anthropic", unlock=unlock).providers == ()
    assert revealed(vault, unlock) == {}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("open", 'there is no key in the vault for "open"; known: anthropic, openai'),
        ("sk-Proj-ABC", 'there is no key in the vault for "…"; known: anthropic, openai'),
        ("a" * 33, 'there is no key in the vault for "…"; known: anthropic, openai'),
    ],
)
def test_a_key_that_is_not_there_cannot_be_removed(name: str, told: str, tmp_path: Path) -> None:
    vault = filled(tmp_path, passphrase())
    with pytest.raises(UnknownName) as raised:
        vault.remove(name, unlock=passphrase())
    assert str(raised.value) == told


def test_nothing_can_be_removed_from_or_rotated_in_a_vault_that_is_not_there(tmp_path: Path) -> None:
    vault = new_vault(tmp_path)
    with pytest.raises(UnknownName):
        vault.remove("openai", unlock=passphrase())
    with pytest.raises(BadRequest) as raised:
        vault.rotate(unlock=passphrase())
    assert str(raised.value) == f"there is no vault at {vault.path} yet"
    assert raised.value.hint == "`rolegate providers set-key` makes one with its first key"


def test_a_wrong_passphrase_opens_nothing_and_changes_nothing(tmp_path: Path) -> None:
    vault = filled(tmp_path, passphrase())
    before = vault.path.read_bytes()
    wrong = passphrase("incorrect horse")
    for attempt in (
        lambda: vault.open(wrong),
        lambda: vault.set("openai", Secret("x"), unlock=wrong),
        lambda: vault.remove("openai", unlock=wrong),
        lambda: vault.rotate(unlock=wrong),
        lambda: vault.rotate(unlock=wrong, to=key_file(tmp_path)),
    ):
        with pytest.raises(VaultLocked) as raised:
            attempt()
        assert str(raised.value) == (
            f"{vault.path} stays locked: the passphrase is wrong (or the file was changed by something other than rolegate)"
        )
        assert raised.value.hint == "nothing was changed; try again with the right one"
        assert raised.value.exit_code == 7
    assert vault.path.read_bytes() == before
    assert not (tmp_path / "state").exists()


def test_a_vault_with_a_passphrase_is_not_tried_with_a_key_file(tmp_path: Path) -> None:
    vault = filled(tmp_path, passphrase())
    with pytest.raises(VaultLocked) as raised:
        vault.open(key_file(tmp_path))
    assert str(raised.value) == f"{vault.path} stays locked: it needs its passphrase, and none was given"
    assert raised.value.hint == "set ROLEGATE_VAULT_PASSPHRASE, or run the command in a terminal, where it asks"


def test_a_vault_with_a_key_file_is_not_tried_with_a_passphrase(tmp_path: Path) -> None:
    vault = filled(tmp_path, key_file(tmp_path))
    with pytest.raises(VaultLocked) as raised:
        vault.set("openai", Secret("x"), unlock=passphrase())
    assert str(raised.value) == f"{vault.path} stays locked: it needs its key file, and a passphrase was given"
    assert raised.value.hint == (
        "unset ROLEGATE_VAULT_PASSPHRASE; `rolegate providers rotate-vault` can lock it with a passphrase"
    )


def test_without_its_key_file_a_vault_says_which_key_it_needs(tmp_path: Path) -> None:
    vault = filled(tmp_path, key_file(tmp_path))
    lock = data_of(vault)["lock"]
    assert isinstance(lock, dict)
    source = key_file(tmp_path)
    kept = source.path.read_bytes()
    source.path.unlink()
    filled(tmp_path / "other", source)
    for _ in ("another vault's key file", "no key file"):
        with pytest.raises(VaultLocked) as raised:
            vault.open(source)
        assert str(raised.value) == (
            f"{vault.path} stays locked: it needs the key {lock['key']}, which is not in {source.path}"
        )
        assert raised.value.hint == (
            "put that file back from a copy; if there is none, move the vault away and set the keys again"
        )
        source.path.unlink(missing_ok=True)
    source.path.write_bytes(kept)
    source.path.chmod(0o600)
    assert revealed(vault, source) == KEYS


def test_one_key_file_serves_several_vaults(tmp_path: Path) -> None:
    source = key_file(tmp_path)
    one, two = filled(tmp_path / "one", source), filled(tmp_path / "two", source, keys={"lab": "x"})
    one.rotate(unlock=source)
    assert (revealed(one, source), revealed(two, source)) == (KEYS, {"lab": "x"})


@pytest.mark.parametrize("inside", ["vault.key", "state/vault.key"])
def test_a_key_file_in_the_folder_of_the_vault_is_refused(inside: str, tmp_path: Path) -> None:
    vault = new_vault(tmp_path)
    source = KeyFile(path=vault.path.parent / inside)
    with pytest.raises(VaultLocked) as raised:
        vault.set("openai", Secret("x"), unlock=source)
    assert str(raised.value) == (
        f"{vault.path} stays locked: its key file {source.path} lies in the folder of the vault, where a copy of one takes "
        "the other along"
    )
    assert raised.value.hint == "keep the key file elsewhere: ROLEGATE_STATE_DIR names the folder"
    assert not source.path.exists()


@pytest.mark.parametrize(
    ("old", "new", "old_opens_it"),
    [
        (passphrase(), passphrase(), True),
        (passphrase(), passphrase("another horse"), False),
        (passphrase(), None, False),
        (None, passphrase(), False),
        (None, None, True),
    ],
)
def test_rotation_makes_everything_new_and_keeps_every_key(
    old: Opener | None, new: Opener | None, old_opens_it: bool, tmp_path: Path
) -> None:
    old, new = old or key_file(tmp_path), new or key_file(tmp_path)
    vault = filled(tmp_path, old)
    before = data_of(vault)
    glance = vault.rotate(unlock=old, to=new)
    after = data_of(vault)
    assert glance == vault.look()
    assert glance.revision == 3
    assert revealed(vault, new) == KEYS
    assert after["vault_id"] == before["vault_id"]
    for part in ("data_key", "lock", "entries", "seal"):
        assert after[part] != before[part]
    if not old_opens_it:
        with pytest.raises(VaultLocked):
            vault.open(old)


def test_rotation_without_a_target_keeps_the_source(unlock: Opener, tmp_path: Path) -> None:
    vault = filled(tmp_path, unlock)
    before = data_of(vault)["lock"]
    vault.rotate(unlock=unlock)
    assert revealed(vault, unlock) == KEYS
    assert data_of(vault)["lock"] != before


def test_a_copy_from_before_a_rotation_opens_with_what_it_was_locked_with(unlock: Opener, tmp_path: Path) -> None:
    vault = filled(tmp_path, unlock)
    copy = vault.path.read_bytes()
    vault.set("openai", Secret("sk-new"), unlock=unlock)
    vault.rotate(unlock=unlock)
    vault.path.write_bytes(copy)
    vault.path.chmod(0o600)
    assert revealed(vault, unlock) == KEYS
    assert vault.open(unlock).revision == 2


@pytest.mark.parametrize(
    "name", ["", "Openai", "öpenai", "\u043e", "open ai", "1st", "open.ai", "openai\n", "-x", "a/b", "sk-Proj-1"]
)
def test_a_name_that_no_provider_can_have_is_refused_and_not_repeated(name: str, tmp_path: Path) -> None:
    vault = new_vault(tmp_path)
    with pytest.raises(BadRequest) as raised:
        vault.set(name, Secret("x"), unlock=passphrase())
    assert str(raised.value) == (
        "that is no name of a provider: it begins with a small letter, and has small letters, digits, _ and - only"
    )
    assert raised.value.hint == "give the provider's name as the configuration has it, and the key when asked for it"
    assert vault.look() is None


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("", "the key is empty"),
        ("sk-\ud800", "the key has characters that no text can have"),
        ("x" * (MOST_KEY_BYTES + 1), "the key has 65,537 bytes; at most 65,536 are kept"),
    ],
)
def test_a_key_that_cannot_be_kept_is_refused_and_not_repeated(key: str, told: str, tmp_path: Path) -> None:
    vault = new_vault(tmp_path)
    with pytest.raises(BadRequest) as raised:
        vault.set("openai", Secret(key), unlock=passphrase())
    assert str(raised.value) == told
    assert raised.value.__context__ is None
    assert vault.look() is None


@pytest.mark.parametrize("key", ["x" * MOST_KEY_BYTES, '{"a":\n "ü\u2028"}', "\x00", " spaces "])
def test_a_long_or_odd_key_comes_out_as_it_went_in(key: str, tmp_path: Path) -> None:
    vault = filled(tmp_path, passphrase(), keys={"openai": key})
    assert revealed(vault, passphrase()) == {"openai": key}


def test_a_vault_that_would_be_too_large_to_read_is_not_written(tmp_path: Path) -> None:
    vault = new_vault(tmp_path)
    key = Secret("x" * MOST_KEY_BYTES)
    for number in range(47):
        vault.set(f"p{number}", key, unlock=passphrase())
    with pytest.raises(CannotWrite) as raised:
        vault.set("one-more", key, unlock=passphrase())
    assert str(raised.value) == f"cannot write {vault.path}: it would have more than 4,194,304 bytes"
    assert len(vault.open(passphrase()).keys) == 47


def test_a_passphrase_that_is_too_short_locks_nothing_new(tmp_path: Path) -> None:
    vault = new_vault(tmp_path)
    with pytest.raises(BadRequest) as raised:
        vault.set("openai", Secret("x"), unlock=passphrase("seven77 "))
    assert str(raised.value) == "the vault cannot be locked: the passphrase has fewer than 8 characters"
    assert raised.value.hint == "take a longer one: five random words are good"
    filled(tmp_path, key_file(tmp_path))
    before = vault.path.read_bytes()
    with pytest.raises(BadRequest):
        vault.rotate(unlock=key_file(tmp_path), to=passphrase("short"))
    assert vault.path.read_bytes() == before


def test_an_edit_of_what_somebody_else_changed_is_refused(tmp_path: Path) -> None:
    unlock = passphrase()
    vault = new_vault(tmp_path)
    seen = vault.set("openai", Secret("one"), unlock=unlock, expected=ABSENT)
    vault.set("openai", Secret("two"), unlock=unlock, expected=seen.etag)
    before = vault.path.read_bytes()
    edits: list[Callable[[], object]] = [
        lambda: vault.set("openai", Secret("three"), unlock=unlock, expected=seen.etag),
        lambda: vault.remove("openai", unlock=unlock, expected=seen.etag),
        lambda: vault.rotate(unlock=unlock, expected=seen.etag),
        lambda: vault.set("openai", Secret("three"), unlock=unlock, expected=ABSENT),
    ]
    for edit in edits:
        with pytest.raises(EditConflict):
            edit()
    assert vault.path.read_bytes() == before


@posix
def test_a_vault_is_written_for_its_owner_only(unlock: Opener, tmp_path: Path) -> None:
    vault = filled(tmp_path, unlock)
    assert vault.path.stat().st_mode & 0o777 == 0o600
    vault.path.chmod(0o644)
    vault.set("openai", Secret("x"), unlock=unlock)
    assert vault.path.stat().st_mode & 0o777 == 0o600


@posix
@pytest.mark.parametrize(("mode", "what"), [(0o644, "read"), (0o640, "read"), (0o606, "changed"), (0o620, "changed")])
def test_a_vault_that_others_may_touch_is_read_and_that_is_said(mode: int, what: str, tmp_path: Path) -> None:
    vault = filled(tmp_path, passphrase())
    vault.path.chmod(mode)
    told = (
        f"{vault.path} may be {what} by other users (mode {mode:04o}); the keys in it are encrypted, but keep it to yourself: "
        f"chmod 600 {vault.path}"
    )
    glance = vault.look()
    assert glance is not None
    assert glance.warnings == (told,)
    assert vault.open(passphrase()).warnings == (told,)


@posix
@pytest.mark.parametrize(("mode", "what"), [(0o644, "read"), (0o640, "read"), (0o602, "written")])
def test_a_key_file_that_others_may_touch_opens_nothing(mode: int, what: str, tmp_path: Path) -> None:
    source = key_file(tmp_path)
    vault = filled(tmp_path, source)
    source.path.chmod(mode)
    attempts: list[Callable[[], object]] = [lambda: vault.open(source), lambda: vault.rotate(unlock=source)]
    for attempt in attempts:
        with pytest.raises(VaultLocked) as raised:
            attempt()
        assert str(raised.value) == (
            f"{vault.path} stays locked: {source.path}: it may be {what} by other users (mode {mode:04o})"
        )
        assert raised.value.hint == (
            f"chmod 600 {source.path}, and if others are on this machine, run `rolegate providers rotate-vault` after it"
        )
    source.path.chmod(0o600)
    assert revealed(vault, source) == KEYS


@posix
def test_a_new_key_file_and_its_folder_are_for_their_owner_only(tmp_path: Path) -> None:
    source = key_file(tmp_path)
    filled(tmp_path, source)
    assert source.path.stat().st_mode & 0o777 == 0o600
    assert source.path.parent.stat().st_mode & 0o777 == 0o700


def test_a_rotation_to_a_key_file_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    vault = filled(tmp_path, passphrase())
    before = vault.path.read_bytes()
    (tmp_path / "state").write_text("in the way", encoding="utf-8")
    with pytest.raises(CannotWrite) as raised:
        vault.rotate(unlock=passphrase(), to=key_file(tmp_path))
    assert str(raised.value) == f"cannot write {tmp_path / 'state'}: file exists"
    assert vault.path.read_bytes() == before


def test_something_else_in_the_place_of_the_vault_is_named(tmp_path: Path) -> None:
    vault = new_vault(tmp_path)
    vault.path.mkdir()
    with pytest.raises(VaultUnreadable) as raised:
        vault.open(passphrase())
    assert str(raised.value) == f"{vault.path} cannot be used as the vault: it is not a regular file"
    assert raised.value.hint == "move away what is in its place"


@posix
def test_a_vault_behind_a_link_is_edited_where_it_lies(tmp_path: Path) -> None:
    vault = filled(tmp_path, passphrase())
    (tmp_path / "linked").mkdir()
    link = tmp_path / "linked" / "api_keys.json"
    link.symlink_to(vault.path)
    Vault(link, stretching=FAST).set("openai", Secret("sk-new"), unlock=passphrase())
    assert link.is_symlink()
    assert revealed(vault, passphrase())["openai"] == "sk-new"

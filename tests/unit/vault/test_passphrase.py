"""From a passphrase to a key: one key per passphrase, however it was typed, and nothing of it in any error."""

import errno
import os
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.domain.secret import Secret
from gateway.errors import RolegateError
from gateway.file_errors import CannotWrite, VaultLocked
from gateway.vault.passphrase import Cost, PassphraseRefused, require_strength, stretched
from gateway.vault.sealing_key import SealingKey
from vault_builders import FAST, filled, key_file, passphrase, revealed

SALT = bytes(range(16))
CANARY = "canary passphrase"


def shown_by(error: BaseException) -> str:
    """All that a traceback with local variables shows of the package's frames, for an error and what it came of."""
    text = ""
    told: traceback.TracebackException | None = traceback.TracebackException.from_exception(error, capture_locals=True)
    while told is not None:
        frames = [frame for frame in told.stack if "gateway" in frame.filename]
        assert frames
        text += "".join([*(f"{frame.locals}\n" for frame in frames), *told.format_exception_only()])
        told = told.__cause__ or told.__context__
    return text


def key_of(text: str, *, salt: bytes = SALT, cost: Cost = FAST.cost) -> str:
    return stretched(Secret(text), salt=salt, cost=cost).fingerprint


def test_the_same_passphrase_and_salt_give_the_same_key_and_others_give_others() -> None:
    assert key_of("correct horse") == key_of("correct horse")
    different = {
        key_of("correct horse"),
        key_of("Correct horse"),
        key_of("correct  horse"),
        key_of("correct horse", salt=bytes(16)),
        key_of("correct horse", cost=Cost(memory_kib=33, iterations=1, lanes=1)),
        key_of("correct horse", cost=Cost(memory_kib=32, iterations=2, lanes=1)),
    }
    assert len(different) == 6


@pytest.mark.parametrize("typed", [" caf\u00e9 noir", "caf\u00e9 noir\n", "cafe\u0301 noir"])
def test_space_around_it_and_the_way_an_accent_was_typed_do_not_count(typed: str) -> None:
    assert key_of(typed) == key_of("caf\u00e9 noir")


def test_bytes_that_are_no_text_count_as_they_are() -> None:
    one, two = os.fsdecode(b"pass\xff\xfe phrase"), os.fsdecode(b"pass\xff\xfd phrase")
    assert key_of(one) == key_of(one) != key_of(two)


def test_a_vault_opens_with_a_passphrase_that_is_no_utf8(tmp_path: Path) -> None:
    unlock = passphrase(os.fsdecode(b"pass\xff\xfe phrase"))
    assert revealed(filled(tmp_path, unlock), unlock) != {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the passphrase is empty"),
        (" \n", "the passphrase is empty"),
        ("pass \ud800 phrase", "the passphrase has characters that no text can have"),
    ],
)
def test_a_passphrase_that_is_none_opens_nothing(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(PassphraseRefused) as raised:
        key_of(text)
    assert str(raised.value) == told
    assert raised.value.__context__ is None
    vault = filled(tmp_path, passphrase())
    with pytest.raises(VaultLocked) as locked:
        vault.open(passphrase(text))
    assert str(locked.value) == f"{vault.path} stays locked: {told}"


def test_a_passphrase_for_something_new_has_eight_characters_at_least() -> None:
    require_strength(Secret("8 chars!"))
    for short in ("7 chars", "  7 chars  ", ""):
        with pytest.raises(PassphraseRefused):
            require_strength(Secret(short))


def test_a_cost_that_argon2_does_not_know_is_outside_of_all_bounds() -> None:
    low, high = Cost(memory_kib=1, iterations=1, lanes=1), Cost(memory_kib=1_000, iterations=9, lanes=9)
    assert not Cost(memory_kib=15, iterations=1, lanes=2).within(low, high)
    assert Cost(memory_kib=16, iterations=1, lanes=2).within(low, high)


def test_no_frame_of_a_traceback_holds_a_passphrase_a_value_or_a_key(tmp_path: Path) -> None:
    vault = filled(tmp_path, passphrase(), keys={"openai": "sk-canary-value"})
    by_file = filled(tmp_path / "other", key_file(tmp_path), keys={"openai": "sk-canary-value"})
    key_line = key_file(tmp_path).path.read_text(encoding="ascii").split()[-1]
    damaged = key_file(tmp_path / "damaged")
    damaged.path.parent.mkdir(parents=True)
    damaged.path.write_text(f"0123456789abcdef {key_line}\n", encoding="ascii")
    damaged.path.chmod(0o600)
    long = Secret("sk-canary-value" * 10_000)
    attempts: list[Callable[[], object]] = [
        lambda: vault.open(passphrase(CANARY)),
        lambda: vault.open(passphrase(f"{CANARY}\ud800")),
        lambda: vault.rotate(unlock=passphrase(), to=passphrase("canary")),
        lambda: vault.set("openai", Secret("sk-canary-value\ud800"), unlock=passphrase()),
        lambda: vault.set("openai", long, unlock=passphrase()),
        lambda: vault.rotate(unlock=passphrase(), to=damaged),
        lambda: by_file.open(damaged),
        lambda: by_file.open(passphrase(CANARY)),
    ]
    for attempt in attempts:
        with pytest.raises(RolegateError) as raised:
            attempt()
        shown = shown_by(raised.value)
        assert "canary" not in shown.replace(str(tmp_path), "")
        assert key_line not in shown


def test_a_key_file_that_cannot_be_written_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = key_file(tmp_path)
    vault = filled(tmp_path, source)
    key_line = source.path.read_text(encoding="ascii").split()[-1]

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CannotWrite) as raised:
        vault.rotate(unlock=source)
    assert key_line not in shown_by(raised.value)


def test_a_sealing_key_shows_nothing_and_cannot_be_pickled() -> None:
    key = SealingKey(bytes(32))
    assert (repr(key), str(key), f"{key}") == ("SealingKey('**********')",) * 3
    with pytest.raises(TypeError, match="a sealing key cannot be pickled"):
        key.__reduce__()
    with pytest.raises(ValueError, match="a sealing key has 32 bytes, not 31"):
        SealingKey(bytes(31))

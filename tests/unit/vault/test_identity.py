"""A gateway proves that it has the secret of its state folder without telling it."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from gateway.file_errors import CannotWrite
from gateway.vault.identity import Identity, a_challenge, find_identity, is_challenge, keep_identity

FOLDER: Final = "/etc/rolegate"
OURS: Final = Identity(secret=bytes(32), config_folder=FOLDER)
CHALLENGE: Final = "ab" * 32


def test_a_proof_holds_for_one_question_one_address_and_one_gateway() -> None:
    proof = OURS.proof(CHALLENGE, host="127.0.0.1", port=4000)
    assert re.fullmatch("[0-9a-f]{64}", proof)
    assert OURS.is_proven(proof, CHALLENGE, host="127.0.0.1", port=4000)
    others = [
        OURS.proof("ba" * 32, host="127.0.0.1", port=4000),
        OURS.proof(CHALLENGE, host="127.0.0.2", port=4000),
        OURS.proof(CHALLENGE, host="127.0.0.1", port=4001),
        replace(OURS, secret=bytes(31) + b"\1").proof(CHALLENGE, host="127.0.0.1", port=4000),
        replace(OURS, config_folder="/etc/other").proof(CHALLENGE, host="127.0.0.1", port=4000),
    ]
    assert len({proof, *others}) == 6
    for other in (*others, "", proof[:-1], proof.upper(), f"{proof}\u00e4"):
        assert not OURS.is_proven(other, CHALLENGE, host="127.0.0.1", port=4000)


@pytest.mark.parametrize(
    ("mine", "theirs"), [("::ffff:127.0.0.1", "127.0.0.1"), ("0:0:0:0:0:0:0:1", "::1"), ("gateway", "gateway")]
)
def test_both_ends_of_a_connection_may_write_its_address_in_their_own_way(mine: str, theirs: str) -> None:
    assert OURS.is_proven(OURS.proof(CHALLENGE, host=mine, port=1), CHALLENGE, host=theirs, port=1)


def test_a_challenge_is_new_each_time_and_has_one_form() -> None:
    assert a_challenge() != a_challenge()
    assert is_challenge(a_challenge())
    for other in ("", "ab", CHALLENGE.upper(), f"{CHALLENGE}0", f"{CHALLENGE}\n", "g" * 64):
        assert not is_challenge(other)


def test_the_secret_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "identity.key"
    assert find_identity(path, config_folder=FOLDER) is None
    kept = keep_identity(path, config_folder=FOLDER)
    assert path.stat().st_mode & 0o777 == 0o600
    assert keep_identity(path, config_folder=FOLDER) == find_identity(path, config_folder=FOLDER) == kept
    assert len(kept.secret) == 32
    assert kept.secret.hex() not in repr(kept)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_a_secret_that_others_could_have_read_or_written_is_none(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    first = keep_identity(path, config_folder=FOLDER)
    path.chmod(mode)
    assert find_identity(path, config_folder=FOLDER) is None
    assert keep_identity(path, config_folder=FOLDER) != first
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "ab", "zz" * 32, "ab" * 33])
def test_a_damaged_secret_is_none(content: str, tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    path.write_text(content, encoding="ascii")
    path.chmod(0o600)
    assert find_identity(path, config_folder=FOLDER) is None
    assert len(keep_identity(path, config_folder=FOLDER).secret) == 32


def test_where_nothing_can_be_kept_there_is_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    path.mkdir()
    assert find_identity(path, config_folder=FOLDER) is None
    with pytest.raises(CannotWrite):
        keep_identity(path, config_folder=FOLDER)

"""Client keys: made once, kept as hashes, checked at the door, and taken back at once."""

import hmac
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.domain.secret import Secret
from gateway.errors import BadRequest, NameTaken, UnknownName
from gateway.file_errors import CannotWrite, ClientKeysUnreadable
from gateway.vault.client_key import KeyHash, Refusal, Scope, new_id, new_text, presented_id
from gateway.vault.client_keys import ClientKeys

posix = pytest.mark.skipif(sys.platform == "win32", reason="permission bits")


@pytest.fixture
def keys(tmp_path: Path) -> ClientKeys:
    return ClientKeys(tmp_path / "state" / "client_keys.json")


def aged(keys: ClientKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the file be old enough for its times to tell its next change."""
    later_ns = time.time_ns() + 60_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: later_ns)


def test_a_key_lets_its_bearer_in_as_whom_it_was_made_for(keys: ClientKeys) -> None:
    made = keys.create("ci", now_s=10.0, roles=["planner", "critic"], requests_per_minute=60, concurrency=2)
    verdict = keys.verify(made.text.reveal(), now_s=11.0)
    assert verdict.key == verdict.admitted == made.key
    assert verdict.refusal is None
    assert (made.key.name, made.key.scope, made.key.created_s) == ("ci", Scope.CLIENT, 10.0)
    assert (made.key.requests_per_minute, made.key.concurrency, made.key.expires_s) == (60, 2, None)
    assert made.key.may_use("critic")
    assert not made.key.may_use("executor")


def test_a_key_without_roles_may_use_all(keys: ClientKeys) -> None:
    made = keys.create("ci", now_s=10.0)
    assert made.key.roles is None
    assert made.key.may_use("anything")


@pytest.mark.parametrize(("scope", "prefix"), [(Scope.CLIENT, "rg"), (Scope.ADMIN, "rga")])
def test_a_key_shows_its_scope_and_its_id_and_is_random(keys: ClientKeys, scope: Scope, prefix: str) -> None:
    one, two = (keys.create(name, now_s=1.0, scope=scope) for name in ("one", "two"))
    text = one.text.reveal()
    assert re.fullmatch(rf"{prefix}-{one.key.id}-[a-z2-7]{{52}}", text)
    assert presented_id(text) == one.key.id
    assert text.rpartition("-")[2] != two.text.reveal().rpartition("-")[2]
    assert keys.verify(text, now_s=2.0).admitted == one.key
    assert one.key.scope is scope


def test_only_a_salted_hash_of_a_key_is_kept(keys: ClientKeys) -> None:
    made = keys.create("ci", now_s=1.0)
    content = keys.path.read_text(encoding="ascii")
    assert made.text.reveal() not in content
    assert made.text.reveal().rpartition("-")[2] not in content
    assert "**********" in repr(made)
    assert made.text.reveal() not in repr(made)
    one, two = KeyHash.of(made.text), KeyHash.of(made.text)
    assert one != two
    assert one.fits(made.text.reveal())
    assert "digest" not in repr(one)
    if sys.platform != "win32":
        assert keys.path.stat().st_mode & 0o777 == 0o600


def test_whatever_is_not_a_key_is_unknown_and_no_more_is_said(keys: ClientKeys) -> None:
    text = keys.create("ci", now_s=1.0).text.reveal()
    stranger = new_text(key_id=new_id(), scope=Scope.CLIENT).reveal()
    wrong = [
        "",
        " ",
        "x",
        text[:-1],
        text + "a",
        text[:-1] + ("a" if text[-1] != "a" else "b"),
        text.upper(),
        f" {text}",
        f"{text}\n",
        text.replace("rg-", "rga-"),
        text.replace("-", "_"),
        stranger,
        "rg-" + "0" * 12 + "-" + "a" * 52,
        "é\ud800\x00",
        "x" * 100_000,
    ]
    for presented in wrong:
        verdict = keys.verify(presented, now_s=2.0)
        assert (verdict.key, verdict.refusal, verdict.admitted) == (None, Refusal.UNKNOWN, None)


def test_every_presented_text_costs_one_comparison_of_digests_known_or_not_long_or_short(
    keys: ClientKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = keys.create("ci", now_s=1.0).text.reveal()
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def counted(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", counted)
    for presented in (text, text[:-1] + "a", "rg-" + "0" * 12 + "-" + "a" * 52, text[:20], "x", ""):
        compared.clear()
        keys.verify(presented, now_s=2.0)
        assert compared == [(32, 32)]


def test_a_key_expires_at_its_time(keys: ClientKeys) -> None:
    made = keys.create("ci", now_s=10.0, expires_s=20.0)
    text = made.text.reveal()
    assert keys.verify(text, now_s=19.999).admitted == made.key
    verdict = keys.verify(text, now_s=20.0)
    assert (verdict.key, verdict.refusal, verdict.admitted) == (made.key, Refusal.EXPIRED, None)
    assert keys.open_doors(now_s=19.0) == {Scope.CLIENT}
    assert keys.open_doors(now_s=20.0) == frozenset()


@pytest.mark.parametrize("by", ["name", "id"])
def test_a_revoked_key_is_refused_and_stays_in_the_list(keys: ClientKeys, by: str) -> None:
    made = keys.create("ci", now_s=10.0, expires_s=20.0)
    revoked = keys.revoke(made.key.name if by == "name" else made.key.id, now_s=12.0)
    assert revoked.revoked_s == 12.0
    verdict = keys.verify(made.text.reveal(), now_s=30.0)
    assert (verdict.key, verdict.refusal) == (revoked, Refusal.REVOKED)
    assert keys.list() == (revoked,)
    assert keys.revoke(made.key.id, now_s=13.0) == revoked


def test_what_another_process_does_counts_from_the_next_request_on(
    keys: ClientKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [keys.create(f"key{number}", now_s=1.0).text.reveal() for number in range(8)]
    other = ClientKeys(keys.path)
    for number, text in enumerate(texts):
        assert keys.verify(text, now_s=2.0).refusal is None
        if number == 4:
            aged(keys, monkeypatch)
        other.revoke(f"key{number}", now_s=2.0)
        assert keys.verify(text, now_s=2.0).refusal is Refusal.REVOKED
    made = other.create("new", now_s=3.0)
    assert keys.verify(made.text.reveal(), now_s=4.0).admitted == made.key
    keys.path.unlink()
    assert keys.verify(made.text.reveal(), now_s=4.0).refusal is Refusal.UNKNOWN


def test_a_change_that_the_times_of_the_file_do_not_show_counts_too(
    keys: ClientKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.stat

    def coarse(path: Path, **how: bool) -> os.stat_result | SimpleNamespace:
        """As a file system has it that counts whole seconds."""
        found = real(path, **how)
        if path != keys.path:
            return found
        times = {name: getattr(found, name) // 10**9 * 10**9 for name in ("st_mtime_ns", "st_ctime_ns")}
        return SimpleNamespace(
            st_dev=found.st_dev, st_ino=found.st_ino, st_size=found.st_size, st_mode=found.st_mode, **times
        )

    monkeypatch.setattr(os, "stat", coarse)
    text = keys.create("ci", now_s=1.0).text.reveal()
    in_force = keys.path.read_bytes()
    revoked = in_force.replace(b'"revoked_s": null', b'"revoked_s": 2.00')
    for _ in range(200):
        keys.path.write_bytes(revoked)
        assert keys.verify(text, now_s=3.0).refusal is Refusal.REVOKED
        keys.path.write_bytes(in_force)
        assert keys.verify(text, now_s=3.0).refusal is None


def test_a_file_that_has_not_changed_is_not_read_again(keys: ClientKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    text = keys.create("ci", now_s=1.0).text.reveal()
    aged(keys, monkeypatch)
    assert keys.verify(text, now_s=2.0).refusal is None
    opened: list[object] = []
    real = os.open

    def noted(path: Path, flags: int) -> int:
        opened.append(path)
        return real(path, flags)

    monkeypatch.setattr(os, "open", noted)
    assert keys.verify(text, now_s=2.0).refusal is None
    assert opened == []
    keys.path.touch()
    assert keys.verify(text, now_s=2.0).refusal is None
    assert len(opened) == 1


def test_a_name_in_force_is_taken_and_one_of_a_revoked_key_is_free(keys: ClientKeys) -> None:
    first = keys.create("ci", now_s=1.0)
    with pytest.raises(NameTaken) as raised:
        keys.create("ci", now_s=2.0)
    assert str(raised.value) == f'there is a client key "ci" already, in {keys.path}'
    assert raised.value.hint == "choose another name, or `rolegate keys revoke ci`"
    keys.revoke("ci", now_s=3.0)
    second = keys.create("ci", now_s=4.0)
    assert keys.revoke("ci", now_s=5.0).id == second.key.id
    assert [key.id for key in keys.list()] == [first.key.id, second.key.id]


def test_a_key_that_is_not_there_cannot_be_revoked(keys: ClientKeys) -> None:
    text = keys.create("ci", now_s=1.0).text.reveal()
    for name, shown in (("cd", "cd"), (text, "…"), ("a b", "…")):
        with pytest.raises(UnknownName) as raised:
            keys.revoke(name, now_s=2.0)
        assert str(raised.value) == f'there is no client key "{shown}"; known: ci'


@pytest.mark.parametrize("name", ["", "-ci", "c i", "é", "x" * 65, "ci\n", "ROLEGATE_ADMIN_KEY"])
def test_a_name_that_no_key_can_have_is_refused(keys: ClientKeys, name: str) -> None:
    with pytest.raises(BadRequest) as raised:
        keys.create(name, now_s=1.0)
    assert str(raised.value) == (
        "that is no name for a key: it has 1 to 64 letters, digits, _, . and -, begins with a letter or digit, and is not "
        "that of a variable"
    )
    assert not keys.path.exists()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"expires_s": 1.0}, "the key would have expired before it is made"),
        ({"roles": []}, "a key for no role at all opens nothing"),
        ({"requests_per_minute": 0}, "a limit of 0 requests per minute lets nothing through"),
        ({"concurrency": -1}, "a limit of -1 concurrency lets nothing through"),
    ],
)
def test_a_key_that_would_open_nothing_is_not_made(keys: ClientKeys, asked: dict[str, Any], told: str) -> None:
    with pytest.raises(BadRequest) as raised:
        keys.create("ci", now_s=1.0, **asked)
    assert str(raised.value) == told
    assert not keys.path.exists()


def test_keys_of_the_environment_open_their_doors_without_a_file(tmp_path: Path) -> None:
    keys = ClientKeys(tmp_path / "client_keys.json", client_key=Secret("from a secret"), admin_key=Secret("another"))
    client, admin = keys.verify("from a secret", now_s=1.0).admitted, keys.verify("another", now_s=1.0).admitted
    assert client is not None
    assert admin is not None
    assert (client.name, client.scope) == ("ROLEGATE_CLIENT_KEY", Scope.CLIENT)
    assert (admin.name, admin.scope) == ("ROLEGATE_ADMIN_KEY", Scope.ADMIN)
    assert set(keys.list()) == {client, admin}
    assert keys.open_doors(now_s=1.0) == {Scope.CLIENT, Scope.ADMIN}
    for wrong in ("", "from a secre", "from a secret ", "anothe", "ROLEGATE_CLIENT_KEY"):
        assert keys.verify(wrong, now_s=1.0).refusal is Refusal.UNKNOWN
    made = keys.create("ci", now_s=1.0)
    assert keys.verify(made.text.reveal(), now_s=1.0).admitted == made.key


def test_a_key_of_the_environment_is_revoked_there(tmp_path: Path) -> None:
    keys = ClientKeys(tmp_path / "client_keys.json", admin_key=Secret("another"))
    with pytest.raises(BadRequest) as raised:
        keys.revoke("ROLEGATE_ADMIN_KEY", now_s=1.0)
    assert str(raised.value) == "ROLEGATE_ADMIN_KEY comes from the environment"
    assert raised.value.hint == "take it out there and restart the gateway"


@pytest.mark.parametrize(("client", "admin"), [("", ""), (None, None), ("", None)])
def test_an_empty_key_of_the_environment_is_none(client: str | None, admin: str | None, tmp_path: Path) -> None:
    client_key = None if client is None else Secret(client)
    admin_key = None if admin is None else Secret(admin)
    keys = ClientKeys(tmp_path / "client_keys.json", client_key=client_key, admin_key=admin_key)
    assert keys.list() == ()
    assert keys.verify("", now_s=1.0).refusal is Refusal.UNKNOWN
    assert keys.open_doors(now_s=1.0) == frozenset()


def test_one_key_for_clients_and_admins_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest) as raised:
        ClientKeys(tmp_path / "client_keys.json", client_key=Secret("same"), admin_key=Secret("same"))
    assert (
        str(raised.value) == "ROLEGATE_CLIENT_KEY and ROLEGATE_ADMIN_KEY are the same: every client would be an admin"
    )
    assert raised.value.hint == "give one of them another value"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "it is not the JSON that rolegate wrote"),
        ("[" * 100_000, "it is not the JSON that rolegate wrote"),
        ("[]", "not all in it is as rolegate writes it"),
        ("{}", 'its "version" is not as rolegate writes it'),
        ('{"version": 2}', "it has version 2 of its format, and this rolegate reads version 1"),
        ('{"version": 0, "keys": []}', 'its "version" is not as rolegate writes it'),
        ('{"version": 1, "keys": {}}', 'its "keys" is not as rolegate writes it'),
        ('{"version": 1, "keys": [], "\x1b": 1}', "it is not the JSON that rolegate wrote"),
        ('{"version": 1, "keys": [], "more": 1}', "not all in it is as rolegate writes it"),
        ('{"version": 1, "keys": [], "keys": []}', "it is not the JSON that rolegate wrote"),
    ],
)
def test_a_damaged_list_lets_nobody_in(keys: ClientKeys, content: str, told: str) -> None:
    text = keys.create("ci", now_s=1.0).text.reveal()
    assert keys.verify(text, now_s=2.0).refusal is None
    keys.path.write_text(content, encoding="utf-8")
    for attempt in (
        lambda: keys.verify(text, now_s=2.0),
        lambda: keys.verify(text, now_s=2.0),
        lambda: keys.create("cd", now_s=2.0),
        lambda: keys.revoke("ci", now_s=2.0),
        keys.list,
    ):
        with pytest.raises(ClientKeysUnreadable) as raised:
            attempt()
        assert str(raised.value) == f"{keys.path} cannot be used as the list of client keys: {told}"
    assert keys.path.read_text(encoding="utf-8") == content


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "ABC"),
        ("name", ""),
        ("scope", "root"),
        ("roles", "planner"),
        ("roles", [1]),
        ("expires_s", "never"),
        ("expires_s", float("nan")),
        ("requests_per_minute", 0),
        ("concurrency", 1.5),
        ("revoked_s", True),
        ("hash", "AA=="),
        ("salt", ""),
    ],
)
def test_a_field_that_rolegate_would_not_write_is_named(keys: ClientKeys, field: str, value: object) -> None:
    keys.create("ci", now_s=1.0)
    content = json.loads(keys.path.read_bytes())
    content["keys"][0][field] = value
    keys.path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ClientKeysUnreadable) as raised:
        keys.list()
    assert raised.value.reason.startswith(f'its "keys.0.{field}')
    assert raised.value.hint == "put a copy back, or move it away and make new keys with `rolegate keys create`"


def test_two_keys_of_one_id_are_not_believed(keys: ClientKeys) -> None:
    keys.create("ci", now_s=1.0)
    content = json.loads(keys.path.read_bytes())
    content["keys"] *= 2
    keys.path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ClientKeysUnreadable, match="two keys have the same id"):
        keys.list()


@posix
def test_a_list_that_others_may_write_to_lets_nobody_in(keys: ClientKeys) -> None:
    text = keys.create("ci", now_s=1.0).text.reveal()
    keys.path.chmod(0o662)
    with pytest.raises(ClientKeysUnreadable) as raised:
        keys.verify(text, now_s=2.0)
    assert str(raised.value) == (
        f"{keys.path} cannot be used as the list of client keys: other users may write to it (mode 0662), and so could make "
        "keys for themselves"
    )
    assert raised.value.hint == f"look through `rolegate keys list`, then chmod 600 {keys.path}"
    keys.path.chmod(0o644)
    assert keys.verify(text, now_s=2.0).refusal is None


def test_two_processes_that_make_keys_at_once_lose_none(keys: ClientKeys) -> None:
    code = (
        "import sys; from pathlib import Path; from gateway.vault.client_keys import ClientKeys\n"
        "for number in range(15): ClientKeys(Path(sys.argv[1])).create(f'{sys.argv[2]}{number}', now_s=1.0)\n"
    )
    makers = [subprocess.Popen([sys.executable, "-c", code, str(keys.path), name]) for name in ("a", "b")]
    assert [maker.wait(60) for maker in makers] == [0, 0]
    assert {key.name for key in keys.list()} == {f"{name}{number}" for name in ("a", "b") for number in range(15)}


def test_a_state_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way", encoding="utf-8")
    keys = ClientKeys(tmp_path / "state" / "client_keys.json")
    with pytest.raises(CannotWrite) as raised:
        keys.create("ci", now_s=1.0)
    assert str(raised.value) == f"cannot write {tmp_path / 'state'}: file exists"

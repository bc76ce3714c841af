"""Client keys on the command line: made, listed, taken back."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.cli.app import main
from gateway.cli.keys import expiry_s
from gateway.errors import BadRequest
from gateway.vault.client_keys import ClientKeys

Ran = tuple[int, str, str]
Rolegate = Callable[..., Ran]


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def rolegate(tmp_path: Path, state: Path, capsys: pytest.CaptureFixture[str]) -> Rolegate:
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "models.yaml").write_text("role_mappings: {planner: {}, writer: {}}\n", encoding="utf-8")

    def run(*arguments: str) -> Ran:
        code = main(["keys", *arguments, "--config-dir", str(folder)])
        return (code, *capsys.readouterr())

    return run


def test_a_key_is_printed_once_and_opens_the_door(rolegate: Rolegate, state: Path) -> None:
    code, out, err = rolegate("create", "ci")
    assert (code, err) == (0, "the key ci opens /v1; it is shown this once\n")
    keys = ClientKeys(state / "client_keys.json")
    verdict = keys.verify(out.strip(), now_s=time.time())
    assert verdict.admitted is not None
    assert verdict.admitted.name == "ci"
    assert out.strip() not in (state / "client_keys.json").read_text(encoding="utf-8")
    assert out.strip() not in "".join(rolegate("list", "--json")[1:])


def test_what_a_key_may_do_is_told_as_data(rolegate: Rolegate) -> None:
    code, out, err = rolegate(
        "create", "ci", "--roles", "writer, planner", "--expires", "2100-01-01", "--per-minute", "60",
        "--concurrency", "4", "--json",
    )  # fmt: skip
    made = json.loads(out)
    assert (code, err) == (0, "the key ci opens /v1 for planner, writer; it is shown this once\n")
    assert made["text"].startswith(f"rg-{made['key']['id']}-")
    created = made["key"].pop("created")
    assert 0 <= time.time() - created < 3600
    assert made["key"] == {
        "name": "ci",
        "id": made["key"]["id"],
        "scope": "client",
        "state": "in force",
        "roles": ["planner", "writer"],
        "per_minute": 60,
        "concurrency": 4,
        "expires": 4_102_444_800.0,
        "revoked": None,
    }
    assert json.loads(rolegate("list", "--json")[1]) == {"keys": [{**made["key"], "created": created}]}


def test_the_list_shows_who_may_come_in(rolegate: Rolegate, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rolegate("list") == (0, "", "there is no key; `rolegate keys create NAME` makes one\n")
    monkeypatch.setenv("ROLEGATE_ADMIN_KEY", "an-admin-key-of-a-container")
    rolegate("create", "ci", "--roles", "planner", "--per-minute", "60", "--concurrency", "4")
    rolegate("create", "root", "--admin", "--expires", "2100-01-01")
    rolegate("create", "gone")
    assert rolegate("revoke", "gone")[0] == 0
    code, out, err = rolegate("list")
    assert (code, err) == (0, "")
    day = time.strftime("%Y-%m-%d", time.gmtime())
    shown = [" ".join(line.split()) for line in out.splitlines()]
    assert shown[:2] == [
        "NAME ID SCOPE STATE ROLES LIMITS CREATED EXPIRES",
        "ROLEGATE_ADMIN_KEY - admin in force - - - never",
    ]
    ids = [line.split()[1] for line in shown[2:]]
    assert [
        line.replace(f" {one} ", " ID ", 1).replace(day, "DAY") for one, line in zip(ids, shown[2:], strict=True)
    ] == [
        f"ci ID client in force planner 60 per minute, 4 at once DAY {shown[2].split()[-2]} never",
        f"root ID admin in force - - DAY {shown[3].split()[-3]} 2100-01-01 00:00",
        f"gone ID client revoked all - DAY {shown[4].split()[-2]} never",
    ]


def test_a_key_is_taken_back_by_its_name_or_its_id(rolegate: Rolegate, state: Path) -> None:
    text = rolegate("create", "ci")[1].strip()
    key_id = text.split("-")[1]
    assert rolegate("revoke", key_id) == (0, f"ci ({key_id}) is revoked\n", "")
    assert ClientKeys(state / "client_keys.json").verify(text, now_s=time.time()).admitted is None
    code, _, err = rolegate("revoke", "ci")
    assert (code, err) == (2, 'error: there is no client key "ci"; known: none\n')
    again = json.loads(rolegate("create", "ci", "--json")[1])
    assert again["key"]["id"] != key_id
    assert json.loads(rolegate("revoke", "ci", "--json")[1])["key"]["state"] == "revoked"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("create", "ci ci"), 2, "that is no name for a key"),
        (("create", "ci", "--expires", "soon"), 2, '--expires: found "soon"; allowed: a time from now (90m, 12h, 30d'),
        (("create", "ci", "--expires", "1999-01-01"), 2, "the key would have expired before it is made"),
        (("create", "ci", "--roles", "planner,"), 2, '--roles: found ""; allowed: names of roles, with commas between'),
        (("create", "ci", "--roles", "ollama:x"), 2, '--roles: found "ollama:x"; allowed: names of roles'),
        (("create", "ci", "--admin", "--roles", "planner"), 2, "an admin key asks for no roles"),
        (("create", "ci", "--per-minute", "0"), 2, "Invalid value for '--per-minute'"),
        (("create",), 2, "Missing argument 'NAME'"),
        (("revoke", "nobody"), 2, 'there is no client key "nobody"; known: none'),
    ],
)
def test_what_makes_no_sense_is_refused(
    arguments: tuple[str, ...], code: int, message: str, rolegate: Rolegate, state: Path
) -> None:
    ran = rolegate(*arguments)
    assert (ran[0], ran[1]) == (code, "")
    assert message in ran[2]
    assert not (state / "client_keys.json").exists()


def test_a_name_in_use_and_a_damaged_list_have_their_exit_codes(rolegate: Rolegate, state: Path) -> None:
    assert rolegate("create", "ci")[0] == 0
    code, _, err = rolegate("create", "ci")
    assert code == 2
    assert 'there is a client key "ci" already' in err
    (state / "client_keys.json").write_text("{", encoding="utf-8")
    for arguments in (("list",), ("create", "other"), ("revoke", "ci")):
        code, out, err = rolegate(*arguments)
        assert (code, out) == (3, "")
        assert "cannot be used as the list of client keys: it is not the JSON that rolegate wrote" in err


def test_a_role_that_is_not_there_now_is_worth_a_word(rolegate: Rolegate) -> None:
    code, _, err = rolegate("create", "ci", "--roles", "planner,painter")
    assert code == 0
    assert err.splitlines()[1:] == ['warning: there is no role "painter" now; the roles are: planner, writer']


def test_a_variable_that_holds_no_key_is_told_and_not_shown(
    rolegate: Rolegate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROLEGATE_CLIENT_KEY", "hunter2")
    code, out, err = rolegate("list")
    assert (code, out) == (3, "")
    assert "environment: ROLEGATE_CLIENT_KEY: found 7 characters" in err
    assert "hunter2" not in err


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [
        ("90m", 6_400.0),
        ("12h", 44_200.0),
        ("30d", 2_593_000.0),
        ("8w", 4_839_400.0),
        ("1970-01-02", 86_400.0),
        ("1970-01-02T01:00", 90_000.0),
        ("1970-01-02T01:00+01:00", 86_400.0),
    ],
)
def test_an_expiry_is_a_time_from_now_or_a_date(text: str, expected_s: float) -> None:
    assert expiry_s(text, now_s=1_000.0) == expected_s


@pytest.mark.parametrize("text", ["", "0d", "-1d", "1y", "d", "1.5h", "1d2h", "2030", "99999999999d", "٣d"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="--expires: found"):
        expiry_s(text, now_s=1_000.0)

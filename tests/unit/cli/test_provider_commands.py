"""`rolegate providers`: what is listed, how keys come and go, how providers are tried out."""

import io
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloud_builders import CLAUDE, GPT, behind_local
from command_builders import Answers, Run, a_command
from fakes import faults
from fakes.ollama import FakeOllama
from fakes.upstream import FakeUpstream

KEY = "sk-typed-0123456789"
PHRASE = "correct horse"


@pytest.fixture
async def cloud() -> AsyncIterator[FakeUpstream]:
    models = [GPT.partition(":")[2], f"{CLAUDE.partition(':')[2]}-20250929"]
    async with FakeUpstream(models=models, key=KEY) as fake:
        yield fake


@pytest.fixture
def folder(tmp_path: Path, cloud: FakeUpstream, fake: FakeOllama) -> Path:
    place = tmp_path / "config"
    place.mkdir()
    content = behind_local(cloud, ollama=fake.url)
    content["role_mappings"]["planner"]["discover"] = True  # type: ignore[index]
    (place / "models.json").write_text(json.dumps(content), encoding="utf-8")
    return place


@pytest.fixture
def rolegate(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    return a_command(folder, capsys)


def typed(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr(sys, "stdin", Answers(*lines))


def piped(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


async def test_a_key_is_read_from_standard_input_and_listed_without_being_shown(
    rolegate: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    piped(monkeypatch, f"{KEY}\n")
    ran = await rolegate("providers", "set-key", "openai", "--stdin")
    key_file = Path.home() / ".local" / "state" / "rolegate" / "vault.key"
    kept = f"the key of openai is in {folder / 'api_keys.json'}"
    assert (ran.code, ran.out, ran.err) == (0, f"{kept}, a new vault, which opens with the key file {key_file}\n", "")
    piped(monkeypatch, f"{KEY}\n")
    assert (await rolegate("providers", "set-key", "openai", "--stdin")).out == f"{kept}\n"
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    ran = await rolegate("providers", "list", "--json")
    assert ran.code == 0
    assert KEY not in ran.out
    listed = {one["name"]: one for one in ran.json["providers"]}
    assert listed["ollama"] == {
        "name": "ollama", "kind": "ollama", "lane": "ollama", "url": listed["ollama"]["url"], "cloud": False, "up": True,
        "error": "", "models": 2, "key": {"origin": None, "variable": "OLLAMA_API_KEY", "in_vault": False},
    }  # fmt: skip
    assert [listed[name]["up"] for name in ("openai", "anthropic")] == [None, None]
    assert listed["openai"]["key"] == {"origin": "vault", "variable": "OPENAI_API_KEY", "in_vault": True}
    assert listed["anthropic"]["key"] == {"origin": "environment", "variable": "ANTHROPIC_API_KEY", "in_vault": False}
    assert ran.json["vault"] == {
        "file": str(folder / "api_keys.json"), "lock": "key_file", "keys": ["openai"], "unused": [],
    }  # fmt: skip


async def test_the_table_says_which_key_counts(rolegate: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for provider in ("openai", "mistral"):
        piped(monkeypatch, KEY)
        await rolegate("providers", "set-key", provider, "--stdin")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    ran = await rolegate("providers", "list")
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in ran.out.splitlines()}
    assert lines["ollama"] == "ollama ollama up 2 - -"
    assert lines["openai"] == "cloud litellm not asked 1 OPENAI_API_KEY, before the vault -"
    assert lines["anthropic"] == "cloud litellm not asked 1 no key -"
    assert ran.err == "in the vault, for no provider that is configured: mistral\n"


async def test_a_key_may_be_typed_and_the_first_one_asks_what_shall_open_the_vault(
    rolegate: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, KEY, PHRASE, PHRASE)
    ran = await rolegate("providers", "set-key", "openai")
    key_file = Path.home() / ".local" / "state" / "rolegate" / "vault.key"
    assert (ran.code, ran.err) == (
        0,
        f"key of openai: passphrase for the new vault (empty: a key file, {key_file}): the same again: ",
    )
    piped(monkeypatch, "")
    locked = await rolegate("providers", "list", "--json")
    assert (locked.code, locked.json["error"]["code"]) == (7, "vault_locked")
    typed(monkeypatch, PHRASE)
    opened = await rolegate("providers", "list")
    assert (opened.code, opened.err) == (0, f"passphrase of {folder / 'api_keys.json'}: ")
    monkeypatch.setenv("ROLEGATE_VAULT_PASSPHRASE", "a wrong one")
    assert (await rolegate("providers", "list")).code == 7
    monkeypatch.setenv("ROLEGATE_VAULT_PASSPHRASE", PHRASE)
    assert (await rolegate("providers", "list")).code == 0


async def test_two_different_passphrases_make_no_vault(
    rolegate: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, KEY, PHRASE, "something else")
    ran = await rolegate("providers", "set-key", "openai")
    assert ran.code == 2
    assert ran.err.endswith("error: the two are not the same\nhint: nothing was written; try again\n")
    assert not (folder / "api_keys.json").exists()


async def test_a_key_is_never_an_argument_and_never_asked_for_where_nobody_is(
    rolegate: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    piped(monkeypatch, KEY)
    ran = await rolegate("providers", "set-key", "openai")
    assert (ran.code, ran.err) == (
        2,
        "error: there is no terminal to ask for the key at\nhint: give --stdin, and the key on standard input\n",
    )
    ran = await rolegate("providers", "set-key", "openai", KEY)
    assert ran.code == 2
    assert ran.err == (
        "error: a key is never an argument: other users can see it there, and the shell remembers it\n"
        "hint: give it when asked, or on standard input with --stdin; one that was typed here is better replaced\n"
    )
    assert not (folder / "api_keys.json").exists()


async def test_what_makes_a_key_useless_is_said(rolegate: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    piped(monkeypatch, KEY)
    ran = await rolegate("providers", "set-key", "openai", "--stdin", "--json")
    assert ran.json == {
        "file": str(folder / "api_keys.json"), "provider": "openai", "lock": "key_file", "providers": ["openai"],
        "revision": 1,
    }  # fmt: skip
    assert ran.err == "warning: OPENAI_API_KEY is set, and counts before the key in the vault\n"
    piped(monkeypatch, KEY)
    ran = await rolegate("providers", "set-key", "opnai", "--stdin")
    assert ran.err == "warning: no provider is configured under that name; did you mean openai?\n"
    piped(monkeypatch, "")
    assert (await rolegate("providers", "set-key", "openai", "--stdin")).err.startswith("error: the key is empty\n")


@pytest.mark.parametrize("text", [f"{KEY}\nand more", "sk-ключ", "sk-\x1b[0m", f"\ufeff{KEY}", f"{KEY}\x00"])
async def test_what_no_header_carries_is_not_kept_as_a_key(
    text: str, rolegate: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    piped(monkeypatch, text)
    ran = await rolegate("providers", "set-key", "openai", "--stdin")
    assert (ran.code, ran.err) == (
        2,
        (
            "error: that is no key: it has characters that no header can carry (a line break, say, or a letter that is not "
            "ASCII)\nhint: nothing was written; see whether more was copied than the key\n"
        ),
    )
    assert not (folder / "api_keys.json").exists()


async def test_the_document_that_some_clouds_have_for_a_key_may_have_lines(
    rolegate: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    piped(monkeypatch, '{\n  "type": "service_account"\n}\n')
    assert (await rolegate("providers", "set-key", "openai", "--stdin")).code == 0


async def test_a_key_in_a_variable_that_no_header_carries_is_named_and_not_told(
    rolegate: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\nand more")
    ran = await rolegate("providers", "test", "openai")
    assert (ran.code, ran.err) == (
        3,
        (
            "error: 1 problem in the configuration:\n"
            "  environment: OPENAI_API_KEY: found characters that no header can carry; "
            "allowed: a key: letters, digits and signs on one line\n"
            "hint: mend what is named above, and give the command again\n"
        ),
    )


async def test_a_key_is_removed(rolegate: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    piped(monkeypatch, KEY)
    await rolegate("providers", "set-key", "openai", "--stdin")
    ran = await rolegate("providers", "remove-key", "openai")
    assert (ran.code, ran.out) == (0, f"the key of openai is no longer in {folder / 'api_keys.json'}\n")
    ran = await rolegate("providers", "remove-key", "openai")
    assert (ran.code, ran.err) == (2, 'error: there is no key in the vault for "openai"; known: none\n')


async def test_the_vault_goes_over_to_a_passphrase_and_back(
    rolegate: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    piped(monkeypatch, KEY)
    await rolegate("providers", "set-key", "openai", "--stdin")
    again = await rolegate("providers", "rotate-vault", "--json")
    assert (again.json["lock"], again.json["revision"]) == ("key_file", 2)
    piped(monkeypatch, PHRASE)
    ran = await rolegate("providers", "rotate-vault", "--to", "passphrase", "--stdin")
    assert (ran.code, ran.out) == (0, f"{folder / 'api_keys.json'} is encrypted anew, and opens with a passphrase\n")
    assert (await rolegate("providers", "rotate-vault")).code == 7
    monkeypatch.setenv("ROLEGATE_VAULT_PASSPHRASE", PHRASE)
    assert (await rolegate("providers", "rotate-vault")).code == 0
    assert (await rolegate("providers", "rotate-vault", "--to", "key-file", "--json")).json["lock"] == "key_file"
    stays = await rolegate("providers", "list", "--json")
    assert "it needs its key file, and a passphrase was given" in stays.json["error"]["message"]
    ran = await rolegate("providers", "rotate-vault", "--to", "passphrase", "--json")
    assert (ran.code, ran.json["lock"]) == (0, "passphrase")
    assert (await rolegate("providers", "list")).code == 0


async def test_a_new_passphrase_has_to_come_from_somewhere(rolegate: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    piped(monkeypatch, KEY)
    await rolegate("providers", "set-key", "openai", "--stdin")
    piped(monkeypatch, "")
    ran = await rolegate("providers", "rotate-vault", "--to", "passphrase")
    assert (ran.code, ran.err) == (
        2,
        (
            "error: a new passphrase is needed, and there is no terminal to ask at\n"
            "hint: give --stdin, and the passphrase on standard input, or set ROLEGATE_VAULT_PASSPHRASE\n"
        ),
    )
    ran = await rolegate("providers", "rotate-vault", "--stdin")
    assert (ran.code, ran.err) == (
        2, "error: --stdin is for a new passphrase\nhint: give --to passphrase as well\n",
    )  # fmt: skip


async def test_providers_that_answer_and_have_what_is_named_pass(
    rolegate: Run, cloud: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    ran = await rolegate("providers", "test", "--json")
    assert ran.code == 0
    told = {
        one["provider"]: [(check["check"], check["ok"], check["told"]) for check in one["checks"]]
        for one in ran.json["providers"]
    }
    assert told == {
        "ollama": [("reachable", True, "it answers"), ("models", True, "it has llama3.1:8b")],
        "openai": [
            ("reachable", True, "it answers"),
            ("key", True, "from OPENAI_API_KEY, accepted"),
            ("models", True, "it has gpt-4o-mini"),
        ],
        "anthropic": [
            ("reachable", True, "it answers"),
            ("key", True, "from ANTHROPIC_API_KEY, accepted"),
            ("models", True, "it has claude-sonnet-4-5"),
        ],
    }
    assert [one.headers["anthropic-version"] for one in cloud.requests if "anthropic-version" in one.headers] == [
        "2023-06-01"
    ]


async def test_a_provider_that_fails_is_an_exit_code_of_6_and_says_why(
    rolegate: Run, cloud: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = await rolegate("providers", "test", "openai", "--json")
    assert (ran.code, ran.json["providers"][0]["checks"]) == (
        6,
        [{"check": "key", "ok": False, "ms": None,
          "told": "there is none: `rolegate providers set-key openai`, or set OPENAI_API_KEY"}],
    )  # fmt: skip
    skipped = await rolegate("providers", "test", "--json")
    assert [one["ok"] for one in skipped.json["providers"]] == [True, None, None]
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    cloud.fail(faults.status(401, json.dumps({"error": {"message": f"bad key {KEY}"}})), times=1)
    ran = await rolegate("providers", "test", "openai", "--json")
    assert (ran.code, [(one["check"], one["ok"]) for one in ran.json["providers"][0]["checks"]]) == (
        6, [("reachable", True), ("key", False)],
    )  # fmt: skip
    assert "bad key **********" in ran.out
    cloud.models.pop("gpt-4o-mini")
    ran = await rolegate("providers", "test", "openai", "--json")
    assert ran.json["providers"][0]["checks"][-1]["told"] == "it does not have gpt-4o-mini"
    await cloud.stop()
    ran = await rolegate("providers", "test", "openai", "--json")
    told = f"openai at {cloud.base_url} does not answer: connection refused"
    assert [(one["check"], one["told"]) for one in ran.json["providers"][0]["checks"]] == [("reachable", told)]
    unknown = await rolegate("providers", "test", "opnai")
    assert (unknown.code, unknown.err.splitlines()[-1]) == (2, 'hint: did you mean "openai"?')


async def test_one_token_is_asked_for_where_consent_allows_it(
    rolegate: Run, folder: Path, cloud: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = await rolegate("providers", "test", "ollama", "--complete", "--json")
    last = ran.json["providers"][0]["checks"][-1]
    assert (ran.code, last["check"], last["ok"]) == (0, "completion", True)
    assert last["told"].startswith("ollama:llama3.1:8b answered (")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    (folder / "user_models.json").write_text('{"selection": {"cloud_fallback": false}}', encoding="utf-8")
    ran = await rolegate("providers", "test", "openai", "--complete", "--json")
    assert (ran.code, ran.json["providers"][0]["checks"][-1]["told"]) == (
        6, "openai:gpt-4o-mini cannot be asked: selection.cloud_fallback is false",
    )  # fmt: skip
    assert [one.path for one in cloud.requests] == ["/v1/models"]


async def test_the_token_that_a_test_asks_for_is_paid_for_and_none_is_asked_for_over_the_budget(
    rolegate: Run, folder: Path, cloud: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    price = {"input_usd_per_mtok": 100_000, "output_usd_per_mtok": 200_000}
    mine = {
        "cloud_providers": {
            "openai": {"lane": "openai", "budget": {"daily_usd": 0.5}, "models": {"gpt-4o-mini": price}}
        }
    }
    (folder / "user_models.json").write_text(json.dumps(mine), encoding="utf-8")
    ran = await rolegate("providers", "test", "openai", "--complete", "--json")
    assert (ran.code, ran.json["providers"][0]["checks"][-1]["ok"]) == (0, True)
    (row,) = (await rolegate("requests", "--json")).json["requests"]
    assert (row["id"], row["endpoint"], row["role"], row["model"]) == ("test", "test", GPT, GPT)
    assert row["cost_usd"] == round(row["prompt_tokens"] * 0.1 + row["completion_tokens"] * 0.2, 9) > 0.5
    assert ran.json["providers"][0]["checks"][-1]["told"] == (
        f"{GPT} answered ({row['prompt_tokens']} tokens in, {row['completion_tokens']} out), for ${row['cost_usd']:.2f}"
    )
    (line,) = (await rolegate("costs", "--by", "provider", "--json")).json["costs"]
    assert (line["provider"], line["cost_usd"]) == ("openai", round(row["cost_usd"], 6))
    again = await rolegate("providers", "test", "openai", "--complete", "--json")
    last = again.json["providers"][0]["checks"][-1]
    assert (again.code, last["check"], last["ok"]) == (0, "completion", None)
    assert last["told"] == (
        f"openai:gpt-4o-mini is not asked: the daily budget of openai is used up: ${row['cost_usd']:.2f} of $0.50"
        " (until midnight UTC; cloud_providers.openai.budget.daily_usd)"
    )
    assert len([one for one in cloud.requests if one.path == "/v1/chat/completions"]) == 1


async def test_the_token_of_a_local_model_is_in_no_journal(rolegate: Run) -> None:
    ran = await rolegate("providers", "test", "ollama", "--complete", "--json")
    assert ran.json["providers"][0]["checks"][-1]["ok"] is True
    assert (await rolegate("requests", "--json")).json["requests"] == []


async def test_where_what_was_spent_cannot_be_read_no_token_is_asked_for(
    rolegate: Run, folder: Path, cloud: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    mine = {"cloud_providers": {"openai": {"lane": "openai", "budget": {"daily_usd": 0.5}}}}
    (folder / "user_models.json").write_text(json.dumps(mine), encoding="utf-8")
    state = Path.home() / ".local" / "state" / "rolegate"
    state.mkdir(parents=True)
    (state / "journal.sqlite").write_bytes(b"not a database, but long enough to be taken for one" * 40)
    ran = await rolegate("providers", "test", "openai", "--complete", "--json")
    assert ran.json["providers"][0]["checks"][-1]["told"].startswith(
        "openai:gpt-4o-mini is not asked: the budget of openai cannot be counted: "
    )
    assert [one.path for one in cloud.requests] == ["/v1/models"]

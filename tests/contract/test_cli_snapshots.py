"""The commands as people and programs meet them: real configuration, real discovery over TCP, exact output and exit codes."""

import asyncio
import json
import os
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import yaml

from command_builders import Ran, Run
from fakes.ollama import FakeOllama
from gateway import __version__
from gateway.cli.app import main

INSTALLED = ("llama3.1:8b", "mistral:latest", "qwen2.5:14b", "nomic-embed-text:latest")


@pytest.fixture
async def ollama() -> AsyncIterator[FakeOllama]:
    async with FakeOllama(models=INSTALLED) as fake:
        yield fake


@pytest.fixture
def nobodys_port() -> Iterator[int]:
    """A port that is taken, and on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def folder(tmp_path: Path, ollama: FakeOllama, nobodys_port: int) -> Path:
    """A configuration with roles of each kind and two profiles."""
    content = {
        "role_mappings": {
            "planner": {
                "preferred": ["llama3.1:8b", "mistral:latest"],
                "cloud_fallback": "openai:gpt-4o-mini",
                "requirements": {"context_length_min": 8192, "memory_gb_max": 8},
            },
            "embedder": {"preferred": ["nomic-embed-text"], "discover": False},
        },
        "local_providers": {"ollama": {"kind": "ollama", "url": ollama.url}},
        "cloud_providers": {"openai": {"models": {"gpt-4o-mini": {}}}},
        "gateway": {"port": nobodys_port},
    }
    place = tmp_path / "config"
    (place / "user_profiles").mkdir(parents=True)
    (place / "models.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    _write(place, "user_profiles/small.json", {"role_mappings": {"planner": {"requirements": {"memory_gb_max": 5.8}}}})
    _write(place, "user_profiles/tiny.json", {"extends": "small", "description": "as little as can be"})
    return place


@pytest.fixture
def rolegate(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs one command line on that configuration, in a thread beside the fake's loop."""

    async def run(*arguments: str) -> Ran:
        code = await asyncio.to_thread(main, ["--config-dir", str(folder), *arguments])
        out, err = capsys.readouterr()
        return Ran(code=code, out=out, err=err)

    return run


def _write(folder: Path, name: str, content: object) -> None:
    (folder / name).write_text(json.dumps(content), encoding="utf-8")


async def test_the_plan_lists_the_deployments_of_every_role_in_order(rolegate: Run) -> None:
    ran = await rolegate("plan", "--memory-gb", "64")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0].split() == ["ROLE", "ORDER", "MODEL", "VIA", "LANE", "CONTEXT", "MEMORY"]
    assert [line.split()[:6] for line in lines[1:4]] == [
        ["embedder", "1", "ollama:nomic-embed-text:latest", "preferred", "ollama", "2,048"],
        ["planner", "1", "ollama:llama3.1:8b", "preferred", "ollama", "8,192"],
        ["planner", "2", "ollama:mistral:latest", "preferred", "ollama", "8,192"],
    ]


async def test_the_plan_as_json_has_its_documented_shape(rolegate: Run) -> None:
    ran = await rolegate("plan", "--memory-gb", "64", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert list(ran.json) == ["digest", "profile", "roles"]
    assert len(ran.json["digest"]) == 64
    assert ran.json["profile"] is None
    assert list(ran.json["roles"]) == ["embedder", "planner"]
    planner = ran.json["roles"]["planner"]
    assert list(planner) == ["deployments", "trace"]
    first = planner["deployments"][0]
    assert list(first) == ["model", "lane", "order", "context", "memory_bytes", "cloud"]
    assert first | {"memory_bytes": 0} == {
        "model": "ollama:llama3.1:8b",
        "lane": "ollama",
        "order": 1,
        "context": 8192,
        "memory_bytes": 0,
        "cloud": False,
    }
    assert all(list(entry) == ["model", "verdict", "reason", "score"] for entry in planner["trace"])


async def test_a_role_that_nothing_can_serve_is_shown_and_is_exit_code_4(rolegate: Run) -> None:
    ran = await rolegate("plan", "--memory-gb", "1")
    assert ran.code == 4
    assert [line.split() for line in ran.out.splitlines()[1:]][1] == ["planner", "-", "no", "model", "-", "-", "-", "-"]
    assert ran.err == (
        "no model can serve planner: ollama:llama3.1:8b: does_not_fit_now; ollama:mistral:latest: does_not_fit_now; "
        "openai:gpt-4o-mini: no_api_key; ollama:qwen2.5:14b: over_memory_limit; 1 more "
        "(`rolegate explain planner` says why)\n"
    )
    assert (await rolegate("plan", "--memory-gb", "1", "--json")).json["roles"]["planner"]["deployments"] == []


async def test_an_explanation_accounts_for_every_model_with_its_verdict(rolegate: Run) -> None:
    ran = await rolegate("explain", "planner", "--memory-gb", "64", "--json")
    assert ran.code == 0
    assert list(ran.json) == ["role", "task", "deployments", "candidates"]
    verdicts = {one["model"]: one["verdict"] for one in ran.json["candidates"]}
    assert verdicts == {
        "ollama:llama3.1:8b": "ok",
        "ollama:mistral:latest": "ok",
        "openai:gpt-4o-mini": "no_api_key",
        "ollama:qwen2.5:14b": "over_memory_limit",
        "ollama:nomic-embed-text:latest": "not_chat_capable",
    }
    keys = ["model", "verdict", "reason", "score", "via", "order", "numbers", "warnings"]
    assert all(list(one) == keys for one in ran.json["candidates"])


async def test_an_explanation_for_people_starts_with_those_chosen_and_shows_the_arithmetic(rolegate: Run) -> None:
    ran = await rolegate("explain", "planner", "--memory-gb", "64", "--profile", "small")
    assert (ran.code, ran.err) == (0, "")
    head, first, *rest = ran.out.split("\n\n")
    assert head == "planner  (chat)  asks for context at least 8,192 tokens, memory at most 5.80 GB"
    assert first.startswith(" 1  ollama:")
    dropped = next(part for part in rest if part.startswith(" -  ollama:llama3.1:8b"))
    heading, reason = dropped.splitlines()[:2]
    assert "  over_memory_limit  " in heading
    assert reason.startswith("    weights ")
    assert reason.endswith("is over the role's limit of 5.80 GB")


async def test_an_explanation_can_ask_for_more_than_the_role_does(rolegate: Run) -> None:
    ran = await rolegate("explain", "planner", "--memory-gb", "64", "--vision", "--json")
    assert ran.code == 4
    verdicts = {one["model"]: one["verdict"] for one in ran.json["candidates"]}
    assert verdicts["ollama:llama3.1:8b"] == "requirement_not_met"
    ran = await rolegate("explain", "planner", "--memory-gb", "64", "--tools", "--context", "100000")
    assert "asks for supports_tools, context at least 100,000 tokens, memory at most 8.00 GB" in ran.out
    assert "context_too_small" in ran.out


async def test_an_explanation_can_ask_for_a_json_schema(rolegate: Run) -> None:
    ran = await rolegate("explain", "planner", "--memory-gb", "64", "--json-schema")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("planner  (chat)  asks for supports_json_schema, context at least 8,192 tokens")
    data = (await rolegate("explain", "planner", "--memory-gb", "64", "--json-schema", "--json")).json
    asked = {one["model"]: one["numbers"].get("supports_json_schema") for one in data["candidates"]}
    assert asked["ollama:llama3.1:8b"] is True


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "explain planer",
            'error: there is no role "planer"; known: embedder, planner\nhint: did you mean "planner"?\n',
        ),
        (
            "roles show zebra",
            'error: there is no role "zebra"; known: embedder, planner\n',
        ),
        (
            "profiles show smal",
            'error: there is no profile "smal"; known: small, tiny\nhint: did you mean "small"?\n',
        ),
        (
            "profiles use smal",
            'error: there is no profile "smal"; known: small, tiny\nhint: did you mean "small"?\n',
        ),
        (
            "config schema profil",
            'error: there is no schema "profil"; known: models, profile, user_models\nhint: did you mean "profile"?\n',
        ),
        (
            "models show ollama:mistrl",
            (
                'error: there is no model "ollama:mistrl"; known: ollama:llama3.1:8b, ollama:mistral:latest, '
                "ollama:nomic-embed-text:latest, ollama:qwen2.5:14b, openai:gpt-4o-mini\n"
                'hint: did you mean "ollama:mistral:latest"?\n'
            ),
        ),
    ],
)
async def test_an_unknown_name_is_answered_with_the_nearest(line: str, said: str, rolegate: Run) -> None:
    ran = await rolegate(*line.split())
    assert (ran.code, ran.out, ran.err) == (2, "", said)


async def test_the_list_of_models_has_every_provider_and_says_who_is_down(rolegate: Run, folder: Path) -> None:
    _write(folder, "user_models.json", {"local_providers": {"lab": {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}})
    ran = await rolegate("models", "list")
    assert ran.code == 0
    rows = {line.split()[0]: line.split()[1:] for line in ran.out.splitlines()[1:]}
    assert list(rows) == [
        "ollama:llama3.1:8b",
        "ollama:mistral:latest",
        "ollama:nomic-embed-text:latest",
        "ollama:qwen2.5:14b",
        "openai:gpt-4o-mini",
    ]
    assert rows["ollama:llama3.1:8b"][0] == "chat"
    assert rows["ollama:nomic-embed-text:latest"][0] == "embedding"
    assert rows["openai:gpt-4o-mini"][:2] == ["cloud", "chat"]
    assert ran.err.startswith("lab at http://127.0.0.1:9/v1 does not answer: ")
    as_json = (await rolegate("models", "list", "--json")).json
    assert {one["name"]: one["up"] for one in as_json["providers"]} == {"ollama": True, "openai": True, "lab": False}


async def test_a_model_is_found_by_its_bare_name_and_shown_with_the_origin_of_each_fact(rolegate: Run) -> None:
    ran = await rolegate("models", "show", "mistral")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("ollama:mistral:latest  chat  lane ollama\n")
    facts = {line.split()[0]: line.split()[1:] for line in ran.out.split("\n\n")[1].splitlines()}
    assert facts["FIELD"] == ["VALUE", "ORIGIN", "CONFIDENCE", "TIER", "SOURCE"]
    assert facts["context_length"][:2] == ["32,768", "reported"]
    assert facts["thermal_sensitivity"][0] == "unknown" or facts["thermal_sensitivity"][1] == "estimated"


async def test_references_without_a_model_are_shown_with_their_place(rolegate: Run, folder: Path) -> None:
    _write(folder, "user_models.json", {"role_mappings": {"critic": {"preferred": ["gone:1b", "mistral"]}}})
    ran = await rolegate("models", "validate", "--json")
    assert ran.json["missing"] == [
        {
            "where": "role_mappings.critic.preferred[0]",
            "reference": "gone:1b",
            "problem": "not installed on ollama; `ollama pull gone:1b` installs it",
        }
    ]


async def test_a_role_is_shown_with_the_layer_of_each_setting(rolegate: Run, folder: Path) -> None:
    ran = await rolegate("roles", "show", "planner", "--json")
    assert ran.json["role"] == "planner"
    assert {one["setting"]: (one["value"], one["layer"]) for one in ran.json["settings"]} == {
        "preferred": (["llama3.1:8b", "mistral:latest"], "models.yaml"),
        "cloud_fallback": ("openai:gpt-4o-mini", "models.yaml"),
        "requirements.context_length_min": (8192, "models.yaml"),
        "requirements.memory_gb_max": (8, "models.yaml"),
    }


async def test_the_list_of_roles_names_who_answers(rolegate: Run) -> None:
    ran = await rolegate("roles", "list")
    assert ran.code == 0
    assert ran.out.splitlines()[0].split() == ["ROLE", "TASK", "ANSWERED", "BY", "THEN", "PREFERRED"]
    assert [line.split()[:2] for line in ran.out.splitlines()[1:]] == [["embedder", "embedding"], ["planner", "chat"]]


async def test_a_profile_is_chosen_for_the_next_start(rolegate: Run) -> None:
    before = await rolegate("profiles", "list")
    assert before.out == (
        "ACTIVE  PROFILE  EXTENDS  DESCRIPTION          STATE\n"
        "        small    -        -                    ok\n"
        "        tiny     small    as little as can be  ok\n"
    )
    assert before.err == "no profile is active\n"
    used = await rolegate("profiles", "use", "tiny")
    assert (used.code, used.out) == (0, "active profile: tiny\n")
    assert used.err == (
        "no gateway is running; the next `rolegate serve` goes by it\n"
        "warning: planner is not served by ollama:llama3.1:8b, which is named for it: over_memory_limit\n"
    )
    after = await rolegate("profiles", "list")
    assert after.out.splitlines()[2].startswith("*       tiny")
    assert (await rolegate("plan", "--memory-gb", "64", "--json")).json["profile"] == "tiny"


async def test_a_broken_profile_is_not_taken(rolegate: Run, folder: Path) -> None:
    _write(folder, "user_profiles/broken.json", {"gateway": {"port": 0}})
    refused = await rolegate("profiles", "use", "broken")
    assert refused.code == 3
    assert "gateway.port: found 0" in refused.err
    assert (await rolegate("profiles", "list", "--json")).json["active"] is None


async def test_a_profile_is_shown_with_what_it_extends(rolegate: Run, folder: Path) -> None:
    ran = await rolegate("profiles", "show", "tiny")
    assert ran.out == "extends: small\ndescription: as little as can be\n"
    assert ran.err == f"{folder / 'user_profiles' / 'tiny.json'}\nextends small\n"


async def test_a_profile_is_taken_up_and_let_go_again(rolegate: Run) -> None:
    assert (await rolegate("profiles", "use", "tiny")).out == "active profile: tiny\n"
    assert "profile: tiny" in (await rolegate("profiles", "use", "tiny")).out
    assert (await rolegate("profiles", "use", "--none")).out == "active profile: none\n"
    assert (await rolegate("profiles", "list", "--json")).json["active"] is None
    both = await rolegate("profiles", "use", "tiny", "--none")
    assert (both.code, both.err.splitlines()[0]) == (2, "error: name a profile, or say --none")
    assert (await rolegate("profiles", "use")).code == 2


async def test_the_status_of_a_gateway_elsewhere_is_asked_for_by_its_url(rolegate: Run, nobodys_port: int) -> None:
    ran = await rolegate("status", "--url", f"http://127.0.0.1:{nobodys_port}/v1")
    assert ran.code == 5
    assert ran.err.startswith(f"error: no gateway answers at http://127.0.0.1:{nobodys_port}: ")


async def test_the_merged_configuration_is_shown_with_origins_and_without_secrets(rolegate: Run, folder: Path) -> None:
    parameters = {"extra_headers": {"Authorization": "Bearer hunter2"}, "temperature": 0.5}
    _write(folder, "user_models.json", {"role_mappings": {"planner": {"parameters": parameters}}})
    plain, listed = await rolegate("config", "show"), await rolegate("config", "show", "--origin", "--json")
    assert yaml.safe_load(plain.out)["role_mappings"]["planner"]["parameters"]["temperature"] == 0.5
    lines = (await rolegate("config", "show", "--origin")).out
    assert "hunter2" not in plain.out + listed.out + lines
    source = folder / "user_models.json"
    assert f"role_mappings.planner.parameters.temperature = 0.5  # user_models, {source}\n" in lines
    path = "role_mappings.planner.parameters.temperature"
    assert {one["path"]: one for one in listed.json}[path] == {
        "path": path,
        "value": 0.5,
        "layer": "user_models",
        "file": str(folder / "user_models.json"),
    }


async def test_a_sound_configuration_is_said_to_be(rolegate: Run, folder: Path) -> None:
    ran = await rolegate("config", "validate")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err == f"{folder}: no problem in any layer, profile or template\n"
    assert (await rolegate("config", "validate", "--json")).json == {
        "valid": True,
        "warnings": [],
    }


async def test_every_problem_of_every_file_is_on_a_line_of_its_own(rolegate: Run, folder: Path) -> None:
    _write(folder, "user_models.json", {"gatewy": {}})
    _write(folder, "user_profiles/broken.json", {"gateway": {"port": 0}})
    ran = await rolegate("config", "validate")
    assert (ran.code, ran.out) == (3, "")
    lines = ran.err.splitlines()
    assert lines[0].endswith(" in the configuration:")
    assert lines[1].startswith(f"  {folder / 'user_models.json'}:1: gatewy: ")
    assert 'did you mean "gateway"?' in lines[1]
    as_json = await rolegate("config", "validate", "--json")
    assert as_json.json["error"]["code"] == "config_invalid"
    assert as_json.json["error"]["problems"][0]["nearest"] == "gateway"


async def test_a_broken_layer_does_not_hide_a_broken_profile_that_is_not_active(rolegate: Run, folder: Path) -> None:
    _write(folder, "user_models.json", {"gatewy": {}, "selection": {"thermal": {"dwell_s": 5}}})
    _write(folder, "user_profiles/broken.json", {"gateway": {"port": 0}})
    ran = await rolegate("config", "validate")
    assert ran.code == 3
    warning, head, *problems, _hint = ran.err.splitlines()
    assert warning == (
        f"warning: {folder / 'user_models.json'}:1: selection.thermal.dwell_s: found 5; allowed: 60.0; "
        "it has an effect only with hot-swap on"
    )
    assert head == "error: 2 problems in the configuration:"
    assert [one.split(" found")[0] for one in problems] == [
        f"  {folder / 'user_models.json'}:1: gatewy:",
        f"  {folder / 'user_profiles' / 'broken.json'}:1: gateway.port:",
    ]


async def test_the_help_says_that_one_flag_also_fetches_models(rolegate: Run) -> None:
    ran = await rolegate("serve", "--help")
    assert ran.code == 0
    assert (
        "use the embedded engine; the flag --embedded also fetches those of its models that are not on this machine yet "
        "[default: as configured, or true]"
    ) in " ".join((ran.out + ran.err).split())


async def test_a_broken_profile_that_is_not_active_fails_the_validation_only(rolegate: Run, folder: Path) -> None:
    _write(folder, "user_profiles/broken.json", {"gateway": {"port": 0}})
    assert (await rolegate("config", "validate")).code == 3
    ran = await rolegate("plan", "--memory-gb", "64")
    assert ran.code == 0
    assert ran.err.startswith(f"warning: {folder / 'user_profiles' / 'broken.json'}:1: gateway.port: found 0")


async def test_the_schema_of_each_kind_of_file_is_printed(rolegate: Run) -> None:
    for name in ("models", "user_models", "profile"):
        ran = await rolegate("config", "schema", name)
        assert ran.code == 0
        assert ran.json["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert ran.json["$id"].endswith(name)


async def test_the_folders_in_use_are_printed(rolegate: Run, folder: Path, home: Path) -> None:
    ran = await rolegate("config", "path", "--json")
    assert ran.json["config"] == str(folder)
    assert ran.json["state"] == str(home / ".local/state/rolegate")
    assert ran.json["data"] == str(home / ".local/share/rolegate")
    assert list(ran.json) == ["config", "templates", "state", "data"]


async def test_the_router_configuration_is_yaml_on_stdout_or_in_a_file(rolegate: Run, tmp_path: Path) -> None:
    ran = await rolegate("router", "render")
    assert ran.code == 0
    assert isinstance(yaml.safe_load(ran.out)["model_list"], list)
    target = tmp_path / "router.yaml"
    written = await rolegate("router", "render", "--out", str(target))
    assert (written.code, written.out) == (0, "")
    assert written.err.endswith(f"wrote {target}\n")
    assert yaml.safe_load(target.read_text(encoding="utf-8")) == yaml.safe_load(ran.out)


async def test_a_file_that_cannot_be_written_is_said_plainly(rolegate: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "router.yaml"
    ran = await rolegate("router", "render", "--quiet", "--out", str(target))
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"error: cannot write {target}: ")


async def test_the_status_of_no_gateway_is_exit_code_5(rolegate: Run, nobodys_port: int) -> None:
    ran = await rolegate("status")
    assert (ran.code, ran.out) == (5, "")
    assert ran.err.startswith(f"error: no gateway answers at http://127.0.0.1:{nobodys_port}: ")
    assert ran.err.endswith("\nhint: start one with `rolegate serve`\n")


async def test_a_gateway_that_never_ran_had_no_requests(rolegate: Run) -> None:
    ran = await rolegate("requests")
    assert (ran.code, ran.out, ran.err) == (0, "", "no request is in the journal\n")
    assert (await rolegate("requests", "--failed", "--json")).json == {"requests": []}


async def test_a_request_that_is_not_in_the_journal_is_a_usage_error(rolegate: Run) -> None:
    ran = await rolegate("requests", "req-1", "--json")
    assert ran.code == 2
    assert ran.json["error"] == {
        "code": "invalid_request",
        "message": 'there is no request "req-1" in the journal',
        "hint": "`rolegate requests --json` lists the latest with their ids",
    }


async def test_the_version_is_printed(rolegate: Run) -> None:
    assert (await rolegate("version")).out.startswith(f"rolegate {__version__} (Python 3.")
    assert (await rolegate("version", "--json")).json["version"] == __version__


@pytest.mark.parametrize(
    "line", ["plan", "models list", "roles list", "config path", "profiles list", "requests", "status"]
)
async def test_a_folder_that_does_not_exist_is_exit_code_3(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert await asyncio.to_thread(main, [*line.split(), "--config-dir", "missing"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "error: 1 problem in the configuration:\n"
        '  command line: --config-dir: found "missing", which is not a folder; allowed: an existing folder\n'
        "hint: mend the lines named above and run `rolegate config validate`\n"
    )


@pytest.mark.parametrize("option", ["--memory-gb", "--vram-gb"])
@pytest.mark.parametrize("given", ["1e308", "100001", "nan", "inf", "-inf", "-1"])
async def test_memory_that_no_machine_has_is_a_usage_error(option: str, given: str, rolegate: Run) -> None:
    ran = await rolegate("plan", option, given)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        f"error: Invalid value for '{option}': {float(given):g} is not in the range from 0 to 100000 GB\n"
        "hint: see `rolegate plan --help`\n"
    )


async def test_a_rendering_never_takes_the_place_of_a_pipe(rolegate: Run, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    ran = await rolegate("router", "render", "--out", str(pipe), "--quiet")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"error: cannot write {pipe}: it is not a regular file\nhint: name a file in a folder you own\n"
    assert pipe.is_fifo()


async def test_profiles_that_cannot_be_read_are_not_no_profiles(rolegate: Run, folder: Path) -> None:
    shutil.rmtree(folder / "user_profiles")
    (folder / "user_profiles").write_text("", encoding="utf-8")
    ran = await rolegate("profiles", "list")
    assert (ran.code, ran.out) == (3, "")
    assert f"{folder}/user_profiles: found a file; allowed: a folder\n" in ran.err

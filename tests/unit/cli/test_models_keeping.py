"""`rolegate models pull`, `load`, `unload` and `remove`: exact output and exit codes, with and without a running gateway."""

import asyncio
import io
import json
import re
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from fakes import faults
from fakes.gguf_files import llama_bytes
from fakes.ollama import FakeOllama
from gateway.cli.app import main
from gateway.cli.console import Console
from gateway.cli.pulling import LayerDisplay, PullDisplay, waiting
from gateway.domain.keeping import PullStep
from gateway_process import free_port
from keeping_builders import admin_of_models, served, write_configuration

REFUSED = "All connection attempts failed"
KNOWN = "ollama:llama3.1:8b, ollama:mistral:latest"


@dataclass(frozen=True, kw_only=True)
class Ran:
    code: int
    out: str
    err: str


Run = Callable[..., Coroutine[Any, Any, Ran]]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
async def fake() -> AsyncIterator[FakeOllama]:
    async with FakeOllama(models=["llama3.1:8b", "mistral"]) as server:
        yield server


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def folder(tmp_path: Path, fake: FakeOllama, port: int) -> Path:
    return write_configuration(tmp_path, url=fake.url, port=port)


@pytest.fixture
def rolegate(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs one command line on that configuration, in a thread beside the fake's loop."""

    async def run(*arguments: str) -> Ran:
        code = await asyncio.to_thread(main, ["--config-dir", str(folder), "models", *arguments])
        out, err = capsys.readouterr()
        return Ran(code=code, out=out, err=err)

    return run


@pytest.fixture
async def gateway(folder: Path, port: int) -> AsyncIterator[None]:
    """A running gateway's admin routes, where the commands look for them."""
    async with admin_of_models(folder) as app, served(app, port=port):
        yield


async def test_without_a_gateway_a_model_is_loaded_by_its_provider_as_the_plan_has_it(
    rolegate: Run, fake: FakeOllama
) -> None:
    ran = await rolegate("load", "llama3.1:8b")
    assert (ran.code, ran.err) == (0, "loading llama3.1:8b\n")
    assert re.fullmatch(
        r"ollama:llama3\.1:8b  loaded in \d+\.\d s  7\.02 GB  context 16,000  until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\n",
        ran.out,
    )
    assert fake.loaded == {"llama3.1:8b": 16_000}
    again = await rolegate("load", "llama3.1:8b", "--keep-alive", "-1")
    assert re.fullmatch(
        r"ollama:llama3\.1:8b  was loaded already \(\d+\.\d s\)  7\.02 GB  context 16,000  stays loaded\n", again.out
    )


@pytest.mark.parametrize(("share", "said"), [(1.0, "7.02 GB on the GPU"), (0.5, "7.02 GB, 50% of it on the GPU")])
async def test_a_load_says_what_of_it_is_on_the_gpu(share: float, said: str, rolegate: Run, fake: FakeOllama) -> None:
    fake.profile.gpu = share
    assert f"  {said}  " in (await rolegate("load", "llama3.1:8b")).out


@pytest.mark.usefixtures("gateway")
async def test_a_running_gateway_is_asked_to_load_and_to_unload(rolegate: Run, fake: FakeOllama, folder: Path) -> None:
    # The gateway's plan is the one that counts, not what the files say by now.
    text = (folder / "models.yaml").read_text(encoding="utf-8").replace("16000", "9000")
    (folder / "models.yaml").write_text(text, encoding="utf-8")
    ran = await rolegate("load", "llama3.1:8b", "--keep-alive", "30m", "--json")
    told = json.loads(ran.out)
    assert (ran.code, told["model"], told["context"], told["already"]) == (0, "ollama:llama3.1:8b", 16_000, False)
    assert fake.loaded == {"llama3.1:8b": 16_000}
    assert fake.requests_to("/api/generate")[0].json["keep_alive"] == "30m"
    ran = await rolegate("unload", "llama3.1:8b")
    assert (ran.code, ran.err) == (0, "unloading llama3.1:8b\n")
    assert re.fullmatch(r"ollama:llama3\.1:8b  unloaded in \d+\.\d s\n", ran.out)
    assert fake.loaded == {}


@pytest.mark.usefixtures("gateway")
async def test_what_a_running_gateway_refuses_keeps_its_code_and_exit_code(rolegate: Run, fake: FakeOllama) -> None:
    ran = await rolegate("load", "ollama:mistrl", "--json")
    told = json.loads(ran.out)["error"]
    assert (ran.code, told["code"]) == (2, "not_found")
    assert told["message"] == (
        f'there is no model "ollama:mistrl"; known: {KNOWN} (did you mean "ollama:mistral:latest"?)'
    )
    ran = await rolegate("remove", "llama3.1:8b", "--yes", "--json")
    assert (ran.code, json.loads(ran.out)["error"]["code"]) == (2, "model_in_use")
    fake.runners.load_errors["mistral:latest"] = "out of memory"
    ran = await rolegate("load", "mistral")
    assert (ran.code, ran.out) == (6, "")
    assert ran.err.endswith("answers /api/generate with status 500: out of memory\n")


async def test_something_else_that_listens_there_is_sent_nothing_that_changes_anything(
    rolegate: Run, fake: FakeOllama, folder: Path, port: int
) -> None:
    async with FakeOllama(port=port) as other:
        assert (await rolegate("remove", "mistral", "--yes")).code == 0
        assert {one.path for one in other.requests} == {"/admin/v1/status"}
    assert "mistral:latest" not in fake.models


async def test_an_unload_while_requests_are_in_flight_says_so(
    rolegate: Run, fake: FakeOllama, folder: Path, port: int
) -> None:
    fake.fail(faults.stall(after_chunks=1), route="/api/chat")
    async with (
        admin_of_models(folder, unload_s=0.3) as app,
        served(app, port=port),
        httpx.AsyncClient(base_url=fake.url, timeout=None) as client,
    ):
        body = {"model": "llama3.1:8b", "messages": [{"role": "user", "content": "Count."}]}
        chat = asyncio.create_task(client.post("/api/chat", json=body))
        await fake.until(lambda: any(one.chunks for one in fake.requests_to("/api/chat")))
        ran = await rolegate("unload", "llama3.1:8b")
        chat.cancel()
    assert ran.code == 6
    assert ran.out == (
        "ollama:llama3.1:8b  still loaded after 0 s: requests are in flight, it goes when they are done\n"
    )


async def test_an_unload_of_what_is_not_loaded_is_no_failure(rolegate: Run) -> None:
    ran = await rolegate("unload", "mistral")
    assert (ran.code, ran.out) == (0, "ollama:mistral:latest  was not loaded\n")
    ran = await rolegate("unload", "mistral", "--json", "--quiet")
    told = json.loads(ran.out)
    assert told.pop("seconds") >= 0
    assert (told, ran.err) == ({"model": "ollama:mistral:latest", "unloaded": True, "was_loaded": False}, "")


async def test_a_time_to_stay_that_is_none_is_a_usage_error(rolegate: Run, fake: FakeOllama) -> None:
    ran = await rolegate("load", "llama3.1:8b", "--keep-alive", "0")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "error: keep_alive: found 0; allowed: a time with its unit (30m, 1h30m), a number of seconds, or -1 for ever\n"
        "hint: to let go of a model, unload it\n"
    )
    assert fake.requests == []


async def test_a_provider_that_fails_is_exit_code_6_with_its_words(rolegate: Run, fake: FakeOllama) -> None:
    fake.runners.load_errors["llama3.1:8b"] = "out of memory"
    ran = await rolegate("load", "llama3.1:8b")
    assert (ran.code, ran.out) == (6, "")
    assert ran.err == (
        f"loading llama3.1:8b\nerror: ollama at {fake.url} answers /api/generate with status 500: out of memory\n"
    )


async def test_a_model_of_the_embedded_engine_is_loaded_only_inside_a_gateway(
    rolegate: Run, folder: Path, tmp_path: Path, port: int
) -> None:
    file = tmp_path / "tiny.gguf"
    await asyncio.to_thread(file.write_bytes, llama_bytes())
    engine = {"local_providers": {"embedded": {"kind": "embedded", "models": [{"name": "tiny", "path": str(file)}]}}}
    await asyncio.to_thread((folder / "user_models.json").write_text, json.dumps(engine))
    for verb in ("load", "unload"):
        ran = await rolegate(verb, "tiny")
        assert (ran.code, ran.out) == (5, "")
        assert ran.err.splitlines()[-2:] == [
            f"error: no gateway answers at http://127.0.0.1:{port}: {REFUSED}; embedded:tiny lives inside the gateway",
            "hint: start one with `rolegate serve`",
        ]
    ran = await rolegate("remove", "tiny", "--yes")
    assert ran.code == 2
    assert f"embedded:tiny is the file {file} that the configuration names" in ran.err
    assert await asyncio.to_thread(file.exists)


async def test_a_model_is_removed_when_that_is_confirmed_beforehand(rolegate: Run, fake: FakeOllama) -> None:
    ran = await rolegate("remove", "mistral", "--yes")
    assert (ran.code, ran.out, ran.err) == (0, "ollama:mistral:latest is removed\n", "")
    assert "mistral:latest" not in fake.models
    ran = await rolegate("remove", "llama3.1:8b", "--yes", "--force", "--json")
    assert (ran.code, json.loads(ran.out)) == (0, {"model": "ollama:llama3.1:8b", "removed": True})


async def test_a_model_that_roles_of_the_would_be_plan_use_is_kept(rolegate: Run, fake: FakeOllama) -> None:
    ran = await rolegate("remove", "llama3.1:8b", "--yes")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "error: ollama:llama3.1:8b serves the role planner\n"
        "hint: take it out of what they prefer, or insist: --force on the command line, ?force=1 over HTTP\n"
    )
    assert "llama3.1:8b" in fake.models


async def test_where_nobody_can_be_asked_nothing_is_removed(rolegate: Run, fake: FakeOllama) -> None:
    ran = await rolegate("remove", "mistral")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "error: mistral would be deleted, and there is no terminal to ask at\nhint: give --yes\n"
    assert "mistral:latest" in fake.models


@pytest.mark.parametrize(
    ("answer", "gone"), [("n\n", False), ("\n", False), ("", False), ("y\n", True), ("Yes\n", True)]
)
async def test_on_a_terminal_the_person_is_asked(
    answer: str, gone: bool, rolegate: Run, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    ran = await rolegate("remove", "mistral")
    assert ran.code == 0
    assert ran.err.startswith("delete mistral? [y/N] ")
    assert ran.out == ("ollama:mistral:latest is removed\n" if gone else "")
    assert ran.err.endswith("nothing was removed\n") is not gone
    assert ("mistral:latest" not in fake.models) is gone


async def test_a_pull_tells_its_steps_in_lines_where_there_is_no_terminal(rolegate: Run, fake: FakeOllama) -> None:
    ran = await rolegate("pull", "gpt-oss:20b")
    model = fake.models["gpt-oss:20b"]
    assert (ran.code, ran.out) == (0, "ollama:gpt-oss:20b is there\n")
    assert ran.err.splitlines() == [
        "ollama:gpt-oss:20b: pulling manifest",
        f"ollama:gpt-oss:20b: pulling {model.blob[:12]} ({model.size_bytes / 1e6:.1f} MB)",
        "ollama:gpt-oss:20b: verifying sha256 digest",
        "ollama:gpt-oss:20b: writing manifest",
        "ollama:gpt-oss:20b: success",
    ]
    ran = await rolegate("pull", "ollama:qwen3:8b", "--json", "--quiet")
    assert (ran.code, json.loads(ran.out), ran.err) == (0, {"model": "ollama:qwen3:8b"}, "")


async def test_a_pull_that_fails_is_exit_code_6_with_what_the_provider_said(rolegate: Run, fake: FakeOllama) -> None:
    ran = await rolegate("pull", "nothing:here", "--quiet")
    assert (ran.code, ran.out) == (6, "")
    assert ran.err == (
        f"error: ollama at {fake.url} could not pull nothing:here: pull model manifest: file does not exist\n"
        "hint: check the name and its tag\n"
    )


async def test_a_pull_that_breaks_off_goes_on_when_it_is_run_again(rolegate: Run, fake: FakeOllama) -> None:
    fake.fail(faults.reset(after_chunks=3), route="/api/pull", times=1)
    ran = await rolegate("pull", "gpt-oss:20b", "--quiet")
    assert (ran.code, ran.err) == (
        6,
        f"error: ollama at {fake.url} broke off the pull of gpt-oss:20b\nhint: run it again: it goes on where it stopped\n",
    )
    assert (await rolegate("pull", "gpt-oss:20b")).code == 0


async def test_a_pull_by_a_provider_that_cannot_is_refused(rolegate: Run, folder: Path) -> None:
    lab = {"local_providers": {"lab": {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}}
    await asyncio.to_thread((folder / "user_models.json").write_text, json.dumps(lab))
    ran = await rolegate("pull", "lab:qwen")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "error: lab:qwen cannot be pulled: lab is of kind openai\n"
        "hint: models are pulled by Ollama providers and the embedded engine\n"
    )


async def test_the_embedded_engine_pulls_only_what_it_knows(rolegate: Run, folder: Path) -> None:
    engine = {"local_providers": {"embedded": {"kind": "embedded", "models": ["smollm2:135m"]}}}
    await asyncio.to_thread((folder / "user_models.json").write_text, json.dumps(engine))
    ran = await rolegate("pull", "embedded:smollm:135m")
    assert ran.code == 2
    assert ran.err == (
        'error: there is no model to pull "embedded:smollm:135m"; known: embedded:smollm2:135m\n'
        'hint: did you mean "embedded:smollm2:135m"?\n'
    )


def test_on_a_terminal_every_layer_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with LayerDisplay(name="ollama:x:1", console=Console(json=False, quiet=False)) as display:
        display.progress(PullStep(status="pulling manifest"))
        for layer, done in (("sha256:aa", 0), ("sha256:bb", 10), ("sha256:aa", 100)):
            display.progress(PullStep(status=f"pulling {layer[-2:]}", layer=layer, done_bytes=done, total_bytes=100))
        display.progress(PullStep(status="success"))
    shown = terminal.getvalue()
    assert "pulling aa" in shown
    assert "pulling bb" in shown
    assert "100/100 bytes" in shown
    assert "ollama:x:1: success" in shown


def test_a_bar_goes_on_where_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with PullDisplay(name="smollm2:135m", console=Console(json=False, quiet=False)) as display:
        display.show("downloading", done_bytes=0, total_bytes=100)
        display.show("downloading", done_bytes=50, total_bytes=100)
        display.show("extracting", done_bytes=100, total_bytes=100)
    shown = terminal.getvalue()
    assert "extracting smollm2:135m" in shown
    assert "100/100 bytes" in shown
    assert "MB)" not in shown


def test_on_a_terminal_a_wait_has_a_spinner_that_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with waiting("loading x", console=Console(json=False, quiet=False)):
        pass
    assert "loading x" in terminal.getvalue()
    assert terminal.getvalue().endswith("\x1b[2K")

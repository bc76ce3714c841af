"""The gateway as its users meet it: a process, real clients, a real model, an Ollama that comes and goes."""

import asyncio
import json
import signal
import socket
import stat
import sys
import time
from pathlib import Path

import httpx
import openai
import psutil
import pytest

from fakes.ollama import FakeOllama
from gateway_process import GatewayProcess

ENGINE = {"kind": "embedded", "models": ["smollm2:135m"]}


def configuration(
    *, ollama: str = "", embedded: bool = False, roles: dict[str, object] | None = None
) -> dict[str, object]:
    providers: dict[str, object] = {}
    if ollama:
        providers["ollama"] = {"kind": "ollama", "url": ollama}
    if embedded:
        providers["embedded"] = ENGINE
    selection = {"system_default": ["embedded:smollm2:135m"]} if embedded else {}
    return {
        "role_mappings": roles or {"planner": {"requirements": {"reasoning_strength": 0.6}}},
        "local_providers": providers,
        "selection": selection,
    }


def client_of(gateway: GatewayProcess) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=gateway.base_url, api_key="none", max_retries=0)


def ask(text: str = "Say hello.") -> list[openai.types.chat.ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


@pytest.fixture
def engine_home(smollm2_gguf: Path) -> dict[str, str]:
    """The environment in which the gateway finds the model that the tests keep."""
    return {"ROLEGATE_DATA_DIR": str(smollm2_gguf.parents[1])}


async def ended(process: psutil.Process) -> bool:
    """Wait until a process is gone; no later than any reader would give up on it."""
    try:
        await asyncio.to_thread(process.wait, 20)
    except psutil.TimeoutExpired:
        return False
    return True


def engine_of(gateway: GatewayProcess) -> list[psutil.Process]:
    children = psutil.Process(gateway.pid).children(recursive=True)
    return [child for child in children if "child.py" in " ".join(child.cmdline())]


async def test_a_gateway_says_where_it_listens_for_as_long_as_it_does(tmp_path: Path) -> None:
    async with GatewayProcess(tmp_path, configuration(ollama="http://127.0.0.1:1"), "--log-format", "json") as gateway:
        left = gateway.state_folder / "gateway.json"
        told = json.loads(left.read_text(encoding="utf-8"))
        assert (told["url"], told["pid"]) == (gateway.url, gateway.pid)
        assert left.stat().st_mode & 0o777 == 0o600
        async with httpx.AsyncClient(trust_env=False) as client:
            status = (await client.get(f"{gateway.url}/admin/v1/status")).json()
        folders = (str(tmp_path / "config"), str(gateway.state_folder))
        assert (status["config_folder"], status["state_folder"]) == folders
    assert not left.exists()
    said = [json.loads(line)["message"] for line in gateway.log().splitlines()]
    assert any(one.startswith("ollama at http://127.0.0.1:1 does not answer") for one in said)


@pytest.mark.engine
async def test_the_embedded_model_answers_for_a_role_whole_and_streamed(
    tmp_path: Path, engine_home: dict[str, str]
) -> None:
    async with GatewayProcess(tmp_path, configuration(embedded=True), environment=engine_home) as gateway:
        assert gateway.ready["roles"] == {"planner": ["embedded:smollm2:135m"]}
        assert gateway.ready["answered"].startswith("embedded:smollm2:135m answered planner in ")
        async with client_of(gateway) as client:
            raw = await client.chat.completions.with_raw_response.create(
                model="planner", messages=ask("Name a colour."), max_tokens=12, temperature=0
            )
            assert raw.headers["x-rolegate-model"] == "embedded:smollm2:135m"
            assert raw.headers["x-rolegate-role"] == "planner"
            assert raw.headers["x-rolegate-attempts"] == "1"
            answer = raw.parse()
            assert answer.choices[0].message.content
            assert answer.usage is not None
            assert answer.usage.completion_tokens > 0
            stream = await client.chat.completions.create(
                model="planner", messages=ask("Name a colour."), max_tokens=12, temperature=0, stream=True
            )
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
            assert text == answer.choices[0].message.content
            listed = [model.id async for model in client.models.list()]
            assert listed == ["planner", "embedded:smollm2:135m"]


@pytest.mark.engine
async def test_when_ollama_stops_the_embedded_model_answers_and_ollama_serves_again_when_it_is_back(
    tmp_path: Path, engine_home: dict[str, str]
) -> None:
    async with FakeOllama(models=["llama3.1:8b"]) as ollama:
        config = configuration(ollama=ollama.url, embedded=True)
        async with GatewayProcess(tmp_path, config, environment=engine_home) as gateway, client_of(gateway) as client:
            assert gateway.ready["roles"] == {"planner": ["ollama:llama3.1:8b", "embedded:smollm2:135m"]}

            async def answered_by() -> tuple[str, str]:
                raw = await client.chat.completions.with_raw_response.create(
                    model="planner", messages=ask(), max_tokens=4
                )
                return raw.headers["x-rolegate-model"], raw.headers.get("x-rolegate-fallback-reason", "")

            assert await answered_by() == ("ollama:llama3.1:8b", "")
            await ollama.stop()
            model, reason = await answered_by()
            assert model == "embedded:smollm2:135m"
            assert "ollama:llama3.1:8b" in reason
            await ollama.start()
            deadline = time.monotonic() + 60
            while (await answered_by())[0] != "ollama:llama3.1:8b":
                assert time.monotonic() < deadline, "ollama is back and was not used again"


async def test_when_ollama_stops_and_nothing_else_is_there_the_answer_says_what_is_wrong(tmp_path: Path) -> None:
    async with (
        FakeOllama(models=["llama3.1:8b"]) as ollama,
        GatewayProcess(tmp_path, configuration(ollama=ollama.url)) as gateway,
        client_of(gateway) as client,
    ):
        await ollama.stop()
        with pytest.raises(openai.APIStatusError) as refused:
            await client.chat.completions.create(model="planner", messages=ask())
        assert refused.value.status_code == 502
        message = refused.value.response.json()["error"]["message"]
        assert message == (
            'no deployment of role "planner" answered; the last, ollama:llama3.1:8b, failed with transport: no connection: '
            f"127.0.0.1:{ollama.port}: connection refused (`rolegate status` shows which providers answer)"
        )
        await ollama.start()
        answer = await client.chat.completions.create(model="planner", messages=ask())
        assert str(answer.choices[0].message.content).startswith("Hello from llama3.1:8b")


async def test_an_ollama_that_starts_after_the_gateway_is_taken_up(tmp_path: Path) -> None:
    ollama = await FakeOllama(models=["llama3.1:8b"]).start()
    await ollama.stop()
    async with GatewayProcess(tmp_path, configuration(ollama=ollama.url)) as gateway, client_of(gateway) as client:
        assert gateway.ready["degraded"] == ["planner"]
        with pytest.raises(openai.InternalServerError, match="no model can serve the role"):
            await client.chat.completions.create(model="planner", messages=ask())
        async with ollama:
            await ollama.until(lambda: bool(ollama.requests_to("/api/tags")))
            deadline = time.monotonic() + 60
            while True:
                async with httpx.AsyncClient(trust_env=False) as plain:
                    status = (await plain.get(f"{gateway.url}/admin/v1/status")).json()
                if status["generation"]["number"] == 2:
                    break
                assert time.monotonic() < deadline, "the new plan never came"
            assert status["generation"]["cause"] == "ollama answered for the first time"
            answer = await client.chat.completions.create(model="planner", messages=ask())
            assert str(answer.choices[0].message.content).startswith("Hello from llama3.1:8b")


@pytest.mark.engine
async def test_a_signal_to_stop_ends_the_gateway_with_code_0_and_its_engine_with_it(
    tmp_path: Path, engine_home: dict[str, str]
) -> None:
    async with GatewayProcess(tmp_path, configuration(embedded=True), environment=engine_home) as gateway:
        (engine,) = engine_of(gateway)
        assert await gateway.end(signal.SIGTERM) == 0
        assert await ended(engine)
        assert "Traceback" not in gateway.log()


@pytest.mark.engine
async def test_the_engine_goes_even_when_the_gateway_is_killed(tmp_path: Path, engine_home: dict[str, str]) -> None:
    async with GatewayProcess(tmp_path, configuration(embedded=True), environment=engine_home) as gateway:
        (engine,) = engine_of(gateway)
        assert await gateway.end(signal.SIGKILL) == -signal.SIGKILL
        assert await ended(engine)


async def test_health_and_readiness_and_status_tell_what_is_live(tmp_path: Path) -> None:
    async with FakeOllama(models=["llama3.1:8b"]) as ollama:
        roles: dict[str, object] = {"planner": {}, "writer": {"preferred": ["absent:1b"], "discover": False}}
        config = configuration(ollama=ollama.url, roles=roles)
        async with GatewayProcess(tmp_path, config) as gateway, httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"{gateway.url}/healthz")).json() == {"status": "ok"}
            ready = await client.get(f"{gateway.url}/readyz")
            assert ready.status_code == 200
            assert ready.json() == {"status": "ready", "generation": 1, "degraded": ["writer"]}
            status = (await client.get(f"{gateway.url}/admin/v1/status")).json()
            assert status["roles"]["planner"][0]["model"] == "ollama:llama3.1:8b"
            assert status["providers"][0]["up"] is True
            elsewhere = await client.get(f"{gateway.url}/v1/models", headers={"host": "rebound.example:4000"})
            assert elsewhere.status_code == 403
            assert elsewhere.json()["error"]["code"] == "host_not_allowed"
            page = await client.get(f"{gateway.url}/v1/models", headers={"origin": "https://rebound.example"})
            assert page.status_code == 403
            slash = await client.post(f"{gateway.url}/v1/chat/completions/", content=b"{}")
            assert slash.status_code == 404


async def test_the_router_config_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    async with (
        FakeOllama(models=["llama3.1:8b"]) as ollama,
        GatewayProcess(tmp_path, configuration(ollama=ollama.url)) as gateway,
    ):
        router = gateway.state_folder / "router.yaml"
        assert stat.S_IMODE(router.stat().st_mode) == 0o600
        assert "ollama_chat/llama3.1:8b" in router.read_text(encoding="utf-8")


async def test_a_second_gateway_on_the_same_address_says_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        gateway = GatewayProcess(tmp_path, configuration(ollama="http://127.0.0.1:9"))
        gateway.port = taken.getsockname()[1]
        with pytest.raises(RuntimeError, match="ended before it was ready") as failed:
            await gateway.__aenter__()
    assert f"cannot listen on 127.0.0.1:{gateway.port}: Address already in use" in str(failed.value)
    assert "choose another --port" in str(failed.value)


async def test_a_caller_that_leaves_frees_its_upstream_connection(tmp_path: Path) -> None:
    async with FakeOllama(models=["llama3.1:8b"]) as ollama:
        ollama.runners.gate.clear()
        async with GatewayProcess(tmp_path, configuration(ollama=ollama.url)) as gateway:
            client = client_of(gateway)
            waiting = asyncio.create_task(client.chat.completions.create(model="planner", messages=ask()))
            await ollama.until(lambda: bool(ollama.runners.loads))
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            await client.close()
            ollama.runners.gate.set()
            await ollama.until(lambda: ollama.active == 0)
            assert not ollama.requests_to("/api/chat")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of another process's limits")
async def test_a_crash_leaves_no_image_of_the_memory(tmp_path: Path) -> None:
    async with FakeOllama(models=["llama3.1:8b"]) as ollama:
        config = configuration(ollama=ollama.url, roles={"planner": {}})
        async with GatewayProcess(tmp_path, config) as gateway:
            assert psutil.Process(gateway.pid).rlimit(psutil.RLIMIT_CORE)[0] == 0

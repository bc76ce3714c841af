"""A gateway that listens for others: who gets in, over real connections, and what its own commands see."""

import json
import signal
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI, AuthenticationError, PermissionDeniedError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from certificates import a_certificate
from fakes.ollama import FakeOllama
from gateway_process import GatewayProcess
from keeping_builders import served

ADMIN = "an-admin-key-of-a-container"
ASK: Any = [{"role": "user", "content": "Say hello."}]


@pytest.fixture
async def ollama() -> AsyncIterator[FakeOllama]:
    async with FakeOllama(models=["llama3.1:8b"]) as server:
        yield server


def config(ollama: FakeOllama) -> dict[str, object]:
    return {
        "role_mappings": {"planner": {"preferred": ["llama3.1:8b"]}, "writer": {"preferred": ["llama3.1:8b"]}},
        "local_providers": {"ollama": {"kind": "ollama", "url": ollama.url}},
    }


def contents(folder: Path, *, but: Path) -> list[bytes]:
    return [one.read_bytes() for one in folder.rglob("*") if one.is_file() and one != but]


async def test_keys_are_made_used_and_taken_back_beside_a_gateway_that_listens_for_others(
    tmp_path: Path, ollama: FakeOllama
) -> None:
    secret = tmp_path / "admin-key"
    secret.write_text(f"{ADMIN}\n", encoding="utf-8")
    variables = {"ROLEGATE_ADMIN_KEY_FILE": str(secret)}
    async with GatewayProcess(tmp_path, config(ollama), "--host", "0.0.0.0", environment=variables) as gateway:
        assert "$ROLEGATE_CLIENT_KEY" in gateway.ready["curl"]
        made = json.loads((await gateway.rolegate("keys", "create", "ci", "--roles", "planner", "--json")).out)
        async with (
            AsyncOpenAI(base_url=gateway.base_url, api_key=made["text"], max_retries=0) as client,
            AsyncAnthropic(base_url=gateway.url, api_key=made["text"], max_retries=0) as other,
            httpx.AsyncClient(base_url=gateway.url, trust_env=False) as plain,
        ):
            answer = await client.chat.completions.create(model="planner", messages=ASK)
            assert answer.choices[0].message.content
            assert (await other.messages.create(model="planner", messages=ASK, max_tokens=8)).content
            assert [one.id async for one in client.models.list()] == ["planner"]
            with pytest.raises(PermissionDeniedError) as refused:
                await client.chat.completions.create(model="writer", messages=ASK)
            assert refused.value.code == "key_not_allowed"
            for path, status in (("/healthz", 200), ("/readyz", 200), ("/v1/models", 401), ("/admin/v1/status", 401)):
                assert (await plain.get(path)).status_code == status
            status_said = await gateway.rolegate("status")
            assert status_said.code == 0
            assert "keys in force: ROLEGATE_ADMIN_KEY (admin), ci (client)" in status_said.out
            assert (await gateway.rolegate("keys", "revoke", "ci")).code == 0
            with pytest.raises(AuthenticationError) as revoked:
                await client.chat.completions.create(model="planner", messages=ASK)
            assert revoked.value.response.headers["www-authenticate"] == 'Bearer realm="rolegate"'
        assert await gateway.end() == 0
        requests = json.loads((await gateway.rolegate("requests", "--json")).out)["requests"]
        assert [(one["key"], one["status"]) for one in requests] == [("ci", 403), ("ci", 200), ("ci", 200)]
        log = gateway.log()
        assert "no client key is in force, so nobody can use the models: `rolegate keys create NAME`" in log
        assert "key=ci" in log
    written = contents(tmp_path, but=secret)
    assert not [one for one in written if made["text"].encode() in one or ADMIN.encode() in one]


async def test_without_a_key_it_does_not_listen_for_others_and_says_how_to_make_one(
    tmp_path: Path, ollama: FakeOllama
) -> None:
    gateway = GatewayProcess(tmp_path, config(ollama), "--host", "0.0.0.0")
    with pytest.raises(RuntimeError, match="ended before it was ready, with 3") as failed:
        await gateway.__aenter__()
    assert '"0.0.0.0\\", and no client key' in str(failed.value)
    assert "make one with `rolegate keys create NAME`, or set ROLEGATE_CLIENT_KEY" in str(failed.value)


async def test_a_command_without_the_admin_key_is_told_what_it_lacks(tmp_path: Path, ollama: FakeOllama) -> None:
    variables = {"ROLEGATE_CLIENT_KEY": "a-client-key-of-a-container"}
    async with GatewayProcess(tmp_path, config(ollama), "--host", "0.0.0.0", environment=variables) as gateway:
        said = await gateway.rolegate("status")
        assert said.code == 2
        assert said.err == (
            "error: this gateway asks for a key, and the request has none (send it as `Authorization: Bearer KEY`, or as "
            "`x-api-key: KEY`)\n"
            "hint: commands show the admin key in ROLEGATE_ADMIN_KEY, or in the file that ROLEGATE_ADMIN_KEY_FILE names; "
            "`rolegate keys create NAME --admin` makes one\n"
        )
        refused = await gateway.rolegate("profiles", "use", "--none")
        assert (refused.code, refused.out, refused.err) == (2, "", said.err)
        edited = await gateway.rolegate("roles", "set", "planner", "discover=false")
        assert edited.code == 0
        assert "whether the running gateway takes it up is not known: this gateway asks for a key" in edited.err
        admin = (await gateway.rolegate("keys", "create", "root", "--admin", "--json")).out
        gateway._environment["ROLEGATE_ADMIN_KEY"] = json.loads(admin)["text"]
        assert (await gateway.rolegate("status", "--json")).code == 0
        assert (await gateway.rolegate("models", "load", "llama3.1:8b", "--json")).code == 0


async def test_after_a_kill_whoever_listens_at_its_address_is_not_shown_the_admin_key(
    tmp_path: Path, ollama: FakeOllama
) -> None:
    shown: list[str] = []

    async def refused(request: Request) -> JSONResponse:
        shown.extend(request.headers.values())
        asks = {"error": {"message": "a key is needed", "code": "invalid_api_key"}}
        return JSONResponse(asks, status_code=401)

    variables = {"ROLEGATE_CLIENT_KEY": "a-client-key-of-a-container", "ROLEGATE_ADMIN_KEY": ADMIN}
    async with GatewayProcess(tmp_path, config(ollama), "--host", "0.0.0.0", environment=variables) as gateway:
        assert (await gateway.rolegate("status")).code == 0
        await gateway.end(signal.SIGKILL)
        async with served(Starlette(routes=[Route("/{path:path}", refused)]), port=gateway.port):
            left = await gateway.rolegate("status")
            named = await gateway.rolegate("status", "--url", gateway.url)
    assert (left.code, named.code) == (2, 2)
    assert "the admin key was not shown: what answers at " in left.err
    assert [one for one in shown if ADMIN in one] == [f"Bearer {ADMIN}"], "only where a person names the address"


async def test_it_speaks_tls_with_the_certificate_it_is_given_and_its_commands_know_it(
    tmp_path: Path, ollama: FakeOllama
) -> None:
    cert, secret = tmp_path / "cert.pem", tmp_path / "key.pem"
    a_certificate(cert, secret)
    variables = {"ROLEGATE_TLS_CERT": str(cert), "ROLEGATE_TLS_KEY": str(secret)}
    async with GatewayProcess(tmp_path, config(ollama), environment=variables) as gateway:
        assert gateway.ready["url"] == f"https://127.0.0.1:{gateway.port}/v1"
        trusting = ssl.create_default_context(cafile=str(cert))
        trusting.check_hostname = False
        async with httpx.AsyncClient(base_url=gateway.ready["url"], verify=trusting, trust_env=False) as client:
            asked = {"model": "planner", "messages": ASK, "stream": True}
            answer = await client.post("/chat/completions", json=asked)
            assert answer.text.endswith("data: [DONE]\n\n")
            assert (await client.post("/chat/completions", json={**asked, "stream": False})).status_code == 200
            assert (await client.get("/models", headers={"x": "a" * 70_000})).status_code == 431
        assert (await gateway.rolegate("status", "--json")).code == 0
        assert (await gateway.rolegate("models", "load", "llama3.1:8b")).code == 0

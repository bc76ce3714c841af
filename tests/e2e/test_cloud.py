"""Cloud models behind local ones, by consent: a real process, LiteLLM, and servers that speak OpenAI's and Anthropic's wire."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from cloud_builders import CLAUDE, GPT, LOCAL, a_cloud, behind_local, keep_keys, rolegate
from fakes import faults
from fakes.ollama import FakeOllama
from fakes.replies import Reply, ToolCall
from fakes.upstream import FakeUpstream
from gateway_process import GatewayProcess

KEY = "sk-in-the-vault-0123456789"
ASK: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello."}]
TOOL: openai.types.chat.ChatCompletionToolParam = {
    "type": "function",
    "function": {"name": "look_up", "parameters": {"type": "object", "properties": {"word": {"type": "string"}}}},
}
CALLS = Reply(content=(), tool_calls=(ToolCall(name="look_up", arguments={"word": "hello"}),))
STAYS = "it is in the cloud, and the request says x-rolegate-cloud: never"


@pytest.fixture
async def cloud() -> AsyncIterator[FakeUpstream]:
    async with a_cloud(key=KEY) as fake:
        yield fake


def body(role: str, **more: object) -> dict[str, object]:
    return {"model": role, "messages": [{"role": "user", "content": "Say hello."}], **more}


async def said(gateway: GatewayProcess, role: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
        return await client.post(f"{gateway.base_url}/chat/completions", json=body(role), headers=headers)


async def admin(gateway: GatewayProcess, path: str) -> Any:
    async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
        return (await client.get(f"{gateway.url}/admin/v1/{path}")).json()


async def test_with_local_models_down_and_a_key_in_the_vault_both_clouds_answer_tools_and_streams_included(
    tmp_path: Path, cloud: FakeUpstream
) -> None:
    await keep_keys(tmp_path, key=KEY)
    async with GatewayProcess(tmp_path, behind_local(cloud)) as gateway:
        assert gateway.ready["roles"] == {"planner": [GPT], "critic": [CLAUDE]}
        async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key="none", max_retries=0) as client:
            for role, model in (("planner", GPT), ("critic", CLAUDE)):
                cloud.say("", Reply())
                raw = await client.chat.completions.with_raw_response.create(model=role, messages=ASK)
                assert raw.headers["x-rolegate-model"] == model
                assert raw.headers["x-rolegate-cloud"] == "true"
                assert raw.parse().choices[0].message.content == "Hello there."
                cloud.say("", CALLS)
                answer = await client.chat.completions.create(model=role, messages=ASK, tools=[TOOL])
                calls = [one.model_dump()["function"] for one in answer.choices[0].message.tool_calls or []]
                assert [(one["name"], json.loads(one["arguments"])) for one in calls] == [
                    ("look_up", {"word": "hello"})
                ]
                chunks = [
                    chunk
                    async for chunk in await client.chat.completions.create(
                        model=role, messages=ASK, tools=[TOOL], stream=True
                    )
                ]
                deltas = [call for one in chunks if one.choices for call in one.choices[0].delta.tool_calls or ()]
                assert deltas[0].function is not None
                assert deltas[0].function.name == "look_up"
                assert json.loads("".join(one.function.arguments or "" for one in deltas if one.function)) == {
                    "word": "hello"
                }
                assert chunks[-1].choices[0].finish_reason == "tool_calls"
        kept = (await admin(gateway, "requests"))["requests"]
        assert [(one["role"], one["cloud"]) for one in kept] == [("critic", True)] * 3 + [("planner", True)] * 3
        assert (await admin(gateway, "status"))["cloud"]["requests"] == 6
        shown = await rolegate(tmp_path, "status", "--url", gateway.url)
        assert "6 requests left the machine since the start, the last at " in shown.out
        await gateway.logged("cloud=True")
    assert KEY not in (tmp_path / "state" / "router.yaml").read_text(encoding="utf-8")


async def test_a_word_of_each_cloud_is_asked_for_without_a_gateway(tmp_path: Path, cloud: FakeUpstream) -> None:
    await keep_keys(tmp_path, key=KEY)
    (tmp_path / "config" / "models.json").write_text(json.dumps(behind_local(cloud)), encoding="utf-8")
    for provider, model in (("openai", GPT), ("anthropic", CLAUDE)):
        ran = await rolegate(tmp_path, "providers", "test", provider, "--complete", "--json")
        checks = json.loads(ran.out)["providers"][0]["checks"]
        assert (ran.code, ran.err) == (0, "")
        assert [(one["check"], one["ok"]) for one in checks] == [
            ("reachable", True), ("key", True), ("models", True), ("completion", True),
        ]  # fmt: skip
        assert checks[1]["told"] == "from the vault, accepted"
        assert checks[3]["told"].startswith(f"{model} answered (")
        assert checks[3]["told"].partition(", for $")[2]
        assert checks[3]["ms"] > 0


async def test_what_keeps_a_cloud_model_from_answering_is_in_the_error(tmp_path: Path, cloud: FakeUpstream) -> None:
    no_key = "no API key is known for openai (`rolegate providers set-key openai`, or OPENAI_API_KEY)"
    cases: list[tuple[str, dict[str, object], dict[str, object], bool]] = [
        ("selection.cloud_fallback is false", {"cloud_fallback": False}, {}, True),
        ("the role's allow_cloud is false", {}, {"allow_cloud": False}, True),
        (no_key, {}, {}, False),
    ]
    for number, (reason, selection, role, keyed) in enumerate(cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        if keyed:
            await keep_keys(folder, key=KEY)
        async with FakeOllama(models=["llama3.1:8b"]) as ollama:
            config = behind_local(cloud, ollama=ollama.url, selection=selection, role=role)
            async with GatewayProcess(folder, config) as gateway:
                assert (await said(gateway, "planner")).status_code == 200
                await ollama.stop()
                answer = await said(gateway, "planner")
                assert answer.status_code == 502
                assert f"; not asked: {GPT}: {reason} (" in answer.json()["error"]["message"]
                assert "x-rolegate-cloud" not in answer.headers
        async with GatewayProcess(folder, behind_local(cloud, selection=selection, role=role)) as gateway:
            answer = await said(gateway, "planner")
            assert answer.status_code == 503
            assert f"; {GPT}: {reason}" in answer.json()["error"]["message"]
    assert cloud.requests == []


async def test_a_caller_keeps_its_request_at_home(tmp_path: Path, cloud: FakeUpstream) -> None:
    await keep_keys(tmp_path, key=KEY)
    async with (
        FakeOllama(models=["llama3.1:8b"]) as ollama,
        GatewayProcess(tmp_path, behind_local(cloud, ollama=ollama.url)) as gateway,
    ):
        never = {"x-rolegate-cloud": "never"}
        assert (await said(gateway, "planner", **never)).headers["x-rolegate-model"] == LOCAL
        await ollama.stop()
        answer = await said(gateway, "planner", **never)
        assert answer.status_code == 502
        assert f"; not asked: {GPT}: {STAYS} (" in answer.json()["error"]["message"]
        assert [one for one in cloud.requests if one.path != "/v1/models"] == []
        wrong = await said(gateway, "planner", **{"x-rolegate-cloud": "no"})
        assert wrong.status_code == 400
        assert wrong.json()["error"]["message"] == 'the header x-rolegate-cloud is "no"; allowed: never'
        assert (await said(gateway, "planner")).headers["x-rolegate-cloud"] == "true"


async def test_a_key_that_is_replaced_counts_at_once_and_one_that_is_refused_is_tried_again_then(
    tmp_path: Path, cloud: FakeUpstream
) -> None:
    await keep_keys(tmp_path, key="sk-a-wrong-one-0123456789")
    async with GatewayProcess(tmp_path, behind_local(cloud)) as gateway:
        for role in ("planner", "critic"):
            answer = await said(gateway, role)
            assert (answer.status_code, answer.json()["error"]["code"]) == (502, "provider_auth")
        await keep_keys(tmp_path, key=KEY)
        await gateway.logged("provider keys were read again")
        for role in ("planner", "critic"):
            assert (await said(gateway, role)).status_code == 200
        cloud.fail(faults.status(401, json.dumps({"error": {"message": f"bad key {KEY}"}})), times=2)
        for role in ("planner", "critic"):
            answer = await said(gateway, role)
            assert answer.status_code == 502
            assert KEY not in answer.text


async def test_a_locked_vault_keeps_the_gateway_from_starting_only_where_a_key_in_it_is_needed(
    tmp_path: Path, cloud: FakeUpstream
) -> None:
    await keep_keys(tmp_path, key=KEY, environment={"ROLEGATE_VAULT_PASSPHRASE": "correct horse"})
    config = tmp_path / "config"
    (config / "models.json").write_text(json.dumps(behind_local(cloud)), encoding="utf-8")
    started = await rolegate(tmp_path, "serve")
    assert started.code == 7
    assert started.err == (
        f"error: {config / 'api_keys.json'} stays locked: it needs its passphrase, and none was given\n"
        "hint: set ROLEGATE_VAULT_PASSPHRASE, or run the command in a terminal, where it asks\n"
    )
    keys = {"OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY}
    async with GatewayProcess(tmp_path, behind_local(cloud), environment=keys) as gateway:
        assert f"warning: {config / 'api_keys.json'} stays locked" in gateway.log()
        assert (await said(gateway, "planner")).status_code == 200


@pytest.mark.parametrize("hot_swap", [True, False])
async def test_a_first_key_is_taken_up_as_any_edit_is(hot_swap: bool, tmp_path: Path, cloud: FakeUpstream) -> None:
    config = {**behind_local(cloud), "gateway": {"hot_swap": hot_swap}}
    async with GatewayProcess(tmp_path, config) as gateway:
        assert (await said(gateway, "planner")).status_code == 503
        ran = await rolegate(tmp_path, "providers", "set-key", "openai", "--stdin", stdin=KEY)
        assert ran.code == 0
        if hot_swap:
            await gateway.logged("api_keys.json changed")
            assert (await said(gateway, "planner")).headers["x-rolegate-model"] == GPT
        else:
            await gateway.logged("a change of the configuration waits for a restart")
            assert (await admin(gateway, "status"))["pending"]["changed_roles"] == ["planner"]
            assert (await said(gateway, "planner")).status_code == 503


async def test_a_vault_that_is_locked_while_the_gateway_runs_leaves_what_it_knew_and_is_told_of(
    tmp_path: Path, cloud: FakeUpstream
) -> None:
    unlocks = {"ROLEGATE_VAULT_PASSPHRASE": "correct horse"}
    await keep_keys(tmp_path, key=KEY, environment=unlocks)
    async with GatewayProcess(tmp_path, behind_local(cloud), environment=unlocks) as gateway:
        rotated = await rolegate(
            tmp_path, "providers", "rotate-vault", "--to", "passphrase", "--stdin",
            stdin="battery staple", environment=unlocks,
        )  # fmt: skip
        assert rotated.code == 0
        await gateway.logged("stays locked: the passphrase is wrong")
        assert "stays locked: the passphrase is wrong" in (await admin(gateway, "status"))["last_error"]
        assert (await said(gateway, "planner")).status_code == 200

"""The fake Ollama is as strict and as odd as the real one."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from fakes import faults
from fakes.ollama import FakeOllama
from fakes.ollama_models import alias, catalogue, tensor_bytes
from fakes.ollama_runners import HostProfile
from fakes.replies import Reply, ToolCall

MODELS = ("llama3.1:8b", "gemma3:4b", "qwen3:8b", "gpt-oss:20b", "nomic-embed-text:latest", "gpt-oss:120b-cloud")
ASK = [{"role": "user", "content": "hello there"}]
CALL = Reply(content=("Wait.",), tool_calls=(ToolCall(name="clock", arguments={"zone": "UTC"}),))


@pytest.fixture
async def fake() -> AsyncIterator[FakeOllama]:
    async with FakeOllama(models=MODELS) as server:
        yield server


@pytest.fixture
async def client(fake: FakeOllama) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=fake.url, trust_env=False) as session:
        yield session


async def chat(client: httpx.AsyncClient, model: str = "llama3.1:8b", **more: Any) -> list[dict[str, Any]]:
    answer = await client.post("/api/chat", json={"model": model, "messages": ASK, **more})
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/api/chat", b"", 400, "missing request body"),
        ("/api/chat", b"{", 400, "unexpected EOF"),
        ("/api/chat", b"?", 400, "invalid character '?' looking for beginning of value"),
        ("/api/chat", {}, 400, "model is required"),
        ("/api/show", {}, 400, "model is required"),
        ("/api/generate", {}, 404, "model '' not found"),
        ("/api/embed", {}, 404, "model '' not found"),
        ("/api/chat", {"model": "x"}, 404, "model 'x' not found"),
        ("/api/embed", {"model": "x"}, 404, 'model "x" not found, try pulling it first'),
        ("/api/chat", {"model": "a b"}, 400, "invalid model name"),
        (
            "/api/chat",
            {"model": "llama3.1:8b", "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
            400,
            "json: cannot unmarshal array into Go struct field Message.messages.content of type string",
        ),
        (
            "/api/chat",
            {
                "model": "llama3.1:8b",
                "messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}],
            },
            400,
            (
                "json: cannot unmarshal string into Go struct field"
                " ToolCallFunction.messages.tool_calls.function.arguments of type map[string]interface {}"
            ),
        ),
        (
            "/api/chat",
            {"model": "llama3.1:8b", "messages": ASK, "options": {"num_ctx": "a"}},
            500,
            'option "num_ctx" must be of type integer',
        ),
        (
            "/api/chat",
            {"model": "llama3.1:8b", "messages": ASK, "tools": [{"type": "function"}], "think": True},
            400,
            '"llama3.1:8b" does not support thinking',
        ),
        (
            "/api/chat",
            {"model": "gemma3:4b", "messages": ASK, "tools": [{"type": "function"}]},
            400,
            "registry.ollama.ai/library/gemma3:4b does not support tools",
        ),
        (
            "/api/chat",
            {"model": "nomic-embed-text", "messages": ASK},
            400,
            '"nomic-embed-text" does not support chat',
        ),
        ("/api/chat", {"model": "llama3.1:8b", "keep_alive": "300"}, 400, 'time: missing unit in duration "300"'),
        (
            "/api/chat",
            {"model": "llama3.1:8b", "messages": ASK, "format": "xml"},
            500,
            'invalid format: "xml"; expected "json" or a valid JSON Schema object',
        ),
        (
            "/api/embed",
            {"model": "llama3.1:8b", "input": "x"},
            501,
            "This server does not support embeddings. Start it with `--embeddings`",
        ),
        ("/api/chat", {"model": "gpt-oss:120b-cloud", "messages": ASK}, 401, "unauthorized"),
        ("/api/delete", None, 404, ""),
    ],
)
async def test_refuses_in_the_words_of_the_server(
    client: httpx.AsyncClient, path: str, body: bytes | dict[str, Any] | None, status: int, message: str
) -> None:
    if body is None:
        answer = await client.request("DELETE", path, json={"model": "x"})
        assert (answer.status_code, answer.json()) == (404, {"error": "model 'x' not found"})
        return
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await client.post(path, content=content)
    assert answer.status_code == status
    assert answer.json()["error"] == message


async def test_show_hides_arrays_unless_verbose_and_lists_tensors_always(client: httpx.AsyncClient) -> None:
    brief = (await client.post("/api/show", json={"model": "llama3.1:8b"})).json()
    full = (await client.post("/api/show", json={"model": "llama3.1:8b", "verbose": True})).json()
    assert brief["model_info"]["tokenizer.ggml.tokens"] is None
    assert full["model_info"]["tokenizer.ggml.tokens"]
    assert len(brief["tensors"]) == 291
    assert "FROM /root/.ollama/models/blobs/sha256-" in brief["modelfile"]


def test_catalogue_tensors_add_up_to_the_sizes_it_tells() -> None:
    for model in catalogue().values():
        if model.tensors and not model.projector_info:
            assert 0.95 < tensor_bytes(model.tensors) / model.size_bytes <= 1


async def test_tags_know_less_of_native_models_than_show(client: httpx.AsyncClient) -> None:
    listed = {one["name"]: one for one in (await client.get("/api/tags")).json()["models"]}
    assert listed["gpt-oss:20b"]["capabilities"] == ["completion"]
    shown = (await client.post("/api/show", json={"model": "gpt-oss:20b"})).json()
    assert shown["capabilities"] == ["completion", "tools", "thinking"]
    assert listed["gpt-oss:120b-cloud"]["remote_host"] == "https://ollama.com:443"


async def test_tool_calls_come_in_the_stream_or_with_its_end(fake: FakeOllama, client: httpx.AsyncClient) -> None:
    fake.say("", CALL)
    rendered = await chat(client, "llama3.1:8b")
    native = await chat(client, "gpt-oss:20b")
    assert [bool(chunk["message"].get("tool_calls")) for chunk in rendered] == [False, True, False]
    assert [bool(chunk["message"].get("tool_calls")) for chunk in native] == [False, True]
    assert native[-1]["done"]
    assert native[-1]["message"]["tool_calls"][0]["function"]["arguments"] == {"zone": "UTC"}


async def test_thinking_models_think_unless_told_not_to(client: httpx.AsyncClient) -> None:
    thoughts = [chunk["message"].get("thinking") for chunk in await chat(client, "qwen3:8b")]
    assert thoughts[:2] == ["Let me ", "think."]
    assert not any(chunk["message"].get("thinking") for chunk in await chat(client, "qwen3:8b", think=False))


async def test_a_new_context_reloads_and_the_same_one_does_not(fake: FakeOllama, client: httpx.AsyncClient) -> None:
    for num_ctx in (8192, 8192, 16384):
        await chat(client, options={"num_ctx": num_ctx, "temperature": num_ctx / 20000})
    assert [(load.num_ctx, load.reload) for load in fake.runners.loads] == [(8192, False), (16384, True)]
    await client.post("/v1/chat/completions", json={"model": "llama3.1:8b", "messages": ASK})
    assert fake.loaded == {"llama3.1:8b": 4096}


async def test_names_over_one_blob_share_and_thrash_one_runner(fake: FakeOllama, client: httpx.AsyncClient) -> None:
    fake.models["long:latest"] = alias(fake.models["llama3.1:8b"], "long:latest", num_ctx=16384)
    await chat(client, "llama3.1:8b")
    await chat(client, "long")
    assert fake.loaded == {"long:latest": 16384}


async def test_nothing_is_sent_while_a_model_loads_and_ps_does_not_list_it(
    fake: FakeOllama, client: httpx.AsyncClient
) -> None:
    fake.runners.gate.clear()
    asked = asyncio.create_task(chat(client))
    await fake.until(lambda: len(fake.runners.loads) == 1)
    assert (await client.get("/api/ps")).json() == {"models": []}
    assert fake.requests_to("/api/chat")[0].status is None
    fake.runners.gate.set()
    await asked
    entry = (await client.get("/api/ps")).json()["models"][0]
    assert (entry["name"], entry["context_length"], entry["size_vram"]) == ("llama3.1:8b", 4096, 0)
    assert entry["size"] == 4_920_753_328 + 512 * 1024 * 1024


async def test_a_client_that_leaves_aborts_the_load(fake: FakeOllama, client: httpx.AsyncClient) -> None:
    fake.runners.gate.clear()
    asked = asyncio.create_task(chat(client))
    await fake.until(lambda: len(fake.runners.loads) == 1)
    asked.cancel()
    await fake.until(lambda: fake.runners.loads[0].outcome == "aborted")
    await fake.until(lambda: fake.active == 0)
    assert fake.loaded == {}
    assert fake.last.outcome == "disconnected"


async def test_loads_are_serial(fake: FakeOllama, client: httpx.AsyncClient) -> None:
    fake.runners.gate.clear()
    both = [asyncio.create_task(chat(client, name)) for name in ("llama3.1:8b", "gemma3:4b")]
    await fake.until(lambda: fake.active == 2 and len(fake.runners.loads) == 1)
    fake.runners.gate.set()
    await asyncio.gather(*both)
    assert [load.outcome for load in fake.runners.loads] == ["loaded", "loaded"]


async def test_keep_alive_sticks_and_zero_unloads(fake: FakeOllama, client: httpx.AsyncClient) -> None:
    preload = await client.post("/api/generate", json={"model": "llama3.1:8b", "keep_alive": -1})
    assert preload.json()["done_reason"] == "load"
    await chat(client)
    [runner] = fake.runners.by_blob.values()
    assert runner.keep_alive_s == float("inf")
    unload = await client.post("/api/generate", json={"model": "llama3.1:8b", "keep_alive": 0})
    assert unload.json()["done_reason"] == "unload"
    assert fake.loaded == {}


async def test_the_cap_on_loaded_models_evicts_the_shortest_lived(client: httpx.AsyncClient, fake: FakeOllama) -> None:
    fake.profile.max_loaded = 2
    await chat(client, "llama3.1:8b", keep_alive=-1)
    await chat(client, "gemma3:4b")
    await chat(client, "qwen3:8b")
    assert set(fake.loaded) == {"llama3.1:8b", "qwen3:8b"}


async def test_a_full_load_queue_is_busy() -> None:
    async with (
        FakeOllama(models=["llama3.1:8b"], profile=HostProfile(max_queue=0)) as fake,
        httpx.AsyncClient(base_url=fake.url, trust_env=False) as client,
    ):
        answer = await client.post("/api/chat", json={"model": "llama3.1:8b", "messages": ASK})
        assert answer.status_code == 503
        assert answer.json() == {"error": "server busy, please try again.  maximum pending requests exceeded"}


async def test_an_overlong_prompt_is_cut_silently_or_refused_with_json_in_a_string(client: httpx.AsyncClient) -> None:
    long: dict[str, Any] = {"messages": [{"role": "user", "content": "word " * 5000}]}
    silent = await chat(client, **long)
    assert silent[-1]["prompt_eval_count"] == 2048
    for model, more in (("llama3.1:8b", {"truncate": False}), ("gpt-oss:20b", {})):
        answer = await client.post("/api/chat", json={"model": model, **long, **more})
        assert answer.status_code == 400
        inner = json.loads(answer.json()["error"])["error"]
        assert inner["type"] == "exceed_context_size_error"
        assert (inner["n_prompt_tokens"], inner["n_ctx"]) == (5004, 4096)


async def test_images_for_a_blind_model_fail_late_and_differently(client: httpx.AsyncClient) -> None:
    shown = [{"role": "user", "content": "see", "images": ["aGk="]}]
    native = await client.post("/api/chat", json={"model": "gpt-oss:20b", "messages": shown})
    rendered = await client.post("/api/chat", json={"model": "llama3.1:8b", "messages": shown})
    assert (native.status_code, rendered.status_code) == (500, 400)
    assert json.loads(native.json()["error"])["error"]["message"].startswith("image input is not supported")
    assert (await client.post("/api/chat", json={"model": "gemma3:4b", "messages": shown})).status_code == 200


async def test_a_failed_pull_is_a_200_with_an_error_line(fake: FakeOllama, client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/pull", json={"model": "nothing:here"})
    assert answer.status_code == 200
    assert json.loads(answer.text.splitlines()[-1]) == {"error": "pull model manifest: file does not exist"}
    assert (await client.post("/api/pull", json={"model": "nothing:here", "stream": False})).status_code == 500
    answer = await client.post("/api/pull", json={"model": "mistral"})
    assert json.loads(answer.text.splitlines()[-1]) == {"status": "success"}
    assert "mistral:latest" in fake.models


async def test_a_foreign_host_header_is_forbidden(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/tags", headers={"Host": "example.com"})
    assert (answer.status_code, answer.content) == (403, b"")


async def test_the_compat_layer_drops_fields_and_lists_null(client: httpx.AsyncClient, fake: FakeOllama) -> None:
    body = {"model": "llama3.1:8b", "messages": ASK, "max_completion_tokens": 1, "options": {"num_ctx": 9}, "n": 3}
    answer = (await client.post("/v1/chat/completions", json=body)).json()
    assert answer["choices"][0]["message"]["content"] == "Hello from llama3.1:8b ."
    assert answer["usage"]["completion_tokens"] == 4
    assert fake.loaded == {"llama3.1:8b": 4096}
    fake.models.clear()
    assert (await client.get("/v1/models")).json() == {"object": "list", "data": None}


async def test_the_compat_layer_loses_errors_in_streams(client: httpx.AsyncClient, fake: FakeOllama) -> None:
    fake.say("", Reply(content=("Hi",), error="the runner died"))
    answer = await client.post("/v1/chat/completions", json={"model": "llama3.1:8b", "messages": ASK, "stream": True})
    assert answer.status_code == 200
    assert "the runner died" not in answer.text
    assert "[DONE]" not in answer.text
    assert (await chat(client))[-1] == {"error": "the runner died"}


@pytest.mark.parametrize(
    ("fault", "lines", "error"),
    [
        (faults.reset(), None, httpx.ReadError),
        (faults.cut(), None, httpx.RemoteProtocolError),
        (faults.reset(after_chunks=0), 0, httpx.ReadError),
        (faults.cut(after_chunks=1), 1, httpx.RemoteProtocolError),
        (faults.eof(after_chunks=1), 1, None),
        (faults.error("gone", after_chunks=1), 2, None),
    ],
)
async def test_faults_show_what_they_say(
    client: httpx.AsyncClient,
    fake: FakeOllama,
    fault: faults.Fault,
    lines: int | None,
    error: type[httpx.TransportError] | None,
) -> None:
    fake.fail(fault, route="/api/chat", model="llama3.1:8b", times=1)
    seen: list[str] | None = None
    raised: type[httpx.TransportError] | None = None
    try:
        async with client.stream("POST", "/api/chat", json={"model": "llama3.1:8b", "messages": ASK}) as answer:
            seen = []
            async for line in answer.aiter_lines():
                seen.append(line)
    except httpx.TransportError as problem:
        raised = type(problem)
    assert raised is error
    assert (None if seen is None else len(seen)) == lines
    assert len(await chat(client)) == 5


async def test_it_can_be_stopped_and_started_on_its_port(fake: FakeOllama) -> None:
    async with httpx.AsyncClient(base_url=fake.url, trust_env=False) as client:
        await fake.stop()
        with pytest.raises(httpx.ConnectError):
            await client.get("/")
        await fake.start()
        assert (await client.get("/")).text == "Ollama is running"


def test_it_serves_from_a_thread() -> None:
    with FakeOllama().in_thread() as fake:
        assert httpx.get(f"{fake.url}/api/version", trust_env=False).json() == {"version": "0.33.0"}

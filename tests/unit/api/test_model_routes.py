"""The admin routes of models, called without a socket, over a real discovery of a fake Ollama host."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from fakes.ollama import FakeOllama
from fakes.ollama_models import FakeModel, alias, catalogue
from keeping_builders import admin_of_models, write_configuration

LLAMA = "/admin/v1/models/ollama:llama3.1:8b"
SLASHED = "hf.co/org/tiny:Q4"


@pytest.fixture
async def fake() -> AsyncIterator[FakeOllama]:
    models: list[str | FakeModel] = ["llama3.1:8b", "mistral", alias(catalogue()["llama3.1:8b"], "mine:latest")]
    async with FakeOllama(models=models) as server:
        yield server


@pytest.fixture
async def client(fake: FakeOllama, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    cloud: dict[str, object] = {"openai": {"models": {"gpt-4o-mini": {}}}}
    folder = write_configuration(tmp_path, url=fake.url, cloud_providers=cloud)
    async with admin_of_models(folder) as app:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:4000") as caller:
            yield caller


async def test_a_model_is_loaded_with_the_planned_context(fake: FakeOllama, client: httpx.AsyncClient) -> None:
    answer = await client.post(f"{LLAMA}/load")
    content = answer.json()
    assert answer.status_code == 200
    assert content.pop("seconds") >= 0
    resident = content.pop("resident")
    assert content == {"model": "ollama:llama3.1:8b", "loaded": True, "already": False, "context": 16_000}
    assert (resident["context"], resident["vram_bytes"]) == (16_000, 0)
    assert resident["bytes"] > 4_000_000_000
    assert fake.loaded == {"llama3.1:8b": 16_000}
    assert (await client.post(f"{LLAMA}/load")).json()["already"] is True


async def test_a_model_in_no_role_is_loaded_with_the_default_context(
    fake: FakeOllama, client: httpx.AsyncClient
) -> None:
    assert (await client.post("/admin/v1/models/mistral/load")).json()["model"] == "ollama:mistral:latest"
    assert fake.loaded == {"mistral:latest": 8_192}


async def test_another_name_of_planned_weights_has_their_context(fake: FakeOllama, client: httpx.AsyncClient) -> None:
    await client.post("/admin/v1/models/ollama:mine/load")
    await client.post(f"{LLAMA}/load")
    assert [(one.num_ctx, one.reload) for one in fake.runners.loads] == [(16_000, False)]


async def test_the_body_may_say_how_long_a_model_stays(fake: FakeOllama, client: httpx.AsyncClient) -> None:
    answer = await client.post(f"{LLAMA}/load", json={"keep_alive": -1})
    assert answer.json()["resident"]["expires"].startswith("2318-")
    assert fake.requests_to("/api/generate")[0].json["keep_alive"] == -1


@pytest.mark.parametrize(
    ("body", "message", "param"),
    [
        (
            b'{"keep_alive": "soon"}',
            'keep_alive: found "soon"; allowed: a time with its unit (30m, 1h30m), a number of seconds, or -1 for ever',
            "keep_alive",
        ),
        (
            b'{"keepalive": "5m"}',
            'the field "keepalive" is not known here; allowed: keep_alive (did you mean "keep_alive"?)',
            "keepalive",
        ),
        (b"[]", "the body must be a JSON object; found an empty list", None),
    ],
)
async def test_a_body_that_means_nothing_is_refused(
    body: bytes, message: str, param: str | None, fake: FakeOllama, client: httpx.AsyncClient
) -> None:
    answer = await client.post(f"{LLAMA}/load", content=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "invalid_request", param)
    assert error["message"] == message
    assert fake.loaded == {}


async def test_an_unload_answers_when_the_model_is_out_of_memory(fake: FakeOllama, client: httpx.AsyncClient) -> None:
    await client.post(f"{LLAMA}/load")
    content = (await client.post(f"{LLAMA}/unload")).json()
    assert content.pop("seconds") >= 0
    assert content == {"model": "ollama:llama3.1:8b", "unloaded": True, "was_loaded": True}
    assert fake.loaded == {}


async def test_every_model_is_listed_with_what_is_known_held_and_needed(client: httpx.AsyncClient) -> None:
    await client.post(f"{LLAMA}/load")
    models = {one["model"]: one for one in (await client.get("/admin/v1/models")).json()["models"]}
    assert list(models) == [
        "ollama:llama3.1:8b",
        "ollama:mine:latest",
        "ollama:mistral:latest",
        "openai:gpt-4o-mini",
    ]
    llama = models["ollama:llama3.1:8b"]
    assert (llama["provider"], llama["provider_up"], llama["lane"], llama["cloud"]) == ("ollama", True, "ollama", False)
    assert (llama["roles"], models["ollama:mistral:latest"]["roles"]) == (["planner"], [])
    assert llama["capabilities"]["context_length"]["value"] == 131_072
    assert llama["capabilities"]["context_length"]["origin"] == "reported"
    assert set(llama["resident"]) == {"bytes", "vram_bytes", "context", "expires"}
    assert llama["resident"]["context"] == models["ollama:mine:latest"]["resident"]["context"] == 16_000
    assert models["ollama:mistral:latest"]["resident"] is None
    assert models["openai:gpt-4o-mini"]["cloud"] is True


async def test_what_a_host_that_went_away_holds_is_not_made_up(fake: FakeOllama, client: httpx.AsyncClient) -> None:
    await client.post(f"{LLAMA}/load")
    await fake.stop()
    answer = await client.get("/admin/v1/models")
    assert answer.status_code == 200
    assert [one["resident"] for one in answer.json()["models"]] == [None] * 4


async def test_an_unknown_model_is_answered_with_the_nearest(client: httpx.AsyncClient) -> None:
    answer = await client.post("/admin/v1/models/ollama:lama3.1:8b/load")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert answer.json()["error"]["message"] == (
        'there is no model "ollama:lama3.1:8b"; known: ollama:llama3.1:8b, ollama:mine:latest, '
        'ollama:mistral:latest, openai:gpt-4o-mini (did you mean "ollama:llama3.1:8b"?)'
    )


@pytest.mark.parametrize(
    ("method", "path", "done"),
    [("POST", "/load", "loaded"), ("POST", "/unload", "unloaded"), ("DELETE", "", "removed")],
)
async def test_a_provider_that_has_no_such_thing_is_501(
    method: str, path: str, done: str, client: httpx.AsyncClient
) -> None:
    answer = await client.request(method, f"/admin/v1/models/openai:gpt-4o-mini{path}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (501, "unsupported")
    assert answer.json()["error"]["message"] == (
        f"openai:gpt-4o-mini cannot be {done}: openai is of kind cloud, which has no such thing"
    )


async def test_a_model_that_roles_use_is_removed_only_by_force(fake: FakeOllama, client: httpx.AsyncClient) -> None:
    answer = await client.delete(LLAMA)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "model_in_use")
    assert answer.json()["error"]["message"] == (
        "ollama:llama3.1:8b serves the role planner (take it out of what they prefer, or insist: "
        "--force on the command line, ?force=1 over HTTP)"
    )
    assert (await client.delete(f"{LLAMA}?force=maybe")).status_code == 400
    assert "llama3.1:8b" in fake.models
    answer = await client.delete(f"{LLAMA}?force=1")
    assert (answer.status_code, answer.json()) == (200, {"model": "ollama:llama3.1:8b", "removed": True})
    assert "llama3.1:8b" not in fake.models
    assert "ollama:llama3.1:8b" not in str((await client.get("/admin/v1/models")).json()["models"])


async def test_a_reference_may_hold_slashes_and_be_new(fake: FakeOllama, client: httpx.AsyncClient) -> None:
    fake.models[SLASHED] = alias(catalogue()["mistral:latest"], SLASHED)
    answer = await client.post(f"/admin/v1/models/ollama:{SLASHED}/load")
    assert answer.json()["model"] == f"ollama:{SLASHED}"
    assert (await client.delete(f"/admin/v1/models/ollama%3A{SLASHED}")).status_code == 200
    assert SLASHED not in fake.models


async def test_what_the_provider_says_of_a_failure_is_handed_on(fake: FakeOllama, client: httpx.AsyncClient) -> None:
    fake.runners.load_errors["llama3.1:8b"] = "llama-server process has terminated: exit status 1"
    answer = await client.post(f"{LLAMA}/load")
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "provider_failed")
    assert answer.json()["error"]["message"].endswith(
        "answers /api/generate with status 500: llama-server process has terminated: exit status 1"
    )
    await fake.stop()
    answer = await client.post(f"{LLAMA}/load")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "provider_down")


async def test_a_load_under_way_leaves_the_other_routes_free(fake: FakeOllama, client: httpx.AsyncClient) -> None:
    fake.runners.gate.clear()
    load = asyncio.create_task(client.post(f"{LLAMA}/load"))
    await fake.until(lambda: len(fake.runners.loads) == 1)
    listed = (await client.get("/admin/v1/models")).json()["models"]
    assert [one["resident"] for one in listed] == [None] * 4
    fake.runners.gate.set()
    assert (await load).status_code == 200


async def test_the_resources_are_this_machines_and_each_local_hosts(client: httpx.AsyncClient) -> None:
    content = (await client.get("/admin/v1/resources")).json()
    assert content["memory_available_bytes"] == 64_000_000_000
    assert content["vram_available_bytes"] is None
    assert list(content["providers"]) == ["ollama"]
    assert content["providers"]["ollama"]["usable_bytes"] == 57_600_000_000
    assert content["providers"]["ollama"]["arithmetic"].startswith("64.00 GB available")


async def test_before_the_first_plan_nothing_is_loaded(fake: FakeOllama, tmp_path: Path) -> None:
    folder = write_configuration(tmp_path, url=fake.url)
    async with admin_of_models(folder, started=False) as app:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:4000") as caller:
            for answer in (
                await caller.post(f"{LLAMA}/load"),
                await caller.get("/admin/v1/models"),
                await caller.get("/admin/v1/resources"),
            ):
                assert (answer.status_code, answer.json()["error"]["code"]) == (503, "starting")
    assert fake.loaded == {}

"""The OpenAPI document of the admin routes is what is mounted, what is answered, and what is refused."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from admin_builders import Gateway, an_admin_gateway, mounted, write_layers
from fakes.ollama import FakeOllama
from gateway import __version__
from gateway.api.admin_openapi import openapi_document
from gateway.api.admin_operations import OPERATIONS
from gateway.config.bundle import Bundle, packed
from gateway.config.schema import ProfileFile
from gateway_process import GatewayProcess

DOCUMENT = openapi_document(open_here=False)
FAST = {"role_mappings": {"planner": {"preferred": ["mistral:latest"]}}}
PROFILE = "/admin/v1/profiles/{name}"
ROLE = "/admin/v1/roles/{role}"
LOADED = "/admin/v1/models/ollama:llama3.1:8b"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with (
        FakeOllama(models=["llama3.1:8b", "mistral"]) as server,
        an_admin_gateway(write_layers(tmp_path, url=server.url, fast=FAST)) as live,
    ):
        yield live


def packed_profile(name: str) -> Any:
    """An exported profile as a body."""
    return json.loads(packed(Bundle(name=name, values={"description": "another"}, parents={})))


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, described in methods.items():
            yield method.upper(), path, described


def schemas(node: Any, *, within: str = "") -> Iterator[Any]:
    """Every schema in the document."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "schema":
                yield value
            elif within == "components" and key == "schemas":
                yield from value.values()
            else:
                yield from schemas(value, within=key)
    elif isinstance(node, list):
        for one in node:
            yield from schemas(one)


def checked(content: Any, schema: dict[str, Any]) -> list[str]:
    """What is wrong with an answer, by a schema of the document."""
    whole = {**schema, "components": DOCUMENT["components"]}
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(whole).iter_errors(content)]


def described_answer(method: str, path: str, status: int) -> dict[str, Any]:
    answers = DOCUMENT["paths"][path][method.lower()]["responses"]
    schema: dict[str, Any] = answers[str(status)]["content"]["application/json"]["schema"]
    return schema


async def test_what_is_described_is_what_is_mounted(gateway: Gateway) -> None:
    assert {(method, path) for method, path, _ in operations()} == mounted(gateway.app)


@pytest.mark.parametrize("path", DOCUMENT["paths"])
async def test_whoever_tries_another_method_is_told_all_that_the_path_takes(path: str, gateway: Gateway) -> None:
    answer = await gateway.client.request("TRACE", re.sub(r"\{\w+\}", "x", path))
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) - {"HEAD"} == {method.upper() for method in DOCUMENT["paths"][path]}


async def test_a_gateway_that_is_served_has_all_of_it(tmp_path: Path) -> None:
    async with (
        GatewayProcess(tmp_path, {"role_mappings": {"planner": {}}, "local_providers": {}}) as served,
        httpx.AsyncClient(base_url=served.url, trust_env=False) as client,
    ):
        missing = []
        for method, path, _ in operations():
            answer = await client.request(method, re.sub(r"\{\w+\}", "x", path), json={})
            said = answer.json().get("error", {}).get("message", "")
            if said.endswith(("Not Found", "Method Not Allowed")):
                missing.append(f"{method} {path}: {said}")
    assert not missing


async def test_the_document_is_served(gateway: Gateway) -> None:
    answer = await gateway.client.get("/admin/v1/openapi.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == json.loads(json.dumps(openapi_document(open_here=True)))


def test_the_document_says_what_it_is() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    assert DOCUMENT["info"]["version"] == __version__
    ids = [described["operationId"] for _, _, described in operations()]
    assert len(ids) == len(set(ids)) == len(OPERATIONS)


def test_every_schema_is_one_and_every_reference_leads_somewhere() -> None:
    for schema in schemas(DOCUMENT):
        Draft202012Validator.check_schema(schema)
    named = set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(DOCUMENT)))
    known = {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}
    assert named <= known
    unused = known - named
    assert not unused


def test_every_part_of_a_path_is_described() -> None:
    for method, path, described in operations():
        told = {one["name"] for one in described.get("parameters", ()) if one["in"] == "path"}
        assert told == set(re.findall(r"\{(\w+)\}", path)), f"{method} {path}"


def test_a_profile_is_described_as_it_is_checked() -> None:
    described = DOCUMENT["components"]["schemas"]["Profile"]["properties"]
    fields = ProfileFile.model_fields.items()
    assert set(described) == {field.alias or name for name, field in fields}


def test_every_body_has_an_example_that_is_one() -> None:
    for method, path, described in operations():
        for content in described.get("requestBody", {}).get("content", {}).values():
            assert content["example"], f"{method} {path}"
            assert checked(content["example"], content["schema"]) == [], f"{method} {path}"


@pytest.mark.parametrize("open_here", [True, False])
def test_a_key_is_asked_for_unless_the_gateway_is_open_here(open_here: bool) -> None:
    document = openapi_document(open_here=open_here)
    assert document["security"] == [*([{}] if open_here else []), {"bearer": []}, {"api_key": []}]
    assert document["components"]["securitySchemes"]["api_key"] == {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
        "description": "an admin key, too",
    }


def test_every_operation_says_how_it_refuses() -> None:
    for method, path, described in operations():
        answers = described["responses"]
        assert {"403", "500"} <= set(answers), f"{method} {path}"
        assert "host_not_allowed" in answers["403"]["description"]
    swap = DOCUMENT["paths"]["/admin/v1/swap"]["post"]["responses"]
    assert (swap["409"]["description"], swap["422"]["description"]) == (
        "hot_swap_disabled",
        "config_invalid, template_invalid",
    )
    put = DOCUMENT["paths"]["/admin/v1/profiles/{name}"]["put"]["responses"]
    assert put["412"]["description"] == "edit_conflict"


@pytest.mark.parametrize(
    ("method", "path", "route", "body", "status"),
    [
        ("GET", "/admin/v1/status", "", None, 200),
        ("GET", "/admin/v1/plan", "", None, 200),
        ("GET", "/admin/v1/generations", "", None, 200),
        ("GET", "/admin/v1/generations?limit=0", "/admin/v1/generations", None, 400),
        ("POST", "/admin/v1/explain/planner", "/admin/v1/explain/{role}", {"memory_gb": 1}, 200),
        ("POST", "/admin/v1/explain/x", "/admin/v1/explain/{role}", {}, 404),
        ("POST", "/admin/v1/swap", "", {"profile": "fast"}, 200),
        ("POST", "/admin/v1/swap", "", {"profile": "x"}, 404),
        ("POST", "/admin/v1/reload", "", None, 200),
        ("POST", "/admin/v1/rollback", "", None, 400),
        ("GET", "/admin/v1/profiles", "", None, 200),
        ("GET", "/admin/v1/profiles/fast", "/admin/v1/profiles/{name}", None, 200),
        ("PUT", "/admin/v1/profiles/new", "/admin/v1/profiles/{name}", FAST, 201),
        ("PUT", "/admin/v1/profiles/fast", "/admin/v1/profiles/{name}", FAST, 412),
        ("PUT", "/admin/v1/profiles/new", "/admin/v1/profiles/{name}", {"gateway": 3}, 422),
        ("DELETE", "/admin/v1/profiles/fast", "/admin/v1/profiles/{name}", None, 200),
        ("PATCH", "/admin/v1/profiles/fast", f"{PROFILE}", {"set": {"selection.memory_margin": 0.2}}, 200),
        ("PATCH", "/admin/v1/profiles/fast", f"{PROFILE}", {"unset": ["selection.memory_margin"]}, 400),
        ("POST", "/admin/v1/profiles/fast/copy", f"{PROFILE}/copy", {"name": "mine"}, 201),
        ("POST", "/admin/v1/profiles/fast/copy", f"{PROFILE}/copy", {"name": "fast"}, 409),
        ("GET", "/admin/v1/profiles/fast/diff?with=fast", f"{PROFILE}/diff", None, 200),
        ("GET", "/admin/v1/profiles/fast/diff", f"{PROFILE}/diff", None, 400),
        ("GET", "/admin/v1/profiles/fast/validate", f"{PROFILE}/validate", None, 200),
        ("GET", "/admin/v1/profiles/x/validate", f"{PROFILE}/validate", None, 404),
        ("GET", "/admin/v1/profiles/fast/export", f"{PROFILE}/export", None, 200),
        ("POST", "/admin/v1/profiles", "", packed_profile("new"), 201),
        ("POST", "/admin/v1/profiles", "", packed_profile("fast"), 409),
        ("POST", "/admin/v1/profiles?replace=1", "/admin/v1/profiles", packed_profile("fast"), 200),
        ("GET", "/admin/v1/roles", "", None, 200),
        ("GET", "/admin/v1/roles/planner", ROLE, None, 200),
        ("GET", "/admin/v1/roles/x", ROLE, None, 404),
        ("PUT", "/admin/v1/roles/new", ROLE, {"discover": True}, 201),
        ("PUT", "/admin/v1/roles/planner", ROLE, {}, 412),
        ("PATCH", "/admin/v1/roles/planner", ROLE, {"set": {"requirements.memory_gb_max": 6}}, 200),
        ("DELETE", "/admin/v1/roles/planner", ROLE, None, 200),
        ("GET", "/admin/v1/plan/profile", "", None, 200),
        ("GET", "/admin/v1/plan/profile?extends=x", "/admin/v1/plan/profile", None, 404),
        ("POST", "/admin/v1/look", "", None, 200),
        ("GET", "/admin/v1/models", "", None, 200),
        ("POST", f"{LOADED}/load", "/admin/v1/models/{ref}/load", {"keep_alive": "5m"}, 200),
        ("POST", f"{LOADED}/unload", "/admin/v1/models/{ref}/unload", None, 200),
        ("DELETE", LOADED, "/admin/v1/models/{ref}", None, 409),
        ("DELETE", f"{LOADED}?force=1", "/admin/v1/models/{ref}", None, 200),
        ("GET", "/admin/v1/resources", "", None, 200),
        ("GET", "/admin/v1/requests", "", None, 200),
        ("GET", "/admin/v1/costs?by=day&days=7", "/admin/v1/costs", None, 200),
    ],
)
async def test_an_answer_is_as_described(
    method: str, path: str, route: str, body: Any, status: int, gateway: Gateway
) -> None:
    if body is not None and status < 300:
        asked = DOCUMENT["paths"][route or path][method.lower()]["requestBody"]
        assert checked(body, asked["content"]["application/json"]["schema"]) == []
    answer: httpx.Response = await gateway.client.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    assert checked(answer.json(), described_answer(method, route or path, status)) == []


async def test_an_answer_of_a_gateway_that_has_news_is_as_described(gateway: Gateway) -> None:
    await gateway.client.post("/admin/v1/swap", json={"profile": "fast"})
    (gateway.folder / "user_models.json").write_text('{"gateway": {"port": 0}}', encoding="utf-8")
    refused = await gateway.client.post("/admin/v1/reload")
    assert refused.status_code == 422
    assert checked(refused.json(), described_answer("POST", "/admin/v1/reload", 422)) == []
    status = (await gateway.client.get("/admin/v1/status")).json()
    assert status["pending"]["problems"]
    assert checked(status, described_answer("GET", "/admin/v1/status", 200)) == []

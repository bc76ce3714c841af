"""What tests with schemathesis need: a gateway that is shut to strangers, and schemathesis in a process of its own."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from fakes.ollama import FakeOllama
from fakes.upstream import FakeUpstream, UpstreamModel
from gateway_process import GatewayProcess

KEYS: Final[Mapping[str, str]] = {
    "nobody": "",
    "wrong": "rg-0123456789ab-" + "a" * 52,
    "client": "a-client-key-of-a-container",
    "admin": "an-admin-key-of-a-container",
}
"""By whose they are."""
CHATTING: Final = ("planner", "local")
EMBEDDING: Final = ("embedder",)

_HERE: Final = Path(__file__).parent
_ABILITIES: Final = ("audio", "insert", "json_schema", "thinking", "tools", "vision")
_ANSWERS: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "ignored_auth",
)
FOR_STRANGERS: Final = ("--checks", ",".join(_ANSWERS), "--warnings", "off")
"""Nothing that is described is to be accepted, so that only checks of answers are left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """``said`` tells of every failure how to repeat it; ``in_vain`` are the operations of which nothing was accepted that should
    have been; ``statuses`` those of all answers."""

    code: int
    said: str
    in_vain: set[str]
    statuses: set[int]


async def run_schemathesis(
    document: Mapping[str, Any], *arguments: str, gateway: GatewayProcess, key: str, folder: Path
) -> Ran:
    """Every kind of request that ``document`` describes, sent with this key, and the answers checked by it. Without a key,
    schemathesis makes keys up."""
    described = folder / "openapi.json"
    described.write_text(json.dumps(document), encoding="utf-8")
    summary, exchanges = folder / "summary.json", folder / "exchanges.har"
    shown = ["--header", f"Authorization: Bearer {key}"] if key else []
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", str(_HERE / "schemathesis.toml"),
        "run", str(described), "--url", gateway.url, *shown, *arguments, "--report", "json,har",
        "--report-json-path", str(summary), "--report-har-path", str(exchanges),
        cwd=folder, env={**os.environ, "SCHEMATHESIS_HOOKS": str(_HERE / "schemathesis_hooks.py")},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    return Ran(
        code=await process.wait(),
        said=said.decode(),
        in_vain=_in_vain(json.loads(summary.read_text(encoding="utf-8"))),
        statuses=_statuses(json.loads(exchanges.read_text(encoding="utf-8"))),
    )


def _in_vain(summary: Mapping[str, Any]) -> set[str]:
    rates = summary["valid_rates"].items()
    return {label for label, phases in rates if not any(one["accepted"] for one in phases.values())}


def _statuses(exchanges: Mapping[str, Any]) -> set[int]:
    return {one["response"]["status"] for one in exchanges["log"]["entries"]}


async def admin_document(gateway: GatewayProcess) -> dict[str, Any]:
    """As it is served, but without providers in a profile: a swap would make the gateway ask whatever address is in it."""
    async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
        answer = await client.get("/admin/v1/openapi.json", headers={"x-api-key": KEYS["admin"]})
    document: dict[str, Any] = answer.json()
    profile = document["components"]["schemas"]["Profile"]["properties"]
    for name in ("local_providers", "cloud_providers"):
        del profile[name]
    return document


@asynccontextmanager
async def a_shut_gateway(folder: Path) -> AsyncIterator[GatewayProcess]:
    """It listens for others, so that nobody gets in without a key, and swaps while it runs. Its roles are ``CHATTING``, one by
    Ollama, and ``EMBEDDING``."""
    profiles = folder / "config" / "user_profiles"
    profiles.mkdir(parents=True)
    (profiles / "coding.json").write_text('{"role_mappings": {"planner": {"preferred": ["mistral:latest"]}}}')
    (profiles / "research.json").write_text("{}")
    (profiles / "writing.json").write_text('{"extends": "coding"}')
    keys = {"ROLEGATE_ADMIN_KEY": KEYS["admin"], "ROLEGATE_CLIENT_KEY": KEYS["client"]}
    async with (
        FakeOllama(models=["llama3.1:8b", "mistral"]) as ollama,
        FakeUpstream(models=["able", UpstreamModel(name="vectors", embeds=True)]) as lab,
        GatewayProcess(
            folder, _configuration(ollama, lab), "--host", "0.0.0.0", "--hot-swap", environment=keys
        ) as gateway,
    ):
        yield gateway


def _configuration(ollama: FakeOllama, lab: FakeUpstream) -> dict[str, object]:
    able = {f"supports_{one}": True for one in _ABILITIES}
    return {
        "role_mappings": {
            "planner": {"preferred": ["lab:able"], "discover": False},
            "local": {"preferred": ["ollama:llama3.1:8b", "lab:able"], "discover": False},
            "embedder": {"preferred": ["lab:vectors"], "discover": False, "task": "embedding"},
        },
        "model_profiles": {"lab:able": {"capabilities": able}},
        "local_providers": {
            "ollama": {"kind": "ollama", "url": ollama.url, "memory_gb": 64},
            "lab": {"kind": "openai", "url": lab.base_url},
        },
    }

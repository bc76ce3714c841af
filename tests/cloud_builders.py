"""A gateway with cloud models behind local ones, and commands that are told things on standard input."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from fakes.upstream import FakeUpstream
from gateway_process import READY_S, Said, free_port

GPT = "openai:gpt-4o-mini"
CLAUDE = "anthropic:claude-sonnet-4-5"
LOCAL = "ollama:llama3.1:8b"
SET = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}


def a_cloud(*, key: str) -> FakeUpstream:
    """One server that speaks both wires, and wants ``key``."""
    return FakeUpstream(models=[GPT.partition(":")[2], CLAUDE.partition(":")[2]], key=key)


def behind_local(
    cloud: FakeUpstream,
    *,
    ollama: str = "",
    selection: Mapping[str, object] | None = None,
    role: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """``planner`` and ``critic``: a local model, down where no address is given, and OpenAI's or Anthropic's behind it."""
    common = {"preferred": [LOCAL], "discover": False, **(role or {})}
    return {
        "role_mappings": {
            "planner": {**common, "cloud_fallback": GPT},
            "critic": {**common, "cloud_fallback": CLAUDE},
        },
        "local_providers": {"ollama": {"kind": "ollama", "url": ollama or f"http://127.0.0.1:{free_port()}"}},
        "cloud_providers": {"openai": {"api_endpoint": cloud.base_url}, "anthropic": {"api_endpoint": cloud.url}},
        "selection": dict(selection or {}),
    }


async def rolegate(
    folder: Path, *arguments: str, stdin: str = "", environment: Mapping[str, str] | None = None
) -> Said:
    """Run a command on the installation in ``folder``, with ``stdin`` to read."""
    (folder / "config").mkdir(exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "--config-dir", str(folder / "config"), *arguments,
        env={**os.environ, "ROLEGATE_STATE_DIR": str(folder / "state"), **(environment or {})},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(READY_S):
        out, err = await process.communicate(stdin.encode())
    return Said(code=await process.wait(), out=out.decode(), err=err.decode())


async def keep_keys(folder: Path, *, key: str, environment: Mapping[str, str] | None = None) -> None:
    """Put ``key`` into the vault, for both clouds."""
    for provider in SET:
        said = await rolegate(folder, "providers", "set-key", provider, "--stdin", stdin=key, environment=environment)
        assert said.code == 0, said.err

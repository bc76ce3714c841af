"""A configuration folder over a fake Ollama, and the commands on it, without a running gateway."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from admin_builders import MISTRAL, write_layers
from command_builders import Run, a_command
from fakes.ollama import FakeOllama
from gateway_process import free_port


@pytest.fixture
async def fake() -> AsyncIterator[FakeOllama]:
    async with FakeOllama(models=["llama3.1:8b", "mistral"]) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path, fake: FakeOllama) -> Path:
    return write_layers(tmp_path, url=fake.url, port=free_port(), memory_gb=64, fast=MISTRAL)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder of the commands to come."""
    monkeypatch.setenv("ROLEGATE_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def rolegate(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    return a_command(folder, capsys)

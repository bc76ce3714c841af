"""A gateway with its admin routes over real files, for the tests of those routes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from admin_builders import MISTRAL, Gateway, an_admin_gateway, write_layers
from fakes.ollama import FakeOllama


@pytest.fixture
async def fake() -> AsyncIterator[FakeOllama]:
    async with FakeOllama(models=["llama3.1:8b", "mistral"]) as server:
        yield server


@pytest.fixture
async def gateway(fake: FakeOllama, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with an_admin_gateway(write_layers(tmp_path, url=fake.url, fast=MISTRAL)) as live:
        yield live


@pytest.fixture
async def still(fake: FakeOllama, tmp_path: Path) -> AsyncIterator[Gateway]:
    """One with hot-swap off."""
    async with an_admin_gateway(write_layers(tmp_path, url=fake.url, hot_swap=False, fast=MISTRAL)) as live:
        yield live

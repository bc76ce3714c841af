"""The tests' own walls: no other machine, none of the caller's settings, keys or files."""

import asyncio
import os
import socket
from pathlib import Path

import pytest


async def test_no_test_reaches_another_machine_by_address(refused_connections: list[str]) -> None:
    with pytest.raises(PermissionError, match=r"^tests may connect to this machine only, not to 192\.0\.2\.1$"):
        await asyncio.open_connection("192.0.2.1", 80)
    assert refused_connections == ["192.0.2.1"]
    refused_connections.clear()


def test_no_test_looks_up_another_machines_name(refused_connections: list[str]) -> None:
    with pytest.raises(PermissionError, match=r"^tests may connect to this machine only, not to example\.invalid$"):
        socket.create_connection(("example.invalid", 80))
    assert refused_connections == ["example.invalid"]
    refused_connections.clear()


async def test_this_machine_can_be_reached_by_name_and_address() -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        for host in ("127.0.0.1", "localhost"):
            reader, writer = await asyncio.open_connection(host, server.sockets[0].getsockname()[1])
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()


def test_home_is_empty_and_no_setting_or_key_gets_in(home: Path) -> None:
    assert Path.home() == home
    assert list(home.iterdir()) == []
    assert [name for name in os.environ if name.startswith("ROLEGATE_") or name.endswith("_API_KEY")] == []

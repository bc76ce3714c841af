"""With a certificate of its own configured, commands know this gateway by it alone, and others by what the system trusts."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from certificates import a_certificate
from command_builders import Run
from gateway.compose.workspace import Options, Workspace

OTHER: Final = "other.lan"


@pytest.fixture(autouse=True)
def _names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name is this machine's."""

    def getaddrinfo(host: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", int(port)))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.fixture
def certificates(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``own`` is configured as the gateway's, ``vouched`` and ``here`` are what the system trusts, ``nobodys`` is neither."""
    for name, host in (("own", "gateway.lan"), ("vouched", OTHER), ("here", "localhost"), ("nobodys", OTHER)):
        a_certificate(tmp_path / f"{name}.crt", tmp_path / f"{name}.key", host=host)
    settings = {"gateway": {"tls_cert": str(tmp_path / "own.crt"), "tls_key": str(tmp_path / "own.key")}}
    (folder / "user_models.json").write_text(json.dumps(settings), encoding="utf-8")
    system = tmp_path / "system.crt"
    system.write_bytes(b"".join((tmp_path / f"{name}.crt").read_bytes() for name in ("vouched", "here")))
    monkeypatch.setenv("SSL_CERT_FILE", str(system))
    return tmp_path


@asynccontextmanager
async def speaking(certificates: Path, name: str, *, folder: Path, port: int = 0) -> AsyncIterator[int]:
    """A gateway, as far as its status goes, with that certificate; its port."""
    told = {"generation": {}, "config_folder": str(folder), "state_folder": str(state_of(folder))}
    body = json.dumps(told).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head % len(body) + body)
        await writer.drain()
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / f"{name}.crt", certificates / f"{name}.key")
    server = await asyncio.start_server(answer, "127.0.0.1", port, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


def state_of(folder: Path) -> Path:
    return Workspace.open(Options(config_dir=folder)).state_folder


@pytest.mark.parametrize(
    ("host", "name", "code"),
    [
        (OTHER, "vouched", 0),
        (OTHER, "own", 0),
        (OTHER, "nobodys", 5),
        ("another.lan", "vouched", 5),
        ("127.0.0.1", "own", 0),
        ("localhost", "here", 5),
    ],
)
async def test_another_host_is_known_by_the_own_certificate_or_by_one_that_the_system_trusts_for_it(
    host: str, name: str, code: int, rolegate: Run, folder: Path, certificates: Path
) -> None:
    async with speaking(certificates, name, folder=folder) as port:
        ran = await rolegate("status", "--url", f"https://{host}:{port}")
    assert ran.code == code, ran.err
    assert ("certificate verify failed" in ran.err) == bool(code)


async def test_the_configured_address_is_known_by_the_own_certificate_alone(
    rolegate: Run, folder: Path, certificates: Path
) -> None:
    port = Workspace.open(Options(config_dir=folder)).configuration().gateway.port
    for name, code in (("own", 0), ("here", 5)):
        async with speaking(certificates, name, folder=folder, port=port):
            assert (await rolegate("status")).code == code


async def test_without_a_certificate_of_its_own_another_host_is_known_by_what_the_system_trusts(
    rolegate: Run, folder: Path, certificates: Path
) -> None:
    (folder / "user_models.json").unlink()
    for name, code in (("vouched", 0), ("own", 5)):
        async with speaking(certificates, name, folder=folder) as port:
            assert (await rolegate("status", "--url", f"https://{OTHER}:{port}")).code == code

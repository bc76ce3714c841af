"""A cloud that is asked over httpx: the address that was judged is connected to, in the name that was given."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from builders import a_provider
from certificates import a_certificate
from gateway.domain.model import ProviderKind
from gateway.reach import Forbidden
from gateway.registry.cloud_transport import CloudTransport, transport_to
from plans import a_cloud_provider

NAME: Final = "cloud.localhost"
ELSEWHERE: Final = "127.0.0.2"


class Server:
    """Answers everybody, and remembers the head of what it was asked, and the name that TLS was asked for."""

    def __init__(self) -> None:
        self.port = 0
        self.heads: list[str] = []
        self.names: list[str | None] = []

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode("ascii"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
        await writer.drain()
        writer.close()

    @asynccontextmanager
    async def listening(self, context: ssl.SSLContext | None = None) -> AsyncIterator["Server"]:
        if context is not None:
            context.sni_callback = lambda _, name, __: self.names.append(name)
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self


def leads_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """What every name leads to; the names that are looked up come into the list."""
    asked: list[str] = []

    def getaddrinfo(host: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (one, int(port))) for one in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


async def get(transport: httpx.AsyncBaseTransport, url: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
        return await client.get(url)


async def test_the_next_address_is_tried_where_one_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Server().listening() as server:
        asked = leads_to(monkeypatch, ELSEWHERE, "10.0.0.1", "127.0.0.1")
        answer = await get(CloudTransport(), f"http://{NAME}:{server.port}/v1/models")
    assert answer.text == "hi"
    assert f"Host: {NAME}:{server.port}\r\n" in server.heads[0]
    assert asked == [NAME], "a name is looked up once"


async def test_the_certificate_has_to_be_the_names_and_not_the_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_certificate(tmp_path / "cert", tmp_path / "key", host=NAME)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    trust = ssl.create_default_context(cafile=str(tmp_path / "cert"))
    async with Server().listening(context) as server:
        leads_to(monkeypatch, "127.0.0.1")
        assert (await get(CloudTransport(verify=trust), f"https://{NAME}:{server.port}/")).status_code == 200
        with pytest.raises(httpx.ConnectError, match="Hostname mismatch"):
            await get(CloudTransport(verify=trust), f"https://other.localhost:{server.port}/")
    assert server.names == [NAME, "other.localhost"]


async def test_what_is_forbidden_is_the_cause_of_the_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    leads_to(monkeypatch, "169.254.169.254")
    with pytest.raises(httpx.ConnectError) as failed:
        await get(CloudTransport(), "https://api.example.com/")
    assert isinstance(failed.value.__cause__, Forbidden)


async def test_a_name_that_nobody_knows_ends_in_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(httpx.ConnectError) as failed:
        await get(CloudTransport(), "https://api.example.com/")
    assert isinstance(failed.value.__cause__, socket.gaierror)


async def test_looking_a_name_up_has_the_time_that_connecting_has(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)
    async with httpx.AsyncClient(transport=CloudTransport(), timeout=0.01, trust_env=False) as client:
        with pytest.raises(httpx.ConnectTimeout, match=r"api\.example\.com is not looked up in time"):
            await client.get("https://api.example.com/")


def test_only_clouds_are_held_to_public_addresses() -> None:
    clouds = (
        a_cloud_provider("openai", url="https://api.openai.com/v1"),
        a_provider(url="https://ollama.com"),
        a_provider("theirs", kind=ProviderKind.OPENAI, url="https://ollama.com/v1"),
    )
    own = (a_provider(), a_provider(url="http://10.0.0.5:11434"), a_provider("lab", kind=ProviderKind.OPENAI))
    assert [type(transport_to(one)) for one in clouds] == [CloudTransport] * 3
    assert [type(transport_to(one)) for one in own] == [httpx.AsyncHTTPTransport] * 3

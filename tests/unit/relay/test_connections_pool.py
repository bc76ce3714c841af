"""The pool of connections: where they go, what their failures mean, and that none is left behind."""

import asyncio
import contextlib
import datetime as dt
import ipaddress
import random
import ssl
from pathlib import Path

import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fakes import faults
from fakes.upstream import FakeUpstream
from gateway.domain.secret import Secret
from gateway.errors import UpstreamFailed
from gateway.relay.connections import Connections, drain, read_whole
from relay_builders import SystemClock

BODY = {"model": "gpt-4o-mini", "stream": True, "messages": [{"role": "user", "content": "Hi."}]}
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def a_certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 that signed itself, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, secret)
    return certificate, context


async def say_hi(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(OK)
    writer.close()


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_certificate_must_be_one_that_the_machine_trusts(
    trusted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, context = a_certificate(tmp_path)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    connections = Connections(clock=SystemClock())
    server = await asyncio.start_server(say_hi, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with server:
        asking = connections.get(f"https://127.0.0.1:{port}/", connect_s=5)
        if trusted:
            async with asking as response:
                assert await read_whole(response) == b"hi"
        else:
            with pytest.raises(UpstreamFailed) as caught:
                async with asking:
                    """Never begun."""
            assert caught.value.failure == "transport"
            assert caught.value.message.startswith(
                f"no connection: 127.0.0.1:{port}: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"
            )
        await connections.close()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://:81/", "no connection: :81: the name is not known (Name or service not known)"),
        ("http://lab..example/", "no connection: lab..example:80: the name is none that can be looked up"),
        (f"http://{'a' * 64}/", f"no connection: {'a' * 64}:80: the name is none that can be looked up"),
    ],
    ids=["no name", "an empty part", "a part too long"],
)
async def test_a_name_that_leads_nowhere_is_called_so(url: str, why: str) -> None:
    connections = Connections(clock=SystemClock())
    with pytest.raises(UpstreamFailed) as caught:
        async with connections.get(url, connect_s=5):
            """Never begun."""
    assert (caught.value.failure, caught.value.message) == ("transport", why)


async def test_a_refused_connection_names_the_server() -> None:
    connections = Connections(clock=SystemClock())
    for url, server in (("http://127.0.0.1:9/x", "127.0.0.1:9"), ("http://[::1]:9/x", "[::1]:9")):
        with pytest.raises(UpstreamFailed) as caught:
            async with connections.get(url, connect_s=5):
                """Never begun."""
        assert caught.value.message == f"no connection: {server}: connection refused"


@pytest.mark.parametrize("key", ["sk-a\r\nX-Evil: 1", "sk-a\n", "sk-ä", "sk-\x00"])
async def test_a_key_that_is_no_headers_value_is_sent_nowhere(key: str) -> None:
    async with FakeUpstream() as lab:
        connections = Connections(clock=SystemClock())
        with pytest.raises(UpstreamFailed) as caught:
            connections.post(f"{lab.base_url}/chat/completions", body=BODY, connect_s=2, key=Secret(key))
        assert lab.requests == []
    assert caught.value.failure == "auth"
    assert caught.value.message == (
        "the gateway's key for the provider holds characters that no key has (a line break, perhaps)"
    )


async def test_an_address_with_letters_of_any_alphabet_is_written_as_http_wants_it() -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)
        writer.close()

    connections = Connections(clock=SystemClock())
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connections.get(f"http://127.0.0.1:{port}/bücher und/v1?a=%20ö", connect_s=2) as response:
            assert await read_whole(response) == b"hi"
    assert heads[0].startswith(b"GET /b%C3%BCcher%20und/v1?a=%20%C3%B6 HTTP/1.1\r\nHost: 127.0.0.1:")


@pytest.mark.parametrize(
    "fault",
    [
        faults.hang(),
        faults.raw(b"HTTP/1.1 20", ending="hold"),
        faults.raw(faults.head(content_type="text/event-stream", length=100) + b"data", ending="hold"),
        faults.stall(after_chunks=2),
    ],
    ids=["before the answer", "in its head", "in its body", "between its chunks"],
)
async def test_a_cancelled_request_closes_its_connection_at_once(fault: faults.Fault) -> None:
    async with FakeUpstream() as lab:
        connections = Connections(clock=SystemClock())
        lab.fail(fault)

        async def ask() -> None:
            async with connections.post(f"{lab.base_url}/chat/completions", body=BODY, connect_s=2) as response:
                await read_whole(response)

        for ticks in (0, 1, 2, 3, 5, 50):
            task = asyncio.create_task(ask())
            if ticks == 50:
                await lab.until(lambda: lab.active == 1)
            for _ in range(ticks):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled()
            await lab.until(lambda: lab.active == 0)
        assert connections._origins == {}
        async with asyncio.timeout(5):
            while lab.connections:  # noqa: ASYNC110  (the fake's list of connections has no event)
                await asyncio.sleep(0)


async def test_a_thousand_exchanges_with_faults_leave_nothing_open() -> None:
    dice = random.Random(7)
    process = psutil.Process()
    menu = [
        faults.reset(),
        faults.cut(),
        faults.reset(after_chunks=1),
        faults.cut(after_chunks=2),
        faults.eof(after_chunks=1),
        faults.status(500, "{}"),
        faults.status(429, "{}", retry_after="1"),
        faults.raw(b"garbage\r\n\r\n"),
        faults.raw(faults.head(content_type="text/event-stream", length=100) + b"data", ending="reset"),
        faults.garbage(after_chunks=1),
    ]
    async with FakeUpstream() as lab:
        connections = Connections(clock=SystemClock())
        gate = asyncio.Semaphore(16)

        async def ask() -> None:
            async with gate:
                with contextlib.suppress(UpstreamFailed):
                    asking = connections.post(
                        f"{lab.base_url}/chat/completions", body=BODY, connect_s=2, closes_unsaid=dice.random() < 0.5
                    )
                    async with asking as response:
                        if dice.random() < 0.3:
                            await response.readany()
                        else:
                            await read_whole(response)
                        await drain(response)

        before = process.num_fds()
        for _ in range(40):
            for fault in dice.sample(menu, 4):
                lab.fail(fault, times=dice.randint(1, 3))
            tasks = [asyncio.create_task(ask()) for _ in range(25)]
            for task in dice.sample(tasks, 4):
                asyncio.get_running_loop().call_later(dice.random() / 100, task.cancel)
            await asyncio.gather(*tasks, return_exceptions=True)
            lab.heal()
        assert len(connections._origins) <= 16
        assert sum(map(len, connections._idle.values())) == len(connections._origins)
        await connections.close()
        async with asyncio.timeout(5):
            while lab.connections or connections._origins:  # noqa: ASYNC110  (neither has an event)
                await asyncio.sleep(0)
        assert process.num_fds() <= before

"""No name, redirect or field of a request takes the gateway's prompts and keys where no cloud is."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from builders import a_provider
from client_builders import KEY, World
from contract.litellm_builders import CLAUDE, GPT, HELLO, ODD_WARNINGS, a_backend, chunks
from fakes import faults
from fakes.ollama import FakeOllama
from fakes.upstream import FakeUpstream
from gateway.backend.library import load_library
from gateway.backend.router import LiteLLMBackend
from gateway.catalog.scores import ScoreTable
from gateway.domain.model import Lane, ModelRef, Provider, ProviderKind
from gateway.domain.ports import ModelSource
from gateway.errors import ProviderDown, ProviderFailed, RequestFailed, UpstreamFailed
from gateway.registry.cache import CapabilityCache
from gateway.registry.cloud_listing import listing
from gateway.registry.enrich import Enricher
from gateway.registry.ollama import OllamaSource
from gateway.registry.ollama_keeping import OllamaKeeper
from gateway.registry.openai import OpenAISource
from gateway.relay.connections import Connections
from gateway.relay.ollama_wire import load_options
from gateway.relay.route import Route
from gateway.rendering.render import render
from gateway.rendering.templates import Templates
from plans import ROUTER_TEMPLATES, KnownKeys, a_cloud_provider, a_plan, a_role_plan
from plans import a_deployment as local_deployment
from relay_builders import SystemClock, a_deployment, a_relay, a_route, ask

pytestmark = [pytest.mark.litellm_facts, *ODD_WARNINGS, pytest.mark.usefixtures("litellm_stays_at_home")]

NAME: Final = "api.cloud.test"
PUBLIC: Final = "93.184.216.34"
FORBIDDEN_ADDRESSES: Final = {
    "loopback": "127.0.0.1",
    "loopback beyond the first": "127.255.255.254",
    "loopback in IPv6": "::1",
    "unspecified": "0.0.0.0",
    "unspecified in IPv6": "::",
    "a private network of class A": "10.0.0.1",
    "a private network of class B": "172.16.0.1",
    "a private network of class C": "192.168.1.1",
    "the metadata of a cloud machine": "169.254.169.254",
    "link-local in IPv6": "fe80::1",
    "unique local in IPv6": "fc00::1",
    "the metadata of a cloud machine in IPv6": "fd00:ec2::254",
    "site-local in IPv6": "fec0::1",
    "loopback mapped into IPv6": "::ffff:127.0.0.1",
    "metadata mapped into IPv6": "::ffff:169.254.169.254",
    "a private network mapped into IPv6": "::ffff:10.0.0.1",
    "loopback as IPv6 wrote it once": "::127.0.0.1",
    "loopback by 6to4": "2002:7f00:1::",
    "a private network by 6to4": "2002:c0a8:101::",
    "loopback translated by NAT64": "64:ff9b::7f00:1",
    "metadata translated by NAT64": "64:ff9b::a9fe:a9fe",
    "NAT64 of a network's own": "64:ff9b:1::7f00:1",
    "a private network by Teredo": "2001:0:4136:e378:8000:63bf:f5ff:fffe",
    "shared by carriers": "100.64.0.1",
    "the metadata of another cloud": "100.100.100.200",
    "the host of a cloud machine": "168.63.129.16",
    "metadata in the protocol block": "192.0.0.192",
    "for benchmarks": "198.18.0.1",
    "for documentation": "192.0.2.1",
    "multicast": "224.0.0.1",
    "multicast in IPv6": "ff02::1",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
}
ODD_HOSTS: Final = {
    "a short form": "127.1",
    "a hexadecimal number": "0x7f000001",
    "a decimal number": "2130706433",
    "an octal number": "017700000001",
    "octal parts": "0177.0.0.01",
    "a private address": "10.0.0.1",
    "a mapped address": "[::ffff:10.0.0.1]",
}


class Trap:
    """Listens on loopback, and counts who comes."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0

    def _met(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.close()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Trap"]:
        server = await asyncio.start_server(self._met, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self


@pytest.fixture
async def trap() -> AsyncIterator[Trap]:
    async with Trap().listening() as one:
        yield one


Lookups = dict[str, list[str]]


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> Lookups:
    """What names lead to, one address for each lookup, the last one for all that come later. Numbers are read as C does."""
    names: Lookups = {}

    def address_of(host: str) -> str:
        if host in names:
            return names[host].pop(0) if len(names[host]) > 1 else names[host][0]
        return host if ":" in host else socket.inet_ntoa(socket.inet_aton(host))

    def getaddrinfo(host: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
        address = address_of(host.decode() if isinstance(host, bytes) else host)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        place = (address, int(port), 0, 0) if family is socket.AF_INET6 else (address, int(port))
        return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", place)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return names


async def asked_on_the_openai_lane(url: str) -> str:
    """What became of a request to a cloud on the openai lane."""
    deployment = a_deployment("openai:gpt-4o-mini", lane=Lane.OPENAI, cloud=True)
    provider = a_cloud_provider("openai", url=url)
    assert provider.kind is ProviderKind.CLOUD
    route = Route(plan=a_role_plan("planner", deployment), providers={"openai": provider}, generation=1, backend=None)
    async with a_relay(urls={"openai": url}, key=KEY) as relay:
        with pytest.raises(RequestFailed) as caught:
            await ask(relay, route)
    assert [one.failure for one in caught.value.attempts] == ["transport", "transport"]
    return caught.value.message


async def asked_through_litellm(openai_url: str, anthropic_url: str, *, reason: str = "") -> None:
    """Nothing comes of a request to either of two clouds on the litellm lane."""
    backend = a_backend(openai_url=openai_url, anthropic_url=anthropic_url)
    try:
        for role, ref in (("planner", GPT), ("critic", CLAUDE)):
            with pytest.raises(UpstreamFailed) as caught:
                await chunks(backend, HELLO, role=role, ref=ref)
            assert caught.value.status is None
            assert reason in caught.value.message
    finally:
        await backend.close()


@pytest.mark.parametrize("address", FORBIDDEN_ADDRESSES.values(), ids=FORBIDDEN_ADDRESSES.keys())
async def test_a_clouds_name_that_leads_elsewhere_is_not_followed(address: str, trap: Trap, lookups: Lookups) -> None:
    lookups[NAME] = [address]
    url = f"https://{NAME}:{trap.port}"
    message = await asked_on_the_openai_lane(f"{url}/v1")
    assert f"{address} is a" in message
    assert "and a cloud provider is looked for at public addresses only" in message
    await asked_through_litellm(f"{url}/v1", url, reason=f"no connection: {address} is a")
    assert trap.connections == 0


async def listed(url: str) -> str:
    """Why a cloud is not asked for its models."""
    with pytest.raises(ProviderFailed) as failed:
        await listing(a_cloud_provider("openai", url=url), keys=KnownKeys(), models=[])
    return failed.value.message


@pytest.mark.parametrize("address", FORBIDDEN_ADDRESSES.values(), ids=FORBIDDEN_ADDRESSES.keys())
async def test_a_clouds_name_that_leads_elsewhere_is_not_asked_for_its_models(
    address: str, trap: Trap, lookups: Lookups
) -> None:
    lookups[NAME] = [address]
    url = f"https://{NAME}:{trap.port}/v1"
    message = await listed(url)
    assert message.startswith(f"openai at {url} is not asked: {address} is a")
    assert message.endswith(" address, and a cloud provider is looked for at public addresses only")
    assert trap.connections == 0


@pytest.mark.parametrize("host", ODD_HOSTS.values(), ids=ODD_HOSTS.keys())
async def test_an_address_in_an_odd_form_is_not_asked_for_its_models(host: str, trap: Trap, lookups: Lookups) -> None:
    message = await listed(f"https://{host}:{trap.port}/v1")
    # What is written like four numbers and is none is refused by httpx itself.
    assert "is looked for at public addresses only" in message or "Invalid IPv4 address" in message
    assert trap.connections == 0


async def test_a_list_of_models_comes_over_https_from_the_address_that_was_judged(
    trap: Trap, lookups: Lookups, refused_connections: list[str]
) -> None:
    lookups[NAME] = [PUBLIC, "127.0.0.1"]
    message = await listed(f"http://{NAME}:{trap.port}/v1")
    assert message.endswith("is not asked: a cloud provider is asked over https only, unless it is on this machine")
    assert " does not answer: " in await listed(f"https://{NAME}:{trap.port}/v1")
    assert set(refused_connections) == {PUBLIC}, "the address that was judged is the one connected to"
    refused_connections.clear()
    assert trap.connections == 0


@pytest.mark.parametrize("host", ODD_HOSTS.values(), ids=ODD_HOSTS.keys())
async def test_an_address_in_an_odd_form_is_the_address_that_it_is(host: str, trap: Trap, lookups: Lookups) -> None:
    url = f"https://{host}:{trap.port}"
    assert "is looked for at public addresses only" in await asked_on_the_openai_lane(f"{url}/v1")
    await asked_through_litellm(f"{url}/v1", url)
    assert trap.connections == 0


async def test_plain_http_to_a_cloud_is_refused_whatever_its_address(trap: Trap, lookups: Lookups) -> None:
    lookups[NAME] = [PUBLIC]
    message = await asked_on_the_openai_lane(f"http://{NAME}:{trap.port}/v1")
    assert message.endswith("a cloud provider is asked over https only, unless it is on this machine")


async def test_a_name_that_turns_to_loopback_after_it_was_judged_is_not_looked_up_again(
    trap: Trap, lookups: Lookups, refused_connections: list[str]
) -> None:
    lookups[NAME] = [PUBLIC, "127.0.0.1"]
    connections = Connections(clock=SystemClock(), for_clouds=True)
    with pytest.raises(OSError, match=f"not to {PUBLIC}"):
        await connections.connect(f"https://{NAME}:{trap.port}/", connect_s=5.0)
    assert set(refused_connections) == {PUBLIC}, "the address that was judged is the one connected to"
    refused_connections.clear()
    await connections.close()
    assert trap.connections == 0


async def test_a_stand_in_on_this_machine_has_the_port_that_was_declared_and_no_other(
    trap: Trap, lookups: Lookups
) -> None:
    lookups["localhost"] = [PUBLIC]
    message = await asked_on_the_openai_lane(f"http://localhost:{trap.port}/v1")
    assert f"{PUBLIC} is not on this machine, and a cloud provider is looked for at this machine only" in message
    async with FakeUpstream(models=[GPT.name, CLAUDE.name], key=KEY) as upstream:
        upstream.fail(faults.status(307, "", location=f"http://127.0.0.1:{trap.port}/v1/chat/completions"))
        backend = a_backend(openai_url=upstream.base_url, anthropic_url=upstream.url)
        for role, ref in (("planner", GPT), ("critic", CLAUDE)):
            with pytest.raises(UpstreamFailed, match="answered with a redirect, which is not followed"):
                await chunks(backend, HELLO, role=role, ref=ref)
        await backend.close()
    assert trap.connections == 0


OLLAMAS_CLOUD: Final = ("ollama.com", "api.ollama.com", "api.OLLAMA.com", "ollama.com.")


def ollama_at(host: str, *, port: int, scheme: str = "https") -> Provider:
    return a_provider("ollama", url=f"{scheme}://{host}:{port}", on_this_host=False)


async def asked_on_the_ollama_lane(provider: Provider) -> str:
    """What became of a request to a model there."""
    deployment = a_deployment("ollama:gpt-oss:120b", cloud=True)
    route = Route(plan=a_role_plan("planner", deployment), providers={"ollama": provider}, generation=1, backend=None)
    async with a_relay() as relay:
        with pytest.raises(RequestFailed) as caught:
            await ask(relay, route)
    return caught.value.message


async def looked_at(source: ModelSource) -> str:
    """What discovery says of a provider that has to be down."""
    state, models = await source.discover()
    assert (state.up, list(models)) == (False, [])
    return state.error


def an_enricher() -> Enricher:
    return Enricher(declared={}, providers=["ollama"], scores=ScoreTable.load())


@pytest.mark.parametrize("host", OLLAMAS_CLOUD)
@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "64:ff9b::7f00:1"])
async def test_ollamas_cloud_is_looked_for_where_clouds_are_whoever_asks_it(
    host: str, address: str, trap: Trap, lookups: Lookups, tmp_path: Path
) -> None:
    lookups |= {name: [address] for name in OLLAMAS_CLOUD}
    provider = ollama_at(host, port=trap.port)
    cache = CapabilityCache(path=tmp_path / "registry.sqlite")
    keeper = OllamaKeeper(provider=provider, load_options=load_options)
    told = [
        await asked_on_the_ollama_lane(provider),
        await looked_at(OllamaSource(provider=provider, cache=cache, enricher=an_enricher())),
        await looked_at(OpenAISource(provider=replace(provider, kind=ProviderKind.OPENAI), enricher=an_enricher())),
    ]
    with pytest.raises(ProviderDown) as down:
        await keeper.held()
    for message in (*told, down.value.message):
        assert f"{address} is a" in message
        assert "address, and a cloud provider is looked for at public addresses only" in message
    assert trap.connections == 0


async def test_ollamas_cloud_is_asked_over_https_only(trap: Trap, lookups: Lookups, tmp_path: Path) -> None:
    lookups["ollama.com"] = [PUBLIC]
    provider = ollama_at("ollama.com", port=trap.port, scheme="http")
    source = OllamaSource(
        provider=provider, cache=CapabilityCache(path=tmp_path / "registry.sqlite"), enricher=an_enricher()
    )
    for told in (await asked_on_the_ollama_lane(provider), await looked_at(source)):
        assert "a cloud provider is asked over https only, unless it is on this machine" in told


async def test_ollamas_cloud_is_no_server_of_the_operators_own_on_the_litellm_lane(
    trap: Trap, lookups: Lookups
) -> None:
    lookups["ollama.com"] = ["127.0.0.1"]
    ref = ModelRef(provider="lab", name="gpt-4o-mini")
    backend = an_own_server(f"https://ollama.com:{trap.port}/v1", ref=ref)
    with pytest.raises(UpstreamFailed, match=r"no connection: 127\.0\.0\.1 is a loopback address"):
        await chunks(backend, HELLO, role="planner", ref=ref)
    await backend.close()
    assert trap.connections == 0


async def test_an_ollama_of_the_operators_own_may_be_anywhere(lookups: Lookups, tmp_path: Path) -> None:
    lookups["lab.local"] = ["127.0.0.1"]
    async with FakeOllama(models=["llama3.1:8b"]) as ollama, a_relay() as relay:
        url = ollama.url.replace("127.0.0.1", "lab.local")
        await ask(relay, a_route(a_deployment("ollama:llama3.1:8b"), urls={"ollama": url}))
        provider = a_provider("ollama", url=url)
        cache = CapabilityCache(path=tmp_path / "registry.sqlite")
        state, _ = await OllamaSource(provider=provider, cache=cache, enricher=an_enricher()).discover()
        assert state.up
        assert len(await OllamaKeeper(provider=provider, load_options=load_options).held()) == 1


def an_own_server(url: str, *, ref: ModelRef) -> LiteLLMBackend:
    """The litellm lane to a server that the operator declared as their own."""
    config = render(
        plan=a_plan(a_role_plan("planner", local_deployment(str(ref), lane=Lane.LITELLM))),
        providers={ref.provider: a_provider(ref.provider, kind=ProviderKind.OPENAI, url=url, litellm_name="openai")},
        templates=Templates.load(ROUTER_TEMPLATES),
        gateway_url="http://127.0.0.1:4000",
    )
    return LiteLLMBackend.build(config, keys=KnownKeys())


async def test_a_server_of_the_operators_own_may_be_anywhere(lookups: Lookups) -> None:
    lookups["lab.test"] = ["127.0.0.1"]
    ref = ModelRef(provider="lab", name="gpt-4o-mini")
    async with FakeUpstream() as upstream:
        url = upstream.base_url.replace("127.0.0.1", "lab.test")
        backend = an_own_server(url, ref=ref)
        assert await chunks(backend, HELLO, role="planner", ref=ref)
        await backend.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_on_the_openai_lane(status: int, trap: Trap) -> None:
    deployment = a_deployment("openai:gpt-4o-mini", lane=Lane.OPENAI, cloud=True)
    async with FakeUpstream(key=KEY) as upstream, a_relay(urls={"openai": upstream.base_url}, key=KEY) as relay:
        upstream.fail(faults.status(status, "", location=f"http://127.0.0.1:{trap.port}/"))
        provider = a_cloud_provider("openai", url=upstream.base_url)
        route = Route(
            plan=a_role_plan("planner", deployment), providers={"openai": provider}, generation=1, backend=None
        )
        with pytest.raises(RequestFailed) as caught:
            await ask(relay, route)
    assert {one.status for one in caught.value.attempts} == {status}
    assert trap.connections == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_on_the_ollama_lane(status: int, trap: Trap) -> None:
    async with FakeOllama(models=["llama3.1:8b"]) as ollama, a_relay() as relay:
        ollama.fail(faults.status(status, "", location=f"http://127.0.0.1:{trap.port}/"))
        route = a_route(a_deployment("ollama:llama3.1:8b"), urls={"ollama": ollama.url})
        with pytest.raises(RequestFailed):
            await ask(relay, route)
        assert ollama.requests
    assert trap.connections == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_for_a_list_of_models(status: int, trap: Trap) -> None:
    async with FakeUpstream(key=KEY) as upstream:
        elsewhere = f"http://127.0.0.1:{trap.port}/"
        upstream.fail(faults.status(status, "", location=elsewhere))
        message = await listed(upstream.base_url)
    assert message.endswith(f"answers /models with a redirect to {elsewhere}, which is not followed")
    assert trap.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", NAME, "[::ffff:127.0.0.1]", "2130706433"])
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("judged_by_litellm", [True, False])
async def test_a_picture_that_a_caller_links_to_is_not_fetched_from_inside(
    judged_by_litellm: bool, host: str, scheme: str, trap: Trap, lookups: Lookups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_library().module, "user_url_validation", judged_by_litellm)
    lookups |= {NAME: ["127.0.0.1"], "localhost": ["127.0.0.1"]}
    async with FakeUpstream(models=[GPT.name, CLAUDE.name], key=KEY) as upstream:
        backend = a_backend(openai_url=upstream.base_url, anthropic_url=upstream.url)
        url = f"{scheme}://{host}:{trap.port}/picture.png"
        parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]
        body = {"messages": [{"role": "user", "content": parts}]}
        for role, ref in (("planner", GPT), ("critic", CLAUDE)):
            # Who does not fetch it hands the link on, and is answered.
            with suppress(UpstreamFailed):
                await chunks(backend, body, role=role, ref=ref)
        await backend.close()
    assert trap.connections == 0


CHAT: Final = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 16}
DIALECTS: Final[Mapping[str, tuple[str, Mapping[str, object]]]] = {
    "chat": ("/v1/chat/completions", CHAT),
    "completions": ("/v1/completions", {"prompt": "Say hello.", "max_tokens": 16}),
    "responses": ("/v1/responses", {"input": "Say hello."}),
    "messages": ("/v1/messages", CHAT),
    "embeddings": ("/v1/embeddings", {"input": "hello"}),
}


def hostile(url: str) -> dict[str, object]:
    """Fields by which LiteLLM and its like let a call be sent elsewhere."""
    return {
        "api_base": url,
        "base_url": url,
        "api_key": "sk-other",
        "organization": "other",
        "custom_llm_provider": "openai",
        "api_version": "2020-01-01",
        "extra_headers": {"Host": "elsewhere.test", "x-forged": "1"},
        "headers": {"x-forged": "1"},
        "extra_body": {"api_base": url},
        "litellm_params": {"api_base": url},
        "model_list": [{"model_name": "x", "litellm_params": {"model": "openai/x", "api_base": url}}],
        "fallbacks": [{"model": "openai/x", "api_base": url}],
        "metadata": {"api_base": url},
        "mock_response": "made up",
    }


def forged(url: str) -> dict[str, str]:
    """Headers by which others let a call be sent elsewhere, or in another name."""
    return {
        "api-base": url,
        "x-api-base": url,
        "x-litellm-api-base": url,
        "x-rolegate-upstream": url,
        "x-forwarded-host": "elsewhere.test",
        "authorization": "Bearer sk-other",
        "x-api-key": "sk-other",
        "api-key": "sk-other",
        "openai-organization": "other",
        "anthropic-beta": "other",
        "x-forged": "1",
    }


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("lane", ["local", "wire", "cloud", "claude"])
async def test_no_field_and_no_header_of_a_caller_chooses_the_upstream(
    world: World, trap: Trap, dialect: str, lane: str
) -> None:
    path, body = DIALECTS[dialect]
    if dialect == "embeddings":
        if lane == "claude":
            pytest.skip("Anthropic has no embeddings")
        lane = f"{lane}-embed"
    url = f"http://127.0.0.1:{trap.port}/v1"
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        answer = await client.post(
            f"{world.gateway.url}{path}", json={**hostile(url), **body, "model": lane}, headers=forged(url)
        )
    assert trap.connections == 0
    assert "made up" not in answer.text
    for seen in world.fake(lane).requests:
        assert "sk-other" not in str(seen.headers)
        assert "x-forged" not in {name.lower() for name in seen.headers}
        assert "other" not in {seen.headers.get("OpenAI-Organization"), seen.headers.get("anthropic-beta")}
        assert seen.headers["Host"] == world.fake(lane).url.removeprefix("http://")

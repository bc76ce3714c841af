"""How httpx connects to a cloud: to addresses that were judged, and to no other."""

import asyncio
from typing import Final

import httpx

from gateway.domain.model import Provider
from gateway.reach import permitted_addresses
from gateway.registry.ollama_listing import is_ollamas_cloud

_PORTS: Final = {"http": 80, "https": 443}


def transport_to(provider: Provider) -> httpx.AsyncBaseTransport:
    """The connections to ``provider``: anywhere for a server of the operator's own, else as ``CloudTransport`` has it. They are
    closed with the client that they are given to."""
    # Loading the certificate store takes tens of milliseconds, which plain http need not pay.
    secure = (provider.url or "").startswith("https:")
    if provider.cloud or is_ollamas_cloud(provider.url):
        return CloudTransport(verify=secure, trust_env=False)
    return httpx.AsyncHTTPTransport(verify=secure, trust_env=False)


class CloudTransport(httpx.AsyncHTTPTransport):
    """Looks a cloud's name up itself, and connects to the first of the permitted addresses that answers. What is sent, and the
    certificate that is asked for, are for the name all the same."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As any transport. ``httpx.ConnectError`` comes from ``Forbidden`` where nothing may be sent."""
        name = request.url.raw_host.decode("ascii")
        refused: httpx.TransportError | None = None
        for address in await self._addresses(request, name):
            try:
                return await super().handle_async_request(_sent_to(address, request, name=name))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                refused = error
        raise refused or httpx.ConnectError(f"{name} has no address", request=request)

    async def _addresses(self, request: httpx.Request, name: str) -> list[str]:
        port = request.url.port or _PORTS[request.url.scheme]
        try:
            async with asyncio.timeout(request.extensions.get("timeout", {}).get("connect")):
                return await permitted_addresses(name, port=port, tls=request.url.scheme == "https")
        except TimeoutError as exc:
            raise httpx.ConnectTimeout(f"{name} is not looked up in time", request=request) from exc
        except (OSError, UnicodeError) as exc:
            raise httpx.ConnectError(str(exc), request=request) from exc


def _sent_to(address: str, request: httpx.Request, *, name: str) -> httpx.Request:
    """The same request, its ``Host`` included, for a connection to that address. Nothing was sent before it is connected, so the
    body can still be read."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": name},
    )

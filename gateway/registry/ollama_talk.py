"""Talking to an Ollama host about what takes its time: loads that answer when they are done, and pulls that tell line by line."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import httpx

from gateway.domain.model import Provider
from gateway.domain.ports import KeySource
from gateway.errors import ProviderFailed
from gateway.registry.cloud_transport import transport_to
from gateway.registry.fetch import Fetcher, require_fit

CONNECT_S: Final = 5.0
LINE_LIMIT_BYTES: Final = 1 << 20

_SHOWN_CHARACTERS: Final = 400


class Talk(Fetcher):
    """A ``Fetcher`` that also takes answers without a body, and answers that come line by line. It waits for as long as its user
    lets it: loads and pulls say nothing for minutes."""

    async def done(self, method: str, path: str, *, body: Mapping[str, object]) -> None:
        """Have something done of which only the status tells. Raises as ``json`` does."""
        with self._mapped(path):
            async with self._client.stream(method, f"{self._provider.url}{path}", json=body) as response:
                await self._content(response, path)

    async def lines(self, path: str, *, body: Mapping[str, object]) -> AsyncGenerator[Mapping[str, Any], None]:
        """The objects that a POST to ``path`` is answered with, as they come. Raises as ``json`` does."""
        rest = b""
        with self._mapped(path):
            async with self._client.stream("POST", f"{self._provider.url}{path}", json=body) as response:
                if not response.is_success:
                    await self._content(response, path)
                async for piece in response.aiter_bytes():
                    *whole, rest = (rest + piece).split(b"\n")
                    if len(rest) > LINE_LIMIT_BYTES:
                        raise self._failed(f"answers {path} with a line of more than {LINE_LIMIT_BYTES >> 20} MiB")
                    for line in whole:
                        if line.strip():
                            yield self._object(line, path)
            if rest.strip():
                yield self._object(rest, path)

    def _object(self, line: bytes, path: str) -> Mapping[str, Any]:
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise self._failed(f"answers {path} with a line that is not JSON") from error
        if not isinstance(found, dict):
            raise self._failed(f"answers {path} with a line that is not an object")
        return found

    def _refused(self, status: int, path: str, content: bytes) -> ProviderFailed:
        told = said(content.decode("utf-8", errors="replace"))
        return super()._refused(status, path, json.dumps({"error": told}).encode())

    @contextmanager
    def _mapped(self, path: str) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise self._down(error) from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise self._failed(f"cannot be asked for {path}: {error}") from error


@asynccontextmanager
async def talk(*, provider: Provider, keys: KeySource | None) -> AsyncIterator[Talk]:
    """A ``Talk`` with its connections, closed at the end. But for the connecting, deadlines are its user's. Raises
    ``ProviderDown`` for a key that no header can carry."""
    key = keys.key(provider.name) if keys is not None else None
    require_fit(key, provider=provider)
    async with httpx.AsyncClient(
        headers={"Authorization": f"Bearer {key.reveal()}"} if key else None,
        timeout=httpx.Timeout(None, connect=CONNECT_S),
        trust_env=False,
        follow_redirects=False,
        transport=transport_to(provider),
    ) as client:
        yield Talk(provider=provider, client=client, key=key)


def said(text: str) -> str:
    """The words in an error: Ollama hands on what llama-server said as JSON in a string, at times twice. On one line."""
    for _ in range(3):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            break
        told = found.get("error", found.get("message")) if isinstance(found, dict) else None
        if isinstance(told, dict):
            told = told.get("message")
        if not isinstance(told, str):
            break
        text = told
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_CHARACTERS else f"{line[:_SHOWN_CHARACTERS]}…"

"""Asking a provider over HTTP, and saying in one sentence why it did not answer."""

import asyncio
import json
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx

from gateway.domain.complaint import MASK
from gateway.domain.model import Provider
from gateway.domain.ports import KeySource
from gateway.domain.secret import ODD_KEY, Secret
from gateway.errors import ProviderDown, ProviderFailed
from gateway.reach import Forbidden
from gateway.registry.cloud_transport import transport_to

BODY_LIMIT_BYTES: Final = 32 << 20
"""The largest answer that is read: no list of models and no model's metadata is near it."""

BACKSTOP_S: Final = 30.0
"""Whoever asks has a deadline of its own, and a shorter one."""

_SHOWN_CHARACTERS: Final = 200

_SMALL_BYTES: Final = 256 << 10
"""What is parsed in about a millisecond."""

_ESCAPE: Final = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


class Fetcher:
    """Asks one provider for JSON. Redirects are not followed and proxy variables not read: the answer comes from the
    configured address or not at all."""

    def __init__(self, *, provider: Provider, client: httpx.AsyncClient, key: Secret | None = None) -> None:
        """``key`` is what the client shows; a provider that repeats it is not repeated."""
        self._provider = provider
        self._client = client
        self._key = key

    async def json(self, method: str, path: str, *, body: Mapping[str, object] | None = None) -> Any:
        """What the provider answers at ``path`` (beginning with ``/``), parsed; all text in it can be encoded.

        Raises ``ProviderDown`` when it does not answer, ``ProviderFailed`` when it answers with an error, a redirect,
        something that is not JSON, or too much.
        """
        url = f"{self._provider.url}{path}"
        try:
            async with self._client.stream(method, url, json=body) as response:
                content = await self._content(response, path)
        except httpx.TransportError as error:
            raise self._down(error) from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise self._failed(f"cannot be asked for {path}: {error}") from error
        try:
            return await _parsed(content)
        except (ValueError, RecursionError) as error:
            hint = f"check the address under local_providers.{self._provider.name}.url"
            raise self._failed(f"answers {path} with something that is not JSON", hint=hint) from error

    async def _content(self, response: httpx.Response, path: str) -> bytes:
        if response.is_redirect:
            target = response.headers.get("location", "another address")
            raise self._failed(f"answers {path} with a redirect to {target}, which is not followed")
        content = bytearray()
        async for piece in response.aiter_bytes():
            content += piece
            if len(content) > BODY_LIMIT_BYTES:
                raise self._failed(f"answers {path} with more than {BODY_LIMIT_BYTES >> 20} MiB")
        if not response.is_success:
            raise self._refused(response.status_code, path, bytes(content))
        return bytes(content)

    def _refused(self, status: int, path: str, content: bytes) -> ProviderFailed:
        name, variable = self._provider.name, self._provider.key_variable
        hint = (
            f"give it a key that it accepts: `rolegate providers set-key {name}`, or {variable}, which counts before the vault"
            if status in (401, 403) and variable
            else ""
        )
        told = _message(self._masked(content.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape"))
        return self._failed(
            f"answers {path} with status {status}{f': {told}' if told else ''}", hint=hint, status=status
        )

    def _failed(self, what: str, *, hint: str = "", status: int | None = None) -> ProviderFailed:
        message = self._masked(f"{place(self._provider)} {what}")
        return ProviderFailed(message, provider=self._provider.name, hint=hint, status=status)

    def _masked(self, text: str) -> str:
        return text.replace(self._key.reveal(), MASK) if self._key else text

    def _down(self, error: httpx.TransportError) -> ProviderDown:
        forbidden = next((one for one in _causes(error) if isinstance(one, Forbidden)), None)
        told = f"does not answer: {_reason(error)}" if forbidden is None else f"is not asked: {forbidden}"
        return ProviderDown(f"{place(self._provider)} {told}", provider=self._provider.name)


def require_fit(key: Secret | None, *, provider: Provider) -> None:
    """Raise ``ProviderDown`` for a key that cannot be shown: the provider cannot be asked with it."""
    if key and not key.fits_a_header:
        raise ProviderDown(f"{place(provider)} cannot be asked: {ODD_KEY}", provider=provider.name)


def bearer(key: Secret) -> Mapping[str, str]:
    """How nearly everybody shows a key."""
    return {"Authorization": f"Bearer {key.reveal()}"}


@asynccontextmanager
async def fetcher(
    *, provider: Provider, keys: KeySource | None, shown: Callable[[Secret], Mapping[str, str]] = bearer
) -> AsyncIterator[Fetcher]:
    """A ``Fetcher`` with its connections, closed at the end. Deadlines are its user's. ``shown`` makes the headers of a key.
    Raises ``ProviderDown`` for one that does not fit any."""
    key = keys.key(provider.name) if keys is not None else None
    require_fit(key, provider=provider)
    async with httpx.AsyncClient(
        headers=dict(shown(key)) if key else None,
        timeout=BACKSTOP_S,
        trust_env=False,
        follow_redirects=False,
        transport=transport_to(provider),
    ) as client:
        yield Fetcher(provider=provider, client=client, key=key)


def place(provider: Provider) -> str:
    """``ollama at http://127.0.0.1:11434``."""
    return f"{provider.name} at {provider.url}" if provider.url else provider.name


async def _parsed(content: bytes) -> Any:
    """``content`` as JSON; a large one in a thread. The hook is there to run between any two objects: without it the parser
    would hold the interpreter's lock, and with it the event loop, until it is done."""
    if len(content) <= _SMALL_BYTES:
        return json.loads(_decoded(content))
    return await asyncio.to_thread(lambda: json.loads(_decoded(content), object_hook=lambda one: one))


def _decoded(content: bytes) -> str:
    """``content`` as text in which nothing stands for half a surrogate pair: such text could be read, but never written."""
    text = content.decode("utf-8-sig", errors="replace")
    if "\\ud" not in text and "\\uD" not in text:
        return text
    return _ESCAPE.sub(lambda found: "\\ufffd" if found["half"] else found[0], text)


def _reason(error: httpx.TransportError) -> str:
    for cause in _causes(error):
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused"
        if isinstance(cause, socket.gaierror):
            return "its host name is not known"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed ({cause.reason or cause})"
        if isinstance(cause, ConnectionResetError | BrokenPipeError):
            return "it closed the connection"
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpx.ReadError | httpx.WriteError | httpx.RemoteProtocolError):
        return "it broke off its answer"
    return str(error) or type(error).__name__


def _causes(error: BaseException) -> list[BaseException]:
    """``error``, and everything it came from."""
    found: list[BaseException] = []
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if any(one is known for known in found):
            continue
        found.append(one)
        waiting += [cause for cause in (one.__cause__, one.__context__) if cause is not None]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
    return found


def _message(content: bytes) -> str:
    """The provider's own words in an error's body, shortened to one line."""
    try:
        parsed = json.loads(_decoded(content)) if len(content) <= _SMALL_BYTES else None
    except (ValueError, RecursionError):
        parsed = None
    told = parsed.get("error") if isinstance(parsed, dict) else None
    if isinstance(told, dict):
        told = told.get("message")
    words = told if isinstance(told, str) else content[:_SMALL_BYTES].decode("utf-8", errors="replace")
    line = " ".join(words.split())
    return line if len(line) <= _SHOWN_CHARACTERS else f"{line[:_SHOWN_CHARACTERS]}…"

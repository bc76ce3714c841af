"""Deployments on the litellm lane, called one at a time. The relay owns order and failover."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, TypeVar

import httpx

from gateway.backend.chunks import ends, has_content, plain_chunk
from gateway.backend.embedding import embedding_arguments, plain_embeddings
from gateway.backend.errors import upstream_failed
from gateway.backend.library import Library, load_library
from gateway.backend.reach import reach_of, reaching
from gateway.backend.whole import keep_whole
from gateway.domain.address import Reach
from gateway.domain.failure import FailureClass
from gateway.domain.model import Lane, ModelRef
from gateway.domain.ports import KeySource
from gateway.domain.request_fields import REQUEST_FIELDS
from gateway.domain.secret import ODD_KEY, Secret
from gateway.errors import UpstreamFailed
from gateway.rendering.names import MARK, deployment_id

T = TypeVar("T")

_REFERENCE: Final = "os.environ/"
_NO_KEY: Final = "none"
"""What stands in for a key where a server wants none and the client library insists on one."""
_ROUTING: Final = frozenset({"order", "stream_timeout", "max_parallel_requests", "rpm", "tpm", "weight", "tags"})
_SILENCE_S: Final = 600.0
_BEGUN: Final[Mapping[str, object]] = MappingProxyType({})
"""Says that upstream has begun to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """How one deployment is called. ``silence_s`` is constant because LiteLLM keeps one connection pool per timeout;
    the deadlines of a request are kept here, not by the pool. ``keyed_by`` is the provider whose key goes with it, as it is at
    the time of the call; empty where none does. ``reach`` says where its connections may end."""

    arguments: Mapping[str, object] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    silence_s: float
    keyed_by: str
    keyed: bool
    reach: Reach

    def with_key(self, key: Secret) -> "_Call":
        """The same call under another key."""
        return replace(
            self,
            arguments=MappingProxyType({**self.arguments, "api_key": key.reveal()}),
            secrets=(*self.secrets, key.reveal()),
            keyed=True,
        )


class LiteLLMBackend:
    """Implements ``CompletionBackend``."""

    def __init__(
        self, *, library: Library, router: Any, entries: Sequence[str], calls: Mapping[str, _Call], keys: KeySource
    ) -> None:
        self._library = library
        self._keys = keys
        self._router = router
        self._entries = tuple(entries)
        self._calls = calls
        self._secrets = tuple({secret for call in calls.values() for secret in call.secrets})
        self._closed = False

    @classmethod
    def build(cls, config: Mapping[str, object], *, keys: KeySource) -> "LiteLLMBackend":
        """A Router of those deployments of a rendered configuration that travel on the litellm lane.

        ``keys`` answer for their ``api_key`` references, in memory only, for every call anew. Imports LiteLLM (seconds)
        and builds its Router (milliseconds per deployment): call it off the event loop.
        """
        library = load_library()
        entries = lane_entries(config)
        model_list = [_with_key(entry, keys=keys) for entry in entries]
        router, used = library.router(model_list)
        calls = {
            str(_part(entry, "model_info")["id"]): _call(entry, written=written, router=router)
            for entry, written in zip(model_list, entries, strict=True)
        }
        return cls(library=library, router=router, entries=used, calls=calls, keys=keys)

    async def stream(
        self, *, role: str, ref: ModelRef, body: Mapping[str, object], connect_s: float, total_s: float
    ) -> AsyncGenerator[Mapping[str, object], None]:
        """See ``CompletionBackend.stream``. Of ``body``, ``REQUEST_FIELDS`` that are not null are handed on.

        ``total_s`` bounds the whole call; ``connect_s`` the connection, for those providers whose client can tell it apart.
        """
        call = self._found(role=role, ref=ref)
        until = asyncio.get_running_loop().time() + total_s
        arguments = {
            **call.arguments,
            **{name: value for name, value in body.items() if name in REQUEST_FIELDS and value is not None},
            "stream": True,
            "stream_options": {"include_usage": True},
            "num_retries": 0,
            "max_retries": 0,
            # LiteLLM would otherwise look for tools that it should call itself, with a package that it does not depend on.
            "_skip_mcp_handler": True,
            "timeout": httpx.Timeout(call.silence_s, connect=connect_s),
        }
        with reaching(call.reach):
            upstream = await self._awaited(self._library.module.acompletion(**arguments), until=until, call=call)
        keep_whole(upstream)
        content_seen = False
        chunks = aiter(upstream)
        first = asyncio.ensure_future(_next(chunks))
        try:
            # Closing what was never read leaves the connection open. From here on it is being read.
            await asyncio.sleep(0)
            yield _BEGUN
            waiting: Awaitable[Any] = first
            while True:
                chunk = await self._awaited(waiting, until=until, call=call, streaming=True, content_seen=content_seen)
                # A stream that was cut ends with a finish reason too, but one that LiteLLM made up.
                if (chunk is None or ends(chunk)) and _unfinished(upstream):
                    raise UpstreamFailed(
                        f"the stream of {ref} ended without a finish signal", failure=FailureClass.TRUNCATED
                    )
                if chunk is None:
                    return
                plain = plain_chunk(chunk)
                content_seen = content_seen or has_content(plain)
                yield plain
                waiting = _next(chunks)
        finally:
            await _given_up(first)
            await upstream.aclose()

    async def embed(
        self, *, role: str, ref: ModelRef, body: Mapping[str, object], connect_s: float, total_s: float
    ) -> Mapping[str, object]:
        """See ``CompletionBackend.embed``. Of ``body``, ``EMBEDDING_FIELDS`` that are not null are handed on, and nothing of the
        role's defaults, which are a chat's."""
        call = self._found(role=role, ref=ref)
        until = asyncio.get_running_loop().time() + total_s
        arguments = {
            **{name: value for name, value in call.arguments.items() if name not in REQUEST_FIELDS},
            **embedding_arguments(body),
            "num_retries": 0,
            "max_retries": 0,
            "timeout": httpx.Timeout(call.silence_s, connect=connect_s),
        }
        with reaching(call.reach):
            answer = await self._awaited(self._library.module.aembedding(**arguments), until=until, call=call)
        return plain_embeddings(answer)

    async def close(self) -> None:
        """See ``CompletionBackend.close``. Calls that still run are not ended; a second close does nothing."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._library.discard, self._router, self._entries)

    def _found(self, *, role: str, ref: ModelRef) -> _Call:
        call = self._calls.get(deployment_id(role=role, ref=ref))
        if call is None:
            raise UpstreamFailed(
                f'no deployment of "{ref}" for the role "{role}" on the litellm lane', failure=FailureClass.GONE
            )
        if not call.keyed_by:
            return call
        key = self._keys.key(call.keyed_by)
        if not key:
            raise UpstreamFailed(f'no key is known for the provider "{call.keyed_by}"', failure=FailureClass.AUTH)
        if not key.may_be_a_key:
            raise UpstreamFailed(ODD_KEY, failure=FailureClass.AUTH)
        return call if key.reveal() == call.arguments.get("api_key") else call.with_key(key)

    async def _awaited(
        self,
        waiting: Awaitable[T],
        *,
        until: float,
        call: _Call,
        streaming: bool = False,
        content_seen: bool = False,
    ) -> T:
        try:
            async with asyncio.timeout_at(until):
                return await waiting
        except Exception as error:  # LiteLLM lets through whatever the client of a provider raises
            raise upstream_failed(
                error,
                secrets=(*self._secrets, *call.secrets),
                keyed=call.keyed,
                streaming=streaming,
                content_seen=content_seen,
            ) from error


def lane_entries(config: Mapping[str, object]) -> list[Mapping[str, object]]:
    """The deployments of a rendered configuration that travel on the litellm lane."""
    return [entry for entry in _mappings(config.get("model_list")) if provider_of(entry) is not None]


def provider_of(entry: Mapping[str, object]) -> str | None:
    """The provider of a rendered deployment on the litellm lane; ``None`` for any other."""
    mark = _mark(entry)
    return str(mark["provider"]) if mark.get("lane") == Lane.LITELLM else None


async def _next(chunks: AsyncIterator[Any]) -> Any:
    return await anext(chunks, None)


async def _given_up(first: asyncio.Future[Any]) -> None:
    """Wait no longer for a first chunk that has not come."""
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


def _unfinished(upstream: Any) -> bool:
    """Whether upstream has sent no finish reason of its own, neither in a chunk by itself nor with the last content."""
    return upstream.received_finish_reason is None and upstream.intermittent_finish_reason is None


def _with_key(entry: Mapping[str, object], *, keys: KeySource) -> dict[str, object]:
    """``entry`` with its key reference replaced by the key, or left out where none is known."""
    parameters = dict(_part(entry, "litellm_params"))
    if str(parameters.get("api_key", "")).startswith(_REFERENCE):
        key = keys.key(str(_mark(entry)["provider"]))
        parameters["api_key"] = key.reveal() if key else ""
    return {**entry, "litellm_params": parameters, "model_info": dict(_part(entry, "model_info"))}


def _call(entry: Mapping[str, object], *, written: Mapping[str, object], router: Any) -> _Call:
    """The arguments of ``entry`` as the Router holds them, its references resolved. ``written`` is the same entry before."""
    held = router.get_deployment(str(_part(entry, "model_info")["id"])).litellm_params
    names = [name for name in _part(entry, "litellm_params") if name not in _ROUTING]
    arguments = {name: getattr(held, name) for name in names if getattr(held, name, None) is not None}
    referred = [name for name, value in _part(written, "litellm_params").items() if str(value).startswith(_REFERENCE)]
    silence = arguments.pop("timeout", None)
    return _Call(
        arguments=MappingProxyType(arguments),
        secrets=tuple(str(arguments[name]) for name in referred if arguments.get(name)),
        silence_s=float(silence) if isinstance(silence, int | float) else _SILENCE_S,
        keyed_by=str(_mark(entry)["provider"]) if "api_key" in referred else "",
        # Without an address of its own a deployment is a cloud's, where LiteLLM finds other credentials than a key.
        keyed="api_base" not in arguments or arguments.get("api_key") not in (None, "", _NO_KEY),
        reach=reach_of(arguments.get("api_base"), local=_mark(entry).get("local") is True),
    )


def _mark(entry: Mapping[str, object]) -> Mapping[str, object]:
    mark = _part(entry, "model_info").get(MARK)
    return mark if isinstance(mark, Mapping) else {}


def _part(entry: Mapping[str, object], name: str) -> Mapping[str, object]:
    part = entry.get(name)
    return part if isinstance(part, Mapping) else {}


def _mappings(value: object) -> list[Mapping[str, object]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, Sequence) else []

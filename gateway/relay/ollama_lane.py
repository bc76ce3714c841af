"""The ollama lane: the native API, with the load profile on every call."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from gateway.domain.failure import FailureClass
from gateway.domain.model import ModelRef, ollama_name
from gateway.domain.ports import Clock, KeySource
from gateway.domain.secret import Secret
from gateway.errors import UpstreamFailed
from gateway.relay.batch import is_over, read_batch
from gateway.relay.breaker import BreakerKey, breaker_key
from gateway.relay.connections import Connections, drain, read_body, read_whole
from gateway.relay.embedding_wire import Embeddings
from gateway.relay.event import OPENED, Event, LastEvents
from gateway.relay.inquiry import Operation
from gateway.relay.lane import Call
from gateway.relay.lines import LineBuffer
from gateway.relay.loads import Load, Loads
from gateway.relay.ollama_embedding import native_embed, native_embed_load, read_native_embeddings
from gateway.relay.ollama_generate import GenerateReader, generate_request
from gateway.relay.ollama_wire import NativeReader, load_options, native_request

RESIDENT_S: Final = 5.0
"""How long a model counts as resident after it was last seen so."""
PROBE_S: Final = 2.0
MAX_LISTING_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Resident:
    name: str
    context_tokens: int | None


class OllamaLane:
    """Chats over ``/api/chat``. A model that is not resident with the planned load profile is loaded first.

    ``keys`` know the keys of hosts that ask for one (Ollama behind a proxy).
    """

    def __init__(self, *, connections: Connections, clock: Clock, keys: KeySource | None = None) -> None:
        self._connections = connections
        self._clock = clock
        self._keys = keys
        self._loads = Loads()
        self._resident_until_s: dict[BreakerKey, float] = {}

    def ready(self, call: Call) -> bool:
        """See ``ModelLane.ready``. Ollama's own cloud models are not loaded here, so they are simply called."""
        if call.deployment.cloud:
            return True
        key = breaker_key(call.deployment, provider=call.provider)
        return self._clock.monotonic() < self._resident_until_s.get(key, 0.0)

    async def resident(self, call: Call) -> bool:
        """See ``ModelLane.resident``. A server that does not say what it has loaded is simply called."""
        listed = await self._listed(call)
        if listed is not None and not _holds(listed, call):
            return False
        self._note_resident(breaker_key(call.deployment, provider=call.provider))
        return True

    def load(self, call: Call) -> Load:
        """See ``ModelLane.load``."""
        return self._loads.begin(
            breaker_key(call.deployment, provider=call.provider), lambda: self._preload(call), load_s=call.whole_load_s
        )

    def stream(self, call: Call) -> AsyncGenerator[Sequence[Event], None]:
        """See ``ModelLane.stream``."""
        return self._stream(call, load=breaker_key(call.deployment, provider=call.provider))

    async def embed(self, call: Call) -> Embeddings:
        """See ``ModelLane.embed``."""
        key, sent_for = self._key(call), breaker_key(call.deployment, provider=call.provider)
        keyed, account = call.deployment.cloud or key is not None, call.deployment.cloud and key is None
        body = native_embed(call.body, model=call.ref.name, context_tokens=call.deployment.context_tokens) | _stay(call)
        url, connect_s = f"{_url(call)}/api/embed", call.limits.connect_s
        try:
            async with self._connections.post(url, body=body, connect_s=connect_s, key=key) as response:
                if response.status != 200:
                    raise await self._connections.refusal(response, keyed=keyed, key=key, account=account)
                answer = await read_whole(response)
        except UpstreamFailed:
            self._resident_until_s.pop(sent_for, None)
            raise
        self._note_resident(sent_for)
        return read_native_embeddings(answer, asked=call.body, keyed=keyed, key=key, account=account)

    def forget_provider(self, name: str) -> None:
        """It is reached elsewhere now: what is loaded there is not known."""
        for key in [key for key in self._resident_until_s if key.provider == name]:
            del self._resident_until_s[key]

    def forget(self, ref: ModelRef) -> None:
        """The model has been let go of: whether it is loaded is to be asked again."""
        for key in [key for key in self._resident_until_s if (key.provider, key.model) == (ref.provider, ref.name)]:
            del self._resident_until_s[key]

    async def close(self) -> None:
        await self._loads.close()
        await self._connections.close()

    def _note_resident(self, key: BreakerKey) -> None:
        self._resident_until_s[key] = self._clock.monotonic() + RESIDENT_S

    async def _listed(self, call: Call) -> list[_Resident] | None:
        """What is loaded now; ``None`` when the server does not say. Raises ``UpstreamFailed`` when there is no server."""
        url, connect_s = f"{_url(call)}/api/ps", call.limits.connect_s
        try:
            async with (
                asyncio.timeout(min(connect_s + PROBE_S, call.left_s)),
                self._connections.get(url, connect_s=connect_s, key=self._key(call)) as response,
            ):
                if response.status != 200:
                    return None
                body = await read_body(response, limit_bytes=MAX_LISTING_BYTES, within_s=PROBE_S)
                await drain(response)
        except TimeoutError:
            return None
        except UpstreamFailed as failed:
            if failed.failure == FailureClass.TRUNCATED:
                return None
            raise
        return _residents(body)

    async def _preload(self, call: Call) -> None:
        """An empty prompt: Ollama answers once the model is loaded. A server that does not know the call is left alone."""
        name, context_tokens = call.ref.name, call.deployment.context_tokens
        if call.operation is Operation.EMBEDDING:
            path, body = "embed", native_embed_load(model=name, context_tokens=context_tokens)
        else:
            path, body = "generate", {"model": name, "stream": False, "options": load_options(context_tokens)}
        url, connect_s, key = f"{_url(call)}/api/{path}", call.limits.connect_s, self._key(call)
        async with self._connections.post(url, body=body | _stay(call), connect_s=connect_s, key=key) as response:
            if response.status != 200:
                if response.status in {404, 405}:
                    return
                raise await self._connections.refusal(response, keyed=key is not None, key=key, loading=True)
            await drain(response)
        self._note_resident(breaker_key(call.deployment, provider=call.provider))

    async def _stream(self, call: Call, *, load: BreakerKey) -> AsyncGenerator[Sequence[Event], None]:
        key = self._key(call)
        keyed, account = call.deployment.cloud or key is not None, call.deployment.cloud and key is None
        text = call.operation is Operation.COMPLETION
        reader = (GenerateReader if text else NativeReader)(
            answer_id=call.answer_id,
            created=call.created,
            model=call.ref.name,
            parallel_tools=call.body.get("parallel_tool_calls") is not False,
            keyed=keyed,
            key=key,
            account=account,
            framing=call.stream,
        )
        body = (generate_request if text else native_request)(
            call.body,
            model=call.ref.name,
            context_tokens=call.deployment.context_tokens,
            thinks=call.knows("supports_thinking") is True,
        ) | _stay(call)
        url, connect_s = f"{_url(call)}/api/{'generate' if text else 'chat'}", call.limits.connect_s
        try:
            async with self._connections.post(url, body=body, connect_s=connect_s, key=key) as response:
                if response.status != 200:
                    raise await self._connections.refusal(response, keyed=keyed, key=key, account=account)
                self._note_resident(load)
                if not response.has_more:
                    yield (OPENED,)
                lines = LineBuffer()
                past = call.shortcut.past(lines, reader)
                last: Sequence[Event] = ()
                while not reader.done and (data := await response.readany(past=past)):
                    events, failed = read_batch(data, splitter=lines, reader=reader, whose="Ollama")
                    if failed is None and is_over(reader, response):
                        last = LastEvents(events)
                    elif events:
                        yield events
                    if failed is not None:
                        raise failed
                if rest := reader.read(lines.rest()):
                    yield rest
                if not reader.done:
                    raise UpstreamFailed("Ollama's answer ended before it was done", failure=FailureClass.TRUNCATED)
                self._note_resident(load)
                await drain(response)
            if last:
                yield last
        finally:
            if not reader.done:
                # It broke off: what the model is now is to be asked again.
                self._resident_until_s.pop(load, None)

    def _key(self, call: Call) -> Secret | None:
        return None if self._keys is None else self._keys.key(call.provider.name)


def _stay(call: Call) -> dict[str, object]:
    """How long the model is to stay in memory, where the role says so."""
    return {} if call.keep_alive is None else {"keep_alive": call.keep_alive}


def _url(call: Call) -> str:
    return (call.provider.url or "").rstrip("/")


def _residents(body: bytes) -> list[_Resident] | None:
    try:
        listing = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    models = listing.get("models") if isinstance(listing, Mapping) else None
    found: list[_Resident] = []
    for model in models if isinstance(models, list) else ():
        if isinstance(model, Mapping):
            context = model.get("context_length")
            name = str(model.get("model") or model.get("name") or "")
            found.append(_Resident(name=name, context_tokens=context if type(context) is int else None))
    return found


def _holds(resident: list[_Resident], call: Call) -> bool:
    """Is the model loaded with the planned context? An unknown one on either side counts as equal."""
    wanted = call.deployment.context_tokens
    return any(
        ollama_name(one.name) == ollama_name(call.ref.name)
        and (wanted is None or one.context_tokens is None or one.context_tokens == wanted)
        for one in resident
    )

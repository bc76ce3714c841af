"""The openai lane: the same wire on both sides, the model name rewritten."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence

import orjson

from gateway.domain.failure import FailureClass
from gateway.domain.model import ProviderKind
from gateway.domain.ports import Endpoint, EndpointResolver
from gateway.domain.secret import Secret
from gateway.errors import ProviderDown, ProviderFailed, UnknownName, UpstreamFailed
from gateway.relay.batch import is_over, read_batch
from gateway.relay.breaker import breaker_key
from gateway.relay.classify import classify
from gateway.relay.cloud_body import cloud_body
from gateway.relay.connections import Asking, Connections, drain, read_whole
from gateway.relay.embedding_wire import Embeddings
from gateway.relay.event import OPENED, Event, LastEvents
from gateway.relay.http_connection import HttpResponse
from gateway.relay.inquiry import Operation
from gateway.relay.lane import Call
from gateway.relay.loads import Load, Loads
from gateway.relay.moulds import Moulds
from gateway.relay.openai_embedding import openai_embed, read_openai_embeddings
from gateway.relay.openai_text import TextReader, refused_text
from gateway.relay.openai_wire import ChunkReader, chunk_of
from gateway.relay.sse import SseParser


class OpenAILane:
    """Chats over ``/chat/completions`` of any server that speaks this wire, the embedded engine included."""

    def __init__(self, *, connections: Connections, endpoints: EndpointResolver) -> None:
        self._connections = connections
        self._to_clouds = connections.for_clouds()
        self._endpoints = endpoints
        self._loads = Loads()
        self._moulds = Moulds()

    def ready(self, call: Call) -> bool:
        """See ``ModelLane.ready``. Only the embedded engine's models are loaded by us."""
        if call.provider.kind is not ProviderKind.EMBEDDED:
            return True
        return self._endpoints.resident(call.ref, provider=call.provider, context_tokens=call.deployment.context_tokens)

    async def resident(self, call: Call) -> bool:
        """See ``ModelLane.resident``."""
        return self.ready(call)

    def load(self, call: Call) -> Load:
        """See ``ModelLane.load``."""

        async def start() -> None:
            await self._endpoint(call, within_s=call.whole_load_s)

        return self._loads.begin(breaker_key(call.deployment, provider=call.provider), start, load_s=call.whole_load_s)

    def stream(self, call: Call) -> AsyncGenerator[Sequence[Event], None]:
        """See ``ModelLane.stream``."""
        return self._stream(call)

    async def embed(self, call: Call) -> Embeddings:
        """See ``ModelLane.embed``."""
        endpoint = await self._endpoint(call)
        keyed = _keyed(call, endpoint)
        sayable = cloud_body(call.body, defaults={}) if call.provider.cloud else call.body
        body = openai_embed(sayable, model=endpoint.model)
        async with self._post(call, endpoint, path="embeddings", body=body) as response:
            if response.status != 200:
                raise await self._connections.refusal(response, keyed=keyed, key=endpoint.key)
            answer = await read_whole(response)
        return read_openai_embeddings(answer, asked=call.body, keyed=keyed, key=endpoint.key)

    async def close(self) -> None:
        await self._loads.close()
        await self._connections.close()
        await self._to_clouds.close()

    def _post(self, call: Call, endpoint: Endpoint, *, path: str, body: Mapping[str, object]) -> Asking:
        connections = self._to_clouds if call.provider.cloud else self._connections
        return connections.post(
            f"{endpoint.base_url.rstrip('/')}/{path}",
            body=body,
            connect_s=call.limits.connect_s,
            key=endpoint.key,
            closes_unsaid=not call.provider.cloud,
        )

    async def _endpoint(self, call: Call, *, within_s: float | None = None) -> Endpoint:
        within_s = call.load_s if within_s is None else within_s
        try:
            known = self._endpoints.known(call.ref, provider=call.provider)
            if known is not None:
                return known
            async with asyncio.timeout(within_s):
                return await self._endpoints.resolve(
                    call.ref, provider=call.provider, context_tokens=call.deployment.context_tokens
                )
        except TimeoutError as exc:
            message = f"the model was not ready within {within_s:g} s"
            raise UpstreamFailed(message, failure=FailureClass.TIMEOUT) from exc
        except ProviderDown as exc:
            raise UpstreamFailed(exc.message, failure=FailureClass.TRANSPORT) from exc
        except UnknownName as exc:
            raise UpstreamFailed(exc.message, failure=FailureClass.GONE) from exc
        except ProviderFailed as exc:
            raise UpstreamFailed(exc.message, failure=FailureClass.LOAD_FAILED) from exc

    async def _stream(self, call: Call) -> AsyncGenerator[Sequence[Event], None]:
        endpoint = await self._endpoint(call)
        keyed = _keyed(call, endpoint)
        text = call.operation is Operation.COMPLETION
        reader = (TextReader if text else ChunkReader)(
            answer_id=call.answer_id,
            created=call.created,
            model=call.ref.name,
            keyed=keyed,
            key=endpoint.key,
            framing=call.stream,
            moulds=self._moulds,
            model_key=call.ref,
        )
        body = openai_request(call, model=endpoint.model)
        async with self._post(
            call, endpoint, path="completions" if text else "chat/completions", body=body
        ) as response:
            if response.status != 200:
                refused = await self._connections.refusal(response, keyed=keyed, key=endpoint.key)
                raise refused_text(refused) if text else refused
            if not response.has_more:
                yield (OPENED,)
            if response.content_type == "application/json":
                yield await _whole(response, reader=reader, keyed=keyed, key=endpoint.key)
                return
            if response.content_type != "text/event-stream":
                message = f"upstream answered with {response.content_type}, not with a stream"
                raise UpstreamFailed(message, failure=FailureClass.UPSTREAM_ERROR, status=response.status)
            parser = SseParser()
            past = call.shortcut.past(parser, reader)
            last: Sequence[Event] = ()
            while not reader.done and (data := await response.readany(past=past)):
                events, failed = read_batch(data, splitter=parser, reader=reader, whose="upstream")
                if failed is None and reader.finished and is_over(reader, response):
                    last = LastEvents(events)
                elif events:
                    yield events
                if failed is not None:
                    raise failed
            if rest := [event for piece in parser.finish() for event in reader.read(piece)]:
                yield rest
            if not reader.finished:
                raise UpstreamFailed("the answer ended without a finish signal", failure=FailureClass.TRUNCATED)
            await drain(response)
        if last:
            yield last


def _keyed(call: Call, endpoint: Endpoint) -> bool:
    """Is a refusal about a key that the gateway has?"""
    return (endpoint.key is not None and call.provider.kind is not ProviderKind.EMBEDDED) or call.provider.cloud


def openai_request(call: Call, *, model: str) -> dict[str, object]:
    """The body for one call: the caller's own, with what the gateway decides in its place."""
    body = cloud_body(call.body, defaults=call.defaults) if call.provider.cloud else dict(call.body)
    body |= {"model": model, "stream": True, "stream_options": {"include_usage": True}}
    if call.knows("supports_thinking") is False:
        body.pop("reasoning_effort", None)
        body.pop("reasoning", None)
    if not call.provider.cloud and body.get("max_completion_tokens") and not body.get("max_tokens"):
        body["max_tokens"] = body["max_completion_tokens"]
    return body


async def _whole(response: HttpResponse, *, reader: ChunkReader, keyed: bool, key: Secret | None) -> list[Event]:
    """The events of an answer that came in one piece although a stream was asked for."""
    try:
        completion = orjson.loads(await read_whole(response))
    except orjson.JSONDecodeError as exc:
        raise UpstreamFailed("the answer is not valid JSON", failure=FailureClass.TRUNCATED) from exc
    if not isinstance(completion, dict) or completion.get("error"):
        raise classify(status=None, body=completion, keyed=keyed, key=key)
    events = reader.chunk(chunk_of(completion))
    if not reader.finished:
        raise UpstreamFailed("the answer came without a finish signal", failure=FailureClass.TRUNCATED)
    return events

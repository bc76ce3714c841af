"""The openai lane: the same wire on both sides, the model name rewritten."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Final

import aiohttp
import orjson

from gateway.domain.failure import FailureClass
from gateway.domain.model import ProviderKind
from gateway.domain.ports import Endpoint, EndpointResolver
from gateway.domain.secret import Secret
from gateway.errors import ProviderDown, ProviderFailed, UnknownName, UpstreamFailed
from gateway.relay.classify import classify
from gateway.relay.connections import Connections, drain
from gateway.relay.event import OPENED, Event
from gateway.relay.lane import Call
from gateway.relay.lines import LineTooLong
from gateway.relay.openai_wire import ChunkReader, chunk_of
from gateway.relay.sse import SseParser

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024


class OpenAILane:
    """Chats over ``/chat/completions`` of any server that speaks this wire, the embedded engine included."""

    def __init__(self, *, connections: Connections, endpoints: EndpointResolver) -> None:
        self._connections = connections
        self._endpoints = endpoints

    async def ready(self, call: Call) -> AsyncGenerator[Event, None]:
        """See ``ChatLane.ready``. Only the embedded engine has to be started; it shares a start among its callers itself."""
        return self._stream(call, endpoint=await self._endpoint(call))

    async def close(self) -> None:
        await self._connections.close()

    async def _endpoint(self, call: Call) -> Endpoint:
        try:
            async with asyncio.timeout(call.load_s):
                return await self._endpoints.resolve(call.ref, context_tokens=call.deployment.context_tokens)
        except TimeoutError as exc:
            message = f"the model was not ready within {call.load_s:g} s"
            raise UpstreamFailed(message, failure=FailureClass.TIMEOUT) from exc
        except ProviderDown as exc:
            raise UpstreamFailed(exc.message, failure=FailureClass.TRANSPORT) from exc
        except UnknownName as exc:
            raise UpstreamFailed(exc.message, failure=FailureClass.GONE) from exc
        except ProviderFailed as exc:
            raise UpstreamFailed(exc.message, failure=FailureClass.LOAD_FAILED) from exc

    async def _stream(self, call: Call, *, endpoint: Endpoint) -> AsyncGenerator[Event, None]:
        keyed = (endpoint.key is not None and call.provider.kind is not ProviderKind.EMBEDDED) or call.provider.cloud
        reader = ChunkReader(
            answer_id=call.answer_id, created=call.created, model=call.ref.name, keyed=keyed, key=endpoint.key
        )
        url = f"{endpoint.base_url.rstrip('/')}/chat/completions"
        body = openai_request(call, model=endpoint.model)
        connect_s = call.limits.connect_s
        async with self._connections.post(
            url, body=body, connect_s=connect_s, key=endpoint.key, closes_unsaid=not call.provider.cloud
        ) as response:
            if response.status != 200:
                raise await self._connections.refusal(response, keyed=keyed, key=endpoint.key)
            yield OPENED
            if response.content_type == "application/json":
                for event in await _whole(response, reader=reader, keyed=keyed, key=endpoint.key):
                    yield event
                return
            if response.content_type != "text/event-stream":
                message = f"upstream answered with {response.content_type}, not with a stream"
                raise UpstreamFailed(message, failure=FailureClass.UPSTREAM_ERROR, status=response.status)
            parser = SseParser()
            while not reader.done and (data := await response.content.readany()):
                for event in _events(reader, parser=parser, data=data):
                    yield event
            for rest in parser.finish():
                for event in reader.data(rest):
                    yield event
            if not reader.finished:
                raise UpstreamFailed("the answer ended without a finish signal", failure=FailureClass.TRUNCATED)
            await drain(response)


def openai_request(call: Call, *, model: str) -> dict[str, object]:
    """The body for one call: the caller's own, with what the gateway decides in its place."""
    body = dict(call.body)
    body |= {"model": model, "stream": True, "stream_options": {"include_usage": True}}
    if call.knows("supports_thinking") is False:
        body.pop("reasoning_effort", None)
        body.pop("reasoning", None)
    if not call.provider.cloud and body.get("max_completion_tokens") and not body.get("max_tokens"):
        body["max_tokens"] = body["max_completion_tokens"]
    return body


def _events(reader: ChunkReader, *, parser: SseParser, data: bytes) -> Iterator[Event]:
    try:
        for payload in parser.feed(data):
            yield from reader.data(payload)
    except LineTooLong as exc:
        raise UpstreamFailed(f"upstream sent {exc}", failure=FailureClass.UPSTREAM_ERROR) from exc


async def _whole(
    response: aiohttp.ClientResponse, *, reader: ChunkReader, keyed: bool, key: Secret | None
) -> list[Event]:
    """The events of an answer that came in one piece although a stream was asked for."""
    body = bytearray()
    while data := await response.content.readany():
        body += data
        if len(body) > MAX_ANSWER_BYTES:
            message = f"upstream sent an answer of more than {MAX_ANSWER_BYTES} bytes"
            raise UpstreamFailed(message, failure=FailureClass.UPSTREAM_ERROR)
    try:
        completion = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise UpstreamFailed("the answer is not valid JSON", failure=FailureClass.TRUNCATED) from exc
    if not isinstance(completion, dict) or completion.get("error"):
        raise classify(status=None, body=completion, keyed=keyed, key=key)
    events = reader.chunk(chunk_of(completion))
    if not reader.finished:
        raise UpstreamFailed("the answer came without a finish signal", failure=FailureClass.TRUNCATED)
    return events

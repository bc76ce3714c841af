"""Servers that send what no server should: the attempt fails, the next deployment answers, the caller never sees a crash."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import orjson
import pytest
from aiohttp import web

from fakes.serving import FakeServer
from fakes.upstream import FakeUpstream
from gateway.domain.model import Lane
from gateway.domain.role import Deadlines
from gateway.errors import RequestFailed, Unsupported, UpstreamFailed
from relay_builders import (
    ScriptedBackend,
    a_deployment,
    a_relay,
    a_route,
    ask,
    ask_stream,
    ask_whole,
    heard,
    text_of,
)

OLLAMA = a_deployment("ollama:llama3.1:8b", cloud=True)
LAB = a_deployment("lab:gpt-4o-mini", lane=Lane.OPENAI, order=2)
ODD = a_deployment("odd:x", lane=Lane.OPENAI)
CLAUDE = a_deployment("anthropic:claude", lane=Lane.LITELLM)
HEAD = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
SURROGATE = "\ud800"


class Canned(FakeServer):
    """Answers every chat of either wire with the same bytes."""

    def __init__(self, body: bytes, *, content_type: str) -> None:
        super().__init__()
        self._body = body
        self._content_type = content_type
        self.asked = 0

    def routes(self) -> list[web.RouteDef]:
        return [web.post(path, self._answer) for path in ("/chat/completions", "/api/chat")]

    async def _answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        return web.Response(body=self._body, content_type=self._content_type)


def nested(depth: int) -> Any:
    return orjson.loads(b'{"a":' * depth + b"1" + b"}" * depth)


def deep_call(depth: int) -> bytes:
    arguments = b'{"a":' * depth + b"1" + b"}" * depth
    return b'{"message":{"tool_calls":[{"function":{"name":"f","arguments":%s}}]},"done":false}' % arguments


def ended(reason: bytes = b'"stop"', more: bytes = b"") -> bytes:
    return b'{"message":{"content":""},"done":true,"done_reason":%s%s}' % (reason, more)


def say(text: bytes) -> bytes:
    return b'{"message":{"content":%s},"done":false}' % text


def choice(index: int, delta: dict[str, object], *, finish: object = None) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


def sse(*chunks: bytes | dict[str, Any]) -> bytes:
    told = [one if isinstance(one, bytes) else orjson.dumps(one) for one in chunks]
    return b"".join(b"data: " + one + b"\n\n" for one in [*told, b"[DONE]"])


@contextlib.asynccontextmanager
async def canned(body: bytes, *, native: bool) -> AsyncIterator[Canned]:
    async with Canned(body, content_type="application/x-ndjson" if native else "text/event-stream") as server:
        yield server


NATIVE = [
    pytest.param([say(b'"a"'), ended(b"[]")], "truncated", id="reason a list"),
    pytest.param([say(b'"a"'), ended(b"{}")], "truncated", id="reason an object"),
    pytest.param([say(b'"a"'), ended(b"[" * 300 + b"]" * 300)], "truncated", id="reason too deep to write"),
    pytest.param([deep_call(300), ended()], "upstream_error", id="arguments too deep to write"),
    pytest.param([say(b'"\\ud800"'), ended()], "upstream_error", id="half a character"),
    pytest.param([say(b"5"), ended()], "upstream_error", id="content a number"),
    pytest.param([b"{broken", ended()], "upstream_error", id="no line but the last readable"),
    pytest.param(
        [b'{"message":{"content":"a"},"logprobs":[%s]}' % (b"[" * 300 + b"]" * 300), ended()],
        "upstream_error",
        id="logprobs too deep to write",
    ),
]


@pytest.mark.parametrize(("lines", "failure"), NATIVE)
async def test_an_odd_native_answer_is_a_failed_attempt(lines: list[bytes], failure: str) -> None:
    async with (
        canned(b"\n".join(lines) + b"\n", native=True) as odd,
        FakeUpstream() as lab,
        a_relay(urls={"lab": lab.base_url}) as relay,
    ):
        answer, body = await ask_whole(relay, a_route(OLLAMA, LAB, urls={"ollama": odd.url}))
    assert answer.deployment is LAB
    assert answer.attempts[0].failure == failure
    assert body["choices"][0]["message"]["content"] == "Hello from gpt-4o-mini"


async def test_odd_counts_and_names_of_a_native_answer_are_left_out() -> None:
    call = b'{"message":{"tool_calls":[{"id":{},"function":{"name":"f","arguments":{}}}]}}'
    counts = b',"prompt_eval_count":-5,"eval_count":9223372036854775807'
    async with canned(call + b"\n" + ended(more=counts), native=True) as odd, a_relay() as relay:
        _, body = await ask_whole(relay, a_route(OLLAMA, urls={"ollama": odd.url}))
    assert body["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    assert body["choices"][0]["message"]["tool_calls"][0]["id"].startswith("call_")


UNREADABLE = [
    pytest.param([b"{", choice(0, {}, finish="stop")], "upstream_error", id="broken"),
    pytest.param([choice(0, {"content": 5}), choice(0, {}, finish="stop")], "upstream_error", id="a number"),
    pytest.param([choice(0, {"content": "a"}, finish=["stop"])], "truncated", id="a finish that is a list"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("chunks", "failure"), UNREADABLE[:2])
async def test_an_answer_of_which_nothing_could_be_read_is_a_failed_attempt(
    chunks: list[Any], failure: str, stream: bool
) -> None:
    async with (
        canned(sse(*chunks), native=False) as odd,
        FakeUpstream() as lab,
        a_relay(urls={"odd": odd.url, "lab": lab.base_url}) as relay,
    ):
        answer = await ask(relay, a_route(ODD, LAB), stream=stream)
        assert answer.deployment is LAB
        assert answer.attempts[0].failure == failure


@pytest.mark.parametrize(("chunks", "failure"), UNREADABLE[2:])
async def test_a_finish_that_is_no_text_is_none(chunks: list[Any], failure: str) -> None:
    async with (
        canned(sse(*chunks), native=False) as odd,
        FakeUpstream() as lab,
        a_relay(urls={"odd": odd.url, "lab": lab.base_url}) as relay,
    ):
        answer = await ask(relay, a_route(ODD, LAB))
        assert answer.attempts[0].failure == failure


@pytest.mark.parametrize("usage", [5, [1], {"prompt_tokens": -1}, {"total_tokens": "3"}])
async def test_token_counts_that_are_none_are_left_out(usage: object) -> None:
    last = {**choice(0, {}, finish="stop"), "usage": usage}
    async with (
        canned(sse(choice(0, {"content": "a"}), last), native=False) as odd,
        a_relay(urls={"odd": odd.url}) as relay,
    ):
        _, body = await ask_whole(relay, a_route(ODD))
        events = await heard(await ask_stream(relay, a_route(ODD), stream_options={"include_usage": True}))
    assert "usage" not in body
    assert [event for event in events if event != "[DONE]" and "usage" in event] == []


@pytest.mark.parametrize("stream", [False, True])
async def test_what_cannot_be_written_fails_the_attempt_and_is_logged_once(
    stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    backend = ScriptedBackend([choice(0, {"content": SURROGATE}, finish="stop")])
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        answer = await ask(relay, a_route(CLAUDE, LAB, backend=backend), stream=stream)
        assert answer.deployment is LAB
        assert [one.failure for one in answer.attempts] == ["upstream_error", "upstream_error", ""]
    crashes = [one for one in caplog.records if one.levelno == logging.ERROR and one.name.startswith("gateway.")]
    assert [one.getMessage() for one in crashes] == ["the answer of anthropic:claude could not be handled"] * 2
    assert all(one.exc_info for one in crashes)


async def test_what_cannot_be_written_in_the_middle_ends_the_stream_in_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    backend = ScriptedBackend([choice(0, {"content": "a"}), choice(0, {"content": SURROGATE})])
    async with a_relay() as relay:
        answer = await ask_stream(relay, a_route(CLAUDE, backend=backend))
        events = await heard(answer)
    assert text_of(events) == "a"
    assert events[-1]["error"]["code"] == "upstream_error"
    assert answer.failed
    assert [one.failure for one in answer.attempts] == ["upstream_error"]
    assert sum(one.levelno == logging.ERROR for one in caplog.records) == 1


class Crashing(Mapping[str, object]):
    """A chunk that nobody can look into."""

    def __getitem__(self, key: str) -> object:
        raise LookupError(key)

    def __iter__(self) -> Iterator[str]:
        raise LookupError

    def __len__(self) -> int:
        return 1


async def test_a_lane_that_crashes_is_a_failed_attempt() -> None:
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        answer = await ask(relay, a_route(CLAUDE, LAB, backend=ScriptedBackend([Crashing()])))
        assert answer.deployment is LAB
        with pytest.raises(RequestFailed) as caught:
            await ask(relay, a_route(CLAUDE, backend=ScriptedBackend([Crashing()])))
    assert caught.value.message == (
        'no deployment of role "planner" answered; the last, anthropic:claude, failed with upstream_error: '
        "the answer could not be handled (LookupError); the gateway's log says more"
    )


async def test_an_error_that_cannot_be_written_is_told_all_the_same() -> None:
    failed = UpstreamFailed(f"bad {SURROGATE}", failure="bad_request", status=400)
    async with a_relay() as relay:
        with pytest.raises(RequestFailed) as caught:
            await ask(relay, a_route(CLAUDE, backend=ScriptedBackend(failed=failed)))
        backend = ScriptedBackend([choice(0, {"content": "a"})], failed=failed)
        events = await heard(await ask_stream(relay, a_route(CLAUDE, backend=backend)))
    assert caught.value.message == "bad ?"
    assert events[-1]["error"]["message"] == "bad ?"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_choice_that_ends_first_does_not_end_the_answer(stream: bool) -> None:
    body = sse(
        choice(0, {"content": "one "}),
        choice(1, {"content": "x"}),
        choice(1, {}, finish="stop"),
        choice(0, {"content": "two"}),
        choice(0, {}, finish="stop"),
    )
    async with canned(body, native=False) as odd, a_relay(urls={"odd": odd.url}) as relay:
        if stream:
            events = await heard(await ask_stream(relay, a_route(ODD)))
            told = [one for event in events[:-1] for one in event["choices"] if one["index"] == 0]
            assert "".join(one["delta"].get("content", "") for one in told) == "one two"
            assert told[-1]["finish_reason"] == "stop"
            assert events[-1] == "[DONE]"
        else:
            _, whole = await ask_whole(relay, a_route(ODD))
            assert whole["choices"][0]["message"]["content"] == "one two"


async def test_an_answer_with_a_choice_left_open_is_truncated() -> None:
    body = sse(choice(0, {"content": "one "}), choice(1, {"content": "x"}, finish="stop"))
    async with canned(body, native=False) as odd, a_relay(urls={"odd": odd.url}) as relay:
        events = await heard(await ask_stream(relay, a_route(ODD)))
    assert events[-1]["error"]["code"] == "stream_truncated"


@pytest.mark.parametrize("count", [2, [1], "1"])
async def test_a_role_cannot_ask_for_several_choices_either(count: object) -> None:
    async with a_relay() as relay:
        with pytest.raises(Unsupported) as caught:
            await ask(relay, a_route(LAB, parameters={"n": count}))
    assert caught.value.message == 'n: the parameters of the role "planner" ask for more than 1; allowed: 1'


async def test_a_caller_that_does_not_read_is_waited_for_as_long_as_the_total_deadline() -> None:
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        answer = await ask_stream(relay, a_route(LAB, deadlines=Deadlines(total_s=0.2)))

        async def write(frames: bytes) -> None:
            await asyncio.Event().wait()

        await answer.deliver(write)
        assert answer.stopped
        await answer.aclose()
        await lab.until(lambda: lab.active == 0)


@pytest.mark.parametrize("wait_s", [float("nan"), float("inf"), -5.0])
async def test_a_wait_that_is_none_is_not_passed_on(wait_s: float) -> None:
    failed = UpstreamFailed("slow down", failure="rate_limit", status=429, retry_after_s=wait_s)
    async with a_relay() as relay:
        route = a_route(CLAUDE, backend=ScriptedBackend(failed=failed), deadlines=Deadlines(total_s=0.2))
        with pytest.raises(RequestFailed) as caught:
            await ask(relay, route)
    assert caught.value.retry_after_s is None
    assert len(caught.value.attempts) == 1


ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n%s"
REFUSAL = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("later", "failures"),
    [
        pytest.param(b"", ["transport", "transport"], id="closes every connection"),
        pytest.param(REFUSAL, ["transport", "upstream_error", "upstream_error"], id="answers 500"),
    ],
)
async def test_every_sending_of_a_request_that_fails_is_an_attempt(later: bytes, failures: list[str]) -> None:
    body = sse(choice(0, {"content": "Hi"}, finish="stop"))
    seen: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            for _ in range(2):
                await reader.readuntil(b"}}")
                seen.append(len(seen))
                if len(seen) == 1:
                    writer.write(ANSWER % (len(body), body))
                elif len(seen) == 2:
                    break
                else:
                    writer.write(later)
                    break
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, a_relay(urls={"lab": url}) as relay:
        await ask(relay, a_route(LAB))
        with pytest.raises(RequestFailed) as caught:
            await ask(relay, a_route(LAB))
    assert [one.failure for one in caught.value.attempts] == failures
    assert len(seen) == 1 + len(failures)


@pytest.mark.parametrize("deployment", [OLLAMA, ODD], ids=["ollama", "openai"])
async def test_the_deepest_request_that_is_taken_can_be_sent(deployment: Any) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": nested(96)}}
    native = deployment is OLLAMA
    told = say(b'"a"') + b"\n" + ended() if native else sse(choice(0, {"content": "a"}, finish="stop"))
    async with canned(told, native=native) as odd, a_relay(urls={"odd": odd.url}) as relay:
        roomy = a_deployment(str(deployment.ref), lane=deployment.lane, cloud=native, context_tokens=None)
        await ask(relay, a_route(roomy, urls={"ollama": odd.url}), tools=[tool])
        assert odd.asked == 1

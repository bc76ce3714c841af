"""Limits on the head of a request and on connections, kept before any route is reached."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.api.caller import CALLER, Caller
from gateway.api.http_protocol import HEAD_S, MAX_HEAD_BYTES, bounded_protocol
from gateway.api.reply import BODY_S

HELLO = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def served(
    serve: ASGIApp = app,
    *,
    max_connections: int = 100,
    idle_s: int = 5,
    head_s: float = HEAD_S,
    body_s: float = BODY_S,
) -> AsyncIterator[int]:
    config = uvicorn.Config(
        serve,
        http=bounded_protocol(max_connections=max_connections, head_s=head_s, body_s=body_s),
        lifespan="off",
        log_config=None,
        ws="none",
        port=0,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=idle_s,
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]  # of older versions
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        await server.shutdown()


async def told(port: int, data: bytes) -> tuple[int, bytes]:
    """The status and the body of the answer to ``data``, read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    whole = await reader.read()
    writer.close()
    head, _, body = whole.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * (MAX_HEAD_BYTES + 1) + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * (2 * MAX_HEAD_BYTES),
        b"GET /" + b"a" * (2 * MAX_HEAD_BYTES),
    ],
    ids=["complete", "without an end", "a path without an end"],
)
async def test_a_head_over_the_limit_is_refused_in_the_common_shape(data: bytes) -> None:
    async with served() as port:
        status, body = await told(port, data)
    assert status == 431
    error = orjson.loads(body)["error"]
    assert error["code"] == "headers_too_large"
    assert error["message"] == "the head of the request is over the limit of 65,536 bytes"


async def test_what_is_no_http_is_refused_in_the_common_shape() -> None:
    async with served() as port:
        status, body = await told(port, b"\x16\x03\x01 hello\r\n\r\n")
    assert status == 400
    assert orjson.loads(body)["error"]["message"] == "this is not a valid HTTP request"


async def test_a_head_near_the_limit_is_answered() -> None:
    data = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: " + b"a" * (MAX_HEAD_BYTES - 200) + b"\r\n\r\n"
    async with served() as port:
        assert (await told(port, data))[1] == b"ok"


async def test_one_connection_too_many_is_told_so_and_the_others_go_on() -> None:
    async with served(max_connections=1) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HELLO)
        assert (await reader.readuntil(b"ok")).endswith(b"ok")
        status, body = await told(port, b"")
        assert status == 503
        assert orjson.loads(body)["error"]["code"] == "too_many_connections"
        writer.write(HELLO)
        assert (await reader.readuntil(b"ok")).endswith(b"ok")
        writer.close()


async def test_a_connection_is_closed_when_nothing_more_is_asked_and_not_in_the_middle_of_an_answer() -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(1.3)
        await app(scope, receive, send)

    async with served(slow, idle_s=1) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        loop, answered_s = asyncio.get_running_loop(), 0.0
        for _ in range(2):
            writer.write(HELLO)
            assert (await reader.readuntil(b"ok")).endswith(b"ok")
            answered_s = loop.time()
        assert await reader.read() == b""
        assert loop.time() - answered_s > 0.9
        writer.close()


def caller_of(scope: Scope) -> Caller:
    caller: Caller = scope["extensions"][CALLER]
    return caller


async def test_a_whole_answer_is_sent_at_once_and_the_connection_serves_again() -> None:
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        assert caller_of(scope).reply(b"{}", head=b"x-a: 1\r\n")
        assert not caller_of(scope).reply(b"{}", head=b"")

    async with served(serve) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(HELLO)
            head, _, _ = (await reader.readuntil(b"{}")).partition(b"\r\n\r\n")
            lines = head.lower().split(b"\r\n")
            assert lines[0] == b"http/1.1 200 ok"
            assert {b"content-type: application/json", b"content-length: 2", b"x-a: 1"} <= set(lines)
            assert b"connection: close" not in lines
        writer.close()
        status, body = await told(port, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert (status, body) == (200, b"{}")


async def test_requests_sent_at_once_are_answered_in_order() -> None:
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        assert caller_of(scope).reply(orjson.dumps(scope["path"]), head=b"")

    async with served(serve) as port:
        data = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % one for one in range(5))
        last = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data + last)
        answers = (await reader.read()).split(b"HTTP/1.1 200 OK")[1:]
        writer.close()
    assert [one.rpartition(b"\r\n")[2] for one in answers] == [*(b'"/%d"' % one for one in range(5)), b'"/last"']


async def test_frames_are_taken_once_the_answer_has_begun_and_while_the_caller_is_there() -> None:
    gone = asyncio.Event()
    offered: list[bool] = []

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        caller = caller_of(scope)
        offered.append(caller.offer(b"too soon"))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        offered.append(caller.offer(b"abc"))
        caller.when_gone(gone.set)
        await gone.wait()
        offered.append(caller.offer(b"too late"))

    async with asyncio.timeout(10), served(serve) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HELLO)
        head = await reader.readuntil(b"3\r\nabc\r\n")
        assert b"transfer-encoding: chunked" in head
        writer.close()
        await gone.wait()
    assert offered == [False, True, False]


async def test_a_caller_who_does_not_read_is_offered_no_more_than_the_connection_holds() -> None:
    waiting, read = asyncio.Event(), asyncio.Event()
    taken = 0

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal taken
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while caller_of(scope).offer(b"a" * 65536):
            taken += 1
            await asyncio.sleep(0)
        waiting.set()
        await read.wait()
        await send({"type": "http.response.body", "body": b"end", "more_body": False})

    async with asyncio.timeout(30), served(serve) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
        writer.write(HELLO)
        await waiting.wait()
        read.set()
        whole = await _all(reader)
        writer.close()
    assert whole.count(b"a" * 65536) == taken > 0
    assert whole.endswith(b"3\r\nend\r\n0\r\n\r\n")


async def _all(reader: asyncio.StreamReader) -> bytes:
    whole = b""
    while not whole.endswith(b"\r\n0\r\n\r\n"):
        whole += await reader.read(1 << 20)
    return whole


async def test_a_caller_who_leaves_with_another_request_sent_is_noticed() -> None:
    gone = asyncio.Event()

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        caller_of(scope).when_gone(gone.set)
        await gone.wait()

    async with asyncio.timeout(10), served(serve) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HELLO + HELLO)
        await writer.drain()
        writer.close()
        await gone.wait()


async def test_a_body_is_handed_out_when_all_of_it_has_come() -> None:
    found: list[bytes | None] = []
    looked = asyncio.Event()

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        found.append(caller_of(scope).whole_body(limit_bytes=4))
        looked.set()
        while (await receive()).get("more_body"):
            pass
        assert caller_of(scope).reply(b"{}", head=b"")

    async with asyncio.timeout(10), served(serve) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n12")
        await looked.wait()
        writer.write(b"34")
        await reader.readuntil(b"{}")
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n5678")
        await reader.readuntil(b"{}")
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n56789")
        await reader.readuntil(b"{}")
        writer.close()
    assert found == [None, b"5678", None]


async def test_many_whole_answers_at_once_reach_each_caller_and_none_is_lost_when_the_server_stops() -> None:
    all_asked, asked = asyncio.Event(), 0

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal asked
        asked += 1
        if asked == 20:
            all_asked.set()
        await all_asked.wait()
        assert caller_of(scope).reply(orjson.dumps(scope["path"]), head=b"")

    async with asyncio.timeout(10):
        async with served(serve) as port:
            callers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
            for number, (_, writer) in enumerate(callers):
                writer.write(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
            await all_asked.wait()
        for number, (reader, writer) in enumerate(callers):
            assert (await reader.read()).endswith(b'\r\n\r\n"/%d"' % number)
            writer.close()


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"", 0), (b"GET / HTTP/1.1\r\nHost: a\r\nX: ", 408), (HELLO + b"GET / HT", 408)],
    ids=["nothing", "half a head", "half of a second head"],
)
async def test_a_head_that_does_not_come_is_not_waited_for(data: bytes, status: int) -> None:
    async with served(head_s=0.5) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        whole = await reader.read()
        writer.close()
    last = whole[whole.rfind(b"HTTP/1.1 ") :]
    assert (int(last.split()[1]) if last else 0) == status
    if status:
        error = orjson.loads(last.partition(b"\r\n\r\n")[2])["error"]
        assert (error["code"], error["message"]) == (
            "request_timeout",
            "the head of the request did not arrive within 0.5 s",
        )


async def test_a_head_that_came_in_time_is_not_cut_off_later() -> None:
    async with served(head_s=0.5) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(HELLO[:9])
            await writer.drain()
            writer.write(HELLO[9:])
            assert (await reader.readuntil(b"ok")).endswith(b"ok")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.7)
        writer.close()


async def test_the_rest_of_a_body_that_was_answered_already_is_not_waited_for_long() -> None:
    async with served(body_s=0.05) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n{")
        assert (await reader.read()).endswith(b"ok")
        writer.close()


async def test_a_body_that_comes_after_its_answer_leaves_the_connection_open() -> None:
    async with served(body_s=0.5) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n{")
        await reader.readuntil(b"ok")
        writer.write(b"  }")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.7)
        writer.write(HELLO)
        assert (await reader.readuntil(b"ok")).endswith(b"ok")
        writer.close()


async def test_empty_lines_are_no_sign_of_life() -> None:
    async with served(idle_s=1) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HELLO)
        await reader.readuntil(b"ok")
        writer.write(b"\r\n\r\n")
        assert await reader.read() == b""
        writer.close()


async def test_what_nobody_foresaw_is_answered_in_the_common_shape_and_the_connection_serves_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/odd":
            raise LookupError("nobody thought of this")
        await app(scope, receive, send)

    async with asyncio.timeout(10), served(serve) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /odd HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        error = orjson.loads(await reader.readexactly(length))["error"]
        writer.write(b"HEAD /odd HTTP/1.1\r\nHost: a\r\n\r\n" + HELLO)
        assert b"content-length: %d" % length in await reader.readuntil(b"\r\n\r\n")
        assert (await reader.readuntil(b" ")) == b"HTTP/1.1 "
        assert (await reader.readuntil(b"ok")).endswith(b"ok")
        writer.close()
    assert head.startswith(b"HTTP/1.1 500 ")
    assert b"x-request-id: mine\r\n" in head
    assert (error["code"], error["message"]) == (
        "internal_error",
        "an unexpected error; the gateway's log has the details",
    )
    assert [one.message for one in caplog.records if one.exc_info] == ["unexpected error"] * 2


async def test_an_answer_that_is_not_ended_is_cut() -> None:
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})

    async with asyncio.timeout(10), served(serve) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HELLO)
        whole = await reader.read()
        writer.close()
    assert whole.endswith(b"4\r\nhalf\r\n")

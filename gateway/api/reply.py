"""Whole answers over ASGI, and request bodies with a limit: what every route needs, without a framework's cost per request."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

import orjson
from starlette.types import Receive, Send

from gateway.errors import BadRequest, RequestTooLarge, RequestTooSlow
from gateway.relay.patience import Patience

MAX_VALUE_CHARS: Final = 2_000
"""Longer header values than this are cut: some clients and proxies refuse them."""
BODY_S: Final = 60.0

Header = tuple[bytes, bytes]
Headers = list[Header]


def raw_headers(headers: Mapping[str, str]) -> Headers:
    """Header values are made safe for the wire: upstream words may end up in them, with whatever characters."""
    return [(_value(name), _value(value)) for name, value in headers.items()]


def lines_of(headers: Iterable[Header]) -> bytes:
    """Headers as they stand in an answer's head."""
    return b"".join([b"%b: %b\r\n" % one for one in headers])


def headers_in(head: bytes) -> Headers:
    """The headers that ``lines_of`` wrote."""
    return [(name, value) for name, _, value in (line.partition(b": ") for line in head.split(b"\r\n")) if name]


@lru_cache(maxsize=1024)
def _value(text: str) -> bytes:
    if not text.isascii() or not text.isprintable():
        text = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return text[:MAX_VALUE_CHARS].encode("latin-1", "replace")


async def send_body(send: Send, *, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Send one complete JSON answer."""
    all_headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode("ascii")),
        *headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": all_headers})
    await send({"type": "http.response.body", "body": body})


async def send_json(send: Send, *, status: int, content: object, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    await send_body(send, status=status, body=orjson.dumps(content), headers=headers)


class CallerGone(Exception):
    """The caller disconnected before its request was complete."""


async def read_body(
    receive: Receive, *, limit_bytes: int, patience: Patience | None = None, within_s: float = BODY_S
) -> bytes:
    """The whole request body. Raises ``RequestTooLarge`` once it is over the limit, ``RequestTooSlow`` when it is not there in
    time, ``CallerGone`` when the caller left. ``patience`` is that of the present task, if it has one already."""
    waiting = patience or Patience()
    try:
        body = await waiting.wait(_gathered(receive, limit_bytes=limit_bytes), within_s=within_s)
    except TimeoutError as exc:
        raise RequestTooSlow(f"the request body did not arrive within {within_s:g} s", hint="send it again") from exc
    finally:
        if patience is None:
            waiting.close()
    if not body:
        raise BadRequest("the request has no body", hint="send a JSON object with model and messages")
    return body


async def _gathered(receive: Receive, *, limit_bytes: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerGone
        part = message.get("body", b"")
        size += len(part)
        if size > limit_bytes:
            raise RequestTooLarge(
                f"the request body is over the limit of {limit_bytes:,} bytes",
                hint="send less, or raise gateway.body_limit_bytes",
            )
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)

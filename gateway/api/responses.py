"""OpenAI's Responses API, as a way to ask for a chat answer. Nothing is stored: each request brings its whole conversation."""

import time
import uuid
from collections.abc import Callable

from gateway.api.dialect import Asked
from gateway.api.errors import error_body
from gateway.api.responses_head import ResponseHead
from gateway.api.responses_request import read_request
from gateway.api.responses_wire import ResponsesWire
from gateway.errors import RolegateError
from gateway.relay.json_object import read_object
from gateway.relay.request import ChatRequest


class Responses:
    """The ``responses`` dialect. ``new_id`` gives letters and digits, each time others; ``now_s`` seconds since the epoch."""

    __slots__ = ("_new_id", "_now_s")

    def __init__(
        self, *, new_id: Callable[[], str] = lambda: uuid.uuid4().hex, now_s: Callable[[], float] = time.time
    ) -> None:
        self._new_id = new_id
        self._now_s = now_s

    @property
    def name(self) -> str:
        return "responses"

    def asked(self, body: bytes) -> Asked:
        """See ``Dialect.asked``."""
        request = read_request(read_object(body))
        inquiry = ChatRequest.of(request.chat)
        head = ResponseHead(
            key=self._new_id(),
            created_s=int(self._now_s()),
            model=inquiry.model,
            settings=request.settings,
            logprobs=request.logprobs,
        )
        return Asked(inquiry=inquiry, wire=ResponsesWire(head=head))

    def error(self, error: RolegateError, *, request_id: str) -> bytes:
        """See ``Dialect.error``."""
        return error_body(error)

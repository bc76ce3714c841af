"""``/v1/chat/completions``: OpenAI's own wire, which is the relay's too."""

from gateway.api.dialect import Asked
from gateway.api.errors import error_body
from gateway.errors import RolegateError
from gateway.relay.request import ChatRequest
from gateway.relay.wire import ChatWire


class Chat:
    """Implements ``Dialect``."""

    name = "chat"

    def asked(self, body: bytes) -> Asked:
        request = ChatRequest.parse(body)
        return Asked(inquiry=request, wire=ChatWire(include_usage=request.include_usage))

    def error(self, error: RolegateError, *, request_id: str) -> bytes:
        return error_body(error)

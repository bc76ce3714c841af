"""``/v1/messages``: Anthropic's Messages API over the same roles."""

import uuid
from collections.abc import Callable

import orjson

from gateway.api.dialect import Asked
from gateway.api.messages_errors import messages_error
from gateway.api.messages_request import chat_body, eager_tools, prompt_body
from gateway.api.messages_wire import MessagesWire
from gateway.errors import RolegateError
from gateway.relay.json_object import read_object
from gateway.relay.request import ChatRequest


def _new_id() -> str:
    return f"msg_{uuid.uuid4().hex}"


class Messages:
    """Anthropic's dialect. ``new_id`` makes the id of an answer."""

    name = "messages"

    def __init__(self, *, new_id: Callable[[], str] = _new_id) -> None:
        self._new_id = new_id

    def asked(self, body: bytes) -> Asked:
        content = read_object(body)
        chat = chat_body(content)
        inquiry = ChatRequest.of(chat)
        stops = chat.get("stop")
        wire = MessagesWire(
            answer_id=self._new_id(),
            model=inquiry.model,
            stops=stops if isinstance(stops, list) else (),
            eager_tools=eager_tools(content),
        )
        return Asked(inquiry=inquiry, wire=wire)

    def error(self, error: RolegateError, *, request_id: str) -> bytes:
        return orjson.dumps(messages_error(error, request_id=request_id))


def count_tokens(body: bytes) -> bytes:
    """The answer to ``/v1/messages/count_tokens``: ``{"input_tokens": n}``.

    An estimate, by the rule that decides which model's context is large enough: no model is asked, and each counts with a
    tokenizer of its own. Raises ``BadRequest`` naming the field at fault, or ``Unsupported``.
    """
    inquiry = ChatRequest.of(prompt_body(read_object(body)))
    return orjson.dumps({"input_tokens": inquiry.needs.prompt_tokens})

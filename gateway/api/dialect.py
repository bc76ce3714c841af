"""The wires that callers speak, as the data plane's one endpoint sees them."""

from typing import NamedTuple, Protocol

from gateway.errors import RolegateError
from gateway.relay.inquiry import Inquiry
from gateway.relay.wire import AnswerWire


class Asked(NamedTuple):
    """A request as the relay takes it, and how its answer is to be written: ``wire`` is ``None`` for embeddings, whose answer has
    one form only."""

    inquiry: Inquiry
    wire: AnswerWire | None = None


class Dialect(Protocol):
    """One way to ask for an answer: its requests, its answers and its errors. Holds no request state."""

    @property
    def name(self) -> str:
        """A word for the log and the journal: ``chat``, ``completions``, ``responses``, ``messages``."""

    def asked(self, body: bytes) -> Asked:
        """Read a request body. Raises ``BadRequest`` naming the field at fault in the caller's own terms, or ``Unsupported``."""

    def error(self, error: RolegateError, *, request_id: str) -> bytes:
        """The body of an error answer to the request with this id."""

"""What the relay must know of a request whose answer is generated, whatever wire it came over."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

from gateway.relay.needs import Needs


class Operation(StrEnum):
    """How a model is asked."""

    CHAT = "chat"
    """Messages in, a message out."""
    COMPLETION = "completion"
    """A prompt in, perhaps with what shall follow the answer; text out."""
    EMBEDDING = "embedding"
    """Texts in, vectors out."""


class Inquiry(Protocol):
    """A chat or completion request, checked. ``body`` is an OpenAI request of that kind; ``include_usage`` says that a stream
    must end with the token counts."""

    @property
    def operation(self) -> Operation: ...

    @property
    def model(self) -> str: ...

    @property
    def stream(self) -> bool: ...

    @property
    def include_usage(self) -> bool: ...

    @property
    def body(self) -> Mapping[str, object]: ...

    @property
    def needs(self) -> Needs: ...

"""What one read from upstream brought."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from gateway.domain.failure import FailureClass
from gateway.errors import UpstreamFailed
from gateway.relay.event import Event
from gateway.relay.lines import LineTooLong


class Reader(Protocol):
    """Understands the pieces of one answer, in order."""

    def text(self, pieces: Sequence[bytes]) -> tuple[Event | None, int]:
        """The event that the first of these pieces make together if they say nothing but more text, and how many they are;
        ``None`` and 0 if the first one has to be read by itself."""

    def frames(self, pieces: Sequence[bytes]) -> bytes:
        """The frames of the chat wire for these pieces, if all of them say nothing but more text; empty, with nothing remembered
        of them, otherwise."""

    def read(self, piece: bytes) -> list[Event]:
        """The events of one piece. Raises ``UpstreamFailed``."""


class Batch(NamedTuple):
    """``failed`` is what ended it: the events before it were heard all the same, and go to the caller first."""

    events: list[Event]
    failed: UpstreamFailed | None = None


def read_batch(data: bytes, *, split: Callable[[bytes], list[bytes]], reader: Reader, whose: str) -> Batch:
    """The events in ``data``, which ``split`` takes apart and ``reader`` understands. ``whose`` names upstream in an error."""
    events: list[Event] = []
    try:
        pieces = split(data)
        while pieces:
            event, count = reader.text(pieces)
            if event is not None:
                events.append(event)
                pieces = pieces[count:]
            else:
                events += reader.read(pieces[0])
                pieces = pieces[1:]
    except LineTooLong as exc:
        return Batch(events, UpstreamFailed(f"{whose} sent {exc}", failure=FailureClass.UPSTREAM_ERROR))
    except UpstreamFailed as failed:
        return Batch(events, failed)
    return Batch(events)

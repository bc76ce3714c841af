"""What one read from upstream brought."""

from typing import NamedTuple, Protocol

from gateway.domain.failure import FailureClass
from gateway.errors import UpstreamFailed
from gateway.relay.event import Event
from gateway.relay.lines import LineTooLong


class Splitter(Protocol):
    """Takes bytes apart into pieces."""

    at_start: bool
    """Nothing is left of what came before: what comes next begins a piece."""

    def first(self, data: bytes, at: int) -> tuple[bytes, int] | None:
        """The piece that begins at ``at``, where one does, and the place after it; ``None``, with nothing remembered, where that
        takes a closer look, or more data."""

    def feed(self, data: bytes) -> list[bytes]:
        """The pieces that ``data`` completes; what begins another is kept. Raises ``LineTooLong``."""


class Reader(Protocol):
    """Understands the pieces of one answer, in order."""

    done: bool
    """Its last word has been read."""

    def begin(self, data: bytes, at: int) -> tuple[Event | None, int]:
        """The event of as many pieces from ``at`` on, where one begins, as say nothing but more text, and the place after them;
        ``None`` and ``at`` if the first one has to be read by itself."""

    def whole(self, data: bytes) -> Event | None:
        """The event of all of an answer, if ``data`` is that and is like the model's answer before; ``None``, with nothing
        remembered of it, otherwise."""

    def frames(self, data: bytes) -> bytes:
        """The frames of the chat wire for ``data``, if that is whole pieces which say nothing but more text; empty, with nothing
        remembered of them, otherwise."""

    def read(self, piece: bytes) -> list[Event]:
        """The events of one piece. Raises ``UpstreamFailed``."""


class Body(Protocol):
    """What the pieces come out of."""

    complete: bool
    """All of it has come."""


class Batch(NamedTuple):
    """``failed`` is what ended it: the events before it were heard all the same, and go to the caller first."""

    events: list[Event]
    failed: UpstreamFailed | None = None


def read_batch(data: bytes, *, splitter: Splitter, reader: Reader, whose: str) -> Batch:
    """The events in ``data``. ``whose`` names upstream in an error."""
    if splitter.at_start and (whole := reader.whole(data)) is not None:
        return Batch([whole])
    events: list[Event] = []
    at, end = 0, len(data)
    try:
        while at < end and splitter.at_start:
            event, at = reader.begin(data, at)
            if event is not None:
                events.append(event)
                continue
            found = splitter.first(data, at)
            if found is None:
                break
            events += reader.read(found[0])
            at = found[1]
        if at < end:
            for piece in splitter.feed(data[at:]):
                events += reader.read(piece)
    except LineTooLong as exc:
        return Batch(events, UpstreamFailed(f"{whose} sent {exc}", failure=FailureClass.UPSTREAM_ERROR))
    except UpstreamFailed as failed:
        return Batch(events, failed)
    return Batch(events)


def is_over(reader: Reader, body: Body) -> bool:
    """Has the last word been read, with nothing behind it?"""
    return reader.done and body.complete

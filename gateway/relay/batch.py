"""What one read from upstream brought."""

from collections.abc import Callable
from typing import NamedTuple

from gateway.domain.failure import FailureClass
from gateway.errors import UpstreamFailed
from gateway.relay.event import Event
from gateway.relay.lines import LineTooLong


class Batch(NamedTuple):
    """``failed`` is what ended it: the events before it were heard all the same, and go to the caller first."""

    events: list[Event]
    failed: UpstreamFailed | None = None


def read_batch(
    data: bytes, *, split: Callable[[bytes], list[bytes]], read: Callable[[bytes], list[Event]], whose: str
) -> Batch:
    """The events in ``data``, which ``split`` takes apart and ``read`` understands. ``whose`` names upstream in an error."""
    events: list[Event] = []
    try:
        for piece in split(data):
            events += read(piece)
    except LineTooLong as exc:
        return Batch(events, UpstreamFailed(f"{whose} sent {exc}", failure=FailureClass.UPSTREAM_ERROR))
    except UpstreamFailed as failed:
        return Batch(events, failed)
    return Batch(events)

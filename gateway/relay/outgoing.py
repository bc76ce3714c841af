"""What goes out to the caller of one request, and what is remembered of it."""

from collections.abc import Mapping, Sequence

from gateway.errors import RolegateError
from gateway.relay.continuation import Partial, Seam
from gateway.relay.event import Event, EventKind
from gateway.relay.wire import AnswerWire


class Outgoing:
    """The caller's wire, with the token counts kept for the end. ``continues`` says that another deployment may have to go on
    with the answer: only then is the text remembered."""

    __slots__ = ("_counted", "_partial", "_seam", "went_on", "wire")

    def __init__(self, wire: AnswerWire, *, continues: bool) -> None:
        self.wire = wire
        self._counted: Mapping[str, object] | None = None
        self._partial = Partial() if continues else None
        self._seam: Seam | None = None
        self.went_on = False
        """Another deployment has gone on with the answer, and some of that went out."""

    @property
    def usage(self) -> Mapping[str, object] | None:
        """The token counts, once they are there."""
        counts = self._counted.get("usage") if self._counted is not None else None
        return counts if isinstance(counts, Mapping) else None

    @property
    def as_it_comes(self) -> bool:
        """More text goes out in the frames of the chat wire, and nothing has to be remembered of it."""
        return self.wire.is_chat and self._partial is None

    def frames(self, events: Sequence[Event]) -> bytes:
        """What to send for these events; nothing where they are only for us."""
        for event in events:
            if event.kind is EventKind.USAGE:
                self._counted = event.chunk if self._seam is None else self._seam.head_of(event.chunk or {})
                events = [one for one in events if one.kind is not EventKind.USAGE]
                break
        if self._seam is not None:
            events = self._seam.fit(events)
            self.went_on = self.went_on or any(event.chunk is not None for event in events)
        frames = self.wire.events(events) if events else b""
        if self._partial is not None:
            self._partial.add(events)
        return frames

    def unheard(self) -> None:
        """What came last failed before any of it went out: the next one starts where it did."""
        self._counted = None
        if self._seam is not None and self._partial is not None:
            self._seam = self._partial.seam()

    def ending(self) -> bytes:
        """The end of a whole answer."""
        return self.wire.ending(self._counted)

    def failed(self, error: RolegateError) -> bytes:
        """What takes the place of the rest."""
        return self.wire.failed(error)

    def rest_of(self, body: Mapping[str, object]) -> Mapping[str, object] | None:
        """What another deployment is asked so that it goes on with the answer; ``None`` where that cannot be. What comes from
        now on is its answer."""
        wanted = self._partial.request(body) if self._partial is not None else None
        if wanted is not None and self._partial is not None:
            self._seam = self._partial.seam()
            self._counted = None
            self.went_on = False
        return wanted

"""One answer under way, with its deadlines."""

from collections.abc import AsyncGenerator, Sequence
from typing import Final

from gateway.domain.failure import FailureClass
from gateway.domain.ports import Clock
from gateway.errors import UpstreamFailed
from gateway.relay.deadlines import Limits
from gateway.relay.event import Event, EventKind, LastEvents
from gateway.relay.patience import Patience

TAIL_S: Final = 2.0
"""How long a finished answer may still take to bring its token counts and close."""


class Watch:
    """Reads a lane's stream and ends it when it is late.

    The first-token clock starts when this is made: the model is ready. ``left_s`` is what remains of the total deadline.
    ``waited_s`` adds up the time spent waiting for upstream.
    """

    __slots__ = (
        "_clock",
        "_ended",
        "_first_until_s",
        "_heard",
        "_limits",
        "_patience",
        "_stream",
        "_total_until_s",
        "finished",
        "told_s",
        "waited_s",
    )

    def __init__(
        self,
        stream: AsyncGenerator[Sequence[Event], None],
        *,
        limits: Limits,
        left_s: float,
        clock: Clock,
        patience: Patience,
    ) -> None:
        now_s = clock.monotonic()
        self._stream = stream
        self._limits = limits
        self._clock = clock
        self._patience = patience
        self._first_until_s = now_s + limits.first_token_s
        self._total_until_s = now_s + left_s
        self._heard = False
        self._ended = False
        self.told_s: float | None = None
        """When the first content came, on the clock; ``None`` before."""
        self.finished = False
        """The finish signal has come."""
        self.waited_s = 0.0

    async def next(self) -> Sequence[Event] | None:
        """The next events, at least one, as many as came at once; ``None`` after the last. Raises ``UpstreamFailed``.

        Once the finish signal is there the answer is whole: whatever goes wrong after it just ends the stream.
        """
        if self._ended:
            return None
        begun_s = self._clock.monotonic()
        now_s = begun_s
        try:
            events = await self._patience.wait(
                anext(self._stream, None),
                within_s=self._patience_s(begun_s),
                at_most_s=self._total_until_s - begun_s if self.told_s is not None and not self.finished else None,
            )
        except TimeoutError as exc:
            if self.finished:
                return None
            raise self._late() from exc
        except UpstreamFailed:
            if self.finished:
                return None
            raise
        finally:
            now_s = self._clock.monotonic()
            self.waited_s += now_s - begun_s
        if events is not None:
            self._heard = True
            for event in events:
                if self.told_s is None and event.kind is EventKind.CONTENT:
                    self.told_s = now_s
                if event.finished:
                    self.finished = True
            if isinstance(events, LastEvents):
                self._ended = True
                await self._stream.aclose()
        return events

    @property
    def left_s(self) -> float:
        """What remains of the total deadline now; never below 0."""
        return max(0.0, self._total_until_s - self._clock.monotonic())

    async def aclose(self) -> None:
        """Close upstream now."""
        await self._stream.aclose()

    def _patience_s(self, now_s: float) -> float:
        total_s = self._total_until_s - now_s
        if self.finished:
            return min(TAIL_S, total_s)
        if self.told_s is not None:
            return min(self._limits.gap_s, total_s)
        return min(self._first_until_s - now_s, total_s)

    def _late(self) -> UpstreamFailed:
        limits = self._limits
        if self._clock.monotonic() >= self._total_until_s:
            return UpstreamFailed(f"no whole answer within {limits.total_s:g} s", failure=FailureClass.TIMEOUT)
        if self.told_s is not None:
            return UpstreamFailed(f"silent for {limits.gap_s:g} s", failure=FailureClass.STALL)
        if self._heard:
            message = f"no token within {limits.first_token_s:g} s"
            return UpstreamFailed(message, failure=FailureClass.TIMEOUT_FIRST_TOKEN)
        return UpstreamFailed(f"no answer within {limits.first_token_s:g} s", failure=FailureClass.TIMEOUT)

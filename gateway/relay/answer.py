"""What the relay hands back for one request."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass

from gateway.domain.model import Provider
from gateway.domain.plan import Deployment
from gateway.errors import AttemptFacts, RequestFailed, UpstreamFailed
from gateway.relay.error_shape import error_object
from gateway.relay.event import Event, EventKind
from gateway.relay.ledger import Ledger
from gateway.relay.refusal import refusal
from gateway.relay.sse import DONE, frame
from gateway.relay.unforeseen import unforeseen
from gateway.relay.watch import Watch


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer. ``body`` is the ``chat.completion`` object as JSON; ``upstream_s`` the seconds spent waiting for
    upstream, failed attempts included; ``fallback_reason`` is empty when the first deployment answered."""

    deployment: Deployment
    attempts: tuple[AttemptFacts, ...]
    fallback_reason: str
    upstream_s: float
    body: bytes


class StreamingAnswer:
    """An answer whose first content is there. Iterate ``frames`` once; call ``aclose`` when done with it, however it ended.

    ``failed`` tells, after the last frame, that the answer broke off; ``error`` then says why.
    """

    def __init__(
        self,
        *,
        role: str,
        deployment: Deployment,
        provider: Provider,
        fallback_reason: str,
        include_usage: bool,
        first: Sequence[Event],
        watch: Watch,
        ledger: Ledger,
        spent_s: float,
    ) -> None:
        self.deployment = deployment
        self.fallback_reason = fallback_reason
        self.error: RequestFailed | None = None
        self._role = role
        self._provider = provider
        self._include_usage = include_usage
        self._watch = watch
        self._ledger = ledger
        self._spent_s = spent_s
        opening = b"".join(_frame(event) for event in first if event.kind is not EventKind.USAGE)
        self._frames = self._send(opening)

    @property
    def attempts(self) -> tuple[AttemptFacts, ...]:
        """Every attempt so far; the last is this answer's own."""
        return self._ledger.attempts

    @property
    def upstream_s(self) -> float:
        """Seconds spent waiting for upstream so far, failed attempts included."""
        return self._spent_s + self._watch.waited_s

    @property
    def left_s(self) -> float:
        """Seconds left of the total deadline, never below 0. ``frames`` keeps to it while it waits for upstream; whoever sends
        a frame to the caller must keep to it too, or a caller that stops reading holds upstream for ever."""
        return self._watch.left_s

    @property
    def failed(self) -> bool:
        return self.error is not None

    @property
    def frames(self) -> AsyncIterator[bytes]:
        """Whole SSE frames: the chunks, the token counts if the caller asked for them, ``[DONE]``. When upstream fails, one
        event with the error takes the place of what is missing, and no ``[DONE]`` follows."""
        return self._frames

    async def aclose(self) -> None:
        """Close upstream at once if it is still open. From the task that iterates ``frames``, or after it has ended."""
        await self._frames.aclose()
        await self._watch.aclose()
        self._ledger.release()

    async def _send(self, opening: bytes) -> AsyncGenerator[bytes, None]:
        usage: Event | None = None
        try:
            if opening:
                yield opening
            while (event := await self._watch.next()) is not None:
                if event.kind is EventKind.USAGE:
                    usage = event
                elif event.chunk is not None:
                    yield event.frame or frame(event.chunk)
            ending = _frame(usage) + DONE if usage is not None and self._include_usage else DONE
            self._ledger.succeeded()
            yield ending
        except UpstreamFailed as failed:
            yield self._breaks_off(failed)
        except Exception as exc:  # noqa: BLE001 - whatever a lane or an encoder raises, the caller gets an error event
            yield self._breaks_off(unforeseen(exc, model=str(self.deployment.ref)))
        finally:
            await self._watch.aclose()
            self._ledger.release()

    def _breaks_off(self, failed: UpstreamFailed) -> bytes:
        """The event that tells the caller so."""
        kept = self._ledger.fail(failed, delivered=True)
        self.error = refusal(
            role=self._role,
            deployment=self.deployment,
            provider=self._provider,
            failed=kept,
            attempts=self._ledger.attempts,
        )
        return frame(error_object(self.error))


def _frame(event: Event) -> bytes:
    if event.frame or event.chunk is None:
        return event.frame
    return frame(event.chunk)

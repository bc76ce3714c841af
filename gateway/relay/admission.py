"""How many requests a provider has at once, and who waits for a place."""

import asyncio
from collections import deque
from typing import Final

from gateway.domain.failure import FailureClass
from gateway.domain.model import Provider
from gateway.domain.ports import Clock
from gateway.errors import UpstreamFailed

SERVICE_WEIGHT: Final = 0.2
"""How much the latest service time counts in the mean of them."""
UNKNOWN_SERVICE_S: Final = 5.0
"""What a request is taken to need before one has been measured."""


class Place:
    """Room for one request at a provider. Give it back with ``release``, once or more often."""

    __slots__ = ("_begun_s", "_gate")

    def __init__(self, gate: "_Gate | None", *, begun_s: float) -> None:
        self._gate = gate
        self._begun_s = begun_s

    def release(self) -> None:
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.leave(begun_s=self._begun_s)


class _Gate:
    """One provider's places and the queue before them, first come first served."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self.taken = 0
        self.waiting: deque[asyncio.Future[None]] = deque()
        self.service_s = 0.0
        self._places = 1

    def adjust(self, places: int) -> None:
        """As many requests may be under way from now on."""
        self._places = places
        self._call_in()

    @property
    def free(self) -> bool:
        return self.taken < self._places and not self.waiting

    @property
    def wait_s(self) -> float:
        """How long who comes now would wait, by what requests have needed so far."""
        return (self.service_s or UNKNOWN_SERVICE_S) * (len(self.waiting) + 1) / self._places

    def leave(self, *, begun_s: float) -> None:
        self.taken -= 1
        took_s = self._clock.monotonic() - begun_s
        self.service_s += SERVICE_WEIGHT * (took_s - self.service_s) if self.service_s else took_s
        self._call_in()

    def _call_in(self) -> None:
        while self.waiting and self.taken < self._places:
            turn = self.waiting.popleft()
            if not turn.done():
                self.taken += 1
                turn.set_result(None)


class Admission:
    """The gates of all providers that have a limit, one for each address that a provider has had. Outlives plans and
    generations."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._gates: dict[tuple[str, str | None], _Gate] = {}

    def counts(self, provider: str) -> tuple[int, int]:
        """How many requests a provider with a limit has under way, and how many wait; at all its addresses."""
        gates = [gate for (name, _), gate in self._gates.items() if name == provider]
        return sum(gate.taken for gate in gates), sum(len(gate.waiting) for gate in gates)

    async def enter(self, provider: Provider, *, left_s: float) -> Place:
        """A place, at once or when it is this request's turn.

        Raises ``UpstreamFailed`` (``saturated``) when the queue is full, or when the turn does not come within the provider's
        ``queue_wait_s`` or ``left_s``.
        """
        now_s = self._clock.monotonic()
        if provider.max_parallel is None:
            return Place(None, begun_s=now_s)
        where = provider.name, provider.url
        gate = self._gates.get(where)
        if gate is None:
            gate = self._gates[where] = _Gate(clock=self._clock)
        gate.adjust(provider.max_parallel)
        if gate.free:
            gate.taken += 1
            return Place(gate, begun_s=now_s)
        if len(gate.waiting) >= provider.queue:
            raise _saturated(provider, gate, f"{len(gate.waiting)} more wait, which is all the queue takes")
        await self._turn(gate, provider=provider, within_s=min(provider.queue_wait_s, left_s))
        return Place(gate, begun_s=self._clock.monotonic())

    @staticmethod
    async def _turn(gate: _Gate, *, provider: Provider, within_s: float) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        gate.waiting.append(turn)
        try:
            async with asyncio.timeout(within_s):
                await turn
        except BaseException as exc:
            if turn.done() and not turn.cancelled():
                # The turn came in the same moment: it goes to the next one.
                gate.taken -= 1
                gate.adjust(provider.max_parallel or 1)
            elif turn in gate.waiting:
                # One who left in the moment in which a place became free has been passed over already.
                gate.waiting.remove(turn)
            if isinstance(exc, TimeoutError):
                raise _saturated(provider, gate, f"no place became free within {within_s:g} s") from exc
            raise


def _saturated(provider: Provider, gate: _Gate, why: str) -> UpstreamFailed:
    message = f"{provider.name} has {gate.taken} requests under way (max_parallel {provider.max_parallel}), and {why}"
    return UpstreamFailed(message, failure=FailureClass.SATURATED, retry_after_s=gate.wait_s)

"""The pointer to the live generation: requests are admitted under it, and moving it drops none of them."""

import asyncio
import logging
from collections.abc import Callable, Set
from dataclasses import dataclass

from gateway.errors import GatewayStarting
from gateway.runtime.generation import Generation, GenerationState

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """What became of a request to change the live generation. ``generation`` and ``digest`` are those that serve now; ``ms`` is
    what it took until the pointer had moved. Not ``swapped``: all was as asked for already. ``note`` says what whoever asked has
    to know besides, if anything."""

    generation: int
    digest: str
    changed_roles: tuple[str, ...]
    ms: float
    swapped: bool
    note: str = ""


def swap_data(swap: Swap) -> dict[str, object]:
    """A swap as plain data, in the shape that commands and routes answer with."""
    return {
        "generation": swap.generation,
        "digest": swap.digest,
        "changed_roles": list(swap.changed_roles),
        "ms": round(swap.ms, 1),
        "swapped": swap.swapped,
        **({"note": swap.note} if swap.note else {}),
    }


class Admitted:
    """A request's hold on the generation it was admitted under."""

    __slots__ = ("_generation", "_left")

    def __init__(self, generation: Generation, *, left: Callable[[Generation], None]) -> None:
        self._generation = generation
        self._left = left

    def __enter__(self) -> Generation:
        self._generation.in_flight += 1
        return self._generation

    def __exit__(self, *_: object) -> None:
        self._generation.in_flight -= 1
        self._left(self._generation)


class Switchboard:
    """Owns the live generation and those that still drain."""

    def __init__(self) -> None:
        self._live: Generation | None = None
        self._draining: list[Generation] = []
        self._discards: set[asyncio.Task[None]] = set()
        self._roles: set[str] = set()

    @property
    def live(self) -> Generation:
        """The generation that new requests are admitted under. Raises ``GatewayStarting``."""
        if self._live is None:
            raise GatewayStarting
        return self._live

    @property
    def started(self) -> bool:
        return self._live is not None

    @property
    def roles(self) -> Set[str]:
        """Every role of every generation that is or was live; it grows with them."""
        return self._roles

    @property
    def draining(self) -> tuple[Generation, ...]:
        """Those that requests are still under way in, the oldest first."""
        return tuple(self._draining)

    def admit(self) -> "Admitted":
        """Hold the live generation for the length of one request: ``with switchboard.admit() as generation``. Raises
        ``GatewayStarting``."""
        return Admitted(self.live, left=self._discard_if_idle)

    def install(self, generation: Generation) -> None:
        """Move the pointer. The old generation drains and is discarded once its last request is done."""
        self._roles.update(generation.roles)
        old, self._live = self._live, generation
        if old is not None:
            old.state = GenerationState.DRAINING
            self._draining.append(old)
            self._discard_if_idle(old)

    def _discard_if_idle(self, generation: Generation) -> None:
        if generation.state is not GenerationState.DRAINING or generation.in_flight:
            return
        generation.state = GenerationState.DISCARDED
        self._draining.remove(generation)
        task = asyncio.get_running_loop().create_task(_release(generation))
        self._discards.add(task)
        task.add_done_callback(self._discards.discard)

    async def close(self) -> None:
        """Release everything; the caller has stopped admitting requests."""
        live, self._live = self._live, None
        if live is not None:
            live.state = GenerationState.DISCARDED
            await _release(live)
        await asyncio.gather(*self._discards)


async def _release(generation: Generation) -> None:
    generation.discarded.set()
    if generation.backend is not None:
        await generation.backend.close()
    _log.info("generation discarded", extra={"generation": generation.number})

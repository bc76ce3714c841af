"""Models that plans used which nothing goes by any more, on their way out of memory."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from gateway.domain.ports import Discovery
from gateway.errors import RolegateError
from gateway.runtime.effects import Unloads
from gateway.runtime.residency import Leftover, Use, leftovers, to_unload

_log = logging.getLogger(__name__)


class Departures:
    """Lets go of what discarded generations have left, as soon as nothing needs it.

    ``serving`` are the plans that requests go by now, those of older generations that still have some among them; ``latest`` is
    the last look. A plan that may go live next could need anything: nothing goes while one is ``held_up`` for.
    """

    def __init__(
        self, *, unload: Unloads, serving: Callable[[], Sequence[Use]], latest: Callable[[], Discovery]
    ) -> None:
        self._unload = unload
        self._serving = serving
        self._latest = latest
        self._left: list[Leftover] = []
        self._held = 0
        self._settling = False

    @property
    def waiting(self) -> bool:
        """Is there anything that may have to go?"""
        return bool(self._left)

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """Nothing goes during the block; what waits needs another ``settle``."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    async def leave(self, use: Use) -> None:
        """A plan that nothing goes by any more: what it used alone may go."""
        self._left += leftovers(use)
        await self.settle()

    async def settle(self) -> None:
        """Let go of what may go now, one after the other. What is used is forgotten: its own plan will leave it in turn."""
        if self._settling:
            return
        self._settling = True
        try:
            while self._left and not self._held:
                gone = to_unload(self._left, serving=self._serving(), discovery=self._latest())
                self._left = list(gone[1:])
                for one in gone[:1]:
                    await self._let_go(one)
        finally:
            self._settling = False

    async def _let_go(self, one: Leftover) -> None:
        try:
            was_loaded = await self._unload(one.model, provider=one.provider)
        except RolegateError as error:
            facts = {"model": str(one.model.ref), "reason": str(error)}
            _log.warning("a model could not be unloaded", extra=facts)
        else:
            if was_loaded:
                _log.info("a model that no role needs is unloaded", extra={"model": str(one.model.ref)})

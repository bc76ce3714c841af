"""Work that must not overlap, one piece after the other."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Turns:
    """Does one piece of work at a time, in the order in which it was asked for. A caller that leaves does not end its own."""

    def __init__(self) -> None:
        self._last: asyncio.Task[Any] | None = None
        self._waiting = 0
        self._awaited = asyncio.Event()

    async def take(self, work: Callable[[], Awaitable[T]], *, patient: bool = False) -> T:
        """What ``work`` gives, once everything asked for before is over. Raises what it raises. What is ``patient`` does not
        count as waiting for ``unless_awaited``."""
        before = self._last
        task = asyncio.create_task(self._after(before, work, patient=patient))
        self._last = task
        task.add_done_callback(self._over)
        return await asyncio.shield(task)

    async def unless_awaited(self, task: "asyncio.Future[Any]") -> bool:
        """For work in its turn: wait for ``task``, but no longer than until somebody waits for the next turn. Whether it is
        done; it goes on in either case."""
        awaited = asyncio.create_task(self._awaited.wait())
        try:
            await asyncio.wait({task, awaited}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            awaited.cancel()
        return task.done()

    async def _after(self, before: asyncio.Task[Any] | None, work: Callable[[], Awaitable[T]], *, patient: bool) -> T:
        if before is not None:
            self._wait(0 if patient else 1)
            try:
                await asyncio.wait({before})
            except asyncio.CancelledError:
                before.cancel()
                raise
            finally:
                self._wait(0 if patient else -1)
        return await work()

    def _wait(self, more: int) -> None:
        self._waiting += more
        if self._waiting:
            self._awaited.set()
        else:
            self._awaited.clear()

    def _over(self, task: asyncio.Task[Any]) -> None:
        if self._last is task:
            self._last = None
        if not task.cancelled():
            task.exception()  # whoever asked may have left

    async def close(self) -> None:
        """End what is under way and what waits."""
        while (task := self._last) is not None:
            task.cancel()
            await asyncio.wait({task})
            # The callback that clears it comes a turn of the loop later.
            await asyncio.sleep(0)

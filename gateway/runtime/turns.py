"""Work that must not overlap, one piece after the other."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Turns:
    """Does one piece of work at a time, in the order in which it was asked for. A caller that leaves does not end its own."""

    def __init__(self) -> None:
        self._last: asyncio.Task[Any] | None = None

    async def take(self, work: Callable[[], Awaitable[T]]) -> T:
        """What ``work`` gives, once everything asked for before is over. Raises what it raises."""
        before = self._last
        task = asyncio.create_task(_after(before, work))
        self._last = task
        task.add_done_callback(self._over)
        return await asyncio.shield(task)

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


async def _after(before: asyncio.Task[Any] | None, work: Callable[[], Awaitable[T]]) -> T:
    if before is not None:
        try:
            await asyncio.wait({before})
        except asyncio.CancelledError:
            before.cancel()
            raise
    return await work()

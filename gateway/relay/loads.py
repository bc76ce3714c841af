"""Models on their way into memory: one load each, however many wait for it."""

import asyncio
from collections.abc import Awaitable, Callable

from gateway.domain.failure import FailureClass
from gateway.errors import UpstreamFailed
from gateway.relay.breaker import BreakerKey


class Loads:
    """Shares each load among its callers. A caller that leaves does not end the load; it goes on for the others and for the
    next one."""

    def __init__(self) -> None:
        self._tasks: dict[BreakerKey, asyncio.Task[None]] = {}

    async def wait(self, key: BreakerKey, start: Callable[[], Awaitable[None]], *, load_s: float) -> None:
        """Join the load of ``key``, or begin it with ``start``.

        ``load_s`` bounds this caller's wait, and the load itself where this caller began it. Raises ``UpstreamFailed``.
        """
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.create_task(_bounded(start, load_s=load_s), name=f"load {key.provider}:{key.model}")
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._ended(key, done))
        try:
            async with asyncio.timeout(load_s):
                await asyncio.shield(task)
        except TimeoutError as exc:
            raise _too_slow(load_s) from exc

    async def close(self) -> None:
        """End every load that is still under way."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, key: BreakerKey, task: asyncio.Task[None]) -> None:
        self._tasks.pop(key, None)
        if not task.cancelled():
            task.exception()


async def _bounded(start: Callable[[], Awaitable[None]], *, load_s: float) -> None:
    try:
        async with asyncio.timeout(load_s):
            await start()
    except TimeoutError as exc:
        raise _too_slow(load_s) from exc


def _too_slow(load_s: float) -> UpstreamFailed:
    return UpstreamFailed(f"the model was not ready within {load_s:g} s", failure=FailureClass.TIMEOUT)

"""Models on their way into memory: one load each, however many wait for it."""

import asyncio
from collections.abc import Awaitable, Callable

from gateway.domain.failure import FailureClass
from gateway.errors import UpstreamFailed
from gateway.relay.breaker import BreakerKey


class Load:
    """One load under way, or over. ``begun_here``: it was not under way before."""

    __slots__ = ("_task", "begun_here")

    def __init__(self, task: asyncio.Future[None], *, begun_here: bool) -> None:
        self._task = task
        self.begun_here = begun_here

    @staticmethod
    def over() -> "Load":
        """Of a model that needs none: it has ended well."""
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        ended.set_result(None)
        return Load(ended, begun_here=False)

    def when_failed(self, tell: Callable[[UpstreamFailed], None]) -> None:
        """``tell`` of the failure, should it fail: for a load that nobody waits for."""

        def ended(task: asyncio.Future[None]) -> None:
            failed = None if task.cancelled() else task.exception()
            if isinstance(failed, UpstreamFailed):
                tell(failed)

        self._task.add_done_callback(ended)

    async def done(self, *, within_s: float) -> bool:
        """Wait for its end; false when that takes longer than ``within_s``. Raises the ``UpstreamFailed`` that ended it.

        A caller that leaves does not end the load.
        """
        finished, _ = await asyncio.wait({self._task}, timeout=max(within_s, 0.0))
        if not finished:
            return False
        if self._task.cancelled():
            raise UpstreamFailed("the load was called off", failure=FailureClass.TRANSPORT)
        self._task.result()
        return True


class Loads:
    """Shares each load among all who wait for it; it goes on for the others and for the next one when a caller leaves."""

    def __init__(self) -> None:
        self._tasks: dict[BreakerKey, asyncio.Task[None]] = {}

    def begin(self, key: BreakerKey, start: Callable[[], Awaitable[None]], *, load_s: float) -> Load:
        """Join the load of ``key``, or begin it with ``start``; it has ``load_s`` from its beginning."""
        task = self._tasks.get(key)
        under_way = task is not None
        if task is None:
            task = asyncio.create_task(_bounded(start, load_s=load_s), name=f"load {key.provider}:{key.model}")
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._ended(key, done))
        return Load(task, begun_here=not under_way)

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


def too_slow(load_s: float) -> UpstreamFailed:
    """A load, or the wait for it, that took longer than ``load_s``."""
    return UpstreamFailed(f"the model was not ready within {load_s:g} s", failure=FailureClass.TIMEOUT)


async def _bounded(start: Callable[[], Awaitable[None]], *, load_s: float) -> None:
    try:
        async with asyncio.timeout(load_s):
            await start()
    except TimeoutError as exc:
        raise too_slow(load_s) from exc

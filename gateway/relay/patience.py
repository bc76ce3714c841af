"""A deadline for the waits of one task, of which there are many and hardly any is too long."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class Patience:
    """Bounds one wait after the other, of the task that made it. A stream waits for every chunk: a timer for each of them would
    cost more than the chunk, so there is one timer, which looks when it fires whether the present wait has been too long, and
    is set again if not."""

    __slots__ = ("_loop", "_task", "_timer", "_tired", "_until", "_waiting")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = _present_task()
        self._timer: asyncio.TimerHandle | None = None
        self._until = 0.0
        self._waiting = False
        self._tired = False

    def move(self) -> None:
        """From here on it is the present task that waits."""
        self._task = _present_task()

    async def wait(self, work: Awaitable[T], *, within_s: float) -> T:
        """The outcome of ``work``. Raises ``TimeoutError``, having cancelled it, when it takes longer than ``within_s``."""
        task = self._task
        until = self._until = self._loop.time() + within_s
        if self._timer is None:
            self._set(until)
        elif self._timer.when() > until:
            self._timer.cancel()
            self._set(until)
        cancelling = task.cancelling()
        self._waiting = True
        try:
            return await work
        except asyncio.CancelledError as exc:
            if self._tired:
                self._tired = False
                if task.uncancel() <= cancelling:
                    raise TimeoutError from exc
            raise
        finally:
            self._waiting = False
            if self._tired:
                self._tired = False
                task.uncancel()

    def close(self) -> None:
        """No more waits come."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, until: float) -> None:
        self._timer = self._loop.call_at(until, self._fire)

    def _fire(self) -> None:
        self._timer = None
        if not self._waiting:
            return
        if self._loop.time() < self._until:
            self._set(self._until)
            return
        self._tired = True
        self._task.cancel()


def _present_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  (code that awaits runs in a task)
    return task

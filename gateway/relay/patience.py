"""A deadline for the waits of one task, of which there are many and hardly any is too long."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class Patience:
    """Bounds one wait after the other. A stream waits for every chunk: a timer for each of them would cost more than the
    chunk, so there is one timer, which looks when it fires whether the present wait has been too long, and is set again if
    not."""

    __slots__ = ("_loop", "_task", "_timer", "_tired", "_until")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None
        self._until = 0.0
        self._tired = False

    async def wait(self, work: Awaitable[T], *, within_s: float) -> T:
        """The outcome of ``work``. Raises ``TimeoutError``, having cancelled it, when it takes longer than ``within_s``."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (code that awaits runs in a task)
        self._until = self._loop.time() + within_s
        if self._timer is None:
            self._set(self._until)
        elif self._timer.when() > self._until:
            self._timer.cancel()
            self._set(self._until)
        cancelling = task.cancelling()
        self._task = task
        try:
            return await work
        except asyncio.CancelledError as exc:
            if self._tired:
                self._tired = False
                if task.uncancel() <= cancelling:
                    raise TimeoutError from exc
            raise
        finally:
            self._task = None
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
        if self._task is None:
            return
        if self._loop.time() < self._until:
            self._set(self._until)
            return
        self._tired = True
        self._task.cancel()

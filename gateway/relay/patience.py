"""A deadline for the waits of one task, of which there are many and hardly any is too long."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class Patience:
    """Bounds one wait after the other, of the task that made it. A stream waits for every chunk: a timer for each of them would
    cost more than the chunk, so there is one timer, which looks when it fires whether the present wait has been too long, and
    is set again if not."""

    __slots__ = ("_at_most", "_loop", "_stirred", "_task", "_timer", "_tired", "_waiting", "_within_s")

    def __init__(self, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """``loop`` is the running one, for who knows it: to ask for it takes a system call."""
        self._task = _present_task(loop)
        self._loop = self._task.get_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._stirred = 0.0
        self._within_s = 0.0
        self._at_most = 0.0
        self._waiting = False
        self._tired = False

    @property
    def task(self) -> asyncio.Task[object]:
        """Whose waits these are."""
        return self._task

    def move(self) -> None:
        """From here on it is the present task that waits."""
        self._task = _present_task(self._loop)

    async def wait(self, work: Awaitable[T], *, within_s: float, at_most_s: float | None = None) -> T:
        """The outcome of ``work``. Raises ``TimeoutError``, having cancelled it, when it takes longer than ``within_s``, or,
        should it ``stir`` meanwhile, than ``at_most_s``."""
        task = self._task
        now = self._stirred = self._loop.time()
        until = now + within_s
        self._within_s = within_s
        self._at_most = until if at_most_s is None else now + at_most_s
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

    def stir(self) -> None:
        """What the present wait is for has shown a sign of life: the wait begins anew."""
        self._stirred = self._loop.time()

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
        until = min(self._stirred + self._within_s, self._at_most)
        if self._loop.time() < until:
            self._set(until)
            return
        self._tired = True
        self._task.cancel()


def _present_task(loop: asyncio.AbstractEventLoop | None) -> asyncio.Task[object]:
    task = asyncio.current_task(loop)
    assert task is not None  # noqa: S101  (code that awaits runs in a task)
    return task

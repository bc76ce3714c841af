"""A deadline for the waits of one task, of which there are many and hardly any is too long."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


class Alarm:
    """A timer for one ``Patience`` after the other. A ``lasting`` one, of a caller's connection say, stays set when its user is
    done with it: the next one's wait most likely ends later than that, and needs no timer of its own. Close it at the end."""

    __slots__ = ("_lasting", "_loop", "_timer", "_wake")

    def __init__(self, loop: asyncio.AbstractEventLoop, *, lasting: bool = False) -> None:
        self._loop = loop
        self._lasting = lasting
        self._timer: asyncio.TimerHandle | None = None
        self._wake: Callable[[], None] | None = None

    @property
    def free(self) -> bool:
        return self._wake is None

    def take(self, wake: Callable[[], None]) -> None:
        """From here on it is ``wake`` that is called: when the time is over, or a little before."""
        self._wake = wake

    def set(self, until: float) -> None:
        """Call no later than at ``until``, on the loop's clock."""
        if self._timer is not None:
            if self._timer.when() <= until:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(until, self._fire)

    def release(self) -> None:
        """Its user is done with it."""
        self._wake = None
        if not self._lasting:
            self._cancel()

    def close(self) -> None:
        """It lasts no longer than its user, if it has one."""
        self._lasting = False
        if self._wake is None:
            self._cancel()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        if self._wake is not None:
            self._wake()


class Patience:
    """Bounds one wait after the other, of the task that made it. A stream waits for every chunk: a timer for each of them would
    cost more than the chunk, so there is one timer, which looks when it fires whether the present wait has been too long, and
    is set again if not."""

    __slots__ = ("_alarm", "_at_most", "_loop", "_open", "_stirred", "_task", "_tired", "_waiting", "_within_s")

    def __init__(self, *, loop: asyncio.AbstractEventLoop | None = None, alarm: Alarm | None = None) -> None:
        """``loop`` is the running one, for who knows it: to ask for it takes a system call. ``alarm`` is used if it is free."""
        self._task = _present_task(loop)
        self._loop = self._task.get_loop()
        self._alarm = alarm if alarm is not None and alarm.free else Alarm(self._loop)
        self._open = True
        self._alarm.take(self._fire)
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
        if not self._open:
            self._alarm = Alarm(self._loop)
            self._alarm.take(self._fire)
            self._open = True
        self._alarm.set(until)
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
        if self._open:
            self._open = False
            self._alarm.release()

    def _fire(self) -> None:
        if not self._waiting:
            return
        until = min(self._stirred + self._within_s, self._at_most)
        if self._loop.time() < until:
            self._alarm.set(until)
            return
        self._tired = True
        self._task.cancel()


def _present_task(loop: asyncio.AbstractEventLoop | None) -> asyncio.Task[object]:
    task = asyncio.current_task(loop)
    assert task is not None  # noqa: S101  (code that awaits runs in a task)
    return task

"""Deadlines for the many waits of one task."""

import asyncio
import itertools

import pytest

from gateway.relay.patience import Alarm, Patience


async def after(ticks: int, word: str = "done") -> str:
    for _ in range(ticks):
        await asyncio.sleep(0)
    return word


async def test_work_that_ends_in_time_gives_its_outcome() -> None:
    patience = Patience()
    assert await patience.wait(after(3), within_s=10) == "done"
    assert await patience.wait(after(0), within_s=0) == "done"
    patience.close()


async def test_work_that_takes_too_long_is_cancelled() -> None:
    patience, cancelled = Patience(), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(TimeoutError):
        await patience.wait(work(), within_s=0.005)
    assert cancelled.is_set()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert await patience.wait(after(2), within_s=10) == "done"
    patience.close()


async def test_an_error_of_the_work_passes_through() -> None:
    async def work() -> None:
        raise ConnectionResetError("gone")

    patience = Patience()
    with pytest.raises(ConnectionResetError, match=r"^gone$"):
        await patience.wait(work(), within_s=1)
    patience.close()


async def test_a_shorter_wait_after_a_longer_one_has_its_own_limit() -> None:
    patience = Patience()
    loop = asyncio.get_running_loop()
    for _ in range(3):
        assert await patience.wait(after(1), within_s=600) == "done"
        begun_s = loop.time()
        with pytest.raises(TimeoutError):
            await patience.wait(asyncio.Event().wait(), within_s=0.002)
        assert loop.time() - begun_s >= 0.0019
    patience.close()


async def test_a_longer_wait_after_a_shorter_one_is_not_cut_short() -> None:
    patience, bell = Patience(), asyncio.Event()
    assert await patience.wait(after(1), within_s=0.001) == "done"
    asyncio.get_running_loop().call_later(0.01, bell.set)
    assert await patience.wait(bell.wait(), within_s=30)
    patience.close()


async def test_a_cancellation_is_not_taken_for_a_deadline() -> None:
    begun = asyncio.Event()

    async def waiting() -> None:
        patience = Patience()
        begun.set()
        await patience.wait(asyncio.Event().wait(), within_s=30)

    task = asyncio.create_task(waiting())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


@pytest.mark.parametrize("first", ["deadline", "caller"])
async def test_a_cancellation_in_the_tick_of_the_deadline_still_is_one(first: str) -> None:
    """Both come before the task runs again, in either order."""
    begun = asyncio.Event()

    async def waiting() -> None:
        patience = Patience()
        begun.set()
        await patience.wait(asyncio.Event().wait(), within_s=0.1)

    task = asyncio.create_task(waiting())
    await begun.wait()
    loop = asyncio.get_running_loop()
    after_the_deadline_s = loop.time() + 0.12
    loop.call_at(after_the_deadline_s if first == "deadline" else loop.time() - 1, task.cancel)
    while loop.time() < after_the_deadline_s:
        """Hold the loop, so that both timers fire in its next round."""
    with pytest.raises((asyncio.CancelledError, TimeoutError)) as caught:
        await task
    assert caught.type is asyncio.CancelledError


async def test_work_that_swallows_its_cancellation_leaves_the_task_uncancelled() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "never mind"
        return ""

    patience = Patience()
    assert await patience.wait(stubborn(), within_s=0.001) == "never mind"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)
    patience.close()


def set_alarms() -> int:
    loop = asyncio.get_running_loop()
    return sum(not one.cancelled() and "Alarm" in repr(one) for one in loop._scheduled)  # type: ignore[attr-defined]


async def test_nothing_is_scheduled_after_close() -> None:
    patience = Patience()
    for within_s in itertools.chain([60, 1], [600] * 3):
        await patience.wait(after(1), within_s=within_s)
    assert set_alarms() == 1
    patience.close()
    patience.close()
    assert set_alarms() == 0


async def test_a_lasting_alarm_serves_one_request_after_the_other_with_one_timer() -> None:
    alarm = Alarm(asyncio.get_running_loop(), lasting=True)
    for _ in range(3):
        patience = Patience(alarm=alarm)
        assert await patience.wait(after(1), within_s=60) == "done"
        patience.close()
        assert set_alarms() == 1
    late = Patience(alarm=alarm)
    with pytest.raises(TimeoutError):
        await late.wait(asyncio.Event().wait(), within_s=0.005)
    late.close()
    alarm.close()
    assert set_alarms() == 0


async def test_a_wait_longer_than_the_alarm_was_set_for_is_not_cut_short() -> None:
    alarm = Alarm(asyncio.get_running_loop(), lasting=True)
    first = Patience(alarm=alarm)
    assert await first.wait(after(1), within_s=0.01) == "done"
    first.close()
    second = Patience(alarm=alarm)
    assert await second.wait(asyncio.sleep(0.05, "slept"), within_s=60) == "slept"
    second.close()
    alarm.close()


async def test_an_alarm_in_use_is_not_taken_from_who_uses_it() -> None:
    alarm = Alarm(asyncio.get_running_loop(), lasting=True)
    first, second = Patience(alarm=alarm), Patience(alarm=alarm)
    assert await second.wait(after(1), within_s=60) == "done"
    second.close()
    with pytest.raises(TimeoutError):
        await first.wait(asyncio.Event().wait(), within_s=0.005)
    first.close()
    alarm.close()


async def test_a_patience_that_was_closed_has_deadlines_of_its_own_again() -> None:
    alarm = Alarm(asyncio.get_running_loop(), lasting=True)
    first = Patience(alarm=alarm)
    first.close()
    second = Patience(alarm=alarm)
    with pytest.raises(TimeoutError):
        await first.wait(asyncio.Event().wait(), within_s=0.005)
    first.close()
    with pytest.raises(TimeoutError):
        await second.wait(asyncio.Event().wait(), within_s=0.005)
    second.close()
    alarm.close()


async def test_a_connection_that_closes_leaves_a_request_under_way_its_deadline() -> None:
    alarm = Alarm(asyncio.get_running_loop(), lasting=True)
    patience = Patience(alarm=alarm)
    alarm.close()
    with pytest.raises(TimeoutError):
        await patience.wait(asyncio.Event().wait(), within_s=0.005)
    patience.close()
    assert set_alarms() == 0


async def test_it_moves_to_the_task_that_waits_from_then_on() -> None:
    patience = Patience()

    async def elsewhere() -> str:
        patience.move()
        with pytest.raises(TimeoutError):
            await patience.wait(asyncio.Event().wait(), within_s=0.1)
        return "late"

    assert await asyncio.create_task(elsewhere()) == "late"
    patience.close()

"""Work that must not overlap is done one piece after the other, whoever asks and leaves."""

import asyncio

import pytest

from gateway.runtime.turns import Turns


class Work:
    """Pieces of work that begin and end when a test says so."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.gate = asyncio.Event()

    async def piece(self, number: int) -> int:
        self.begun.append(number)
        try:
            await self.gate.wait()
        finally:
            self.ended.append(number)
        return number


async def turn_of_the_loop() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_each_waits_for_the_one_before_and_gets_its_own_answer() -> None:
    turns, work = Turns(), Work()
    asking = [asyncio.create_task(turns.take(lambda number=number: work.piece(number))) for number in range(3)]  # type: ignore[misc]
    await turn_of_the_loop()
    assert work.begun == [0]
    work.gate.set()
    assert await asyncio.gather(*asking) == [0, 1, 2]
    assert work.begun == work.ended == [0, 1, 2]


async def test_one_that_fails_keeps_nobody_waiting() -> None:
    turns = Turns()

    async def fail() -> None:
        raise KeyError("no")

    async def work() -> str:
        return "done"

    with pytest.raises(KeyError):
        await turns.take(fail)
    assert await turns.take(work) == "done"


async def test_a_caller_that_leaves_does_not_end_its_work() -> None:
    turns, work = Turns(), Work()
    asking = asyncio.create_task(turns.take(lambda: work.piece(1)))
    await turn_of_the_loop()
    asking.cancel()
    await turn_of_the_loop()
    assert work.ended == []
    work.gate.set()
    await turn_of_the_loop()
    assert work.ended == [1]


async def test_closing_ends_what_is_under_way_and_what_waits() -> None:
    turns, work = Turns(), Work()
    asking = [asyncio.create_task(turns.take(lambda number=number: work.piece(number))) for number in range(3)]  # type: ignore[misc]
    await turn_of_the_loop()
    await turns.close()
    assert (work.begun, work.ended) == ([0], [0])
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(one) for one in answers] == [asyncio.CancelledError] * 3


async def test_work_may_wait_for_something_until_somebody_waits_for_the_next_turn() -> None:
    turns = Turns()
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def patient() -> bool:
        return await turns.unless_awaited(never)

    async def nothing() -> None:
        return None

    first = asyncio.create_task(turns.take(patient))
    await turn_of_the_loop()
    look = asyncio.create_task(turns.take(nothing, patient=True))
    await turn_of_the_loop()
    assert not first.done()
    await turns.take(nothing)
    assert (first.done(), look.done()) == (True, True)
    assert await first is False
    assert not never.done()


async def test_what_work_waited_for_alone_may_have_come() -> None:
    turns = Turns()
    soon: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asking = asyncio.create_task(turns.take(lambda: turns.unless_awaited(soon)))
    await turn_of_the_loop()
    soon.set_result(None)
    assert await asking is True

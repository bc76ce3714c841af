"""How many requests a provider has at once, and who waits for a place."""

import asyncio
from dataclasses import replace

import pytest

from builders import a_provider
from core_builders import ManualClock
from gateway.errors import UpstreamFailed
from gateway.relay.admission import Admission, Place


class Door:
    """An admission with a clock that a test sets, and the order in which requests got in."""

    def __init__(self, *, max_parallel: int | None = 1, queue: int = 10, queue_wait_s: float = 60.0) -> None:
        self.clock = ManualClock()
        self.admission = Admission(clock=self.clock)
        self.provider = a_provider(max_parallel=max_parallel, queue=queue, queue_wait_s=queue_wait_s)
        self.order: list[int] = []

    async def enter(self, number: int = 0, *, left_s: float = 600.0) -> Place:
        place = await self.admission.enter(self.provider, left_s=left_s)
        self.order.append(number)
        return place

    def come(self, number: int) -> asyncio.Task[Place]:
        return asyncio.create_task(self.enter(number))

    @property
    def counts(self) -> tuple[int, int]:
        return self.admission.counts("ollama")


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_provider_without_a_limit_takes_all() -> None:
    door = Door(max_parallel=None)
    places = [await door.enter() for _ in range(100)]
    assert door.counts == (0, 0)
    for place in places:
        place.release()


async def test_who_came_first_goes_first() -> None:
    door = Door(max_parallel=2)
    held = (await door.enter(), await door.enter())
    waiting = [door.come(number) for number in range(1, 6)]
    await settled()
    assert door.counts == (2, 5)
    held[0].release()
    await settled()
    late = door.come(9)
    held[1].release()
    for task in waiting:
        (await task).release()
    (await late).release()
    assert door.order == [0, 0, 1, 2, 3, 4, 5, 9]


async def test_a_place_is_given_back_once() -> None:
    door = Door()
    place = await door.enter()
    place.release()
    place.release()
    assert door.counts == (0, 0)


async def test_a_full_queue_says_how_long_the_wait_would_be() -> None:
    door = Door(max_parallel=2, queue=1)
    first, _ = await door.enter(), await door.enter()
    door.clock.now_s += 8
    first.release()
    await door.enter()
    waiting = door.come(1)
    await settled()
    with pytest.raises(UpstreamFailed) as caught:
        await door.enter()
    assert caught.value.message == (
        "ollama has 2 requests under way (max_parallel 2), and 1 more wait, which is all the queue takes"
    )
    assert (caught.value.failure, caught.value.retry_after_s) == ("saturated", 8.0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_before_anything_was_measured_a_guess_stands_for_it() -> None:
    door = Door(queue=0)
    await door.enter()
    with pytest.raises(UpstreamFailed) as caught:
        await door.enter()
    assert caught.value.retry_after_s == 5.0


@pytest.mark.parametrize(("queue_wait_s", "left_s"), [(0.005, 600.0), (60.0, 0.005)])
async def test_who_waits_too_long_is_told_so_and_leaves_no_trace(queue_wait_s: float, left_s: float) -> None:
    door = Door(queue_wait_s=queue_wait_s)
    place = await door.enter()
    with pytest.raises(UpstreamFailed) as caught:
        await door.enter(left_s=left_s)
    assert caught.value.message == (
        "ollama has 1 requests under way (max_parallel 1), and no place became free within 0.005 s"
    )
    assert door.counts == (1, 0)
    place.release()
    assert door.counts == (0, 0)


async def test_who_leaves_the_queue_leaves_no_trace() -> None:
    door = Door()
    place = await door.enter()
    leaving, staying = door.come(1), door.come(2)
    await settled()
    leaving.cancel()
    await settled()
    assert leaving.cancelled()
    assert door.counts == (1, 1)
    place.release()
    (await staying).release()
    assert door.counts == (0, 0)


async def test_who_leaves_in_the_moment_of_its_turn_passes_it_on() -> None:
    door = Door()
    place = await door.enter()
    leaving, staying = door.come(1), door.come(2)
    await settled()
    place.release()
    leaving.cancel()
    await settled()
    assert leaving.cancelled()
    (await staying).release()
    assert (door.order, door.counts) == ([0, 2], (0, 0))


async def test_who_left_in_the_moment_before_a_place_became_free_is_passed_over() -> None:
    door = Door()
    place = await door.enter()
    leaving, staying = door.come(1), door.come(2)
    await settled()
    leaving.cancel()
    place.release()
    await settled()
    assert leaving.cancelled()
    (await staying).release()
    assert (door.order, door.counts) == ([0, 2], (0, 0))


async def test_a_limit_that_was_raised_lets_the_waiting_in() -> None:
    door = Door()
    await door.enter()
    waiting = door.come(1)
    await settled()
    door.provider = a_provider(max_parallel=3)
    await door.enter(2)
    await waiting
    assert (sorted(door.order), door.counts) == ([0, 1, 2], (3, 0))


async def test_two_providers_do_not_share_a_limit() -> None:
    door = Door()
    await door.enter()
    door.provider = a_provider("attic", max_parallel=1)
    await door.enter()
    assert (door.counts, door.admission.counts("attic")) == ((1, 0), (1, 0))


async def test_what_is_under_way_at_one_address_takes_no_place_at_another() -> None:
    door = Door(max_parallel=1)
    held = await door.enter()
    door.provider = replace(door.provider, url="http://elsewhere:11434")
    moved = await door.enter(left_s=0.0)
    assert door.counts == (2, 0)
    for place in (held, moved):
        place.release()
    assert door.counts == (0, 0)

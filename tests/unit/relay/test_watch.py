"""One answer under way, with its deadlines."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest

from gateway.domain.failure import FailureClass
from gateway.errors import UpstreamFailed
from gateway.relay.deadlines import Limits
from gateway.relay.event import OPENED, Event, EventKind, LastEvents
from gateway.relay.patience import Patience
from gateway.relay.watch import Watch
from relay_builders import SystemClock

WORD = Event(EventKind.CONTENT, {"choices": []})
END = Event(EventKind.FINISH, {"choices": []}, finished=True)
COUNTS = Event(EventKind.USAGE, {"usage": {}})


class Source:
    """A lane's stream: ``None`` is where it falls silent, a failure where it breaks."""

    def __init__(self, *parts: Sequence[Event] | UpstreamFailed | None) -> None:
        self._parts = parts
        self.closed = False

    async def stream(self) -> AsyncGenerator[Sequence[Event], None]:
        try:
            for part in self._parts:
                if part is None:
                    await asyncio.Event().wait()
                elif isinstance(part, UpstreamFailed):
                    raise part
                else:
                    yield part
        finally:
            self.closed = True


def watched(source: Source, *, first_token_s: float = 5.0, gap_s: float = 5.0, left_s: float = 5.0) -> Watch:
    limits = Limits(connect_s=1, load_s=None, first_token_s=first_token_s, gap_s=gap_s, total_s=600)
    return Watch(source.stream(), limits=limits, left_s=left_s, clock=SystemClock(), patience=Patience())


async def read(watch: Watch) -> list[Event]:
    events: list[Event] = []
    while (more := await watch.next()) is not None:
        events += more
    return events


async def test_a_whole_answer_is_read_to_its_end() -> None:
    source = Source([OPENED], [WORD, WORD], [END, COUNTS])
    watch = watched(source)
    assert await read(watch) == [OPENED, WORD, WORD, END, COUNTS]
    assert watch.finished
    assert watch.told_s is not None
    assert source.closed


async def test_what_is_said_to_be_the_last_is_not_waited_behind() -> None:
    source = Source([OPENED], LastEvents([WORD, END]), None)
    watch = watched(source)
    assert await read(watch) == [OPENED, WORD, END]
    assert watch.finished
    assert source.closed
    assert await watch.next() is None


@pytest.mark.parametrize(
    ("parts", "late", "failure", "words"),
    [
        ([None], {"first_token_s": 0.01}, "timeout", "no answer within 0.01 s"),
        ([[OPENED], None], {"first_token_s": 0.01}, "timeout_first_token", "no token within 0.01 s"),
        ([[OPENED], [WORD], None], {"gap_s": 0.01}, "stall", "silent for 0.01 s"),
        ([[OPENED], [WORD], None], {"left_s": 0.01}, "timeout", "no whole answer within 600 s"),
        ([None], {"left_s": 0.01}, "timeout", "no whole answer within 600 s"),
    ],
)
async def test_each_silence_has_its_own_deadline_and_name(
    parts: list[Sequence[Event] | None], late: dict[str, float], failure: str, words: str
) -> None:
    source = Source(*parts)
    watch = watched(source, **late)
    with pytest.raises(UpstreamFailed) as caught:
        await read(watch)
    assert (caught.value.failure, caught.value.message) == (failure, words)
    assert source.closed


async def test_after_the_finish_nothing_that_goes_wrong_spoils_the_answer() -> None:
    broken = UpstreamFailed("reset", failure=FailureClass.TRUNCATED)
    assert await read(watched(Source([WORD, END], broken))) == [WORD, END]
    assert await read(watched(Source([WORD, END], None), left_s=0.02)) == [WORD, END]


async def test_closing_it_closes_upstream() -> None:
    source = Source([OPENED], [WORD], None)
    watch = watched(source)
    await watch.next()
    await watch.aclose()
    assert source.closed

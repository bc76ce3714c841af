"""One fault on one lane in one setting, and what the table expects of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from contract.fault_endings import Ending
from contract.fault_wire import Wire
from fakes.faults import Fault
from gateway.domain.model import Lane
from gateway.domain.role import Deadlines

LANES: Final = (Lane.OLLAMA, Lane.OPENAI, Lane.LITELLM)
NATIVE: Final = (Lane.OLLAMA,)
SSE: Final = (Lane.OPENAI, Lane.LITELLM)
SECOND: Final = {Lane.OLLAMA: Lane.OPENAI, Lane.OPENAI: Lane.OLLAMA, Lane.LITELLM: Lane.OPENAI}
"""The lane of the healthy deployment beside the faulty one."""
MODEL: Final = {Lane.OLLAMA: "llama3.1:8b", Lane.OPENAI: "gpt-4o-mini", Lane.LITELLM: "gpt-4o-mini"}

CALM: Final = Deadlines(connect_s=10, load_s=30, first_token_s=30, gap_s=30, total_s=60)
"""Deadlines that no row is meant to meet."""
SOON_S: Final = 2.5
"""No sooner: the healthy deployments of many cells share a busy core, and must not meet their deadlines."""
SHORT: Final = Deadlines(connect_s=SOON_S, load_s=30, first_token_s=SOON_S, gap_s=30, total_s=60)
"""For what never begins."""
SHORT_GAP: Final = Deadlines(connect_s=10, load_s=30, first_token_s=30, gap_s=SOON_S, total_s=60)
"""For what begins and does not go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One fault. ``door`` is what the address of the faulty deployment leads to:

    ``server``
        a fake that shows ``fault`` (``times`` times, on ``route``; "" is the one for chats)
    ``refuses``, ``drops``
        a port that refuses connections, or takes none up
    ``nowhere``
        a name without an address
    ``tls``
        a server that does not speak TLS, behind an address that asks for it

    ``idle_first``: a request is answered before the fault, and its connection closed by the server while it is idle (unless
    ``hangs_up`` is false). ``asked_before``: the fault meets an earlier request; the one after it is judged. ``unlike`` holds
    the endings of lanes where it differs from ``ending``. ``roomy``: the second deployment has a larger context.
    """

    name: str
    ending: Ending
    fault: Callable[[Wire], Fault] | None = None
    lanes: tuple[Lane, ...] = LANES
    unlike: Mapping[Lane, Ending] = field(default_factory=dict)
    deadlines: Deadlines = CALM
    door: str = "server"
    route: str = ""
    times: int | None = None
    idle_first: bool = False
    hangs_up: bool = True
    asked_before: bool = False
    sends_done: bool = True
    roomy: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    row: Row
    lane: Lane
    stream: bool
    beside: bool
    """Another deployment, a healthy one, is there."""

    @property
    def id(self) -> str:
        manner = "stream" if self.stream else "whole"
        return f"{self.row.name} - {self.lane} - {manner} - {'beside another' if self.beside else 'alone'}"

    @property
    def ending(self) -> Ending:
        return self.row.unlike.get(self.lane, self.row.ending)

    @property
    def patient(self) -> bool:
        """It waits for a deadline."""
        return self.row.deadlines is not CALM

    @property
    def wire(self) -> Wire:
        return Wire(lane=self.lane)

    @property
    def route(self) -> str:
        """The route whose requests are counted."""
        return self.row.route or self.wire.route

    @property
    def first(self) -> str:
        return f"first:{MODEL[self.lane]}"

    @property
    def second(self) -> str:
        return f"second:{MODEL[SECOND[self.lane]]}"

    @property
    def breaks_off(self) -> bool:
        """The caller has part of an answer when it fails."""
        return self.stream and bool(self.ending.delivered)

    @property
    def attempts(self) -> list[tuple[str, str]]:
        """Model and failure class of every attempt that is to be made, "" for the one that is answered."""
        ending, first = self.ending, self.first
        if not ending.failure:
            return [(first, "")]
        failed = (first, ending.failure)
        if self.breaks_off or not ending.moves_on:
            return [failed]
        if self.beside:
            return [failed] * ending.beside + [(first if ending.heals == "both" else self.second, "")]
        return [failed] * ending.alone + ([(first, "")] if ending.heals else [])


def cells(rows: tuple[Row, ...]) -> list[Cell]:
    return [
        Cell(row=row, lane=lane, stream=stream, beside=beside)
        for row in rows
        for lane in row.lanes
        for stream in (False, True)
        for beside in (False, True)
    ]

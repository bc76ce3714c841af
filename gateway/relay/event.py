"""What a lane hears from upstream, one piece at a time."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple


class EventKind(StrEnum):
    """What a piece of an answer means for failover and deadlines."""

    OPENING = "opening"
    """Upstream has begun to answer; nothing of the answer itself is in it."""
    CONTENT = "content"
    """A delta of text, reasoning or a tool call."""
    FINISH = "finish"
    """The finish signal, without content."""
    USAGE = "usage"
    """Token counts, after the finish signal."""


class Event(NamedTuple):
    """One OpenAI chunk on its way to the caller.

    ``chunk`` is ``None`` when there is nothing to pass on (an opening without a chunk). ``frame`` is the finished SSE frame
    where the lane already has it, otherwise empty. ``finished`` marks the chunk that carries the finish signal. ``text`` is
    there where more text for the first choice is all that the chunk says; it may stand for several chunks that came at once,
    ``pieces`` of them, and ``frame`` then holds a frame for each. ``whole``: it is no chunk, but the whole ``chat.completion``
    that a caller who does not stream gets, and the only event of its answer.
    """

    kind: EventKind
    chunk: Mapping[str, object] | None = None
    frame: bytes = b""
    finished: bool = False
    text: str = ""
    pieces: int = 1
    whole: bool = False


OPENED = Event(EventKind.OPENING)


class LastEvents(list[Event]):
    """What an answer ends with. Upstream has been let go of, and nothing comes after it."""

"""From a walk to an answer that has begun: deployments are called in turn until one of them has something to pass on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gateway.domain.failure import FailureClass
from gateway.domain.plan import Deployment
from gateway.domain.ports import Clock
from gateway.domain.role import HoldBack
from gateway.errors import UpstreamFailed
from gateway.relay.event import Event, EventKind
from gateway.relay.gather import Gathered
from gateway.relay.outgoing import Outgoing
from gateway.relay.walk import Loading, Ready, Walk
from gateway.relay.watch import Watch


@dataclass(slots=True, kw_only=True)
class Opened:
    """An answer of which nothing has reached the caller yet. ``frames`` are its beginning; the rest comes through ``watch``.
    ``whole`` is what a caller gets who does not stream."""

    index: int
    deployment: Deployment
    watch: Watch
    frames: bytes = b""
    whole: "Whole | None" = None


class Whole(NamedTuple):
    """An answer gathered to its end and written for the caller. ``usage`` are the token counts, where upstream gave them."""

    body: bytes
    usage: Mapping[str, object] | None


async def open_answer(walk: Walk, *, outgoing: Outgoing) -> Opened | Loading:
    """Go on until an answer has begun. ``Loading``: a streaming caller may be told so; call again to go on.

    Raises ``RequestFailed`` when no deployment answers, ``BadRequest`` for what a lane cannot express.
    """
    while True:
        step = await walk.next()
        if isinstance(step, Loading):
            return step
        watch = Watch(
            step.lane.stream(step.call),
            limits=step.call.limits,
            left_s=step.call.left_s,
            clock=walk.clock,
            patience=walk.patience,
        )
        try:
            opened = await _open(walk, step, watch=watch, outgoing=outgoing)
        except Exception as failed:  # noqa: BLE001 - a deployment that is too odd for the gateway has failed
            await _abandon(walk, watch)
            outgoing.unheard()
            walk.fail(failed)
        except BaseException:
            await _abandon(walk, watch)
            raise
        else:
            walk.passage.ledger.answered()
            return opened


async def _abandon(walk: Walk, watch: Watch) -> None:
    walk.passage.spent_s += watch.waited_s
    await watch.aclose()


async def _open(walk: Walk, ready: Ready, *, watch: Watch, outgoing: Outgoing) -> Opened:
    deployment = ready.call.deployment
    if not walk.passage.stream:
        gathered = Gathered()

        def hear(text: str) -> bool:
            if watch.told_s is None:
                return False
            gathered.say(text)
            walk.patience.stir()
            return True

        completion: Mapping[str, object] = {}
        with walk.shortcut.ears(hear):
            while (events := await watch.next()) is not None:
                for event in events:
                    if event.whole and event.chunk is not None:
                        completion = event.chunk
                    elif event.text:
                        gathered.say(event.text)
                    elif event.chunk is not None:
                        gathered.add(event.chunk)
        completion = completion or gathered.completion()
        if not completion["choices"]:
            # Whatever the lane says of its end, this is no answer.
            raise UpstreamFailed("the answer came without any choice", failure=FailureClass.TRUNCATED)
        usage = completion.get("usage")
        whole = Whole(body=outgoing.wire.whole(completion), usage=usage if isinstance(usage, dict) else None)
        return Opened(index=ready.index, deployment=deployment, watch=watch, whole=whole)
    held: list[Event] = []
    hold_back = walk.passage.route.plan.manner.hold_back
    while _holds(held, hold_back=hold_back, watch=watch, clock=walk.clock):
        events = await watch.next()
        if events is None:
            break
        held += events
    return Opened(index=ready.index, deployment=deployment, watch=watch, frames=outgoing.frames(held))


def _holds(held: Sequence[Event], *, hold_back: HoldBack, watch: Watch, clock: Clock) -> bool:
    """Is it too early to pass anything on? Before the first content always."""
    if watch.finished:
        return False
    if watch.told_s is None:
        return True
    if hold_back.characters is None and hold_back.text_age_s is None:
        return False
    enough = hold_back.characters is not None and _characters(held) >= hold_back.characters
    return not enough and (hold_back.text_age_s is None or clock.monotonic() - watch.told_s < hold_back.text_age_s)


def _characters(events: Sequence[Event]) -> int:
    return sum(len(text) for event in events if event.kind is EventKind.CONTENT for text in texts_of(event))


def texts_of(event: Event) -> list[str]:
    """The pieces of text, not of reasoning or tool calls, in one event."""
    choices = event.chunk.get("choices") if event.chunk is not None else None
    found = []
    for choice in choices if isinstance(choices, list) else ():
        delta = choice.get("delta") if isinstance(choice, dict) else None
        text = delta.get("content") if isinstance(delta, dict) else None
        if isinstance(text, str):
            found.append(text)
    return found

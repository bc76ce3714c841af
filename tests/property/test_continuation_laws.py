"""Laws of an answer that two deployments gave: nothing is lost, nothing is told twice, however it is cut into pieces."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UpstreamFailed
from gateway.relay.continuation import RESTART_CHARACTERS, Partial, Seam
from gateway.relay.event import Event, EventKind

HEAD = {"id": "chatcmpl-first", "created": 7}
OTHER = {"id": "chatcmpl-second", "created": 8, "model": "second", "object": "chat.completion.chunk"}
texts = st.text(alphabet="ab \n€", max_size=60)
beginnings = texts.filter(bool)
cuts = st.lists(st.integers(0, 120), max_size=12)
limits = st.none() | st.integers(1, 40)


def pieces_of(text: str, cut: list[int]) -> list[str]:
    places = sorted({0, len(text), *(place for place in cut if place < len(text))})
    return [text[start:end] for start, end in itertools.pairwise(places)] or [""]


def said(text: str, *, finish: str | None = None) -> Event:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return Event(EventKind.CONTENT, {**OTHER, "choices": [choice]}, finished=finish is not None)


def told(events: list[Event]) -> str:
    found = []
    for event in events:
        choices = (event.chunk or {}).get("choices")
        assert isinstance(choices, list)
        found += [choice["delta"].get("content", "") for choice in choices]
    return "".join(found)


def fitted(before: str, after: str, cut: list[int]) -> list[Event]:
    seam = Seam(before, head=HEAD)
    opening = Event(EventKind.OPENING, {**OTHER, "choices": [{"index": 0, "delta": {"role": "assistant"}}]})
    ending = Event(
        EventKind.FINISH, {**OTHER, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}, finished=True
    )
    return (
        seam.fit([opening])
        + [one for piece in pieces_of(after, cut) for one in seam.fit([said(piece)])]
        + seam.fit([ending])
    )


@given(beginnings, texts, cuts)
def test_a_beginning_that_is_repeated_is_cut_away_however_it_comes(before: str, after: str, cut: list[int]) -> None:
    assert told(fitted(before, before + after, cut)) == after


@given(beginnings, texts, cuts)
def test_what_does_not_repeat_the_beginning_is_passed_on_whole_or_not_at_all(
    before: str, after: str, cut: list[int]
) -> None:
    if after.startswith(before):
        return
    shared = next(
        (at for at, (x, y) in enumerate(zip(before, after, strict=False)) if x != y), min(len(before), len(after))
    )
    if shared >= RESTART_CHARACTERS:
        with pytest.raises(UpstreamFailed, match=r"^began the answer anew: it does not support completion of one"):
            fitted(before, after, cut)
    else:
        assert told(fitted(before, after, cut)) == after


@given(beginnings, texts, cuts)
def test_all_of_it_is_one_answer_with_one_role_and_one_finish(before: str, after: str, cut: list[int]) -> None:
    events = fitted(before, before + after, cut)
    choices = [choice for event in events for choice in (event.chunk or {})["choices"]]  # type: ignore[attr-defined]
    assert {(event.chunk["id"], event.chunk["created"]) for event in events if event.chunk} <= {("chatcmpl-first", 7)}
    assert all("role" not in choice["delta"] for choice in choices)
    assert [choice["finish_reason"] for choice in choices if choice.get("finish_reason")] == ["stop"]
    assert [event.finished for event in events].count(True) == 1


@given(st.lists(beginnings, min_size=1, max_size=20), limits)
def test_the_rest_is_asked_for_with_all_that_was_told_and_no_more_tokens_than_allowed(
    told_pieces: list[str], limit: int | None
) -> None:
    partial = Partial()
    for piece in told_pieces:
        partial.add([said(piece)])
    body = {"messages": [{"role": "user", "content": "?"}], "max_tokens": limit}
    wanted = partial.request(body)
    whole = "".join(told_pieces)
    if not whole.strip() or (limit is not None and limit <= len(told_pieces)):
        assert wanted is None
        return
    assert wanted is not None
    messages = wanted["messages"]
    assert messages == [{"role": "user", "content": "?"}, {"role": "assistant", "content": whole}]
    assert wanted["max_tokens"] == (None if limit is None else limit - len(told_pieces))
    assert len(body["messages"]) == 1  # type: ignore[arg-type]

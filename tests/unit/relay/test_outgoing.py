"""What goes out to the caller of one request."""

import orjson

from gateway.relay.event import Event, EventKind
from gateway.relay.outgoing import Outgoing
from gateway.relay.wire import ChatWire

HEAD = {"id": "a", "created": 1, "object": "chat.completion.chunk", "model": "first"}
OTHER = {"id": "b", "created": 2, "object": "chat.completion.chunk", "model": "second"}
BODY = {"messages": [{"role": "user", "content": "Count."}]}


def said(text: str, *, head: dict[str, object] = HEAD) -> Event:
    return Event(EventKind.CONTENT, {**head, "choices": [{"index": 0, "delta": {"content": text}}]})


def counted(head: dict[str, object] = HEAD) -> Event:
    return Event(EventKind.USAGE, {**head, "choices": [], "usage": {"total_tokens": 9}})


def usage_of(out: Outgoing) -> object:
    return out.usage


def test_token_counts_are_kept_for_the_end_and_only_for_those_who_want_them() -> None:
    for wanted in (True, False):
        out = Outgoing(ChatWire(include_usage=wanted), continues=False)
        assert usage_of(out) is None
        assert b"usage" not in out.frames([said("x"), counted()])
        assert usage_of(out) == {"total_tokens": 9}
        assert (b"total_tokens" in out.ending()) is wanted


def test_who_does_not_continue_remembers_nothing() -> None:
    out = Outgoing(ChatWire(include_usage=True), continues=False)
    out.frames([said("one ")])
    assert out.rest_of(BODY) is None


def test_what_goes_on_has_the_head_of_what_began_and_its_own_model() -> None:
    out = Outgoing(ChatWire(include_usage=True), continues=True)
    out.frames([said("one "), counted()])
    assert out.rest_of(BODY) == {"messages": [*BODY["messages"], {"role": "assistant", "content": "one "}]}
    assert usage_of(out) is None
    gone_on = out.went_on
    frames = out.frames([said("two", head=OTHER), counted(OTHER)])
    assert (gone_on, out.went_on) == (False, True)
    chunk = orjson.loads(frames.removeprefix(b"data: "))
    assert (chunk["id"], chunk["created"], chunk["model"]) == ("a", 1, "second")
    counts = orjson.loads(out.ending().split(b"\n\n")[0].removeprefix(b"data: "))
    assert (counts["id"], counts["created"], counts["model"]) == ("a", 1, "second")


def test_what_was_not_heard_is_forgotten() -> None:
    out = Outgoing(ChatWire(include_usage=True), continues=True)
    out.frames([said("one two ")])
    out.rest_of(BODY)
    assert out.frames([said("one ", head=OTHER), counted(OTHER)]) == b""
    out.unheard()
    assert usage_of(out) is None
    assert b'"content":"three"' in out.frames([said("three", head=OTHER)])

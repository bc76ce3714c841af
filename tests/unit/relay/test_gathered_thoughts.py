"""Thoughts that come in pieces, put together as a caller sends them back."""

from collections.abc import Mapping

from gateway.relay.gather import Gathered


def gathered(*deltas: Mapping[str, object]) -> object:
    whole = Gathered()
    for delta in deltas:
        whole.add({"id": "x", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    choices = whole.completion()["choices"]
    assert isinstance(choices, list)
    return choices[0]["message"].get("thinking_blocks")


def piece(text: str = "", signature: str | None = None) -> Mapping[str, object]:
    return {"thinking_blocks": [{"type": "thinking", "thinking": text, "signature": signature}]}


def test_a_thought_goes_on_until_its_signature() -> None:
    assert gathered(piece("Let me "), piece("see."), piece(signature="s1"), piece("And "), piece("so.", "s2")) == [
        {"type": "thinking", "thinking": "Let me see.", "signature": "s1"},
        {"type": "thinking", "thinking": "And so.", "signature": "s2"},
    ]


def test_a_redacted_thought_stands_for_itself() -> None:
    redacted = {"type": "redacted_thinking", "data": "abc"}
    assert gathered(piece("A"), {"thinking_blocks": [redacted]}, piece("B", "s")) == [
        {"type": "thinking", "thinking": "A"},
        redacted,
        {"type": "thinking", "thinking": "B", "signature": "s"},
    ]


def test_an_answer_without_thoughts_has_none() -> None:
    assert gathered({"content": "Hi"}) is None

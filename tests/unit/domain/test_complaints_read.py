"""What the bodies of refusals say."""

import pytest

from gateway.domain.complaint import MASK, complaint, counted_tokens, failure_class, redacted
from gateway.domain.failure import FailureClass


def test_secrets_are_masked_by_exact_value_the_longest_first() -> None:
    text = "keys sk-abc-long and sk-abc and sk-other"
    assert redacted(text, secrets=["sk-abc", "sk-abc-long", ""]) == f"keys {MASK} and {MASK} and sk-other"


def test_the_beginning_of_a_secret_is_masked_as_far_as_it_goes() -> None:
    secret = "sk-proj-0123456789-abcdef"
    text = f"wrong key {secret[:20]}... or {secret[:16]}, {secret[:15]} {secret}"
    assert redacted(text, secrets=[secret]) == f"wrong key {MASK}... or {MASK}, {secret[:15]} {MASK}"
    stars = "*" * 40
    assert redacted(f"{stars}x{stars[:30]}", secrets=[stars]) == f"{MASK}x{MASK}"


def test_a_body_nested_without_end_is_taken_as_it_is() -> None:
    assert complaint("[" * 100_000).message == "[" * 1000


def test_half_a_character_becomes_a_question_mark() -> None:
    assert complaint(r'{"error":"\ud800 no"}').message == "? no"


def test_a_prompt_too_long_is_read_in_googles_words() -> None:
    words = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
    found = complaint({"error": {"code": 400, "message": words, "status": "INVALID_ARGUMENT"}})
    assert failure_class(found, status=400, keyed=True) is FailureClass.CONTEXT_LENGTH
    assert counted_tokens(found) == 1_200_000


@pytest.mark.parametrize("keyed", [True, False])
def test_a_status_inside_an_error_event_counts_as_one(*, keyed: bool) -> None:
    found = complaint({"error": {"message": "no", "code": 401}})
    expected = FailureClass.AUTH if keyed else FailureClass.UPSTREAM_ERROR
    assert failure_class(found, status=None, keyed=keyed) is expected

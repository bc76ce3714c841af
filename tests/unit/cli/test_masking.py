"""Nothing that could be a secret is shown, whoever put it into the configuration."""

import pytest

from gateway.config.masking import MASK, masked, restored
from gateway.errors import BadRequest


@pytest.mark.parametrize(
    "key",
    ["api_key", "apiKey", "API-KEY", "key", "client_secret", "password", "Authorization", "access_token", "cookie"],
)
def test_text_under_a_key_that_is_named_like_a_secret_is_masked(key: str) -> None:
    assert masked({"a": {key: "hunter2"}}) == {"a": {key: MASK}}


def test_lists_under_such_a_key_are_masked_one_by_one() -> None:
    assert masked({"password": ("one", "two")}) == {"password": [MASK, MASK]}


@pytest.mark.parametrize("key", ["max_tokens", "keyboard", "requires_api_key_note", "monkey_business"])
def test_other_keys_are_left_alone(key: str) -> None:
    assert masked({key: "text"}) == {key: "text"}


def test_numbers_and_switches_are_left_alone() -> None:
    assert masked({"token": 5, "requires_api_key": True, "key": None}) == {
        "token": 5,
        "requires_api_key": True,
        "key": None,
    }


def test_references_to_the_environment_are_shown() -> None:
    assert masked({"api_key": "os.environ/OPENAI_API_KEY"}) == {"api_key": "os.environ/OPENAI_API_KEY"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:pw@127.0.0.1:8000/v1", f"http://{MASK}@127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        ("Bearer abc.def", MASK),
        ("use sk-proj-abcdefghijklmnop here", f"use {MASK} here"),
        ("ask-me", "ask-me"),
    ],
)
def test_addresses_lose_their_user_and_what_looks_like_a_key_is_masked(text: str, shown: str) -> None:
    assert masked({"x": text}) == {"x": shown}


def test_a_mask_that_comes_back_is_what_was_there() -> None:
    stored = {"a": {"password": "hunter2"}, "urls": ["http://me:pw@host/", "plain"], "n": 1}
    shown = masked(stored)
    assert isinstance(shown, dict)
    assert restored({**shown, "n": 2}, stored=stored) == {**stored, "n": 2}


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"password": MASK}, "password"),
        ({"a": {"token": MASK}}, "a.token"),
        ({"list": ["x", f"http://{MASK}@host/"]}, "list[1]"),
    ],
)
def test_a_mask_where_nothing_was_is_refused(values: dict[str, object], where: str) -> None:
    with pytest.raises(BadRequest) as refused:
        restored(values, stored={"list": ["x", "y"], "a": 3})
    assert refused.value.message == f"{where}: found a mask where there is no such secret to keep"

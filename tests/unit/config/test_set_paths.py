"""Naming one value inside a configuration."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.set_path import KeyPath, format_set_path, parse_set_path


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("role_mappings", "planner", "preferred", 0), "role_mappings.planner.preferred[0]"),
        (
            ("model_profiles", "llama3.1:8b", "capabilities", "context_length"),
            'model_profiles["llama3.1:8b"].capabilities.context_length',
        ),
        (("a b", "ü", 1, 2), '["a b"]["ü"][1][2]'),
        (("", 'say "x"'), '[""]["say \\"x\\""]'),
        (("\x1b", "ok"), '["\\u001b"].ok'),
    ],
)
def test_a_path_is_written_and_read_the_same(path: KeyPath, text: str) -> None:
    assert format_set_path(path) == text
    assert parse_set_path(text) == path


def test_a_plain_key_may_hold_a_colon() -> None:
    assert parse_set_path("model_profiles.mistral:latest.capabilities") == (
        "model_profiles",
        "mistral:latest",
        "capabilities",
    )


@pytest.mark.parametrize("text", ["a..b", "a.", ".a", "a[", "a[x]", "a]", 'a["x]', "a b", 'a."b"', "[0]a", "a.[0]"])
def test_what_is_no_path_is_refused_with_the_place(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a set path: character \d+ does not fit; write dots between keys"):
        parse_set_path(text)


def test_a_quoted_key_that_is_no_json_is_refused() -> None:
    with pytest.raises(ValueError, match=r'is not a set path: "\\x" is not a JSON string'):
        parse_set_path('a["\\x"]')


def test_an_empty_path_is_refused() -> None:
    with pytest.raises(ValueError, match="a set path names at least one key"):
        parse_set_path("")


@given(st.lists(st.text() | st.integers(min_value=0, max_value=10**6), min_size=1, max_size=6))
def test_every_path_comes_back_as_it_was(keys: list[str | int]) -> None:
    path = tuple(keys)
    assert parse_set_path(format_set_path(path)) == path

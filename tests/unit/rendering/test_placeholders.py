"""The small language of the router templates."""

import pytest

from gateway.rendering.placeholders import fill, placeholders, unclosed

VALUES = {"model": "mistral:latest", "order": 2, "unknown": None, "many": [{"a": 1}]}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("${model}", "mistral:latest"),
        ("${order}", 2),
        ("${many}", [{"a": 1}]),
        ("ollama/${model}", "ollama/mistral:latest"),
        ("${model}@${order}", "mistral:latest@2"),
        ("${unknown}", None),
        ("a/${unknown}", None),
        ("${unknown|600}", 600),
        ("${unknown|none}", "none"),
        ("${unknown|0.5}", 0.5),
        ("${unknown|}", None),
        ("${order|600}", 2),
        ("in ${unknown|5} s", "in 5 s"),
        ("$${model}", "${model}"),
        ("costs 5$", "costs 5$"),
        (7, 7),
        (None, None),
    ],
)
def test_a_placeholder_gives_its_value_with_its_type(template: object, expected: object) -> None:
    assert fill(template, VALUES) == expected


def test_what_is_unknown_is_left_out_and_what_is_written_as_null_stays() -> None:
    template = {"a": "${unknown}", "b": None, "c": ("x", "${unknown}", None), "d": {"e": "${unknown}"}}
    assert fill(template, VALUES) == {"b": None, "c": ["x", None], "d": {}}


def test_placeholders_are_listed_and_escaped_ones_are_not() -> None:
    assert [(one.name, one.default) for one in placeholders("$${no} ${a} ${b|c}")] == [("a", None), ("b", "c")]


@pytest.mark.parametrize(("text", "expected"), [("${a", True), ("$${a", False), ("${a}", False), ("{a}", False)])
def test_a_placeholder_that_is_not_closed_is_seen(text: str, expected: bool) -> None:
    assert unclosed(text) is expected

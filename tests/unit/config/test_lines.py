"""Where a key path is written down."""

import json
from collections.abc import Mapping

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.locate import Syntax, json_duplicates, key_lines, line_of
from gateway.config.set_path import KeyPath
from gateway.config.yaml_text import read_yaml

JSON = """{
  "a": {"b": [1,
    {"c": "x, [y]: {\\"z\\"}"},
    [true,
     null]]},
  "d.e":
    7
}"""
YAML = """# head
a:
  b:
    - 1
    - c: |
        x
        y
    - [true,
       null]
"d.e":
  7
"""


@pytest.mark.parametrize(
    ("text", "syntax", "expected"),
    [
        (
            JSON,
            "json",
            {
                ("a",): 2,
                ("a", "b"): 2,
                ("a", "b", 0): 2,
                ("a", "b", 1): 3,
                ("a", "b", 1, "c"): 3,
                ("a", "b", 2): 4,
                ("a", "b", 2, 0): 4,
                ("a", "b", 2, 1): 5,
                ("d.e",): 6,
            },
        ),
        (
            YAML,
            "yaml",
            {
                ("a",): 2,
                ("a", "b"): 3,
                ("a", "b", 0): 4,
                ("a", "b", 1): 5,
                ("a", "b", 1, "c"): 5,
                ("a", "b", 2): 8,
                ("a", "b", 2, 0): 8,
                ("a", "b", 2, 1): 9,
                ("d.e",): 10,
            },
        ),
    ],
)
def test_every_key_and_item_has_its_line(text: str, syntax: Syntax, expected: Mapping[KeyPath, int]) -> None:
    assert key_lines(text, syntax=syntax) == expected


def test_what_is_not_written_takes_the_line_around_it() -> None:
    lines = key_lines(JSON, syntax="json")
    assert line_of(("a", "b", 1, "missing", "deeper"), lines=lines) == 3
    assert line_of(("nowhere",), lines=lines) is None
    assert line_of((), lines=lines) is None


def test_repeated_keys_are_found_wherever_they_are() -> None:
    text = '{"a": 1,\n"b": [{"c": 1,\n"c": 2}],\n"\\u0061": 2,\n"a": 3}'
    assert [(one.path, one.line, one.found) for one in json_duplicates(text)] == [
        (("b", 0, "c"), 3, "the same key again (first on line 2)"),
        (("a",), 4, "the same key again (first on line 1)"),
        (("a",), 5, "the same key again (first on line 1)"),
    ]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def paths(value: object, path: KeyPath = ()) -> set[KeyPath]:
    found: set[KeyPath] = set()
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        found |= {(*path, key), *paths(inner, (*path, key))}
    return found


@given(st.dictionaries(st.text(), values, max_size=5), st.sampled_from([None, 1]))
def test_any_json_has_a_line_for_every_path(value: dict[str, object], indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    lines = key_lines(text, syntax="json")
    assert set(lines) == paths(value)
    assert set(lines.values()) <= set(range(1, text.count("\n") + 2))


printable = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=("Cc", "Cs", "Cf", "Zl", "Zp"))
)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | printable,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(printable, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(printable, plain, max_size=5), st.booleans())
def test_yaml_that_was_written_from_values_gives_them_back_with_a_line_for_every_path(
    value: dict[str, object], flow: bool
) -> None:
    text = yaml.safe_dump(value, default_style='"', default_flow_style=flow, allow_unicode=True, width=10_000)
    text = text.replace("!!int ", "").replace("!!bool ", "").replace("!!null ", "")
    reading = read_yaml(text, with_lines=True)
    assert reading.problems == []
    assert set(reading.lines) == paths(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("-7", -7),
        ("+7", 7),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2026-11-22", "2026-11-22"),
        ("yes", "yes"),
        ("off", "off"),
        ("TRUE", True),
        ("tRUE", "tRUE"),
        ("~", None),
        ("null", None),
        ("", None),
        ("'7'", "7"),
        ("!!str 7", "7"),
        ("! 7", "7"),
        ("-", [None]),
        ("1.2.3", "1.2.3"),
        ("nothing", "nothing"),
    ],
)
def test_scalars_mean_what_yaml_1_2_says(text: str, value: object) -> None:
    reading = read_yaml(f"key: {text}" if text != "-" else "key:\n- ")
    assert reading.value == {"key": value}
    assert type(reading.value["key"]) is type(value)

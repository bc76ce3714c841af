"""What differs between two sets of settings."""

from collections.abc import Mapping

import pytest

from gateway.config.compare import Difference, differences


def told(left: Mapping[str, object], right: Mapping[str, object]) -> list[tuple[str, object, object]]:
    return [(one.path, one.left, one.right) for one in differences(left, right)]


def test_each_leaf_that_is_not_the_same_is_told_by_its_path() -> None:
    left = {"role_mappings": {"planner": {"preferred": ["a", "b"], "discover": True}}, "gateway": {"port": 1}}
    right = {"role_mappings": {"planner": {"preferred": ["b"], "discover": True}, "a.b": {"task": "chat"}}}
    assert told(left, right) == [
        ("role_mappings.planner.preferred", ["a", "b"], ["b"]),
        ('role_mappings["a.b"].task', None, "chat"),
        ("gateway.port", 1, None),
    ]


def test_null_and_nothing_are_told_apart() -> None:
    assert differences({"a": None}, {}) == (Difference(path="a", left=None, right=None, in_right=False),)
    assert differences({}, {"a": None}) == (Difference(path="a", left=None, right=None, in_left=False),)


@pytest.mark.parametrize(
    ("left", "right", "paths"),
    [
        ({"a": {}}, {}, ["a"]),
        ({}, {"a": {}}, ["a"]),
        ({"a": {}}, {"a": {"b": 1}}, ["a.b"]),
        ({"a": {"b": {}}}, {}, ["a.b"]),
        ({"a": 1}, {"a": {"b": 1}}, ["a"]),
        ({"a": None}, {"a": {"b": 1}}, ["a"]),
        ({"a": 1}, {"a": True}, ["a"]),
        ({"a": [0]}, {"a": [False]}, ["a"]),
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, []),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, ["a"]),
    ],
)
def test_what_counts_as_a_difference(left: dict[str, object], right: dict[str, object], paths: list[str]) -> None:
    assert [one.path for one in differences(left, right)] == paths
    assert [one.path for one in differences(right, left)] == paths

"""Laws of laying layers over each other."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from gateway.config.merge import Layer, Merged, Overlay, Source, merge
from gateway.config.set_path import KeyPath

Values = dict[str, object]

keys = st.sampled_from(["a", "b", "c", "d.e"])
scalars = st.booleans() | st.integers(0, 3) | st.text(max_size=2) | st.lists(st.integers(0, 3), max_size=2)


def mappings(*leaves: st.SearchStrategy[object]) -> st.SearchStrategy[Values]:
    inner = st.recursive(st.one_of(*leaves), lambda below: st.dictionaries(keys, below, max_size=3), max_leaves=8)
    return st.dictionaries(keys, inner, max_size=4)


with_nulls = mappings(scalars, st.none())
without_nulls = mappings(scalars)


def lay(*values: Mapping[str, object]) -> Merged:
    return merge(
        [
            Overlay(source=Source(layer=Layer.MODELS_YAML, file=str(place)), values=one)
            for place, one in enumerate(values)
        ]
    )


def stripped(value: object) -> object:
    if isinstance(value, dict):
        return {key: stripped(inner) for key, inner in value.items() if inner is not None}
    return value


def shuffled(value: object) -> object:
    if isinstance(value, dict):
        return {key: shuffled(inner) for key, inner in reversed(value.items())}
    return value


def leaves(value: object, path: KeyPath = ()) -> dict[KeyPath, object]:
    if isinstance(value, dict) and (value or not path):
        found: dict[KeyPath, object] = {}
        for key, inner in value.items():
            found |= leaves(inner, (*path, key))
        return found
    return {path: value}


@given(with_nulls)
def test_one_layer_alone_is_itself_without_its_nulls(values: Values) -> None:
    assert lay(values).values == stripped(values)


@given(with_nulls)
def test_an_empty_layer_changes_nothing_above_or_below(values: Values) -> None:
    alone = lay(values).values
    assert lay(values, {}).values == alone
    assert lay({}, values).values == alone


@given(with_nulls)
def test_a_layer_over_itself_changes_nothing(values: Values) -> None:
    again = lay(values, values)
    assert again.values == stripped(values)
    assert again.conflicts == ()


@given(with_nulls, with_nulls)
def test_no_null_is_left(low: Values, high: Values) -> None:
    assert None not in leaves(lay(low, high).values).values()


@given(without_nulls, keys, scalars)
def test_null_removes_whatever_was_there_and_nothing_else(values: Values, key: str, put: object) -> None:
    rest = {name: value for name, value in values.items() if name != key}
    removed = lay({**values, key: put}, {key: None})
    assert removed.values == rest
    assert lay({**values, key: put}, {key: None}, {key: {"new": put}}).values == {**rest, key: {"new": put}}


@given(without_nulls, without_nulls, without_nulls)
def test_layers_may_be_joined_in_any_grouping_where_nothing_is_removed_or_in_conflict(
    low: Values, middle: Values, high: Values
) -> None:
    left, right = lay(low, middle), lay(middle, high)
    if left.conflicts or right.conflicts or lay(low, middle, high).conflicts:
        return
    assert lay(left.values, high).values == lay(low, right.values).values == lay(low, middle, high).values


@given(with_nulls, with_nulls, with_nulls)
def test_layers_from_the_weakest_up_may_be_joined_one_after_the_other(
    low: Values, middle: Values, high: Values
) -> None:
    assert lay(lay(low, middle).values, high).values == lay(low, middle, high).values


@given(with_nulls, with_nulls)
def test_the_order_of_keys_means_nothing(low: Values, high: Values) -> None:
    one, other = lay(low, high), lay(shuffled(low), shuffled(high))  # type: ignore[arg-type]  # mappings stay mappings
    assert one.values == other.values
    assert dict(one.provenance) == dict(other.provenance)
    assert {conflict.path for conflict in one.conflicts} == {conflict.path for conflict in other.conflicts}


@given(with_nulls, with_nulls, with_nulls)
def test_every_leaf_has_one_source_and_nothing_else_has(low: Values, middle: Values, high: Values) -> None:
    merged = lay(low, middle, high)
    told = {path: value for path, value, _source in merged.provenance.leaves()}
    assert told == leaves(merged.values)
    assert len(merged.provenance) == len(told)
    assert all(merged.provenance[set_path] is not None for set_path in merged.provenance)


@given(with_nulls, with_nulls)
def test_the_source_of_a_leaf_says_what_the_merge_says(low: Values, high: Values) -> None:
    merged = lay(low, high)
    written = [leaves(low), leaves(high)]
    for path, value, source in merged.provenance.leaves():
        if value != {}:
            assert written[int(source.file)][path] == value


@given(with_nulls, with_nulls)
def test_the_higher_layers_scalars_win_unless_they_meet_a_mapping(low: Values, high: Values) -> None:
    merged = lay(low, high)
    conflicts = {conflict.path for conflict in merged.conflicts}
    now = leaves(merged.values)
    for path, value in leaves(high).items():
        around = {path[:length] for length in range(1, len(path) + 1)}
        if value is not None and value != {} and not around & conflicts:
            assert now[path] == value

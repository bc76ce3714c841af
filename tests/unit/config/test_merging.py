"""Laying one layer over another."""

import pytest

from gateway.config.merge import Conflict, Layer, Merged, Overlay, Source, merge, value_at

LOW = Source(layer=Layer.MODELS_YAML, file="models.yaml")
MID = Source(layer=Layer.MODELS_JSON, file="models.json")
TOP = Source(layer=Layer.PROFILE, file="user_profiles/coding.json")


def merged(*values: dict[str, object]) -> Merged:
    return merge([Overlay(source=source, values=one) for source, one in zip((LOW, MID, TOP), values, strict=False)])


def test_mappings_merge_key_by_key_and_the_rest_replaces() -> None:
    result = merged({"a": {"x": 1, "y": [1, 2]}, "b": 1}, {"a": {"y": [3], "z": "new"}}, {"b": 2.5})
    assert result.values == {"a": {"x": 1, "y": [3], "z": "new"}, "b": 2.5}
    assert dict(result.provenance) == {"a.x": LOW, "a.y": MID, "a.z": MID, "b": TOP}
    assert result.conflicts == ()


def test_null_removes_and_a_higher_layer_may_set_again() -> None:
    assert merged({"a": {"x": 1}}, {"a": None}, {"a": {"y": 2}}).values == {"a": {"y": 2}}
    assert merged({"a": {"x": 1}}, {"a": {"x": None}}).values == {"a": {}}
    assert merged({"a": None, "b": {"c": None}}).values == {"b": {}}


def test_a_list_keeps_what_null_it_holds() -> None:
    assert merged({"a": [None]}, {"b": 1}).values == {"a": [None], "b": 1}


def test_an_emptied_mapping_is_the_word_of_the_layer_that_emptied_it() -> None:
    result = merged({"a": {"x": 1}}, {"a": {"x": None}})
    assert dict(result.provenance) == {"a": MID}


def test_a_scalar_may_stand_over_a_list_and_a_list_over_a_scalar() -> None:
    assert merged({"a": [1], "b": 1}, {"a": 1, "b": [1]}).values == {"a": 1, "b": [1]}


@pytest.mark.parametrize(("low", "high"), [({"x": 1}, 7), ({"x": 1}, [7]), (7, {"x": 1}), ([7], {})])
def test_a_mapping_over_another_kind_is_a_conflict_and_the_lower_value_stays(low: object, high: object) -> None:
    result = merged({"a": {"b": low}}, {"a": {"b": high, "c": 1}})
    assert result.conflicts == (Conflict(path=("a", "b"), source=MID, value=high, below=LOW, below_value=low),)
    assert result.values == {"a": {"b": low, "c": 1}}


def test_what_went_in_is_not_altered() -> None:
    low: dict[str, object] = {"a": {"x": {"y": 1}}, "n": None}
    high: dict[str, object] = {"a": {"x": {"y": 2, "z": None}}}
    merged(low, high)
    assert low == {"a": {"x": {"y": 1}}, "n": None}
    assert high == {"a": {"x": {"y": 2, "z": None}}}


def test_provenance_is_asked_by_set_path() -> None:
    provenance = merged({"m": {"llama3.1:8b": {"c": [1, 2]}}}, {"m": {"x": {"d": 1}}}).provenance
    assert provenance['m["llama3.1:8b"].c'] == LOW
    assert provenance["m.x.d"] == MID
    assert list(provenance) == ['m["llama3.1:8b"].c', "m.x.d"]
    for absent in ("m", "m.x", "m.y", 'm["llama3.1:8b"].c[0]', "..", "m.x.d.e"):
        assert absent not in provenance


def test_provenance_finds_the_source_of_a_mapping_and_of_a_place_in_a_list() -> None:
    provenance = merged({"a": {"x": [1, 2]}}, {"a": {"y": 1}}).provenance
    assert provenance.at(("a",)) == LOW
    assert provenance.at(("a", "x", 1)) == LOW
    assert provenance.at(("a", "x", 2)) is None
    assert provenance.at(()) is None


def test_a_value_is_found_by_its_path() -> None:
    values = {"a": [{"b": 1}]}
    assert value_at(values, ("a", 0, "b")) == 1
    for path in (("x",), ("a", 1), ("a", "b"), ("a", 0, "b", "c")):
        with pytest.raises(LookupError):
            value_at(values, path)

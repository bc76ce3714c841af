"""Laws of profiles: carrying them elsewhere, comparing them, what they extend, older versions, and their text."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import bundle, profile_edits, profiles
from gateway.config.assignments import Assignment, assigned, parse_assignment
from gateway.config.bundle import Bundle, packed, unpacked
from gateway.config.compare import differences
from gateway.config.document import document_of
from gateway.config.drafts import Check
from gateway.config.environ import Environment
from gateway.config.load import merged_values
from gateway.config.locate import Syntax
from gateway.config.merge import Layer, Overlay, Source, merge, value_at
from gateway.config.migrate import current, migrated
from gateway.config.pinning import overlay
from gateway.config.set_path import format_set_path
from gateway.config.values_text import text_of
from older_format import to_the_first

Values = dict[str, object]

NAMES = ("a", "b", "c", "d")

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text
    | st.sampled_from(
        ["yes", "no", "null", "~", "0o17", "0x1F", "1e3", "1_000", "12:30", ".5", "-", "#", "a: b", " x", ""]
    )
)
keys = text | st.sampled_from(["<<", "null", "true", "=", "1", "a.b", "0o17", "? x"])
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8
)
some_values = st.dictionaries(keys, anything, max_size=4)
settled_values = st.recursive(
    st.fixed_dictionaries({}, optional={"port": st.integers(), "list": st.lists(text, max_size=2)}),
    lambda inner: st.fixed_dictionaries({}, optional={"a": inner, "b": inner, "port": st.integers()}),
    max_leaves=6,
)
"""Without nulls, and each key of one kind everywhere."""
parents = st.dictionaries(st.sampled_from(NAMES), st.none() | st.sampled_from([*NAMES, "gone"]))

roles = st.sampled_from(["planner", "critic", "exec.2"])
role_entries = st.fixed_dictionaries(
    {},
    optional={
        "preferred": st.lists(st.sampled_from(["mistral:latest", "llama3.1:8b", "qwen3"]), max_size=3),
        "discover": st.none() | st.booleans(),
        "weights": st.dictionaries(st.sampled_from(["speed", "cost"]), st.floats(0.1, 1000), max_size=2),
        "deadlines": st.fixed_dictionaries({}, optional={"gap_s": st.none() | st.integers(1, 9)}),
    },
)
profile_values = st.fixed_dictionaries(
    {},
    optional={
        "description": text,
        "schema_version": st.just(1),
        "role_mappings": st.dictionaries(roles, st.none() | role_entries, max_size=3),
        "selection": st.fixed_dictionaries({}, optional={"memory_margin": st.floats(0, 0.9)}),
    },
)


def read_back(content: str, *, syntax: Syntax) -> object:
    document = document_of(content.encode(), file="x", syntax=syntax)
    assert document.problems == ()
    return document.data


@given(some_values)
def test_values_written_as_text_read_back_as_they_were(values: Values) -> None:
    assert json.dumps(read_back(text_of(values, syntax="json"), syntax="json")) == json.dumps(values)
    written = read_back(text_of(values, syntax="yaml"), syntax="yaml")
    assert isinstance(written, dict)
    assert differences(written, values) == ()


@given(some_values, some_values)
def test_what_was_packed_is_unpacked_as_it_was(values: Values, below: Values) -> None:
    whole = Bundle(name="a", values={**values, "extends": "b"}, parents={"b": {**below, "extends": None}})
    again = unpacked(packed(whole), source="x")
    assert json.dumps([again.name, again.values, dict(again.parents)]) == json.dumps(
        [whole.name, whole.values, dict(whole.parents)]
    )


@settings(max_examples=40)
@given(profile_values, profile_values)
def test_an_import_of_what_was_exported_is_the_same_profile(child: Values, parent: Values) -> None:
    with tempfile.TemporaryDirectory() as place:
        here, there = Path(place, "here"), Path(place, "there")
        here.mkdir()
        there.mkdir()
        check = Check(state_folder=Path(place), environment=Environment(variables={"HOME": place}))
        profile_edits.create("parent", folder=here, check=check, values=parent)
        profile_edits.create("child", folder=here, check=check, values={"extends": "parent", **child})
        content = bundle.export("child", folder=here)
        bundle.import_(content, folder=there, check=check)
        for name in ("child", "parent"):
            one, other = profile_edits.read(name, folder=here), profile_edits.read(name, folder=there)
            assert json.dumps(one.values) == json.dumps(other.values)
        assert bundle.export("child", folder=there) == content
        assert not bundle.import_(content, folder=there, check=check).profile.changed


@given(some_values)
def test_equal_settings_do_not_differ(values: Values) -> None:
    assert differences(values, json.loads(json.dumps(values))) == ()
    assert differences(values, dict(reversed(values.items()))) == ()


@given(some_values, some_values)
def test_what_differs_does_so_seen_from_either_side(left: Values, right: Values) -> None:
    one, other = differences(left, right), differences(right, left)
    assert {(a.path, repr(a.left), repr(a.right), a.in_left, a.in_right) for a in one} == {
        (b.path, repr(b.right), repr(b.left), b.in_right, b.in_left) for b in other
    }
    assert all(a.in_left or a.in_right for a in one)
    if not one:
        assert differences({"all": [left]}, {"all": [right]}) == ()


@given(some_values, some_values, some_values)
def test_whoever_differs_from_neither_of_two_differs_by_what_they_do(one: Values, two: Values, three: Values) -> None:
    if not differences(one, two):
        assert {a.path for a in differences(one, three)} == {a.path for a in differences(two, three)}


@given(parents, st.randoms(use_true_random=False), st.sampled_from(NAMES))
def test_what_a_profile_extends_is_the_same_in_any_order_of_the_files(
    known: dict[str, str | None], random: object, name: str
) -> None:
    shuffled = list(known)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis' own Random
    other = {one: known[one] for one in shuffled}
    assert profiles.chain(name, parents=known) == profiles.chain(name, parents=other)
    ordered, again = profiles.parents_first(known), profiles.parents_first(other)
    assert set(ordered) == set(again)
    for order in (ordered, again):
        assert all(known[one] is None or order.index(str(known[one])) < order.index(one) for one in order)
    sound = {one for one in known if not profiles.chain(one, parents=known).at}
    assert set(ordered) == sound


@settings(max_examples=40)
@given(st.permutations(["a", "b", "c"]), st.dictionaries(st.sampled_from(["a", "b", "c"]), profile_values))
def test_a_profile_says_the_same_in_whatever_order_its_parents_were_written(
    order: list[str], values: dict[str, Values]
) -> None:
    extends: Mapping[str, Values] = {"a": {"extends": "b"}, "b": {"extends": "c"}, "c": {}}
    told = []
    for names in (["a", "b", "c"], order):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "user_profiles"
            folder.mkdir()
            for name in names:
                (folder / f"{name}.json").write_text(json.dumps({**values.get(name, {}), **extends[name]}))
            told.append(json.dumps(merged_values(folder=Path(place), profile="a"), sort_keys=True))
    assert told[0] == told[1]


def _renamed(data: Mapping[str, object]) -> Values:
    return {"new" if key == "old" else key: value for key, value in data.items()}


def _wrapped(data: Mapping[str, object]) -> Values:
    return {**data, "inner": [data.get("inner")]}


@given(
    some_values,
    st.none() | st.integers(-1, 5) | scalars,
    st.dictionaries(st.integers(0, 4), st.sampled_from([_renamed, _wrapped])),
)
def test_data_that_was_migrated_once_stays_as_it_is(values: Values, version: object, steps: dict[int, object]) -> None:
    data = {"schema_version": version, **values}
    once = migrated(data, steps=steps)  # type: ignore[arg-type]  # hypothesis sees functions as objects
    again = migrated(once.data, steps=steps)  # type: ignore[arg-type]
    assert again.data == once.data
    assert not again.changed


@given(some_values, st.sampled_from(["json", "yaml"]))
def test_a_file_that_was_migrated_and_written_is_in_the_newest_form(values: Values, syntax: Syntax) -> None:
    now = migrated({"schema_version": 0, **values, "roles": {"a": values}}, steps={0: to_the_first}).data
    document = document_of(text_of(now, syntax=syntax).encode(), file="x", syntax=syntax)
    again = current(document, steps={0: to_the_first})
    assert again is document
    assert again.data is not None
    assert differences(again.data, now) == ()


@given(some_values, st.lists(text.filter(bool), min_size=1, max_size=3), anything)
def test_a_value_that_is_assigned_is_there_and_nothing_else_changed(
    values: Values, names: list[str], value: object
) -> None:
    path = tuple(names)
    for length in range(1, len(path)):
        try:
            around = value_at(values, path[:length])
        except LookupError:
            break
        if not isinstance(around, dict | None):
            return
    written = f"{format_set_path(path)}={json.dumps(value)}"
    one = parse_assignment(written)
    assert (one.path, json.dumps(one.value)) == (path, json.dumps(value))
    before = json.dumps(values)
    changed = assigned(values, [one], below={})
    assert json.dumps(values) == before
    assert json.dumps(value_at(changed, path)) == json.dumps(value)
    assert {key: one for key, one in changed.items() if key != path[0]} == {
        key: one for key, one in values.items() if key != path[0]
    }
    removed = assigned(changed, [Assignment(path=path, removes=True)], below={})
    assert path[-1] not in value_at(removed, path[:-1])  # type: ignore[operator]  # a mapping, as it was assigned to


@given(below=settled_values, wanted=settled_values)
def test_what_an_overlay_says_over_what_is_below_comes_to_what_is_wanted(below: Values, wanted: Values) -> None:
    layers = [
        Overlay(source=Source(layer=Layer.MODELS_JSON, file="below"), values=below),
        Overlay(source=Source(layer=Layer.PROFILE, file="above"), values=overlay(below, wanted)),
    ]
    assert differences(merge(layers).values, wanted) == ()
    assert overlay(wanted, wanted) == {}

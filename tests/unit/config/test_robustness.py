"""Whatever a file holds, loading gives a configuration or says what is wrong."""

import copy
import json
import tempfile
from pathlib import Path

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.config.consistency import findings
from gateway.config.settings import Configuration
from gateway.errors import Problem
from gateway.file_errors import ConfigInvalid
from unit.config.sandbox import SEED, Sandbox

odd = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 10**9) | st.floats() | st.text(max_size=5) | st.just("openai:x"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def spots(value: object) -> list[tuple[dict[str, object] | list[object], str | int]]:
    """Every place in ``value`` where something else could stand."""
    found: list[tuple[dict[str, object] | list[object], str | int]] = []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += [(value, key), *spots(inner)]
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            found += [(value, place), *spots(inner)]
    return found


def refused_or_loaded(files: dict[str, str | bytes]) -> None:
    outcome = loaded(files)
    assert isinstance(outcome, Configuration) or outcome
    if not isinstance(outcome, Configuration):
        "\n".join(str(problem) for problem in outcome).encode()


def loaded(files: dict[str, str | bytes]) -> Configuration | tuple[Problem, ...]:
    with tempfile.TemporaryDirectory() as root:
        sandbox = Sandbox(Path(root))
        sandbox.write(files)
        try:
            return sandbox.load(profile="p", ROLEGATE_PORT="4001")
        except ConfigInvalid as invalid:
            return invalid.problems


@given(st.data())
def test_the_seed_with_any_value_replaced_loads_or_is_refused(data: st.DataObject) -> None:
    layers: dict[str, str | bytes] = {"user_profiles/p.json": "{}"}
    for name in ("models.json", "user_models.json", "user_profiles/p.json"):
        values = copy.deepcopy(yaml.safe_load(SEED))
        for _ in range(data.draw(st.integers(0, 3))):
            places = spots(values)
            if places:
                holder, key = data.draw(st.sampled_from(places))
                holder[key] = data.draw(odd)  # type: ignore[index]  # a key of that very holder
        layers[name] = json.dumps(values, indent=1)
    refused_or_loaded(layers)


@given(st.binary(max_size=60), st.sampled_from(["models.json", "models.yaml"]))
@example(b"\xef\xbb\xbf\xef\xbb\xbf{}", "models.json")
@example(b"? a\n: b\n? c", "models.yaml")
@example(b"&a ? *a", "models.yaml")
@example(b"--- !!map\n...\n%", "models.yaml")
@example(b'"a', "models.yaml")
@example(b"<<: {<<: {}}", "models.yaml")
def test_any_bytes_load_or_are_refused(content: bytes, name: str) -> None:
    refused_or_loaded({name: content, "user_profiles/p.json": "{}"})


@given(st.text("{}[]:,-?&*!#|>'\"%@ \nab1<~.", max_size=40))
def test_any_yaml_like_text_loads_or_is_refused(text: str) -> None:
    refused_or_loaded({"models.yaml": text, "user_profiles/p.yaml": text})


@given(st.dictionaries(st.sampled_from(["role_mappings", "local_providers", "cloud_providers", "selection"]), odd))
def test_what_holds_across_the_whole_is_judged_without_trusting_any_type(values: dict[str, object]) -> None:
    list(findings(values))

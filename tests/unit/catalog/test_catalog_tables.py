import csv
import json
from importlib.resources import files

import pytest

from gateway.catalog.entries import read_entries
from gateway.catalog.matching import Kinship, Matcher
from gateway.catalog.names import ModelIdentity
from gateway.catalog.tables import rows
from gateway.domain.capabilities import ABILITIES
from gateway.domain.metadata import DENSE
from gateway.domain.scoring import LOSS_SLOPE, rounded_score, score_of
from gateway.errors import RolegateError


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    return Matcher(index=read_entries(scores=rows("capability_scores.csv"), families=rows("families.csv")))


def library_names() -> dict[str, set[str]]:
    names: dict[str, set[str]] = {}
    for row in rows("capability_scores.csv"):
        for name in filter(None, row["ollama_names"].split("|")):
            names.setdefault(name, set()).add(row["model_key"])
    return names


def test_the_whole_table_is_there() -> None:
    scores = rows("capability_scores.csv")
    assert len(scores) == 438
    assert len({(row["model_key"], row["mode"]) for row in scores}) == 438


def test_scores_of_the_table_follow_from_its_thetas() -> None:
    for row in rows("capability_scores.csv"):
        for ability in ABILITIES:
            assert abs(score_of(float(row[f"{ability}_theta"])) - float(row[ability])) < 0.001


def test_every_library_name_of_the_table_finds_its_own_row(matcher: Matcher) -> None:
    for name, keys in library_names().items():
        match = matcher.find(ModelIdentity(name=name))
        assert match is not None, name
        assert match.entry.key in keys, name
        assert match.kinship is Kinship.SAME, name


def test_every_family_and_exception_named_is_in_the_table() -> None:
    scores = rows("capability_scores.csv")
    known = {row["family"] for row in scores} | {row["model_key"] for row in scores}
    assert {row["key"] for row in rows("families.csv")} <= known


def test_every_quantisation_with_a_loss_has_bits_per_weight() -> None:
    bits = {row["quantization"] for row in rows("bits_per_weight.csv")}
    assert {row["quantization"] for row in rows("quantization_loss.csv")} <= bits


def test_years_are_only_of_architectures_that_pin_a_generation() -> None:
    years = {row["architecture"]: float(row["year"]) for row in rows("architecture_years.csv")}
    assert all(2024.0 <= year <= 2026.5 for year in years.values())
    assert {"llama", "mistral", "qwen2"}.isdisjoint(years)
    assert {"llama", "mistral", "qwen2"} <= DENSE


def test_the_slope_of_losses_is_that_of_the_fitted_parameters() -> None:
    text = files("gateway.catalog").joinpath("data", "capability_params.json").read_text(encoding="utf-8")
    assert json.loads(text)["K"] == LOSS_SLOPE


def test_tables_are_plain_csv_with_one_header() -> None:
    folder = files("gateway.catalog").joinpath("data")
    for name in ("capability_scores", "quantization_loss", "bits_per_weight", "families", "architecture_years"):
        lines = list(csv.reader(folder.joinpath(f"{name}.csv").read_text(encoding="utf-8").splitlines()))
        assert {len(line) for line in lines} == {len(lines[0])}, name


def test_a_missing_table_says_which_and_what_to_do() -> None:
    with pytest.raises(RolegateError) as caught:
        rows("no_such_table.csv")
    assert str(caught.value) == (
        "the package lacks its table gateway/catalog/data/no_such_table.csv: No such file or directory"
    )
    assert caught.value.hint == "install rolegate again"


def test_mistral_7b_is_the_anchor() -> None:
    (row,) = (row for row in rows("capability_scores.csv") if row["model_key"] == "mistral-7b")
    assert rounded_score(float(row["reasoning_strength"])) == 0.70

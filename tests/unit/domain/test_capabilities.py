import pytest

from gateway.domain.capabilities import (
    FEATURE_FIELDS,
    Fact,
    ModelCapabilities,
    Origin,
    ability_fact,
    combine,
    feature_fact,
)

DECLARED, MEASURED, REPORTED, CATALOG, ESTIMATED = Origin
TOOLS = Fact(value=True, origin=REPORTED)


def test_the_most_trusted_source_wins_field_by_field() -> None:
    layers = {
        origin.value: ModelCapabilities(reasoning_strength=Fact(value=number / 10, origin=origin))
        for number, origin in enumerate(Origin)
    }
    while layers:
        found, warnings = combine(**layers)
        best = next(iter(layers))
        assert found == layers.pop(best)
        assert warnings == ()


def test_fields_come_from_different_sources() -> None:
    found, _ = combine(
        declared=ModelCapabilities(coding_strength=Fact(value=0.6, origin=DECLARED)),
        reported=ModelCapabilities(context_length=Fact(value=8_192, origin=REPORTED)),
        catalog=ModelCapabilities(
            coding_strength=Fact(value=0.8, origin=CATALOG), creativity=Fact(value=0.5, origin=CATALOG)
        ),
    )
    assert found == ModelCapabilities(
        coding_strength=Fact(value=0.6, origin=DECLARED),
        context_length=Fact(value=8_192, origin=REPORTED),
        creativity=Fact(value=0.5, origin=CATALOG),
    )


def test_nothing_known_stays_unknown() -> None:
    assert combine() == (ModelCapabilities(), ())


def test_more_memory_measured_overrules_the_declaration() -> None:
    measured = Fact(value=6.25, origin=MEASURED)
    found, warnings = combine(
        declared=ModelCapabilities(memory_gb_estimate=Fact(value=5.0, origin=DECLARED)),
        measured=ModelCapabilities(memory_gb_estimate=measured),
    )
    assert found.memory_gb_estimate == measured
    assert warnings == ("memory_gb_estimate is declared as 5 GB, but 6.25 GB was measured; 6.25 GB is used",)


def test_less_memory_measured_or_more_estimated_does_not() -> None:
    declared = Fact(value=5.0, origin=DECLARED)
    found, warnings = combine(
        declared=ModelCapabilities(memory_gb_estimate=declared),
        measured=ModelCapabilities(memory_gb_estimate=Fact(value=4.0, origin=MEASURED)),
        estimated=ModelCapabilities(memory_gb_estimate=Fact(value=9.0, origin=ESTIMATED)),
    )
    assert found.memory_gb_estimate == declared
    assert warnings == ()


def test_a_smaller_trained_context_overrules_the_declaration() -> None:
    reported = Fact(value=8_192, origin=REPORTED)
    found, warnings = combine(
        declared=ModelCapabilities(context_length=Fact(value=32_000, origin=DECLARED)),
        measured=ModelCapabilities(context_length=Fact(value=16_384, origin=MEASURED)),
        reported=ModelCapabilities(context_length=reported),
    )
    assert found.context_length == reported
    assert warnings == (
        "context_length is declared as 32000, but the model takes 8192 tokens (reported); 8192 is used",
    )


def test_a_smaller_declared_context_stands() -> None:
    declared = Fact(value=4_096, origin=DECLARED)
    found, warnings = combine(
        declared=ModelCapabilities(context_length=declared),
        reported=ModelCapabilities(context_length=Fact(value=8_192, origin=REPORTED)),
    )
    assert found.context_length == declared
    assert warnings == ()


@pytest.mark.parametrize(
    ("origin", "warning"),
    [
        (MEASURED, "supports_vision is declared true, but the server refused it; false is used"),
        (REPORTED, "supports_vision is declared true, but the server does not report it; false is used"),
    ],
)
def test_a_feature_the_server_lacks_overrules_the_declaration(origin: Origin, warning: str) -> None:
    lacking = ModelCapabilities(supports_vision=Fact(value=False, origin=origin))
    found, warnings = combine(
        declared=ModelCapabilities(supports_vision=Fact(value=True, origin=DECLARED)), **{origin.value: lacking}
    )
    assert found.supports_vision == lacking.supports_vision
    assert warnings == (warning,)


def test_a_feature_seen_to_work_stands_whatever_is_reported() -> None:
    declared = Fact(value=True, origin=DECLARED)
    found, warnings = combine(
        declared=ModelCapabilities(supports_vision=declared),
        measured=ModelCapabilities(supports_vision=Fact(value=True, origin=MEASURED)),
        reported=ModelCapabilities(supports_vision=Fact(value=False, origin=REPORTED)),
    )
    assert found.supports_vision == declared
    assert warnings == ()


def test_the_catalog_never_overrules_a_declaration() -> None:
    declared = Fact(value=True, origin=DECLARED)
    found, warnings = combine(
        declared=ModelCapabilities(supports_tools=declared),
        catalog=ModelCapabilities(supports_tools=Fact(value=False, origin=CATALOG)),
    )
    assert found.supports_tools == declared
    assert warnings == ()


def test_a_feature_declared_absent_stays_absent() -> None:
    declared = Fact(value=False, origin=DECLARED)
    found, _ = combine(
        declared=ModelCapabilities(supports_tools=declared),
        reported=ModelCapabilities(supports_tools=Fact(value=True, origin=REPORTED)),
    )
    assert found.supports_tools == found.supports_function_calling == declared


@pytest.mark.parametrize(
    "written", [ModelCapabilities(supports_tools=TOOLS), ModelCapabilities(supports_function_calling=TOOLS)]
)
def test_tools_and_function_calling_are_one_feature(written: ModelCapabilities) -> None:
    found, _ = combine(reported=written)
    assert found.supports_tools == found.supports_function_calling == TOOLS


def test_one_declaration_is_warned_of_once_for_both_names() -> None:
    found, warnings = combine(
        declared=ModelCapabilities(supports_tools=Fact(value=True, origin=DECLARED)),
        reported=ModelCapabilities(supports_function_calling=Fact(value=False, origin=REPORTED)),
    )
    assert found.supports_tools == found.supports_function_calling == Fact(value=False, origin=REPORTED)
    assert warnings == ("supports_tools is declared true, but the server does not report it; false is used",)


def test_facts_are_read_by_name() -> None:
    known = ModelCapabilities(
        creativity=Fact(value=0.5, origin=CATALOG), supports_vision=Fact(value=True, origin=REPORTED)
    )
    assert ability_fact(known, "creativity") == Fact(value=0.5, origin=CATALOG)
    assert ability_fact(known, "tool_calling") is None
    assert [name for name in FEATURE_FIELDS if feature_fact(known, name)] == ["supports_vision"]


def test_a_name_that_is_no_ability_or_feature_is_refused() -> None:
    with pytest.raises(
        ValueError,
        match=r"^'charm' is not an ability; the abilities are: reasoning_strength, coding_strength, creativity,"
        r" multilingual_score, tool_calling$",
    ):
        ability_fact(ModelCapabilities(), "charm")
    with pytest.raises(ValueError, match=r"^'charm' is not a feature; the features are: supports_function_calling,"):
        feature_fact(ModelCapabilities(), "charm")

import math

import pytest

from gateway.catalog.names import ModelIdentity
from gateway.catalog.scores import ScoreTable
from gateway.domain.capabilities import ABILITIES, Fact, ModelCapabilities, Origin, ability_fact
from gateway.domain.scoring import score_of, theta_of


@pytest.fixture(scope="module")
def table() -> ScoreTable:
    return ScoreTable.load()


def reasoning(table: ScoreTable, identity: ModelIdentity) -> Fact[float]:
    fact = table.capabilities(identity).reasoning_strength
    assert fact is not None
    return fact


def of_table(key: str, suffix: str = "") -> str:
    return f"capability scores, {key}{suffix}"


def test_a_model_of_the_table_has_five_abilities_with_tier_and_confidence(table: ScoreTable) -> None:
    known = table.capabilities(ModelIdentity(name="gpt-4o-mini"))
    assert known.reasoning_strength == Fact(
        value=score_of(-0.376), origin=Origin.CATALOG, confidence=0.88, tier="A", source=of_table("gpt-4o-mini")
    )
    assert all(ability_fact(known, ability) is not None for ability in ABILITIES)
    assert known.context_length is None
    assert known.supports_tools is None


LIBRARY = [
    # name, architecture, base name, size label, parameters in 10^9, thinking, the row that it is
    ("llama3.1:8b", "llama", "Meta-Llama-3.1", "8B", 8.03, False, "llama3.1-8b"),
    ("llama3.1:latest", "llama", "Meta-Llama-3.1", "8B", 8.03, False, "llama3.1-8b"),
    ("llama3.2:latest", "llama", "Llama-3.2", "3B", 3.21, False, "llama3.2-3b"),
    ("mistral:latest", "llama", None, None, 7.248, False, "mistral-7b"),
    ("mistral:latest", "llama", "Mistral", "7B", 7.248, False, "mistral-7b"),
    ("mistral:7b-instruct-v0.2-q4_0", "llama", None, None, 7.24, False, "mistral-7b-v0.2"),
    ("mistral-nemo:latest", "llama", "Mistral-Nemo", "12B", 12.25, False, "mistral-nemo-12b"),
    ("qwen2.5:7b", "qwen2", "Qwen2.5", "7B", 7.62, False, "qwen2.5-7b"),
    ("qwen2.5:14b", "qwen2", "Qwen2.5", "14B", 14.8, False, "qwen2.5-14b"),
    ("qwen2.5-coder:7b", "qwen2", "Qwen2.5-Coder", "7B", 7.62, False, "qwen2.5-coder-7b"),
    ("gemma3:latest", "gemma3", None, None, 4.3, False, "gemma3-4b"),
    ("gemma3:4b", "gemma3", None, None, 3.88, False, "gemma3-4b"),
    ("gemma3:4b-it-qat", "gemma3", None, None, 3.88, False, "gemma3-4b"),
    ("gemma3n:e4b", "gemma3n", None, None, 6.87, False, "gemma3n-e4b"),
    ("gemma3n:e2b", "gemma3n", None, None, 4.46, False, "gemma3n-e2b"),
    ("qwen3:latest", "qwen3", "Qwen3", "8B", 8.19, False, "qwen3-8b"),
    ("qwen3:latest", "qwen3", "Qwen3", "8B", 8.19, True, "qwen3-8b thinking"),
    ("qwen3:32b", "qwen3", "Qwen3", "32B", 32.8, True, "qwen3-32b thinking"),
    ("qwen3:30b-a3b", "qwen3moe", "Qwen3", "30B-A3B", 30.5, True, "qwen3-30b-a3b thinking"),
    ("qwen3:30b", "qwen3moe", "Qwen3", "30B-A3B", 30.5, True, "qwen3-30b-a3b-2507 thinking"),
    ("deepseek-r1:1.5b", "qwen2", "DeepSeek-R1-Distill-Qwen", "1.5B", 1.78, True, "deepseek-r1-1.5b thinking"),
    ("deepseek-r1:7b", "qwen2", "DeepSeek-R1-Distill-Qwen", "7B", 7.62, True, "deepseek-r1-7b thinking"),
    ("deepseek-r1:7b", "qwen2", None, None, 7.62, True, "deepseek-r1-7b thinking"),
    ("deepseek-r1:8b", "qwen3", "DeepSeek-R1-0528-Qwen3", "8B", 8.19, True, "deepseek-r1-8b-0528 thinking"),
    ("deepseek-r1:8b", "llama", "DeepSeek-R1-Distill-Llama", "8B", 8.03, True, "deepseek-r1-8b-llama thinking"),
    ("deepseek-r1:70b", "llama", "DeepSeek-R1-Distill-Llama", "70B", 70.6, True, "deepseek-r1-70b thinking"),
    ("phi4:latest", "phi3", "phi", None, 14.7, False, "phi4"),
    ("phi4-mini:latest", "phi3", "Phi-4-mini", None, 3.84, False, "phi4-mini"),
    ("phi4-reasoning:plus", "phi3", "Phi-4-reasoning-plus", None, 14.7, True, "phi4-reasoning-plus thinking"),
    ("phi:latest", "phi2", None, None, 2.78, False, "phi2"),
    ("gpt-oss:20b", "gptoss", None, None, 20.9, True, "gpt-oss-20b thinking"),
    ("gpt-oss:latest", "gptoss", None, None, 20.9, True, "gpt-oss-20b thinking"),
    ("mixtral:8x7b", "llama", "Mixtral", "8x7B", 46.7, False, "mixtral-8x7b"),
    ("command-r:35b", "command-r", None, None, 32.3, False, "command-r-35b-0824"),
    ("tulu3:8b", "llama", "Llama-3.1-Tulu-3", "8B", 8.03, False, "tulu3-8b"),
    ("zephyr:7b-beta", "llama", None, None, 7.24, False, "zephyr-7b"),
    ("smollm2:135m", "llama", "smollm2", "135M", 0.1345, False, "smollm2-135m"),
    ("hf.co/someone/Meta-Llama-3.1-8B-Instruct-GGUF:Q4_K_M", "llama", None, None, 8.03, False, "llama3.1-8b"),
]


@pytest.mark.parametrize(("name", "architecture", "basename", "label", "billions", "thinking", "row"), LIBRARY)
def test_models_of_ollamas_library_find_their_row(
    table: ScoreTable,
    name: str,
    architecture: str,
    basename: str | None,
    label: str | None,
    billions: float,
    row: str,
    *,
    thinking: bool,
) -> None:
    fact = reasoning(
        table,
        ModelIdentity(
            name=name,
            architecture=architecture,
            basename=basename,
            size_label=label,
            parameter_count=round(billions * 1e9),
            thinking=thinking,
        ),
    )
    assert fact.source == of_table(row)
    assert fact.origin is Origin.CATALOG
    assert fact.tier in ("A", "B")


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("mistral:latest", "mistral-7b"),
        ("mistral", "mistral-7b"),
        ("llama-3.3-70b-instruct", "llama3.3-70b"),
        ("openrouter/meta-llama/llama-3.3-70b-instruct", "llama3.3-70b"),
        ("claude-sonnet-4-5", "claude-sonnet-4.5"),
        ("claude-3-5-sonnet-20241022", "claude-3.5-sonnet"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4.5"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("chatgpt-4o-latest", "chatgpt-4o-latest"),
        ("o1", "o1 thinking"),
        ("qwen3-4b-thinking-2507", "qwen3-4b-2507 thinking"),
    ],
)
def test_a_name_alone_can_be_enough(table: ScoreTable, name: str, row: str) -> None:
    assert reasoning(table, ModelIdentity(name=name)).source == of_table(row)


def test_what_the_server_says_goes_before_the_name(table: ScoreTable) -> None:
    copied = ModelIdentity(
        name="llama3.1:8b", architecture="qwen2", basename="Qwen2.5", size_label="7B", parameter_count=7_620_000_000
    )
    assert reasoning(table, copied).source == of_table("qwen2.5-7b")


def test_a_renamed_copy_is_still_the_model_it_is(table: ScoreTable) -> None:
    copied = ModelIdentity(
        name="my-planner:latest",
        architecture="llama",
        basename="Meta-Llama-3.1",
        parameter_count=8_030_261_248,
        finetune="Instruct",
    )
    assert reasoning(table, copied).tier == "A"


@pytest.mark.parametrize(
    ("name", "basename", "finetune"),
    [
        ("dolphin3:8b", "Dolphin3.0-Llama3.1", None),
        ("mine:latest", "Meta-Llama-3.1", "Instruct-abliterated"),
        ("hf.co/someone/Meta-Llama-3.1-8B-Instruct-abliterated-GGUF:Q4_K_M", None, None),
    ],
)
def test_a_fine_tune_has_the_row_of_its_base_at_tier_c(
    table: ScoreTable, name: str, basename: str | None, finetune: str | None
) -> None:
    fact = reasoning(
        table,
        ModelIdentity(
            name=name, architecture="llama", basename=basename, finetune=finetune, parameter_count=8_030_261_248
        ),
    )
    assert fact.source == "capability scores of its base, llama3.1-8b"
    assert (fact.tier, fact.origin) == ("C", Origin.CATALOG)
    assert fact.confidence == pytest.approx(0.92 * 0.8)


def test_a_publishers_note_on_its_own_training_is_no_fine_tune(table: ScoreTable) -> None:
    fact = reasoning(
        table,
        ModelIdentity(
            name="smollm2:135m",
            architecture="llama",
            basename="smollm2",
            finetune="8k-lc100k-mix1-ep2",
            parameter_count=134_515_008,
            quantization="Q4_1",
        ),
    )
    assert fact.source == of_table("smollm2-135m", ", at Q4_1")
    assert round(fact.value, 2) == 0.5


def test_a_sibling_of_another_size_shifts_by_its_ratio(table: ScoreTable) -> None:
    fact = reasoning(
        table,
        ModelIdentity(
            name="qwen2.5-coder:1.5b", architecture="qwen2", basename="Qwen2.5-Coder", parameter_count=1_540_000_000
        ),
    )
    assert theta_of(fact.value) == pytest.approx(-0.984 + 0.74 * math.log10(1.54 / 7.0))
    assert fact.source == "estimated from its sibling qwen2.5-coder-7b"
    assert (fact.origin, fact.tier, fact.confidence) == (Origin.ESTIMATED, "D", 0.3)


def test_size_and_year_are_the_next_best(table: ScoreTable) -> None:
    fact = reasoning(
        table, ModelIdentity(name="stranger:8b", parameter_count=8_000_000_000, year=2025.5, thinking=True)
    )
    assert theta_of(fact.value) == pytest.approx(-1.33 + 0.67 * math.log10(8) + 0.54 * 0.5 + 0.32)
    assert fact.source == "estimated from its size, 8 B, and year, 2025"
    assert (fact.origin, fact.tier, fact.confidence) == (Origin.ESTIMATED, "D", 0.25)


def test_progress_is_not_extrapolated_beyond_the_middle_of_2026(table: ScoreTable) -> None:
    late, later = (ModelIdentity(name="stranger:8b", year=year) for year in (2026.5, 2030.0))
    assert reasoning(table, late).value == reasoning(table, later).value


def test_an_architecture_of_one_generation_tells_the_year(table: ScoreTable) -> None:
    fact = reasoning(table, ModelIdentity(name="stranger", architecture="qwen3", parameter_count=8_190_000_000))
    assert fact.source == "estimated from its size, 8.19 B, and year, 2025"


def test_size_alone_is_the_last_resort(table: ScoreTable) -> None:
    known = table.capabilities(ModelIdentity(name="stranger", architecture="llama", parameter_count=7_000_000_000))
    thetas = {theta_of(fact.value) for ability in ABILITIES if (fact := ability_fact(known, ability))}
    assert list(thetas) == [pytest.approx(-1.01 + 0.71 * math.log10(7) - 0.54)]
    fact = known.reasoning_strength
    assert fact is not None
    assert fact.source == "estimated from its size, 7 B"
    assert (fact.origin, fact.tier, fact.confidence) == (Origin.ESTIMATED, "D", 0.15)


@pytest.mark.parametrize(
    "identity",
    [
        ModelIdentity(name="stranger"),
        ModelIdentity(name="nomic-embed-text:latest", architecture="nomic-bert", parameter_count=136_727_040),
        ModelIdentity(name="some-vectors", architecture="bert", parameter_count=136_727_040),
        ModelIdentity(name="qwen3-embedding:0.6b", architecture="qwen3", parameter_count=600_000_000),
        ModelIdentity(name="bge-reranker-v2-m3"),
        ModelIdentity(name="text-embedding-3-small"),
    ],
)
def test_embedding_models_and_strangers_without_a_size_have_no_scores(
    table: ScoreTable, identity: ModelIdentity
) -> None:
    assert table.capabilities(identity) == ModelCapabilities()


def test_a_local_model_is_never_taken_for_a_cloud_model(table: ScoreTable) -> None:
    local = ModelIdentity(name="o1:7b", architecture="qwen2", parameter_count=7_620_000_000)
    assert reasoning(table, local).origin is Origin.ESTIMATED


def test_the_loss_of_the_installed_quantisation_is_taken_off(table: ScoreTable) -> None:
    full, half, low = (
        reasoning(table, ModelIdentity(name="llama3.1:8b", parameter_count=8_030_261_248, quantization=name))
        for name in ("F16", "Q4_K_M", "Q2_K")
    )
    assert round(full.value, 3) == 0.818
    assert full.value > half.value > low.value
    assert full.confidence == half.confidence == 0.92
    assert low.confidence == pytest.approx(1 - 1.5 * (1 - 0.92))
    assert half.source == of_table("llama3.1-8b", ", at Q4_K_M")


def test_published_figures_of_gpt_oss_include_its_quantisation(table: ScoreTable) -> None:
    native = ModelIdentity(
        name="gpt-oss:20b", architecture="gptoss", parameter_count=20_900_000_000, quantization="MXFP4"
    )
    assert theta_of(reasoning(table, native).value) == pytest.approx(0.476)


def test_a_quantisation_without_known_bits_takes_nothing_off(table: ScoreTable) -> None:
    odd = reasoning(table, ModelIdentity(name="llama3.1:8b", quantization="unknown"))
    assert odd == reasoning(table, ModelIdentity(name="llama3.1:8b"))


def test_thinking_adds_its_usual_gain_where_only_the_other_mode_was_measured(table: ScoreTable) -> None:
    plain, thinking = (
        table.capabilities(ModelIdentity(name="ministral-3:8b", thinking=mode)) for mode in (False, True)
    )
    gains = {
        ability: round(theta_of(second.value) - theta_of(first.value), 6)
        for ability in ABILITIES
        if (first := ability_fact(plain, ability)) and (second := ability_fact(thinking, ability))
    }
    assert gains == {
        "reasoning_strength": 0.45,
        "coding_strength": 0.31,
        "creativity": 0.28,
        "multilingual_score": 0.0,
        "tool_calling": 0.0,
    }
    fact = thinking.reasoning_strength
    assert fact is not None
    assert (fact.tier, fact.source) == ("C", of_table("ministral3-8b", " with the usual gain of thinking"))


def test_a_model_that_always_thinks_is_scored_as_it_was_measured(table: ScoreTable) -> None:
    assert reasoning(table, ModelIdentity(name="gpt-oss:20b", thinking=False)).source == of_table(
        "gpt-oss-20b", " thinking"
    )

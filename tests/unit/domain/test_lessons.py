"""What a failure teaches: which feature was refused, and how much more memory a model takes than was believed."""

from dataclasses import replace

import pytest

from builders import a_discovery, a_machine, a_model, a_role, reported
from gateway.domain.capabilities import Fact, ModelCapabilities, Origin
from gateway.domain.fit import memory_need
from gateway.domain.lesson import FailedLoad, Refusal, raised_floor, refused_feature, with_synonyms, without_refused
from gateway.domain.model import Model
from gateway.domain.resources import GB
from gateway.domain.role import Policy
from gateway.domain.selection import select
from gateway.domain.trace import Verdict

TOOLS, VISION, AUDIO = "supports_tools", "supports_vision", "supports_audio"
THINKING, SCHEMA, INSERT = "supports_thinking", "supports_json_schema", "supports_insert"
OUT_OF_MEMORY = "model requires more system memory (5.6 GiB) than is available (4.1 GiB)"


@pytest.mark.parametrize(
    ("words", "asked", "feature"),
    [
        ('"llama3.1:8b" does not support tools', (TOOLS,), TOOLS),
        ("registry.ollama.ai/library/llama3.2-vision:11b does not support tools", (TOOLS, VISION), TOOLS),
        ('"qwen2.5" does not support thinking', (TOOLS, THINKING), THINKING),
        ("x does not support insert", (INSERT,), INSERT),
        ("image input is not supported - hint: you may need to provide the mmproj", (VISION, TOOLS), VISION),
        ("No endpoints found that support tool use", (TOOLS, VISION), TOOLS),
        ("audio input is not supported", (AUDIO, VISION), AUDIO),
        ("This model is not a multimodal model", (AUDIO,), AUDIO),
        ("This model does not support response_format json_schema", (TOOLS, SCHEMA), SCHEMA),
        ("it does not support function calling", (TOOLS,), TOOLS),
    ],
)
def test_the_words_name_the_feature_that_was_refused(words: str, asked: tuple[str, ...], feature: str) -> None:
    assert refused_feature(words, asked=asked) == feature


@pytest.mark.parametrize("asked", [(TOOLS,), (VISION,)])
def test_words_that_name_none_mean_the_only_one_that_was_asked_for(asked: tuple[str, ...]) -> None:
    assert refused_feature("status 501 without a message", asked=asked) == asked[0]


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("not implemented", (TOOLS, VISION)),
        ("not implemented", ()),
        ("This is not a multimodal model", (AUDIO, VISION)),
        ("x does not support images", (TOOLS,)),
        ('"nomic-embed-text" does not support chat', (TOOLS,)),
        ('"nomic-embed-text" does not support generate', (TOOLS,)),
        ('"bge" does not support completion', (TOOLS,)),
        ('"llama3.1:8b" does not support embeddings', (TOOLS,)),
    ],
)
def test_from_words_that_may_mean_something_else_nothing_is_learned(words: str, asked: tuple[str, ...]) -> None:
    assert refused_feature(words, asked=asked) is None


def test_tools_are_known_under_two_names() -> None:
    assert with_synonyms(TOOLS) == (TOOLS, "supports_function_calling")
    assert with_synonyms(VISION) == (VISION,)


def test_a_refused_feature_is_measured_to_be_missing_with_a_warning() -> None:
    tools = Fact(value=True, origin=Origin.DECLARED)
    known = ModelCapabilities(supports_tools=tools, supports_function_calling=tools, supports_thinking=reported(False))
    refusal = Refusal(words="no tools here", at_s=1.0)
    refused = dict.fromkeys((TOOLS, "supports_function_calling", VISION, THINKING), refusal)
    found, warnings = without_refused(known, refused=refused)
    missing = Fact(value=False, origin=Origin.MEASURED, source="refused when it was asked: no tools here")
    assert found == ModelCapabilities(
        supports_tools=missing,
        supports_function_calling=missing,
        supports_vision=missing,
        supports_thinking=missing,
    )
    assert warnings == (
        "supports_vision is not known, but the server refused it (no tools here); false is used",
        "supports_tools is declared true, but the server refused it (no tools here); false is used",
    )


def test_without_a_refusal_nothing_changes() -> None:
    known = ModelCapabilities(supports_tools=reported(True))
    assert without_refused(known, refused={}) == (known, ())


@pytest.mark.parametrize(
    ("words", "need_gb", "available_gb", "floor_bytes"),
    [
        ("llama runner process has terminated: exit status 2", 4.0, 16.0, 5 * GB),
        ("llama runner process has terminated: exit status 2", None, 16.0, None),
        ("cudaMalloc failed: out of memory", 4.0, 16.0, 16 * GB + 1),
        ("cudaMalloc failed: out of memory", 4.0, 2.0, 5 * GB),
        ("llama runner process has terminated: signal: killed", 4.0, 16.0, 16 * GB + 1),
        ("failed to allocate the KV cache", 4.0, None, 5 * GB),
        ("failed to allocate the KV cache", None, 3.0, 3 * GB + 1),
        ("failed to allocate the KV cache", None, None, None),
        (OUT_OF_MEMORY, 4.0, 4.0, 6_012_954_214),
        (OUT_OF_MEMORY, 8.0, 4.0, 10 * GB),
        ("model requires more memory (7 GB) than is available", None, None, 7 * GB),
    ],
)
def test_a_failed_load_raises_the_memory(
    words: str, need_gb: float | None, available_gb: float | None, floor_bytes: int | None
) -> None:
    need = None if need_gb is None else round(need_gb * GB)
    available = None if available_gb is None else round(available_gb * GB)
    assert raised_floor(words=words, need_bytes=need, available_bytes=available) == floor_bytes


def failing(model: Model, *, context_tokens: int, floor_gb: float) -> Model:
    load = FailedLoad(context_tokens=context_tokens, floor_bytes=round(floor_gb * GB), words="no", at_s=1.0)
    return replace(model, failed_loads=(*model.failed_loads, load))


def test_the_need_is_at_least_what_a_failed_load_taught_from_its_context_on() -> None:
    model = failing(a_model("ollama:a", memory_gb=5.0), context_tokens=8192, floor_gb=7.0)
    assert memory_need(model, context_tokens=4096).total_bytes == 5 * GB
    for context_tokens in (8192, 16384):
        need = memory_need(model, context_tokens=context_tokens)
        assert need.total_bytes == 7 * GB
        assert need.arithmetic == ("7.00 GB (raised after a failed load at 8,192 tokens; without it: 5.00 GB declared)")


def test_the_worst_of_several_failed_loads_counts_and_one_below_the_need_does_not() -> None:
    twice = failing(
        failing(a_model("ollama:a", memory_gb=5.0), context_tokens=4096, floor_gb=6.0),
        context_tokens=8192,
        floor_gb=4.0,
    )
    assert memory_need(twice, context_tokens=8192).total_bytes == 6 * GB
    low = failing(a_model("ollama:a", memory_gb=5.0), context_tokens=8192, floor_gb=4.0)
    assert memory_need(low, context_tokens=8192).arithmetic == "5.00 GB declared"


def test_an_unknown_need_is_known_after_a_failed_load() -> None:
    model = failing(a_model("ollama:a", memory_gb=None), context_tokens=8192, floor_gb=7.0)
    need = memory_need(model, context_tokens=8192)
    assert (need.total_bytes, need.arithmetic) == (
        7 * GB,
        "7.00 GB (raised after a failed load at 8,192 tokens; without it: its memory is unknown)",
    )


def test_a_model_whose_load_failed_comes_no_more_first_where_it_does_not_fit() -> None:
    failed = failing(a_model("ollama:a", memory_gb=5.0), context_tokens=8192, floor_gb=16.1)
    models = [failed, a_model("ollama:b", memory_gb=5.0)]
    selection = select(
        roles={"planner": a_role(preferred=["a", "b"])},
        discovery=a_discovery([replace(one, ref=replace(one.ref, name=f"{one.ref.name}:latest")) for one in models]),
        resources=a_machine(available_gb=16.0),
        policy=Policy(),
    )
    assert [str(one.ref) for one in selection.plan.roles["planner"].deployments] == ["ollama:b:latest"]
    [dropped] = [one for one in selection.trace("planner").entries if one.model == "ollama:a:latest"]
    assert dropped.verdict is Verdict.DOES_NOT_FIT_NOW
    assert dropped.reason == (
        "16.10 GB (raised after a failed load at 8,192 tokens; without it: 5.00 GB declared) at 8,192 tokens does not fit "
        "in 16.00 GB available - 1.60 GB margin = 14.40 GB: 1.70 GB short"
    )

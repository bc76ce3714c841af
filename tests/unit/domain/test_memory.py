import pytest

from gateway.domain.memory import Architecture, MemoryPart, estimate
from gateway.domain.metadata import architecture_from

MIB = 1 << 20

LLAMA31_8B = {
    "general.architecture": "llama",
    "general.parameter_count": 8_030_261_248,
    "llama.block_count": 32,
    "llama.context_length": 131_072,
    "llama.embedding_length": 4_096,
    "llama.attention.head_count": 32,
    "llama.attention.head_count_kv": 8,
    "llama.vocab_size": 128_256,
}
GPT_OSS_20B = {
    "general.architecture": "gptoss",
    "gptoss.block_count": 24,
    "gptoss.context_length": 131_072,
    "gptoss.embedding_length": 2_880,
    "gptoss.attention.head_count": 64,
    "gptoss.attention.head_count_kv": 8,
    "gptoss.attention.key_length": 64,
    "gptoss.attention.value_length": 64,
    "gptoss.attention.sliding_window": 128,
}
GEMMA3_4B = {
    "general.architecture": "gemma3",
    "gemma3.block_count": 34,
    "gemma3.context_length": 131_072,
    "gemma3.embedding_length": 2_560,
    "gemma3.attention.head_count": 8,
    "gemma3.attention.head_count_kv": 4,
    "gemma3.attention.key_length": 256,
    "gemma3.attention.value_length": 256,
    "gemma3.attention.sliding_window": 1_024,
}


def cache_mib(metadata: dict[str, object], *, context_tokens: int, parallel: int = 1) -> dict[str, float]:
    architecture = architecture_from(metadata=metadata, file_size_bytes=1)
    found = estimate(architecture=architecture, context_tokens=context_tokens, parallel=parallel)
    assert found is not None
    return {part.name: part.bytes / MIB for part in found.parts if part.name.startswith("kv_")}


@pytest.mark.parametrize(
    ("metadata", "context_tokens", "expected"),
    [
        pytest.param(LLAMA31_8B, 4_096, {"kv_full": 512}, id="llama3.1:8b"),
        pytest.param(GPT_OSS_20B, 8_192, {"kv_full": 192, "kv_window": 18}, id="gpt-oss:20b"),
        pytest.param(GEMMA3_4B, 8_192, {"kv_full": 160, "kv_window": 174}, id="gemma3:4b"),
    ],
)
def test_the_cache_of_a_known_model_is_what_llama_cpp_allocates(
    metadata: dict[str, object], context_tokens: int, expected: dict[str, float]
) -> None:
    assert cache_mib(metadata, context_tokens=context_tokens) == expected


def test_each_slot_has_a_cache_of_its_own() -> None:
    assert cache_mib(LLAMA31_8B, context_tokens=4_096, parallel=3) == {"kv_full": 1_536}


def test_the_context_is_padded_to_256_tokens() -> None:
    assert cache_mib(LLAMA31_8B, context_tokens=3_841) == cache_mib(LLAMA31_8B, context_tokens=4_096)


def test_a_context_beyond_the_trained_one_takes_no_more() -> None:
    short = LLAMA31_8B | {"llama.context_length": 4_096}
    assert cache_mib(short, context_tokens=100_000) == {"kv_full": 512}


def test_a_window_never_takes_more_than_the_context() -> None:
    assert cache_mib(GEMMA3_4B, context_tokens=512) == {"kv_full": 10, "kv_window": 58}


def test_a_larger_batch_widens_the_window() -> None:
    architecture = architecture_from(metadata=GPT_OSS_20B, file_size_bytes=1)
    found = estimate(architecture=architecture, context_tokens=8_192, ubatch_tokens=1_024)
    assert found is not None
    assert {part.name: part.bytes / MIB for part in found.parts[1:]} == {"kv_full": 192, "kv_window": 30}


def test_quantised_cells_take_less() -> None:
    architecture = architecture_from(metadata=LLAMA31_8B, file_size_bytes=1)
    found = estimate(architecture=architecture, context_tokens=4_096, kv_bytes_per_element=34 / 32)
    assert found is not None
    assert found.parts[1].bytes == 272 * MIB


def test_the_arithmetic_is_shown_with_its_sum() -> None:
    architecture = architecture_from(metadata=GEMMA3_4B, file_size_bytes=3_338_801_804)
    found = estimate(architecture=architecture, context_tokens=8_192)
    assert found is not None
    assert found.arithmetic() == (
        "weights 3.34 GB"
        " + KV cache 0.17 GB (5 layers x 8,192 tokens x (1,024 + 1,024) x 2 bytes)"
        " + KV cache of sliding windows 0.18 GB (29 layers x 1,536 tokens x (1,024 + 1,024) x 2 bytes)"
        " = 3.69 GB"
    )
    assert found.total_bytes == 3_338_801_804 + 334 * MIB
    assert found.notes == ()


def test_slots_are_in_the_arithmetic() -> None:
    one_layer = Architecture(name="llama", weights_bytes=0, kv_widths=((8, 8),), windows=(None,))
    found = estimate(architecture=one_layer, context_tokens=256, parallel=2)
    assert found is not None
    assert found.parts[1] == MemoryPart(
        name="kv_full", bytes=256 * 16 * 2 * 2, arithmetic="1 layer x 256 tokens x (8 + 8) x 2 bytes x 2 slots"
    )


def test_an_encoder_takes_its_weights_only() -> None:
    architecture = architecture_from(
        metadata={"general.architecture": "nomic-bert", "nomic-bert.block_count": 12}, file_size_bytes=274_000_000
    )
    found = estimate(architecture=architecture, context_tokens=2_048)
    assert found is not None
    assert [part.name for part in found.parts] == ["weights"]


def test_a_parameter_count_and_a_quantisation_give_a_bound_with_an_allowance() -> None:
    found = estimate(
        architecture=Architecture(name="", parameter_count=7_000_000_000, bits_per_weight=4.89), context_tokens=4_096
    )
    assert found is not None
    assert found.arithmetic() == (
        "weights 4.28 GB (7,000,000,000 parameters x 4.89 bits / 8)"
        " + KV cache 2.27 GB (at most 4,096 tokens x 277,058 x 2 bytes)"
        " + allowance 0.65 GB (10% of the above)"
        " = 7.20 GB"
    )
    assert found.notes == (
        "the KV cache is a bound from the parameter count: the layers are not known",
        "the weights are estimated from the parameter count: their stored size is not known",
    )


def test_the_bound_is_more_than_a_dense_model_with_all_heads_takes() -> None:
    bound = estimate(
        architecture=Architecture(name="", weights_bytes=0, parameter_count=6_738_000_000), context_tokens=4_096
    )
    llama2_7b = 4_096 * 32 * (4_096 + 4_096) * 2
    assert bound is not None
    assert 1.0 <= bound.total_bytes / llama2_7b < 1.1


def test_a_file_of_which_only_the_size_is_known_has_a_bound_too() -> None:
    found = estimate(architecture=Architecture(name="", weights_bytes=4_000_000_000), context_tokens=4_096)
    assert found is not None
    assert [part.name for part in found.parts] == ["weights", "kv_full"]
    assert found.notes == ("the KV cache is a bound from the parameter count: the layers are not known",)


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture(name=""),
        Architecture(name="", parameter_count=7_000_000_000),
        Architecture(name="llama", kv_widths=((8, 8),), windows=(None,)),
    ],
)
def test_nothing_is_estimated_where_the_weights_are_unknown(architecture: Architecture) -> None:
    assert estimate(architecture=architecture, context_tokens=4_096) is None

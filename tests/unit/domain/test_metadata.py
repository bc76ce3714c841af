import pytest

from gateway.domain.metadata import architecture_from
from gateway.domain.tensors import BLOCK_SIZES

NOT_MODELLED = (
    " is not modelled yet: its KV cache counts as ordinary attention of all heads in every layer,"
    " which is more than it takes"
)


def described(architecture: str, **keys: object) -> dict[str, object]:
    """Metadata as GGUF spells it; ``__`` stands for a dot."""
    return {"general.architecture": architecture} | {
        f"{architecture}.{name.replace('__', '.')}": value for name, value in keys.items()
    }


def test_heads_and_sizes_give_the_widths_of_every_layer() -> None:
    found = architecture_from(
        metadata=described(
            "llama",
            block_count=2,
            context_length=8_192,
            embedding_length=4_096,
            attention__head_count=32,
            attention__head_count_kv=8,
            vocab_size=32_000,
        )
    )
    assert found.kv_widths == ((1_024, 1_024), (1_024, 1_024))
    assert found.windows == (None, None)
    assert (found.trained_context_tokens, found.embedding_length, found.vocabulary_size) == (8_192, 4_096, 32_000)
    assert found.notes == ()


def test_named_head_sizes_go_before_the_embedding_divided_by_heads() -> None:
    found = architecture_from(
        metadata=described(
            "qwen3",
            block_count=1,
            embedding_length=2_560,
            attention__head_count=32,
            attention__head_count_kv=8,
            attention__key_length=128,
            attention__value_length=64,
        )
    )
    assert found.kv_widths == ((1_024, 512),)


def test_without_a_count_for_keys_and_values_every_head_has_them() -> None:
    found = architecture_from(
        metadata=described("llama", block_count=1, embedding_length=4_096, attention__head_count=32)
    )
    assert found.kv_widths == ((4_096, 4_096),)
    assert found.notes == ()


def test_a_listed_count_holds_layer_by_layer() -> None:
    found = architecture_from(
        metadata=described(
            "openelm",
            block_count=2,
            embedding_length=128,
            attention__head_count=(2, 4),
            attention__head_count_kv=(1, 2),
            attention__key_length=64,
            attention__value_length=64,
        )
    )
    assert found.kv_widths == ((64, 64), (128, 128))


def test_what_the_server_sends_as_null_is_read_from_the_tensors() -> None:
    found = architecture_from(
        metadata=described(
            "deci", block_count=3, embedding_length=4_096, attention__head_count=None, attention__head_count_kv=None
        ),
        tensors=(
            ("blk.0.attn_k.weight", "Q4_K", (4_096, 1_024)),
            ("blk.0.attn_v.weight", "Q6_K", (4_096, 512)),
            ("blk.1.ffn_up.weight", "Q4_K", (4_096, 8_192)),
            ("blk.2.attn_k.weight", "Q4_K", (4_096, 256)),
        ),
    )
    assert found.kv_widths == ((1_024, 512), (0, 0), (256, 256))


def test_a_fused_matrix_is_split_after_the_queries() -> None:
    found = architecture_from(
        metadata=described(
            "phi3",
            block_count=1,
            embedding_length=3_072,
            attention__head_count=32,
            attention__head_count_kv=None,
            attention__sliding_window=2_047,
        ),
        tensors=(("blk.0.attn_qkv.weight", "Q4_K", (3_072, 9_216)),),
    )
    assert found.kv_widths == ((3_072, 3_072),)
    assert found.windows == (None,)


def test_when_nothing_tells_the_heads_all_are_counted_and_it_says_so() -> None:
    found = architecture_from(
        metadata=described(
            "llama", block_count=1, embedding_length=4_096, attention__head_count=32, attention__head_count_kv=None
        )
    )
    assert found.kv_widths == ((4_096, 4_096),)
    assert found.notes == ("the server does not say how many heads have keys and values: all are counted",)


def test_layers_that_only_predict_ahead_have_no_cache() -> None:
    found = architecture_from(
        metadata=described(
            "glm4moe",
            block_count=47,
            nextn_predict_layers=1,
            embedding_length=4_096,
            attention__head_count=32,
            attention__head_count_kv=8,
        )
    )
    assert len(found.kv_widths) == 46


@pytest.mark.parametrize(
    ("architecture", "keys", "windows"),
    [
        ("gemma2", {}, (4_096, None, 4_096, None, 4_096, None, 4_096)),
        ("gemma3", {"attention__sliding_window": 512}, (512, 512, 512, 512, 512, None, 512)),
        ("gemma3", {}, (None,) * 7),
        ("gemma3n", {"attention__sliding_window": 512}, (512, 512, 512, 512, None, 512, 512)),
        ("gpt-oss", {"attention__sliding_window": 128}, (128, None, 128, None, 128, None, 128)),
        ("cohere2", {"attention__sliding_window": 4_096}, (4_096, 4_096, 4_096, None, 4_096, 4_096, 4_096)),
        ("llama4", {}, (8_192, 8_192, 8_192, None, 8_192, 8_192, 8_192)),
        ("llama4", {"attention__sliding_window": 100}, (8_192, 8_192, 8_192, None, 8_192, 8_192, 8_192)),
        ("llama4", {"attention__sliding_window": 0}, (None,) * 7),
        ("laguna", {"attention__sliding_window": 512}, (None, 512, 512, 512, None, 512, 512)),
        ("phi3", {"attention__sliding_window": 2_047}, (None,) * 7),
        ("llama", {"attention__sliding_window": 4_096}, (None,) * 7),
        (
            "exaone4",
            {"attention__sliding_window": 4_096, "attention__sliding_window_pattern": 4},
            (4_096, 4_096, 4_096, None, 4_096, 4_096, 4_096),
        ),
        (
            "gemma4",
            {
                "attention__sliding_window": 512,
                "attention__sliding_window_pattern": [True, True, False, True, True, False, True],
            },
            (512, 512, None, 512, 512, None, 512),
        ),
    ],
)
def test_windows_follow_the_pattern_of_the_architecture(
    architecture: str, keys: dict[str, object], windows: tuple[int | None, ...]
) -> None:
    found = architecture_from(
        metadata=described(
            architecture,
            block_count=7,
            embedding_length=64,
            attention__head_count=2,
            attention__head_count_kv=1,
            **keys,
        )
    )
    assert found.windows == windows
    assert found.notes == ()


def test_a_pattern_that_only_the_model_knows_counts_as_full_attention_when_withheld() -> None:
    found = architecture_from(
        metadata=described(
            "gemma4",
            block_count=2,
            embedding_length=64,
            attention__head_count=2,
            attention__head_count_kv=1,
            attention__sliding_window=512,
            attention__sliding_window_pattern=None,
        )
    )
    assert found.windows == (None, None)
    (note,) = found.notes
    assert note == (
        "the server does not list which layers use the sliding window: all count as full attention,"
        " which is more than they take"
    )


def test_sliding_layers_may_have_heads_of_their_own_size() -> None:
    found = architecture_from(
        metadata=described(
            "gemma4",
            block_count=2,
            embedding_length=64,
            attention__head_count=2,
            attention__head_count_kv=1,
            attention__key_length=512,
            attention__value_length=512,
            attention__key_length_swa=256,
            attention__value_length_swa=256,
            attention__sliding_window=512,
            attention__sliding_window_pattern=(True, False),
        )
    )
    assert found.kv_widths == ((256, 256), (512, 512))


@pytest.mark.parametrize(
    ("architecture", "keys", "cached"), [("gemma3n", {}, 20), ("gemma4", {"attention__shared_kv_layers": 18}, 12)]
)
def test_layers_that_read_another_cache_have_none(architecture: str, keys: dict[str, object], cached: int) -> None:
    found = architecture_from(
        metadata=described(
            architecture,
            block_count=30,
            embedding_length=64,
            attention__head_count=2,
            attention__head_count_kv=1,
            **keys,
        )
    )
    assert [width != (0, 0) for width in found.kv_widths] == [True] * cached + [False] * (30 - cached)


def test_latent_attention_counts_all_heads_and_says_so() -> None:
    found = architecture_from(
        metadata=described(
            "deepseek2",
            block_count=1,
            embedding_length=7_168,
            attention__head_count=128,
            attention__head_count_kv=1,
            attention__key_length=576,
            attention__value_length=512,
            attention__key_length_mla=192,
            attention__value_length_mla=128,
            attention__kv_lora_rank=512,
        )
    )
    assert found.kv_widths == ((128 * 576, 128 * 512),)
    assert found.notes == ("latent attention" + NOT_MODELLED,)


def test_old_files_with_latent_attention_really_cache_all_heads() -> None:
    found = architecture_from(
        metadata=described(
            "deepseek2",
            block_count=1,
            embedding_length=2_048,
            attention__head_count=16,
            attention__head_count_kv=16,
            attention__key_length=192,
            attention__value_length=128,
            attention__kv_lora_rank=512,
        )
    )
    assert found.kv_widths == ((16 * 192, 16 * 128),)
    assert found.notes == ()


@pytest.mark.parametrize("architecture", ["qwen3next", "mamba2", "something-new"])
def test_an_architecture_not_modelled_counts_all_heads_in_every_layer(architecture: str) -> None:
    found = architecture_from(
        metadata=described(
            architecture, block_count=2, embedding_length=2_048, attention__head_count=16, attention__head_count_kv=2
        )
    )
    assert found.kv_widths == ((2_048, 2_048), (2_048, 2_048))
    assert found.notes == (f'architecture "{architecture}"' + NOT_MODELLED,)


def test_an_architecture_without_heads_counts_its_width() -> None:
    found = architecture_from(metadata=described("rwkv7", block_count=1, embedding_length=768))
    assert found.kv_widths == ((768, 768),)


def test_an_encoder_has_no_cache() -> None:
    found = architecture_from(
        metadata=described("nomic-bert", block_count=2, embedding_length=768, attention__head_count=12)
    )
    assert found.kv_widths == ((0, 0), (0, 0))
    assert found.notes == ()


def test_weights_are_the_exact_sum_over_the_tensors() -> None:
    found = architecture_from(
        metadata=described("llama"),
        tensors=(
            ("token_embd.weight", "Q4_K", (256, 1_000)),
            ("blk.0.ffn_up.weight", "q6_K", (256, 10)),
            ("output_norm.weight", "F32", (256,)),
        ),
        file_size_bytes=999_999_999,
    )
    assert found.weights_bytes == 1_000 * 144 + 10 * 210 + 1_024
    assert found.parameter_count == 256 * 1_011
    assert found.vocabulary_size == 1_000
    assert found.notes == ()


def test_a_tensor_type_not_known_leaves_the_size_of_the_file() -> None:
    found = architecture_from(
        metadata=described("llama"), tensors=(("token_embd.weight", "Q9_Z", (256, 10)),), file_size_bytes=5_000
    )
    assert found.weights_bytes == 5_000
    assert found.notes == ("the weights count as the file's size: tensor type Q9_Z is not known",)


def test_every_known_tensor_type_has_whole_blocks() -> None:
    for kind, (elements, size_bytes) in BLOCK_SIZES.items():
        found = architecture_from(metadata={}, tensors=(("x", kind, (elements, 3)),))
        assert found.weights_bytes == 3 * size_bytes


def test_a_mixture_of_experts_uses_a_part_of_its_parameters() -> None:
    found = architecture_from(
        metadata=described("qwen3moe", expert_count=8, expert_used_count=2),
        tensors=(("token_embd.weight", "F16", (10, 100)), ("blk.0.ffn_up_exps.weight", "F16", (10, 10, 8))),
    )
    assert found.parameter_count == 1_800
    assert found.active_parameter_count == 1_000 + 200


def test_a_dense_model_uses_all_its_parameters() -> None:
    found = architecture_from(metadata=described("llama") | {"general.parameter_count": 7})
    assert found.active_parameter_count == 7


def test_a_mixture_without_tensors_does_not_tell_what_it_uses() -> None:
    metadata = described("qwen3moe", expert_count=8, expert_used_count=2) | {"general.parameter_count": 7}
    assert architecture_from(metadata=metadata).active_parameter_count is None


@pytest.mark.parametrize("odd", [True, "32", 1.5, -1, float("nan"), float("inf"), [32]])
def test_values_of_unexpected_types_count_as_absent(odd: object) -> None:
    assert architecture_from(metadata=described("llama", context_length=odd)).trained_context_tokens is None


def test_nothing_known_is_an_architecture_of_unknowns() -> None:
    found = architecture_from(metadata={}, file_size_bytes=10)
    assert (found.name, found.weights_bytes, found.kv_widths, found.parameter_count) == ("", 10, (), None)


@pytest.mark.parametrize(
    ("key", "odd", "shown"),
    [
        ("block_count", 10_001, "10001"),
        ("block_count", 2**62, "4611686018427387904"),
        ("block_count", 2**64, "beyond 2^64"),
        ("block_count", -1, "-1"),
        ("attention__head_count", 2**31 + 1, "2147483649"),
        ("attention__head_count_kv", 2**40, "1099511627776"),
        ("attention__head_count_kv", (8, -8), "-8"),
        ("attention__key_length", float("nan"), "nan"),
        ("attention__sliding_window", float("inf"), "inf"),
        ("context_length", 2**62, "4611686018427387904"),
        ("embedding_length", -4096, "-4096"),
        ("vocab_size", 1e300, "1e+300"),
    ],
)
def test_numbers_that_no_model_has_count_as_unknown_with_a_note(key: str, odd: object, shown: str) -> None:
    usual: dict[str, object] = {"block_count": 2, "attention__head_count": 8, "embedding_length": 512}
    found = architecture_from(metadata=described("gemma3", **(usual | {key: odd})))
    without = architecture_from(metadata=described("gemma3", **(usual | {key: None})))
    name = f"gemma3.{key.replace('__', '.')}"
    assert found.notes[0] == f"{name} counts as unknown: it is {shown}, which no model has"
    assert (found.windows, found.trained_context_tokens) == (without.windows, without.trained_context_tokens)
    assert (found.kv_widths, found.embedding_length) == (without.kv_widths, without.embedding_length)


def test_a_parameter_count_that_no_model_has_counts_as_unknown() -> None:
    found = architecture_from(metadata={"general.parameter_count": 2**62})
    assert found.parameter_count is None
    assert found.notes == ("general.parameter_count counts as unknown: it is 4611686018427387904, which no model has",)


def test_ten_thousand_layers_are_believed() -> None:
    found = architecture_from(
        metadata=described("llama", block_count=10_000, embedding_length=64, attention__head_count=1)
    )
    assert len(found.kv_widths) == 10_000
    assert found.notes == ()


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("blk.10000.attn_k.weight", (64, 64)),
        (f"blk.{'9' * 5000}.attn_k.weight", (64, 64)),
        ("blk.0.attn_k.weight", (64, 2**31 + 1)),
        ("blk.0.attn_k.weight", (64, -64)),
        ("blk.0.attn_k.weight", (2, 2, 2, 2, 2)),
    ],
)
def test_tensors_that_no_model_has_make_their_list_unknown(name: str, shape: tuple[int, ...]) -> None:
    tensors = (("token_embd.weight", "F32", (64, 100)), (name, "F32", shape))
    found = architecture_from(metadata=described("llama"), tensors=tensors, file_size_bytes=5_000)
    assert (found.weights_bytes, found.parameter_count, found.kv_widths) == (5_000, None, ())
    assert found.notes == (f"the list of tensors counts as unknown: no model has one such as {name[:80]}",)


def test_experts_that_hold_more_than_the_whole_do_not_tell_what_a_token_uses() -> None:
    metadata = described("qwen3moe", expert_count=8, expert_used_count=1) | {"general.parameter_count": 7}
    tensors = (("blk.0.ffn_up_exps.weight", "F16", (10, 10, 8)),)
    assert architecture_from(metadata=metadata, tensors=tensors).active_parameter_count is None

import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes.gguf_files import gguf_bytes, llama_bytes, text
from gateway.embedded.gguf import GgufInvalid, read_header

SAMPLE = gguf_bytes(
    metadata={
        "general.architecture": "llama",
        "llama.context_length": 2048,
        "llama.rope.scale": 0.5,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.tokens": ["a", "b"],
        "tokenizer.chat_template": "{{ messages }}",
        "general.languages": ["en", "fr"],
        "llama.attention.head_count_kv": [3, 0, 3],
    },
    tensors=[("a.weight", 0, (4, 2), bytes(32)), ("b.weight", 3, (32,), bytes(20))],
)


def head(*, version: int = 3, tensors: int = 0, pairs: int = 0) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, pairs)


def tensor(name: str, shape: tuple[int, ...], *, kind: int = 0, offset: int = 0) -> bytes:
    return (
        text(name)
        + struct.pack("<I", len(shape))
        + struct.pack(f"<{len(shape)}Q", *shape)
        + struct.pack("<IQ", kind, offset)
    )


def write(folder: Path, content: bytes) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(content)
    return path


def test_metadata_and_tensors_are_read_and_tokenizer_arrays_left_out(tmp_path: Path) -> None:
    header = read_header(write(tmp_path, SAMPLE))
    assert header.metadata == {
        "general.architecture": "llama",
        "llama.context_length": 2048,
        "llama.rope.scale": 0.5,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.chat_template": "{{ messages }}",
        "general.languages": ("en", "fr"),
        "llama.attention.head_count_kv": (3, 0, 3),
    }
    assert header.tensors == (("a.weight", "F32", (4, 2)), ("b.weight", "Q4_1", (32,)))
    assert header.size_bytes == len(SAMPLE)


def test_version_2_reads_like_version_3(tmp_path: Path) -> None:
    header = read_header(write(tmp_path, gguf_bytes(metadata={"general.name": "old"}, version=2)))
    assert header.metadata == {"general.name": "old"}


def test_long_arrays_are_passed_over_and_what_follows_is_read(tmp_path: Path) -> None:
    metadata: dict[str, object] = {"a.numbers": [1] * 300_000, "b.words": ["word"] * 200_000, "c.last": "read"}
    header = read_header(write(tmp_path, gguf_bytes(metadata=metadata)))
    assert header.metadata == {"c.last": "read"}


def test_many_short_arrays_are_kept_up_to_a_total_only(tmp_path: Path) -> None:
    metadata: dict[str, object] = {f"array.{number:02}": [1] * 16_384 for number in range(20)}
    header = read_header(write(tmp_path, gguf_bytes(metadata=metadata)))
    assert len(header.metadata) == 16


def test_the_digest_follows_the_content_not_the_path(tmp_path: Path) -> None:
    one, other = tmp_path / "one.gguf", tmp_path / "other.gguf"
    one.write_bytes(SAMPLE)
    other.write_bytes(SAMPLE)
    assert read_header(one).digest == read_header(other).digest
    other.write_bytes(SAMPLE.replace(b"fr", b"de"))
    assert read_header(one).digest != read_header(other).digest


def test_an_unknown_tensor_type_is_named_by_its_number(tmp_path: Path) -> None:
    header = read_header(write(tmp_path, head(tensors=1) + tensor("x", (8,), kind=77)))
    assert header.tensors == (("x", "TYPE_77", (8,)),)


BROKEN = {
    "empty": (b"", "is empty"),
    "zip": (b"PK\x03\x04rest", "is not a GGUF file: it starts with b'PK\\x03\\x04' instead of \"GGUF\""),
    "two bytes": (b"GG", "is not a GGUF file: it starts with b'GG' instead of \"GGUF\""),
    "magic only": (b"GGUF", "ends inside its header, at byte 4; it was probably not copied in full"),
    "version 1": (head(version=1), "is GGUF version 1; versions 2 and 3 are read"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "is a big-endian GGUF; only little-endian ones are read"),
    "tensor count": (head(tensors=2**60), "claims 1152921504606846976 tensors; at most 65536 are accepted"),
    "entry count": (head(pairs=2**60), "claims 1152921504606846976 metadata entries; at most 65536 are accepted"),
    "key length": (
        head(pairs=1) + struct.pack("<Q", 2**63),
        "claims a metadata key of 9223372036854775808 bytes; at most 65535 are accepted",
    ),
    "string length": (
        head(pairs=1) + text("k") + struct.pack("<IQ", 8, 2**40),
        'claims a value of "k" of 1099511627776 bytes; at most 4194304 are accepted',
    ),
    "value type": (head(pairs=1) + text("k") + struct.pack("<I", 99), 'gives "k" the unknown type 99'),
    "nested array": (
        head(pairs=1) + text("k") + struct.pack("<IIQ", 9, 9, 1),
        'gives "k" an array of the type 9, which is not read',
    ),
    "array count": (
        head(pairs=1) + text("k") + struct.pack("<IIQ", 9, 4, 2**62),
        'claims 4611686018427387904 elements in "k", more than the file holds',
    ),
    "string count": (
        head(pairs=1) + text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 2**61),
        'claims 2305843009213693952 elements in "tokenizer.ggml.tokens", more than the file holds',
    ),
    "string skipped": (
        head(pairs=1) + text("tokenizer.ggml.tokens") + struct.pack("<IIQQ", 9, 8, 1, 2**62),
        "ends inside its header, at byte 77; it was probably not copied in full",
    ),
    "axes": (
        head(tensors=1) + text("x") + struct.pack("<I", 5),
        'gives the tensor "x" 5 dimensions; at most 4 are accepted',
    ),
    "elements": (
        head(tensors=1) + tensor("x", (2**63, 2**63)),
        'claims 85070591730234615865843651857942052864 elements in the tensor "x", more than any file holds',
    ),
    "alignment": (
        gguf_bytes(metadata={"general.alignment": 0}),
        "gives general.alignment the value 0; 1 to 65536 is accepted",
    ),
    "cut short": (
        SAMPLE[:-32],
        f"has {len(SAMPLE) - 32} bytes, but its tensors need {len(SAMPLE) - 12}; it was probably not copied in full",
    ),
}


@pytest.mark.parametrize(("content", "sentence"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_wrong_is_said_in_one_sentence(content: bytes, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(GgufInvalid) as caught:
        read_header(write(tmp_path, content))
    assert str(caught.value) == sentence


def test_a_header_over_the_limit_is_refused_without_reading_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, head(pairs=1) + text("k") + struct.pack("<IIQ", 9, 0, 2**40))
    with path.open("r+b") as file:
        file.truncate(2**41)
    with pytest.raises(GgufInvalid, match=r"^has a header of more than 67108864 bytes, which no real model has$"):
        read_header(path)


def test_every_cut_is_noticed(tmp_path: Path) -> None:
    last_byte = len(SAMPLE) - 12
    for length in range(last_byte):
        with pytest.raises(GgufInvalid):
            read_header(write(tmp_path, SAMPLE[:length]))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(place=st.integers(0, len(SAMPLE) - 1), junk=st.binary(min_size=1, max_size=12))
def test_damage_is_refused_or_read_never_a_crash(place: int, junk: bytes, tmp_path: Path) -> None:
    damaged = SAMPLE[:place] + junk + SAMPLE[place + len(junk) :]
    try:
        header = read_header(write(tmp_path, damaged))
    except GgufInvalid:
        return
    assert header.size_bytes == len(damaged)


def test_a_header_that_crosses_read_windows_is_read_whole(tmp_path: Path) -> None:
    long_text = "x" * 1_500_000
    metadata: dict[str, object] = {"a": long_text, "b": long_text, "c": [1, 2], "d": "end"}
    assert read_header(write(tmp_path, gguf_bytes(metadata=metadata))).metadata["d"] == "end"


def test_the_pairs_of_a_real_looking_model_are_read(tmp_path: Path) -> None:
    header = read_header(write(tmp_path, llama_bytes(context_tokens=512)))
    assert header.metadata["llama.context_length"] == 512
    assert len(header.tensors) == 12

"""GGUF files written byte by byte: among them a model so small that llama.cpp loads it in milliseconds."""

import math
import random
import struct
from collections.abc import Mapping, Sequence

Tensor = tuple[str, int, tuple[int, ...], bytes]

U32, F32, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5
TEMPLATE = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"


def text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def pair(key: str, value: object) -> bytes:
    """One metadata entry: bool, int, float, str, or a list of one of the last three."""
    kind, body = encode(value)
    return text(key) + struct.pack("<I", kind) + body


def encode(value: object) -> tuple[int, bytes]:
    if isinstance(value, bool):
        return BOOL, struct.pack("<?", value)
    if isinstance(value, int):
        return (U32, struct.pack("<I", value)) if value >= 0 else (I32, struct.pack("<i", value))
    if isinstance(value, float):
        return F32, struct.pack("<f", value)
    if isinstance(value, str):
        return STRING, text(value)
    if isinstance(value, list):
        encoded = [encode(element) for element in value]
        kind = encoded[0][0]
        # llama.cpp wants token types signed.
        kind = I32 if kind == U32 else kind
        return ARRAY, struct.pack("<IQ", kind, len(value)) + b"".join(body for _, body in encoded)
    raise TypeError(value)


def gguf_bytes(
    *, metadata: Mapping[str, object], tensors: Sequence[Tensor] = (), version: int = 3, alignment: int = 32
) -> bytes:
    """A whole GGUF file; each tensor is (name, type number, shape, data)."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    head += b"".join(pair(key, value) for key, value in metadata.items())
    data = b""
    for name, kind, shape, values in tensors:
        head += text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        head += struct.pack("<IQ", kind, len(data))
        data += values + bytes(-len(values) % alignment)
    return head + (bytes(-len(head) % alignment) + data if tensors else b"")


def llama_bytes(*, context_tokens: int = 1024, chat_template: str = TEMPLATE, architecture: str = "llama") -> bytes:
    """A llama of one layer and a vocabulary of bytes, with random weights: it talks nonsense, but it talks."""
    width, inner, heads = 64, 128, 2
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *map(chr, range(97, 123))]
    kinds = [2, 3, 3, *([6] * 256), *([1] * 27)]
    vocabulary = len(tokens)
    metadata: dict[str, object] = {
        "general.architecture": architecture,
        "general.name": "Tiny",
        "general.file_type": 0,
        f"{architecture}.block_count": 1,
        f"{architecture}.context_length": context_tokens,
        f"{architecture}.embedding_length": width,
        f"{architecture}.feed_forward_length": inner,
        f"{architecture}.attention.head_count": heads,
        f"{architecture}.attention.layer_norm_rms_epsilon": 1e-5,
        f"{architecture}.rope.dimension_count": width // heads,
        f"{architecture}.vocab_size": vocabulary,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [-float(place) for place in range(vocabulary)],
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.chat_template": chat_template,
    }
    noise = random.Random(7)

    def tensor(name: str, *shape: int) -> Tensor:
        count = math.prod(shape)
        values = [1.0] * count if len(shape) == 1 else [noise.gauss(0, 0.05) for _ in range(count)]
        return name, 0, shape, struct.pack(f"<{count}f", *values)

    tensors = [
        tensor("token_embd.weight", width, vocabulary),
        tensor("output_norm.weight", width),
        tensor("output.weight", width, vocabulary),
        tensor("blk.0.attn_norm.weight", width),
        *(tensor(f"blk.0.attn_{part}.weight", width, width) for part in ("q", "k", "v", "output")),
        tensor("blk.0.ffn_norm.weight", width),
        tensor("blk.0.ffn_gate.weight", width, inner),
        tensor("blk.0.ffn_up.weight", width, inner),
        tensor("blk.0.ffn_down.weight", inner, width),
    ]
    return gguf_bytes(metadata=metadata, tensors=tensors)

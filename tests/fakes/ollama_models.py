"""A catalogue of models as an Ollama host would describe them: architecture, tensors, sizes, capabilities.

Names, shapes and sizes follow the public library; digests are derived from the names.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Tensor = tuple[str, str, tuple[int, ...]]
"""Name, type name, shape in ggml order."""

BLOCK_BYTES: dict[str, tuple[int, int]] = {
    "F32": (1, 4),
    "F16": (1, 2),
    "BF16": (1, 2),
    "Q4_0": (32, 18),
    "Q8_0": (32, 34),
    "Q4_K": (256, 144),
    "Q5_K": (256, 176),
    "Q6_K": (256, 210),
    "MXFP4": (32, 17),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeModel:
    """One installed model. ``weights`` identifies the blob: two models with equal ``weights`` share one runner.

    ``path`` is how Ollama runs it: ``rendered`` (Go template; tool calls arrive mid-stream) or ``native`` (jinja template;
    tool calls arrive in the final chunk, prompts are never cut silently). ``parameters`` are the Modelfile's.
    """

    name: str
    family: str
    parameter_size: str
    quantization: str
    size_bytes: int
    capabilities: tuple[str, ...]
    context_length: int = 0
    embedding_length: int = 0
    model_info: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Any] = field(default_factory=dict)
    tensors: tuple[Tensor, ...] = ()
    projector_info: Mapping[str, Any] = field(default_factory=dict)
    template: str = "{{ .Prompt }}"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    path: Literal["rendered", "native"] = "rendered"
    weights: str = ""
    remote_model: str = ""
    remote_host: str = ""
    modified_at: str = "2026-08-01T10:00:00.123456789Z"

    @property
    def digest(self) -> str:
        """The manifest's digest: 64 hex digits without a prefix."""
        told = f"{self.name}|{self.weights}|{sorted(self.parameters.items())}"
        return hashlib.sha256(told.encode()).hexdigest()

    @property
    def blob(self) -> str:
        return hashlib.sha256((self.weights or self.name).encode()).hexdigest()

    @property
    def remote(self) -> bool:
        return bool(self.remote_host or self.remote_model)

    @property
    def family_list(self) -> list[str] | None:
        return [self.family] if self.family else None

    def kv_bytes(self, context: int) -> int:
        """A plain two-bytes-per-cell KV cache, enough for `/api/ps`."""
        info, arch = self.model_info, self.family
        heads = info.get(f"{arch}.attention.head_count_kv") or 0
        length = info.get(f"{arch}.attention.key_length") or 128
        return int(2 * 2 * info.get(f"{arch}.block_count", 0) * heads * length * context)


def tensor_bytes(tensors: tuple[Tensor, ...]) -> int:
    total = 0
    for _, kind, shape in tensors:
        block, size = BLOCK_BYTES[kind]
        total += math.prod(shape) // block * size
    return total


def _more_bits(layer: int, layers: int) -> bool:
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    arch: str
    layers: int
    width: int
    feed_forward: int
    heads: int
    kv_heads: int
    head: int
    vocabulary: int
    context: int
    mixture: Literal["Q4_K_M", "Q4_0", "F16"] = "Q4_K_M"
    tied: bool = False
    biases: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)


def _decoder_tensors(shape: _Shape) -> tuple[Tensor, ...]:
    base = {"Q4_K_M": "Q4_K", "Q4_0": "Q4_0", "F16": "F16"}[shape.mixture]
    better = "Q6_K" if shape.mixture == "Q4_K_M" else base
    query, key_value = shape.heads * shape.head, shape.kv_heads * shape.head
    width, inner = shape.width, shape.feed_forward
    out: list[Tensor] = [("token_embd.weight", better if shape.tied else base, (width, shape.vocabulary))]
    for layer in range(shape.layers):
        rich = better if _more_bits(layer, shape.layers) else base
        prefix = f"blk.{layer}."
        out += [
            (f"{prefix}attn_norm.weight", "F32", (width,)),
            (f"{prefix}attn_q.weight", base, (width, query)),
            (f"{prefix}attn_k.weight", base, (width, key_value)),
            (f"{prefix}attn_v.weight", rich, (width, key_value)),
            (f"{prefix}attn_output.weight", base, (query, width)),
            (f"{prefix}ffn_norm.weight", "F32", (width,)),
            (f"{prefix}ffn_gate.weight", base, (width, inner)),
            (f"{prefix}ffn_up.weight", base, (width, inner)),
            (f"{prefix}ffn_down.weight", rich, (inner, width)),
        ]
        if shape.biases:
            out += [(f"{prefix}attn_{which}.bias", "F32", (size,)) for which, size in _bias_sizes(query, key_value)]
    out.append(("output_norm.weight", "F32", (width,)))
    if not shape.tied:
        out.append(("output.weight", "Q6_K" if base != "F16" else base, (width, shape.vocabulary)))
    return tuple(out)


def _bias_sizes(query: int, key_value: int) -> tuple[tuple[str, int], ...]:
    return (("q", query), ("k", key_value), ("v", key_value))


def _info(shape: _Shape, *, parameters: int) -> dict[str, Any]:
    arch = shape.arch
    return {
        "general.architecture": arch,
        "general.file_type": 15,
        "general.parameter_count": parameters,
        "general.quantization_version": 2,
        f"{arch}.block_count": shape.layers,
        f"{arch}.context_length": shape.context,
        f"{arch}.embedding_length": shape.width,
        f"{arch}.feed_forward_length": shape.feed_forward,
        f"{arch}.attention.head_count": shape.heads,
        f"{arch}.attention.head_count_kv": shape.kv_heads,
        f"{arch}.attention.key_length": shape.head,
        f"{arch}.attention.value_length": shape.head,
        f"{arch}.rope.dimension_count": shape.head,
        f"{arch}.vocab_size": shape.vocabulary,
        **shape.extra,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.bos_token_id": 1,
    }


_TOKENIZER: dict[str, Any] = {
    "tokenizer.ggml.tokens": ["<s>", "</s>", "a"],
    "tokenizer.ggml.merges": ["a b"],
    "tokenizer.ggml.token_type": [3, 3, 1],
}


def _decoder(name: str, shape: _Shape, *, parameters: int, told: str, size_bytes: int, **more: Any) -> FakeModel:
    tensors = more.pop("tensors", None) or _decoder_tensors(shape)
    return FakeModel(
        name=name,
        family=shape.arch,
        parameter_size=told,
        quantization=more.pop("quantization", shape.mixture),
        size_bytes=size_bytes,
        context_length=shape.context,
        embedding_length=shape.width,
        model_info=_info(shape, parameters=parameters),
        arrays={**_TOKENIZER, **more.pop("arrays", {})},
        tensors=tensors,
        weights=name,
        parameters=more.pop("modelfile_parameters", {}),
        **more,
    )


_TOOLS_TEMPLATE = "{{ if .Tools }}{{ .Tools }}{{ end }}{{ range .Messages }}<|{{ .Role }}|>{{ .Content }}{{ end }}"


def _llama31() -> FakeModel:
    shape = _Shape(
        arch="llama",
        layers=32,
        width=4096,
        feed_forward=14336,
        heads=32,
        kv_heads=8,
        head=128,
        vocabulary=128256,
        context=131072,
    )
    return _decoder(
        "llama3.1:8b",
        shape,
        parameters=8_030_261_312,
        told="8.0B",
        size_bytes=4_920_753_328,
        capabilities=("completion", "tools"),
        template=_TOOLS_TEMPLATE,
        modelfile_parameters={"stop": ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")},
    )


def _mistral() -> FakeModel:
    shape = _Shape(
        arch="llama",
        layers=32,
        width=4096,
        feed_forward=14336,
        heads=32,
        kv_heads=8,
        head=128,
        vocabulary=32768,
        context=32768,
    )
    return _decoder(
        "mistral:latest",
        shape,
        parameters=7_248_023_552,
        told="7.2B",
        size_bytes=4_372_824_384,
        capabilities=("completion", "tools"),
        template=_TOOLS_TEMPLATE,
        modelfile_parameters={"stop": ("[INST]", "[/INST]")},
    )


def _qwen25(*, size: str) -> FakeModel:
    small = size == "7b"
    shape = _Shape(
        arch="qwen2",
        layers=28 if small else 48,
        width=3584 if small else 5120,
        feed_forward=18944 if small else 13824,
        heads=28 if small else 40,
        kv_heads=4 if small else 8,
        head=128,
        vocabulary=152064,
        context=32768,
        biases=True,
    )
    return _decoder(
        f"qwen2.5:{size}",
        shape,
        parameters=7_615_616_512 if small else 14_770_033_664,
        told="7.6B" if small else "14.8B",
        size_bytes=4_683_087_332 if small else 8_988_124_069,
        capabilities=("completion", "tools"),
        template=_TOOLS_TEMPLATE,
    )


def _gemma3() -> FakeModel:
    shape = _Shape(
        arch="gemma3",
        layers=34,
        width=2560,
        feed_forward=10240,
        heads=8,
        kv_heads=4,
        head=256,
        vocabulary=262145,
        context=131072,
        tied=True,
        extra={
            "gemma3.attention.sliding_window": 1024,
            "gemma3.mm.tokens_per_image": 256,
            "gemma3.vision.block_count": 27,
            "gemma3.vision.embedding_length": 1152,
            "gemma3.vision.image_size": 896,
        },
    )
    tower: tuple[Tensor, ...] = (
        ("mm.mm_input_projection.weight", "F16", (2560, 1152)),
        ("v.patch_embedding.weight", "F16", (14, 14, 3, 1152)),
        ("v.position_embedding.weight", "F16", (1152, 4096)),
        *(
            (f"v.blk.{layer}.{part}.weight", "F16", dimensions)
            for layer in range(27)
            for part, dimensions in _TOWER_PARTS
        ),
    )
    return _decoder(
        "gemma3:4b",
        shape,
        parameters=4_299_915_632,
        told="4.3B",
        size_bytes=3_338_801_804,
        capabilities=("completion", "vision"),
        tensors=(*_decoder_tensors(shape), *tower),
        modelfile_parameters={"stop": ("<end_of_turn>",), "temperature": 1, "top_k": 64, "top_p": 0.95},
    )


_TOWER_PARTS: tuple[tuple[str, tuple[int, int]], ...] = (
    ("attn_q", (1152, 1152)),
    ("attn_k", (1152, 1152)),
    ("attn_v", (1152, 1152)),
    ("attn_output", (1152, 1152)),
    ("mlp.fc1", (1152, 4304)),
    ("mlp.fc2", (4304, 1152)),
)


def _qwen3() -> FakeModel:
    shape = _Shape(
        arch="qwen3",
        layers=36,
        width=4096,
        feed_forward=12288,
        heads=32,
        kv_heads=8,
        head=128,
        vocabulary=151936,
        context=40960,
    )
    return _decoder(
        "qwen3:8b",
        shape,
        parameters=8_190_735_360,
        told="8.2B",
        size_bytes=5_225_388_164,
        capabilities=("completion", "tools", "thinking"),
        template=_TOOLS_TEMPLATE + "<think>{{ .Thinking }}</think>",
        modelfile_parameters={"temperature": 0.6, "top_k": 20, "top_p": 0.95},
    )


def _gpt_oss() -> FakeModel:
    shape = _Shape(
        arch="gptoss",
        layers=24,
        width=2880,
        feed_forward=2880,
        heads=64,
        kv_heads=8,
        head=64,
        vocabulary=201088,
        context=131072,
        extra={
            "gptoss.attention.sliding_window": 128,
            "gptoss.expert_count": 32,
            "gptoss.expert_used_count": 4,
            "gptoss.expert_feed_forward_length": 2880,
        },
    )
    tensors: list[Tensor] = [("token_embd.weight", "BF16", (2880, 201088))]
    for layer in range(24):
        prefix = f"blk.{layer}."
        tensors += [
            (f"{prefix}attn_norm.weight", "F32", (2880,)),
            (f"{prefix}attn_q.weight", "BF16", (2880, 4096)),
            (f"{prefix}attn_k.weight", "BF16", (2880, 512)),
            (f"{prefix}attn_v.weight", "BF16", (2880, 512)),
            (f"{prefix}attn_output.weight", "BF16", (4096, 2880)),
            (f"{prefix}attn_sinks.weight", "F32", (64,)),
            (f"{prefix}ffn_gate_inp.weight", "F32", (2880, 32)),
            (f"{prefix}ffn_gate_exps.weight", "MXFP4", (2880, 2880, 32)),
            (f"{prefix}ffn_up_exps.weight", "MXFP4", (2880, 2880, 32)),
            (f"{prefix}ffn_down_exps.weight", "MXFP4", (2880, 2880, 32)),
        ]
    tensors += [("output_norm.weight", "F32", (2880,)), ("output.weight", "BF16", (2880, 201088))]
    return _decoder(
        "gpt-oss:20b",
        shape,
        parameters=20_914_757_184,
        told="20.9B",
        size_bytes=13_793_441_244,
        quantization="MXFP4",
        capabilities=("completion", "tools", "thinking"),
        tensors=tuple(tensors),
        path="native",
        modelfile_parameters={"temperature": 1},
    )


def _nomic() -> FakeModel:
    layers, width, inner = 12, 768, 3072
    tensors: list[Tensor] = [("token_embd.weight", "F16", (width, 30522)), ("token_types.weight", "F32", (width, 2))]
    for layer in range(layers):
        prefix = f"blk.{layer}."
        tensors += [
            (f"{prefix}attn_qkv.weight", "F16", (width, 3 * width)),
            (f"{prefix}attn_output.weight", "F16", (width, width)),
            (f"{prefix}ffn_gate.weight", "F16", (width, inner)),
            (f"{prefix}ffn_up.weight", "F16", (width, inner)),
            (f"{prefix}ffn_down.weight", "F16", (inner, width)),
        ]
    info = {
        "general.architecture": "nomic-bert",
        "general.file_type": 1,
        "general.parameter_count": 136_727_040,
        "nomic-bert.attention.causal": False,
        "nomic-bert.attention.head_count": 12,
        "nomic-bert.block_count": layers,
        "nomic-bert.context_length": 2048,
        "nomic-bert.embedding_length": width,
        "nomic-bert.feed_forward_length": inner,
        "nomic-bert.pooling_type": 1,
        "tokenizer.ggml.model": "bert",
    }
    return FakeModel(
        name="nomic-embed-text:latest",
        family="nomic-bert",
        parameter_size="137M",
        quantization="F16",
        size_bytes=274_302_450,
        capabilities=("embedding",),
        context_length=2048,
        embedding_length=width,
        model_info=info,
        arrays=_TOKENIZER,
        tensors=tuple(tensors),
        parameters={"num_ctx": 8192},
        weights="nomic-embed-text:latest",
    )


def _llava() -> FakeModel:
    shape = _Shape(
        arch="llama",
        layers=32,
        width=4096,
        feed_forward=14336,
        heads=32,
        kv_heads=8,
        head=128,
        vocabulary=32000,
        context=32768,
        mixture="Q4_0",
    )
    return _decoder(
        "llava:7b",
        shape,
        parameters=7_241_732_096,
        told="7.2B",
        size_bytes=4_733_363_377,
        capabilities=("completion", "vision"),
        projector_info={"general.architecture": "clip", "clip.vision.block_count": 23, "clip.has_vision_encoder": True},
    )


def _cloud_stub() -> FakeModel:
    return FakeModel(
        name="gpt-oss:120b-cloud",
        family="gptoss",
        parameter_size="116.8B",
        quantization="MXFP4",
        size_bytes=384,
        capabilities=("completion", "tools", "thinking"),
        model_info={
            "general.architecture": "gptoss",
            "general.basename": "gpt-oss",
            "gptoss.context_length": 131072,
            "gptoss.embedding_length": 2880,
        },
        remote_model="gpt-oss:120b",
        remote_host="https://ollama.com:443",
    )


def catalogue() -> dict[str, FakeModel]:
    """Every known model by name."""
    models = (
        _llama31(),
        _mistral(),
        _qwen25(size="7b"),
        _qwen25(size="14b"),
        _gemma3(),
        _qwen3(),
        _gpt_oss(),
        _nomic(),
        _llava(),
        _cloud_stub(),
    )
    return {model.name: model for model in models}


def alias(model: FakeModel, name: str, **parameters: Any) -> FakeModel:
    """``name`` over the same blob with further Modelfile parameters, as `/api/create` with ``from`` makes it."""
    return replace(model, name=name, parameters={**model.parameters, **parameters}, weights=model.weights or model.name)

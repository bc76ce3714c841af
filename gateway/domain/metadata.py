"""From a model's metadata to its architecture: the same for Ollama's ``model_info`` and for a GGUF header.

Keys are GGUF's (``general.architecture``, ``<arch>.block_count``, …). Ollama sends every array as null, so what is listed per
layer is read from the shapes of the tensors instead. What this module does not model is counted as more than it takes, and
the architecture's notes say so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from gateway.domain import tensors as tensor_list
from gateway.domain.memory import Architecture
from gateway.domain.tensors import MAX_LAYERS, MAX_LENGTH, Tensor

MAX_PARAMETERS: Final = 2**50
"""The most parameters that a model is believed to have."""

# fmt: off
DENSE: Final = frozenset(
    (
        "apertus", "arcee", "arctic", "baichuan", "bailingmoe", "bailingmoe2", "bloom", "chatglm", "codeshell",
        "cohere", "cohere2", "command-r", "dbrx", "deci", "deepseek", "deepseek2", "dots1", "ernie4_5",
        "ernie4_5-moe", "exaone", "exaone4", "falcon", "gemma", "gemma2", "gemma3", "gemma3n", "gemma4", "glm4",
        "glm4moe", "gpt-oss", "gpt2", "gptneox", "gptoss", "granite", "granitemoe", "grok", "hunyuan-dense",
        "hunyuan-moe", "internlm2", "jais", "laguna", "llama", "llama4", "mellum", "mimo2", "minicpm",
        "minimax-m2", "mistral", "mistral3", "mixtral", "mpt", "nemotron", "olmo", "olmo2", "olmo3", "olmoe",
        "openelm", "orion", "phi2", "phi3", "phimoe", "plamo", "qwen", "qwen2", "qwen25vl", "qwen2moe",
        "qwen2vl", "qwen3", "qwen3moe", "qwen3vl", "qwen3vlmoe", "refact", "seed_oss", "smollm3", "stablelm",
        "starcoder", "starcoder2", "step35", "xverse",
    )
)
# fmt: on
"""Architectures whose every layer keeps keys and values of ordinary attention, over all tokens or over a window."""

# fmt: off
ENCODERS: Final = frozenset(
    (
        "bert", "distilbert", "eurobert", "gemma-embedding", "jina-bert-v2", "jina-bert-v3", "modern-bert",
        "neo-bert", "nomic-bert", "nomic-bert-moe", "roberta", "t5encoder", "xlm-roberta",
    )
)
# fmt: on
"""Architectures that embed and keep no KV cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRule:
    """Which layers of an architecture see a sliding window only.

    Of every ``period`` layers one sees all tokens, the last, or the first where ``full_first``. ``period`` is ``None`` where
    only the model's own list of layers tells. ``default_tokens`` is the window when the metadata names none, ``fixed`` says
    that no other is ever used.
    """

    period: int | None = None
    default_tokens: int | None = None
    fixed: bool = False
    full_first: bool = False


WINDOW_RULES: Final[Mapping[str, WindowRule]] = MappingProxyType(
    {
        "cohere2": WindowRule(period=4),
        "exaone4": WindowRule(),
        "gemma2": WindowRule(period=2, default_tokens=4_096),
        "gemma3": WindowRule(period=6),
        "gemma3n": WindowRule(period=5),
        "gemma4": WindowRule(),
        "gpt-oss": WindowRule(period=2),
        "gptoss": WindowRule(period=2),
        "laguna": WindowRule(period=4, full_first=True),
        "llama4": WindowRule(period=4, default_tokens=8_192, fixed=True),
        "mellum": WindowRule(),
        "mimo2": WindowRule(),
        "olmo2": WindowRule(period=4),
        "olmo3": WindowRule(period=4),
        "step35": WindowRule(),
    }
)
"""Architectures that are not named here ignore the window their metadata may name, as llama.cpp does (phi3, llama)."""

_GEMMA3N_CACHED_LAYERS: Final = 20
_SHOWN_CHARACTERS: Final = 80


def architecture_from(
    *,
    metadata: Mapping[str, object],
    tensors: Sequence[Tensor] = (),
    file_size_bytes: int | None = None,
    bits_per_weight: float | None = None,
) -> Architecture:
    """The architecture that ``metadata`` and ``tensors`` describe; what they do not say is ``None`` or empty.

    Weights are the exact sum over the tensors, else ``file_size_bytes``. ``bits_per_weight`` is kept for models whose size
    is known as a parameter count only. Values of unexpected types count as absent, and so do numbers that no model has, with
    a note: negative ones, more than ``MAX_LAYERS`` layers, heads and lengths above ``MAX_LENGTH``.
    """
    keys = _Keys(metadata=metadata)
    notes: list[str] = []
    odd = tensor_list.implausible(tensors)
    if odd is not None:
        notes.append(f"the list of tensors counts as unknown: no model has one such as {odd[:_SHOWN_CHARACTERS]}")
        tensors = ()
    weights_bytes = tensor_list.stored_bytes(tensors)
    if tensors and weights_bytes is None:
        names = ", ".join(tensor_list.unknown_types(tensors))
        notes.append(f"the weights count as the file's size: tensor type {names} is not known")
    parameters = keys.number("general.parameter_count", most=MAX_PARAMETERS) or tensor_list.element_count(tensors)
    layers = (keys.whole("block_count", most=MAX_LAYERS) or tensor_list.layer_count(tensors) or 0) - (
        keys.whole("nextn_predict_layers") or 0
    )
    widths, width_notes = _kv_widths(keys, tensors=tensors, layers=max(layers, 0))
    windows, window_notes = _windows(keys, layers=len(widths))
    return Architecture(
        name=keys.architecture,
        weights_bytes=file_size_bytes if weights_bytes is None else weights_bytes,
        parameter_count=parameters,
        active_parameter_count=_active_parameters(keys, tensors=tensors, parameters=parameters),
        bits_per_weight=bits_per_weight,
        trained_context_tokens=keys.whole("context_length"),
        kv_widths=widths,
        windows=windows,
        embedding_length=keys.whole("embedding_length"),
        vocabulary_size=keys.whole("vocab_size") or tensor_list.vocabulary_size(tensors),
        notes=(*notes, *keys.notes, *width_notes, *window_notes),
    )


class _Keys:
    """Reads ``<arch>.<key>``, tolerates what servers send and takes note of numbers that cannot be."""

    __slots__ = ("_metadata", "_notes", "architecture")

    def __init__(self, *, metadata: Mapping[str, object]) -> None:
        self._metadata = metadata
        self._notes: dict[str, str] = {}
        name = metadata.get("general.architecture")
        self.architecture = name if isinstance(name, str) else ""

    def value(self, key: str) -> object:
        return self._metadata.get(f"{self.architecture}.{key}")

    def has(self, key: str) -> bool:
        return f"{self.architecture}.{key}" in self._metadata

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence for each number that was read so far and not believed."""
        return tuple(self._notes.values())

    def whole(self, key: str, *, most: int = MAX_LENGTH) -> int | None:
        return self.number(f"{self.architecture}.{key}", most=most)

    def number(self, name: str, *, most: int) -> int | None:
        return self._believed(name, self._metadata.get(name), most=most)

    def counts(self, key: str) -> tuple[int | None, ...] | None:
        """The numbers in the list ``key``; ``None`` when there is none."""
        listed = self.listed(key)
        name = f"{self.architecture}.{key}"
        return tuple(self._believed(name, one, most=MAX_LENGTH) for one in listed) if listed else None

    def _believed(self, name: str, found: object, *, most: int) -> int | None:
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            return None
        if not 0 <= found <= most:
            shown = str(found) if isinstance(found, float) or abs(found) < 2**64 else "beyond 2^64"
            self._notes[name] = f"{name} counts as unknown: it is {shown}, which no model has"
            return None
        return int(found) if found == found // 1 else None

    def listed(self, key: str) -> tuple[object, ...] | None:
        found = self.value(key)
        return tuple(found) if isinstance(found, (list, tuple)) else None


def _active_parameters(keys: _Keys, *, tensors: Sequence[Tensor], parameters: int | None) -> int | None:
    experts = keys.whole("expert_count")
    if not experts:
        return parameters if keys.architecture else None
    used = keys.whole("expert_used_count")
    in_experts = tensor_list.expert_element_count(tensors)
    if parameters is None or used is None or not in_experts:
        return None
    active = parameters - round(in_experts * (1 - min(used, experts) / experts))
    return active if active > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _HeadSizes:
    """Heads, and the elements of key and value that one head adds, in full and in sliding layers."""

    heads: int | None
    full: tuple[int, int]
    sliding: tuple[int, int]


def _head_sizes(keys: _Keys) -> _HeadSizes | None:
    heads = keys.whole("attention.head_count")
    embedding = keys.whole("embedding_length")
    default = embedding // heads if embedding and heads else None
    key = keys.whole("attention.key_length") or default
    value = keys.whole("attention.value_length") or default
    if key is None or value is None:
        return None
    sliding_key = keys.whole("attention.key_length_swa") or key
    sliding_value = keys.whole("attention.value_length_swa") or value
    return _HeadSizes(heads=heads, full=(key, value), sliding=(sliding_key, sliding_value))


def _kv_widths(
    keys: _Keys, *, tensors: Sequence[Tensor], layers: int
) -> tuple[tuple[tuple[int, int], ...], tuple[str, ...]]:
    """Per layer the widths (key, value), empty when unknown, and notes."""
    if keys.architecture in ENCODERS:
        return ((0, 0),) * max(layers, 1), ()
    if layers == 0:
        return (), ()
    latent = keys.has("attention.kv_lora_rank") and not _keeps_full_heads(keys)
    if latent or keys.architecture not in DENSE:
        full = _all_heads(keys)
        if full is None:
            return (), ()
        kind = "latent attention" if latent else f'architecture "{keys.architecture}"'
        note = (
            f"{kind} is not modelled yet: its KV cache counts as ordinary attention of all heads in every layer,"
            " which is more than it takes"
        )
        return (full,) * layers, (note,)
    widths = _listed_widths(keys, layers=layers)
    if widths is None:
        heads = _head_sizes(keys)
        query_width = heads.heads * heads.full[0] if heads and heads.heads else None
        widths = tensor_list.attention_widths(tensors, layers=layers, query_width=query_width)
    notes: tuple[str, ...] = ()
    if widths is None and (full := _all_heads(keys)) is not None:
        widths = (full,) * layers
        notes = ("the server does not say how many heads have keys and values: all are counted",)
    if widths is None:
        return (), ()
    cached = _cached_layers(keys, layers=layers)
    return (*widths[:cached], *((0, 0),) * (layers - cached)), notes


def _keeps_full_heads(keys: _Keys) -> bool:
    """Old files of deepseek2 have no latent keys; llama.cpp then caches every head in full."""
    return keys.architecture == "deepseek2" and not keys.has("attention.key_length_mla")


def _listed_widths(keys: _Keys, *, layers: int) -> tuple[tuple[int, int], ...] | None:
    """Widths from head counts and sizes; ``None`` when the metadata withholds one of them."""
    sizes = _head_sizes(keys)
    name = "attention.head_count_kv" if keys.has("attention.head_count_kv") else "attention.head_count"
    counts = keys.counts(name) or (keys.whole(name),) * layers
    if sizes is None or len(counts) < layers:
        return None
    sliding = (
        (False,) * layers
        if sizes.full == sizes.sliding
        else tuple(window is not None for window in _windows(keys, layers=layers)[0])
    )
    widths: list[tuple[int, int]] = []
    for layer in range(layers):
        count = counts[layer]
        if count is None:
            return None
        key, value = sizes.sliding if sliding[layer] else sizes.full
        widths.append((count * key, count * value))
    return tuple(widths)


def _all_heads(keys: _Keys) -> tuple[int, int] | None:
    """The widths of a layer that caches every query head."""
    sizes = _head_sizes(keys)
    embedding = keys.whole("embedding_length")
    if sizes is None or not sizes.heads:
        return (embedding, embedding) if embedding else None
    key = max(sizes.full[0], keys.whole("attention.key_length_mla") or 0)
    value = max(sizes.full[1], keys.whole("attention.value_length_mla") or 0)
    return sizes.heads * key, sizes.heads * value


def _cached_layers(keys: _Keys, *, layers: int) -> int:
    """How many layers, from the first, keep a cache of their own; later ones read it."""
    if keys.architecture == "gemma3n":
        return min(layers, _GEMMA3N_CACHED_LAYERS)
    if keys.architecture == "gemma4":
        return max(layers - (keys.whole("attention.shared_kv_layers") or 0), 0)
    return layers


def _windows(keys: _Keys, *, layers: int) -> tuple[tuple[int | None, ...], tuple[str, ...]]:
    """Per layer the window, ``None`` for full attention, and notes."""
    everything: tuple[int | None, ...] = (None,) * layers
    rule = WINDOW_RULES.get(keys.architecture)
    if rule is None:
        return everything, ()
    named = keys.whole("attention.sliding_window")
    window = named if named is not None else rule.default_tokens
    if not window:
        return everything, ()
    if rule.fixed:
        window = rule.default_tokens
    listed = keys.listed("attention.sliding_window_pattern")
    if listed is not None and len(listed) >= layers:
        return tuple(window if listed[layer] else None for layer in range(layers)), ()
    period = keys.whole("attention.sliding_window_pattern") or rule.period
    if period is None:
        note = (
            "the server does not list which layers use the sliding window: all count as full attention,"
            " which is more than they take"
        )
        return everything, (note,)
    full = 0 if rule.full_first else period - 1
    return tuple(None if layer % period == full else window for layer in range(layers)), ()

"""How models are named, and what of a name matters: the words, the sizes, the mode."""

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelIdentity:
    """What is known of which model this is. ``None`` (or an empty string) is unknown.

    ``name`` is as the server spells it, a tag included. ``architecture``, ``basename``, ``size_label``, ``finetune`` and
    ``parameter_count`` are the server's ``general.*`` metadata. ``thinking`` is the mode requests will use. ``year`` (with a
    fraction) is when the model was published.
    """

    name: str
    architecture: str | None = None
    basename: str | None = None
    size_label: str | None = None
    parameter_count: int | None = None
    quantization: str | None = None
    thinking: bool | None = None
    finetune: str | None = None
    year: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NameParts:
    """A name taken apart: lower case, dots removed, sizes, quantisations, dates and words without meaning left out.

    ``sizes`` are tokens such as ``8b``, ``30b``, ``8x7b``, ``e4b``. ``before_size`` counts the words that stand before the
    first of them, all words without one. ``thinking`` is the mode that the name speaks of.
    """

    words: tuple[str, ...]
    sizes: tuple[str, ...] = ()
    before_size: int = 0
    thinking: bool | None = None


_QUANTIZATION: Final = re.compile(
    r"(?<![a-z0-9])(?:ud[-_])?(?:i?q\d(?:_[0-9a-z]+)*|t?q\d_\d|b?f(?:p)?16|f32|fp[48]|(?:mx|nv)fp[48]|int[48]|[48]-?bits?)(?![a-z0-9])"
)
_DATE: Final = re.compile(r"(?<!\d)20[2-9]\d-?[01]\d-?[0-3]\d(?!\d)")
_SPLIT: Final = re.compile(r"[^a-z0-9.]+|(?<=[a-z])\.(?=[a-z])")
_SIZE: Final = re.compile(r"^(?:\d+x)?[ae]?\d+(?:\.\d+)?[bmt]$")
_ACTIVE: Final = re.compile(r"^a\d+(?:\.\d+)?b$")
_CONTEXT: Final = re.compile(r"^\d+k$")
_VERSION: Final = re.compile(r"^v?\d+$")
_THINKING: Final = frozenset({"think", "thinking"})
# fmt: off
_MEANINGLESS: Final = frozenset(
    (
        "ai", "alpha", "anthropic", "apac", "awq", "beta", "c4ai", "chat", "cloud", "deepseekai", "dpo", "eu", "exp", "free",
        "gguf", "ggml", "global", "google", "gptq", "hf", "i1", "ibm", "imat", "instruct", "it", "latest", "meta", "microsoft",
        "mistralai", "mlx", "nvidia", "openai", "qat", "text2text", "us",
    )
)
_EMBEDDING: Final = frozenset(("bge", "e5", "gte", "labse", "minilm", "mxbai"))
# fmt: on


def take_apart(text: str) -> NameParts:
    """The parts of a model's name, with or without folders before it and a tag behind it."""
    plain = _DATE.sub(" ", _QUANTIZATION.sub(" ", text.lower().rsplit("/", 1)[-1]))
    words: list[str] = []
    sizes: list[str] = []
    before_size: int | None = None
    thinking: bool | None = None
    for token in (piece.strip(".") for piece in _SPLIT.split(plain)):
        if _SIZE.match(token):
            if before_size is None:
                before_size = len(words)
            if not _ACTIVE.match(token):
                sizes.append(token)
        elif token in _THINKING:
            thinking = True
        elif token and token not in _MEANINGLESS and not _CONTEXT.match(token):
            words.append(token.replace(".", ""))
        elif token == "instruct" and thinking is None:
            thinking = False
    return NameParts(
        words=tuple(words),
        sizes=tuple(dict.fromkeys(sizes)),
        before_size=len(words) if before_size is None else before_size,
        thinking=thinking,
    )


def is_version(word: str) -> bool:
    """Whether a word of a name only numbers a release: ``v03``, ``2507``."""
    return _VERSION.match(word) is not None


def size_in_billions(token: str) -> float | None:
    """The parameters, in 10^9, that a size token names; ``None`` for a mixture (``8x7b``) or an effective size (``e4b``)."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([bmt])", token)
    if found is None:
        return None
    return float(found[1]) * {"m": 1e-3, "b": 1.0, "t": 1e3}[found[2]]


def names_an_embedding_model(text: str) -> bool:
    """Whether a name belongs to a model that embeds or reranks."""
    lower = text.lower()
    return "embed" in lower or "rerank" in lower or not _EMBEDDING.isdisjoint(take_apart(text).words)

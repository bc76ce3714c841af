import pytest

from gateway.catalog.matching import size_of
from gateway.catalog.names import ModelIdentity, NameParts, names_an_embedding_model, size_in_billions, take_apart


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("llama3.1:8b", NameParts(words=("llama31",), sizes=("8b",), before_size=1)),
        ("mistral:latest", NameParts(words=("mistral",), before_size=1)),
        ("Meta-Llama-3.1", NameParts(words=("llama", "31"), before_size=2)),
        (
            "hf.co/someone/Qwen3-30B-A3B-Thinking-2507-GGUF:UD-Q4_K_XL",
            NameParts(words=("qwen3", "2507"), sizes=("30b",), before_size=1, thinking=True),
        ),
        (
            "mistral:7b-instruct-v0.2-q4_0",
            NameParts(words=("mistral", "v02"), sizes=("7b",), before_size=1, thinking=False),
        ),
        ("mixtral:8x7b", NameParts(words=("mixtral",), sizes=("8x7b",), before_size=1)),
        ("gemma3n:e4b", NameParts(words=("gemma3n",), sizes=("e4b",), before_size=1)),
        ("claude-3-5-sonnet-20241022", NameParts(words=("claude", "3", "5", "sonnet"), before_size=4)),
        ("Phi-3-mini-4k-instruct", NameParts(words=("phi", "3", "mini"), before_size=3, thinking=False)),
        ("", NameParts(words=())),
    ],
)
def test_a_name_is_taken_apart(text: str, parts: NameParts) -> None:
    assert take_apart(text) == parts


@pytest.mark.parametrize(
    ("token", "billions"), [("8b", 8.0), ("135m", 0.135), ("1t", 1_000.0), ("8x7b", None), ("e4b", None)]
)
def test_a_size_token_names_parameters(token: str, billions: float | None) -> None:
    assert size_in_billions(token) == (None if billions is None else pytest.approx(billions))


def test_a_count_goes_before_a_label_and_a_label_before_the_name() -> None:
    assert size_of(ModelIdentity(name="x:7b", size_label="8B", parameter_count=9_000_000_000)) == 9.0
    assert size_of(ModelIdentity(name="x:7b", size_label="8B")) == 8.0
    assert size_of(ModelIdentity(name="x:7b")) == 7.0
    assert size_of(ModelIdentity(name="x:8x7b")) is None


@pytest.mark.parametrize(
    ("text", "embeds"),
    [("nomic-embed-text", True), ("bge-m3", True), ("all-minilm:33m", True), ("bge-reranker", True), ("gemma3", False)],
)
def test_embedding_models_are_known_by_name(text: str, *, embeds: bool) -> None:
    assert names_an_embedding_model(text) is embeds

"""Declared facts find the models they are about."""

import pytest

from gateway.catalog.names import ModelIdentity
from gateway.domain.capabilities import Fact, ModelCapabilities, Origin
from gateway.domain.model import Lane, Provider, ProviderKind
from gateway.registry.enrich import Enricher, Found, reported

OLLAMA = Provider(name="ollama", kind=ProviderKind.OLLAMA, lane=Lane.OLLAMA)
LAB = Provider(name="lab", kind=ProviderKind.OPENAI, lane=Lane.OPENAI)


class CountedScores:
    def __init__(self) -> None:
        self.count = 0

    def capabilities(self, identity: ModelIdentity) -> ModelCapabilities:
        self.count += 1
        return ModelCapabilities(reasoning_strength=Fact(value=0.4, origin=Origin.CATALOG))


def declared(value: float) -> ModelCapabilities:
    return ModelCapabilities(reasoning_strength=Fact(value=value, origin=Origin.DECLARED))


def found(provider: Provider, name: str, *, context: int | None = None) -> Found:
    return Found(
        provider=provider,
        name=name,
        cloud=False,
        chats=True,
        embeds=False,
        identity=ModelIdentity(name=name),
        reported=ModelCapabilities(context_length=reported(context)),
    )


@pytest.mark.parametrize(
    ("written", "provider", "name", "reasoning"),
    [
        ("mistral:latest", OLLAMA, "mistral:latest", 0.9),
        ("mistral", OLLAMA, "mistral:latest", 0.9),
        ("ollama:mistral", OLLAMA, "mistral:latest", 0.9),
        ("ollama:mistral:latest", OLLAMA, "mistral:latest", 0.9),
        ("mistral:7b", OLLAMA, "mistral:latest", 0.4),
        ("mistral", LAB, "mistral", 0.4),
        ("lab:mistral", LAB, "mistral", 0.9),
        ("lab:mistral", OLLAMA, "mistral:latest", 0.4),
    ],
)
def test_a_reference_finds_its_model(written: str, provider: Provider, name: str, reasoning: float) -> None:
    enricher = Enricher(declared={written: declared(0.9)}, providers=["ollama", "lab"], scores=CountedScores())
    fact = enricher.model(found(provider, name)).capabilities.reasoning_strength
    assert fact is not None
    assert fact.value == reasoning


def test_a_reference_with_a_provider_wins_over_one_without() -> None:
    both = {"mistral": declared(0.1), "ollama:mistral": declared(0.8)}
    enricher = Enricher(declared=both, providers=["ollama"], scores=CountedScores())
    fact = enricher.model(found(OLLAMA, "mistral:latest")).capabilities.reasoning_strength
    assert fact == Fact(value=0.8, origin=Origin.DECLARED)


def test_a_worse_fact_overrules_a_declaration_with_a_warning_on_the_model() -> None:
    claim = {"mistral": ModelCapabilities(context_length=Fact(value=64000, origin=Origin.DECLARED))}
    enricher = Enricher(declared=claim, providers=["ollama"], scores=CountedScores())
    model = enricher.model(found(OLLAMA, "mistral:latest", context=32768))
    assert model.capabilities.context_length == Fact(value=32768, origin=Origin.REPORTED)
    assert model.warnings == (
        "context_length is declared as 64000, but the model takes 32768 tokens (reported); 32768 is used",
    )


def test_scores_are_looked_up_once_per_model() -> None:
    scores = CountedScores()
    enricher = Enricher(declared={}, providers=["ollama"], scores=scores)
    for _ in range(3):
        enricher.model(found(OLLAMA, "mistral:latest"))
    assert scores.count == 1

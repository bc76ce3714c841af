import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.catalog.cloud import CloudFact, CloudFacts
from gateway.domain.capabilities import Fact, ModelCapabilities, Origin
from gateway.domain.cost import Price


def facts_of(folder: Path, entries: object) -> CloudFacts:
    path = folder / "prices.json"
    path.write_text(json.dumps(entries), encoding="utf-8")
    return CloudFacts(path=path)


@pytest.mark.litellm_facts
def test_the_installed_map_knows_common_models() -> None:
    found = CloudFacts.read().facts(litellm_name="openai", model="gpt-4o-mini")
    assert found is not None
    assert (found.context_length, found.chats, found.embeds) == (128_000, True, False)
    assert found.supports_function_calling is True
    assert found.cost_usd_per_mtok == pytest.approx(0.375)


@pytest.mark.litellm_facts
def test_reading_the_map_does_not_import_litellm() -> None:
    program = (
        "import sys; from gateway.catalog.cloud import CloudFacts;"
        "assert CloudFacts.read().facts(litellm_name='anthropic', model='claude-sonnet-4-5');"
        "sys.exit('litellm' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_map_is_not_parsed_before_the_first_question(tmp_path: Path) -> None:
    facts = CloudFacts(path=tmp_path / "absent.json")
    assert facts.problem == ""
    assert facts.facts(litellm_name="openai", model="x") is None
    assert facts.problem.startswith(f"{tmp_path / 'absent.json'} cannot be read (")
    assert facts.problem.endswith("): context lengths and prices of cloud models are unknown")


def test_without_litellm_all_is_unknown() -> None:
    facts = CloudFacts(path=None)
    assert facts.facts(litellm_name="openai", model="gpt-4o-mini") is None
    assert facts.problem == "litellm is not installed: context lengths and prices of cloud models are unknown"


def test_a_map_that_is_no_object_is_said_to_be_none(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, [])
    assert facts.facts(litellm_name="openai", model="x") is None
    assert facts.problem == (
        f"{tmp_path / 'prices.json'} holds no object: context lengths and prices of cloud models are unknown"
    )


def test_a_model_is_found_with_and_without_its_providers_prefix(tmp_path: Path) -> None:
    facts = facts_of(
        tmp_path,
        {
            "gemini/g": {"litellm_provider": "gemini", "mode": "chat"},
            "anthropic.c": {"litellm_provider": "bedrock_converse", "mode": "chat"},
            "v": {"litellm_provider": "vertex_ai-anthropic_models", "mode": "chat"},
            "sample_spec": {"litellm_provider": "openai"},
        },
    )
    assert facts.facts(litellm_name="gemini", model="g") == CloudFact(key="gemini/g", mode="chat")
    assert facts.facts(litellm_name="gemini", model="gemini/g") == CloudFact(key="gemini/g", mode="chat")
    assert facts.facts(litellm_name="bedrock", model="anthropic.c") == CloudFact(key="anthropic.c", mode="chat")
    assert facts.facts(litellm_name="vertex_ai", model="v") == CloudFact(key="v", mode="chat")
    assert facts.facts(litellm_name="openai", model="sample_spec") is None


def test_the_same_name_at_another_provider_is_another_model(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, {"m": {"litellm_provider": "openai"}})
    assert facts.facts(litellm_name="azure", model="m") is None


def test_an_unknown_price_is_unknown_and_never_free(tmp_path: Path) -> None:
    facts = facts_of(
        tmp_path,
        {
            "zero": {"litellm_provider": "x", "mode": "chat", "input_cost_per_token": 0.0, "output_cost_per_token": 0},
            "half": {"litellm_provider": "x", "mode": "chat", "input_cost_per_token": 1e-6},
            "vectors": {"litellm_provider": "x", "mode": "embedding", "input_cost_per_token": 2e-8},
        },
    )
    costs = {}
    for name in ("zero", "half", "vectors"):
        found = facts.facts(litellm_name="x", model=name)
        assert found is not None
        costs[name] = found.cost_usd_per_mtok
    assert costs == {"zero": None, "half": None, "vectors": pytest.approx(0.02)}


def test_values_of_unexpected_types_are_unknown(tmp_path: Path) -> None:
    facts = facts_of(
        tmp_path,
        {
            "m": {
                "litellm_provider": "x",
                "mode": 3,
                "max_input_tokens": "many",
                "supports_vision": "yes",
                "max_tokens": True,
            }
        },
    )
    assert facts.facts(litellm_name="x", model="m") == CloudFact(key="m")


def test_what_a_model_takes_is_read_under_the_maps_own_names(tmp_path: Path) -> None:
    entry = {
        "litellm_provider": "x",
        "supports_audio_input": True,
        "supports_response_schema": True,
        "supports_assistant_prefill": False,
    }
    found = facts_of(tmp_path, {"m": entry}).facts(litellm_name="x", model="m")
    assert found is not None
    known, source = found.capabilities(), "LiteLLM's price map"
    assert known == ModelCapabilities(
        supports_audio=Fact(value=True, origin=Origin.CATALOG, source=source),
        supports_json_schema=Fact(value=True, origin=Origin.CATALOG, source=source),
        supports_prefill=Fact(value=False, origin=Origin.CATALOG, source=source),
    )


def test_facts_become_capabilities_of_the_catalog() -> None:
    known = CloudFact(key="m", mode="chat", context_length=8_192, supports_function_calling=True).capabilities()
    source = "LiteLLM's price map"
    assert known == ModelCapabilities(
        context_length=Fact(value=8_192, origin=Origin.CATALOG, source=source),
        supports_function_calling=Fact(value=True, origin=Origin.CATALOG, source=source),
        supports_tools=Fact(value=True, origin=Origin.CATALOG, source=source),
    )
    assert CloudFact(key="m").chats is None


def test_finer_prices_are_those_of_the_map_and_never_nothing(tmp_path: Path) -> None:
    entry = {
        "litellm_provider": "gemini",
        "input_cost_per_token": 1e-6,
        "output_cost_per_token": 1e-5,
        "cache_read_input_token_cost": 5e-7,
        "cache_creation_input_token_cost": 0,
        "output_cost_per_reasoning_token": 2e-5,
        "input_cost_per_audio_token": 3e-6,
        "input_cost_per_token_above_200k_tokens": 2e-6,
        "output_cost_per_token_above_200k_tokens": 1.5e-5,
        "input_cost_per_token_above_200k_tokens_priority": 9e-6,
    }
    found = facts_of(tmp_path, {"gemini/pro": entry}).facts(litellm_name="gemini", model="pro")
    assert found is not None
    long = Price(
        input_usd_per_mtok=2.0,
        output_usd_per_mtok=15.0,
        cached_usd_per_mtok=0.5,
        reasoning_usd_per_mtok=20.0,
        audio_usd_per_mtok=3.0,
    )
    short = replace(long, input_usd_per_mtok=1.0, output_usd_per_mtok=10.0)
    assert found.price == replace(short, above=((200_000, long),))


def test_the_installed_map_prices_the_first_class_clouds_with_what_they_cache() -> None:
    facts = CloudFacts.read()
    for provider, model in (("openai", "gpt-4o-mini"), ("anthropic", "claude-sonnet-4-5")):
        found = facts.facts(litellm_name=provider, model=model)
        assert found is not None
        price = found.price
        assert price.input_usd_per_mtok is not None
        assert price.cached_usd_per_mtok is not None
        assert 0 < price.cached_usd_per_mtok < price.input_usd_per_mtok

"""Cloud providers asked for their models, and what counts as a cloud."""

import pytest

from builders import a_cloud, a_provider
from fakes import faults
from fakes.upstream import FakeUpstream
from gateway.domain.model import Lane, Provider
from gateway.errors import ProviderDown, ProviderFailed
from gateway.registry.cloud_listing import can_list, listing
from gateway.registry.ollama_listing import is_ollamas_cloud
from plans import KnownKeys, a_cloud_provider

KEYS = KnownKeys(by_provider={"openai": "sk", "anthropic": "sk"})
CLAUDE = "claude-sonnet-4-5"


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/", "/v1/messages"])
async def test_anthropics_address_may_be_given_with_or_without_its_path(path: str) -> None:
    async with FakeUpstream(models=[f"{CLAUDE}-20250929"], key="sk") as fake:
        provider = a_cloud_provider("anthropic", url=f"{fake.url}{path}")
        found = await listing(provider, keys=KEYS, models=[CLAUDE, "claude-9"])
        assert [one.path for one in fake.requests] == ["/v1/models", "/v1/models/claude-9"]
    assert found.missing == ("claude-9",)


async def test_what_no_list_has_is_asked_for_by_its_name() -> None:
    async with FakeUpstream(models=["gpt-4o-mini"], key="sk") as fake:
        found = await listing(a_cloud_provider("openai", url=fake.base_url), keys=KEYS, models=["gpt-4o-mini", "a/b"])
        assert [one.path for one in fake.requests] == ["/v1/models", "/v1/models/a/b"]
    assert found.missing == ("a/b",)


async def test_a_refused_key_has_its_status() -> None:
    async with FakeUpstream(key="another") as fake:
        with pytest.raises(ProviderFailed) as failed:
            await listing(a_cloud_provider("openai", url=fake.base_url), keys=KEYS, models=[])
    assert failed.value.status == 401


async def test_a_provider_that_says_nothing_is_down() -> None:
    async with FakeUpstream(key="sk") as fake:
        fake.fail(faults.hang())
        with pytest.raises(ProviderDown) as down:
            await listing(a_cloud_provider("openai", url=fake.base_url), keys=KEYS, models=[], within_s=0.05)
        assert down.value.message == f"openai at {fake.base_url} does not answer: no answer within 0.05 s"


async def test_an_answer_without_a_list_is_wrong() -> None:
    async with FakeUpstream(key="sk") as fake:
        fake.overrides["/v1/models"] = b"[]"
        with pytest.raises(ProviderFailed, match="answers /models without a list of models"):
            await listing(a_cloud_provider("openai", url=fake.base_url), keys=KEYS, models=[])


@pytest.mark.parametrize(
    ("provider", "known"),
    [
        (a_cloud_provider("openai"), True),
        (a_cloud_provider("anthropic"), True),
        (a_cloud_provider("mine", litellm_name="openai"), True),
        (a_cloud_provider("gemini"), False),
        (a_provider("near", lane=Lane.OPENAI, url="https://127.0.0.1/v1"), True),
        (a_cloud("gemini"), False),
    ],
)
def test_it_is_known_of_some_how_they_list(provider: Provider, known: bool) -> None:
    assert can_list(provider) is known


@pytest.mark.parametrize(
    ("url", "cloud"),
    [
        ("https://ollama.com", True),
        ("https://api.OLLAMA.com:443/x", True),
        ("https://ollama.com.", True),
        ("https://\uff4fllama\u3002com", True),
        ("http://127.0.0.1:11434", False),
        ("http://ollama.com.example", False),
        ("http://notollama.com", False),
        (None, False),
    ],
)
def test_ollamas_own_addresses_are_a_cloud(url: str | None, cloud: bool) -> None:
    assert is_ollamas_cloud(url) is cloud

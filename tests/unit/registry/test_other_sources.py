"""OpenAI-wire servers, the embedded engine and cloud providers as discovery sees them."""

import json
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

import pytest

from fakes import faults
from fakes.upstream import FakeUpstream, UpstreamModel
from gateway.catalog.cloud import CloudFact
from gateway.catalog.names import ModelIdentity
from gateway.config.settings import CloudModel
from gateway.domain.budget import Budget
from gateway.domain.capabilities import Fact, ModelCapabilities, Origin
from gateway.domain.memory import estimate
from gateway.domain.model import Lane, Provider, ProviderKind, Residency
from gateway.domain.ports import GgufFile
from gateway.domain.secret import Secret
from gateway.registry.cloud import CloudSource
from gateway.registry.embedded import EmbeddedSource
from gateway.registry.enrich import Enricher
from gateway.registry.fetch import BODY_LIMIT_BYTES
from gateway.registry.file_types import file_type
from gateway.registry.openai import OpenAISource


class OneScore:
    """Says the same of every model, and remembers whom it was asked about."""

    def __init__(self) -> None:
        self.asked: list[ModelIdentity] = []

    def capabilities(self, identity: ModelIdentity) -> ModelCapabilities:
        self.asked.append(identity)
        return ModelCapabilities(coding_strength=Fact(value=0.5, origin=Origin.CATALOG))


class Keys:
    def __init__(self, **keys: str) -> None:
        self._keys = keys

    def key(self, provider: str) -> Secret | None:
        return Secret(self._keys[provider]) if provider in self._keys else None


def enricher(declared: Mapping[str, ModelCapabilities] | None = None, scores: OneScore | None = None) -> Enricher:
    return Enricher(declared=declared or {}, providers=["lab", "embedded", "openai"], scores=scores or OneScore())


@pytest.fixture
async def fake() -> AsyncIterator[FakeUpstream]:
    models = [
        UpstreamModel(name="plain"),
        UpstreamModel(name="bge-m3-embedding"),
        UpstreamModel(name="whisper-1"),
        UpstreamModel(name="cpp", meta={"n_ctx_train": 8192, "size": 1000, "n_params": 135_000_000, "n_embd": 576}),
    ]
    async with FakeUpstream(models=models, key="sk") as server:
        yield server


def lab(fake: FakeUpstream) -> Provider:
    return Provider(
        name="lab", kind=ProviderKind.OPENAI, lane=Lane.OPENAI, url=fake.base_url, key_variable="LAB_API_KEY"
    )


async def test_an_openai_server_lists_chat_models_unless_the_name_speaks_of_other_work(fake: FakeUpstream) -> None:
    source = OpenAISource(provider=lab(fake), enricher=enricher(), keys=Keys(lab="sk"))
    state, models = await source.discover()
    assert state.up
    assert [(model.ref.name, model.chats, model.embeds) for model in models] == [
        ("plain", True, None),
        ("bge-m3-embedding", None, None),
        ("whisper-1", None, None),
        ("cpp", True, None),
    ]
    cpp = models[-1]
    assert cpp.capabilities.context_length == Fact(value=8192, origin=Origin.REPORTED)
    assert cpp.capabilities.model_size == Fact(value=0.135, origin=Origin.REPORTED)
    assert cpp.architecture is not None
    assert cpp.architecture.weights_bytes == 1000


@pytest.mark.parametrize(("url", "cloud"), [("https://ollama.com/v1", True), ("http://10.0.0.5:8000/v1", False)])
def test_what_ollamas_cloud_lists_is_in_the_cloud_on_this_wire_too(url: str, cloud: bool) -> None:
    provider = Provider(name="theirs", kind=ProviderKind.OPENAI, lane=Lane.OPENAI, url=url)
    (model,) = OpenAISource(provider=provider, enricher=enricher())._models({"data": [{"id": "gpt-oss:120b"}]})
    assert model.cloud is cloud


async def test_llamacpps_own_list_of_abilities_is_believed(fake: FakeUpstream) -> None:
    fake.overrides["/v1/models"] = json.dumps(
        {
            "models": [{"model": "a", "capabilities": ["embedding"]}, {"name": "b", "capabilities": ["completion"]}],
            "data": [{"id": "a", "meta": None}, {"id": "b", "max_model_len": 4096}, {"id": ""}, None],
        }
    ).encode()
    _, models = await OpenAISource(provider=lab(fake), enricher=enricher(), keys=Keys(lab="sk")).discover()
    assert [(model.ref.name, model.chats, model.embeds) for model in models] == [("a", False, True), ("b", True, False)]
    assert models[1].capabilities.context_length == Fact(value=4096, origin=Origin.REPORTED)


async def test_parameters_and_quantisation_give_the_memory_of_a_server_that_tells_no_size(fake: FakeUpstream) -> None:
    fake.models["cpp"] = UpstreamModel(name="cpp", meta={"n_params": 7_000_000_000, "ftype": "Q4_K - Medium"})
    _, models = await OpenAISource(provider=lab(fake), enricher=enricher(), keys=Keys(lab="sk")).discover()
    cpp = models[-1]
    assert cpp.capabilities.quantization_level == Fact(value="Q4_K_M", origin=Origin.REPORTED)
    assert cpp.architecture is not None
    found = estimate(architecture=cpp.architecture, context_tokens=4096)
    assert found is not None
    assert [part.name for part in found.parts] == ["weights", "kv_full", "allowance"]
    assert found.parts[0].arithmetic == "7,000,000,000 parameters x 4.89 bits / 8"
    assert found.parts[2].bytes == round((found.parts[0].bytes + found.parts[1].bytes) * 0.1)
    assert cpp.capabilities.memory_gb_estimate is not None


@pytest.mark.parametrize(
    ("told", "name"),
    [
        (15, "Q4_K_M"),
        (True, None),
        (999, None),
        (None, None),
        ("Q4_K - Medium", "Q4_K_M"),
        ("Q2_K - Medium", "Q2_K"),
        ("Q3_K - Large", "Q3_K_L"),
        ("q4_k_m", "Q4_K_M"),
        ("all F32", "F32"),
        ("mostly Q8_0", "Q8_0"),
        ("IQ4_NL - 4.5 bpw", "IQ4_NL"),
        ("TQ1_0 - 1.69 bpw ternary", "TQ1_0"),
        ("MXFP4 MoE", "MXFP4"),
        ("Q4_K - Medium (guessed)", None),
        ("unknown, may not work", None),
        ("", None),
    ],
)
def test_a_file_type_is_named_as_people_name_it_and_never_guessed(told: object, name: str | None) -> None:
    assert file_type(told) == name


@pytest.mark.parametrize(("has_key", "needs"), [(False, Fact(value=False, origin=Origin.REPORTED)), (True, None)])
async def test_an_openai_server_takes_no_key_unless_it_is_given_one(has_key: bool, needs: Fact[bool] | None) -> None:
    async with FakeUpstream(models=["plain"]) as open_to_all:
        provider = replace(lab(open_to_all), has_key=has_key)
        _, models = await OpenAISource(provider=provider, enricher=enricher()).discover()
    [model] = models
    assert model.capabilities.requires_api_key == needs
    assert model.capabilities.model_source == Fact(value="openai", origin=Origin.REPORTED)


class ThreadScores(OneScore):
    """Remembers which threads it was asked on."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    def capabilities(self, identity: ModelIdentity) -> ModelCapabilities:
        self.threads.add(threading.get_ident())
        return super().capabilities(identity)


async def test_a_long_list_is_read_beside_the_event_loop(fake: FakeUpstream) -> None:
    names = [f"model-{number}" for number in range(5_000)]
    entries = [{"id": name, "object": "model", "owned_by": "somebody with a long name"} for name in names]
    fake.overrides["/v1/models"] = json.dumps({"object": "list", "data": entries}).encode()
    assert len(fake.overrides["/v1/models"]) > 256 << 10
    scores = ThreadScores()
    source = OpenAISource(provider=lab(fake), enricher=enricher(scores=scores), keys=Keys(lab="sk"), answer_s=10.0)
    state, models = await source.discover()
    assert state.up
    assert [model.ref.name for model in models] == names
    assert threading.get_ident() not in scores.threads


async def test_a_list_is_neither_fetched_elsewhere_nor_of_any_size(fake: FakeUpstream) -> None:
    source = OpenAISource(provider=lab(fake), enricher=enricher(), keys=Keys(lab="sk"), answer_s=10.0)
    fake.fail(faults.status(307, location=f"{fake.url}/health"), times=1)
    state, models = await source.discover()
    assert (state.up, models) == (False, ())
    assert state.error == (
        f"lab at {fake.base_url} answers /models with a redirect to {fake.url}/health, which is not followed"
    )
    assert fake.requests_to("/health") == []
    fake.fail(faults.status(200, " " * (BODY_LIMIT_BYTES + 1)), times=1)
    state, models = await source.discover()
    assert (state.up, models) == (False, ())
    assert state.error == f"lab at {fake.base_url} answers /models with more than 32 MiB"


async def test_a_list_that_is_null_is_empty(fake: FakeUpstream) -> None:
    fake.overrides["/v1/models"] = b'{"object":"list","data":null}'
    state, models = await OpenAISource(provider=lab(fake), enricher=enricher(), keys=Keys(lab="sk")).discover()
    assert (state.up, models) == (True, [])


async def test_an_openai_server_that_is_wrong_says_how(fake: FakeUpstream) -> None:
    state, _ = await OpenAISource(provider=lab(fake), enricher=enricher()).discover()
    assert state.error == (
        f"lab at {fake.base_url} answers /models with status 401: You didn't provide an API key.;"
        " give it a key that it accepts: `rolegate providers set-key lab`, or LAB_API_KEY, which counts before the vault"
    )
    asked = len(fake.requests)
    for text in ("one\ntwo", "ключ"):
        state, _ = await OpenAISource(provider=lab(fake), enricher=enricher(), keys=Keys(lab=text)).discover()
        assert state.error == (
            f"lab at {fake.base_url} cannot be asked: the gateway's key for the provider holds characters that no key has"
            " (a line break, perhaps)"
        )
    assert len(fake.requests) == asked
    source = OpenAISource(provider=lab(fake), enricher=enricher(), keys=Keys(lab="sk"), answer_s=0.2)
    fake.fail(faults.hang(), times=1)
    state, _ = await source.discover()
    assert state.error == f"lab at {fake.base_url} does not answer: no answer within 0.2 s"
    fake.fail(faults.status(200, "[]"), times=1)
    state, _ = await source.discover()
    assert state.error == (f"lab at {fake.base_url} is no OpenAI-wire server: /models answers without a list of models")
    await fake.stop()
    state, _ = await source.discover()
    assert state.error == f"lab at {fake.base_url} does not answer: connection refused"


class OneShelf:
    """A shelf that holds what it is given."""

    def __init__(self, *files: GgufFile, resident: Mapping[str, tuple[int, int | None]] | None = None) -> None:
        self._files = files
        self._resident = resident or {}

    def files(self) -> Sequence[GgufFile]:
        return self._files

    def resident(self) -> Mapping[str, tuple[int, int | None]]:
        return self._resident


def gguf(name: str, **metadata: object) -> GgufFile:
    shared: dict[str, object] = {
        "general.architecture": "llama",
        "general.file_type": 3,
        "llama.block_count": 2,
        "llama.context_length": 8192,
        "llama.embedding_length": 64,
        "llama.attention.head_count": 4,
    }
    tensors = (("token_embd.weight", "Q4_1", (64, 100)),)
    return GgufFile(
        name=name, path=f"{name}.gguf", size_bytes=5000, digest=name, metadata={**shared, **metadata}, tensors=tensors
    )


EMBEDDED = Provider(name="embedded", kind=ProviderKind.EMBEDDED, lane=Lane.OPENAI, on_this_host=True)


async def test_a_file_on_the_shelf_is_a_model() -> None:
    template = {"tokenizer.chat_template": "{% if tools %}{{ tools }}{% endif %}<think></think>"}
    shelf = OneShelf(
        gguf("small"),
        gguf("big", **template),
        gguf("vectors", **{"llama.pooling_type": 1}),
        resident={"big": (9, 4096)},
    )
    state, models = await EmbeddedSource(provider=EMBEDDED, shelf=shelf, enricher=enricher()).discover()
    assert (state.up, state.warnings) == (True, ())
    assert [(one.ref.name, one.chats, one.embeds, one.resident) for one in models] == [
        ("small", True, False, None),
        ("big", True, False, Residency(size_bytes=9, size_vram_bytes=0, context_tokens=4096)),
        ("vectors", False, True, None),
    ]
    small, big = models[0].capabilities, models[1].capabilities
    assert small.quantization_level == Fact(value="Q4_1", origin=Origin.REPORTED)
    assert small.context_length == Fact(value=8192, origin=Origin.REPORTED)
    assert (small.supports_tools, big.supports_tools, big.supports_thinking) == (
        Fact(value=False, origin=Origin.REPORTED),
        Fact(value=True, origin=Origin.REPORTED),
        Fact(value=True, origin=Origin.REPORTED),
    )
    true, false = Fact(value=True, origin=Origin.REPORTED), Fact(value=False, origin=Origin.REPORTED)
    assert (small.supports_json_schema, small.supports_prefill) == (true, true)
    assert (small.supports_insert, small.supports_audio) == (false, false)
    assert (big.supports_json_schema, big.supports_prefill) == (true, None)
    assert models[2].capabilities.supports_json_schema is None
    assert models[0].architecture is not None
    assert models[0].digest == "small"
    assert small.model_source == Fact(value="embedded", origin=Origin.REPORTED)
    assert small.requires_api_key == Fact(value=False, origin=Origin.REPORTED)


async def test_a_file_tells_the_bits_of_its_quantisation() -> None:
    state, models = await EmbeddedSource(
        provider=EMBEDDED, shelf=OneShelf(gguf("small")), enricher=enricher()
    ).discover()
    assert state.up
    assert models[0].architecture is not None
    assert models[0].architecture.bits_per_weight == 5.11


async def test_a_missing_file_is_a_warning_with_a_remedy() -> None:
    shelf = OneShelf(
        GgufFile(name="smollm2:135m", path="a", problem="the file a does not exist", pullable=True),
        GgufFile(name="mine", path="b", problem="the file b is empty"),
    )
    state, models = await EmbeddedSource(provider=EMBEDDED, shelf=shelf, enricher=enricher()).discover()
    assert models == []
    assert state.warnings == (
        (
            "embedded:smollm2:135m is not there: the file a does not exist;"
            " `rolegate models pull embedded:smollm2:135m` fetches it"
        ),
        "embedded:mine is not there: the file b is empty",
    )


class Prices:
    """A price map of one model."""

    problem = ""

    def facts(self, *, litellm_name: str, model: str) -> CloudFact | None:
        if (litellm_name, model) != ("openai", "gpt-4o-mini"):
            return None
        return CloudFact(
            key=model,
            mode="chat",
            context_length=128000,
            supports_function_calling=True,
            input_usd_per_mtok=0.15,
            output_usd_per_mtok=0.6,
        )


OPENAI = Provider(name="openai", kind=ProviderKind.CLOUD, lane=Lane.LITELLM, litellm_name="openai", has_key=True)


async def test_a_cloud_model_has_what_is_declared_and_what_the_catalogue_knows() -> None:
    declared = ModelCapabilities(context_length=Fact(value=64000, origin=Origin.DECLARED))
    models = [
        CloudModel(provider="openai", name="gpt-4o-mini", capabilities=declared),
        CloudModel(
            provider="openai",
            name="new",
            capabilities=ModelCapabilities(),
            input_usd_per_mtok=1.0,
            output_usd_per_mtok=3.0,
        ),
        CloudModel(provider="other", name="not-ours", capabilities=ModelCapabilities()),
    ]
    profile = {"openai:gpt-4o-mini": ModelCapabilities(coding_strength=Fact(value=0.9, origin=Origin.DECLARED))}
    source = CloudSource(provider=OPENAI, models=models, facts=Prices(), enricher=enricher(profile))
    state, found = await source.discover()
    assert state.up
    mini, new = found
    assert (mini.cloud, mini.chats, mini.embeds, mini.cost_usd_per_mtok) == (True, True, False, 0.375)
    assert mini.capabilities.context_length == Fact(value=64000, origin=Origin.DECLARED)
    assert mini.capabilities.coding_strength == Fact(value=0.9, origin=Origin.DECLARED)
    assert mini.capabilities.supports_tools is not None
    assert mini.capabilities.requires_api_key == Fact(value=True, origin=Origin.REPORTED)
    assert (
        mini.capabilities.model_source == new.capabilities.model_source == Fact(value="cloud", origin=Origin.REPORTED)
    )
    assert (new.chats, new.cost_usd_per_mtok, new.capabilities.context_length) == (None, 2.0, None)


async def test_a_server_that_repeats_the_key_is_not_repeated(fake: FakeUpstream) -> None:
    key = "sk-of-the-lab-0123456789"
    provider = lab(fake)
    source = OpenAISource(provider=provider, enricher=enricher(), keys=Keys(lab=key))
    for fault in (
        faults.status(500, f'{{"error": {{"message": "{"x" * 190}{key}"}}}}'),
        faults.status(307, location=f"http://127.0.0.1:9/{key}"),
    ):
        fake.heal()
        fake.fail(fault)
        state, _ = await source.discover()
        assert "*****" in state.error
        assert key[:9] not in state.error


@pytest.mark.parametrize(
    ("budget", "warned"),
    [(None, False), (Budget(), False), (Budget(daily_usd=1.0), True), (Budget(monthly_usd=9.0), True)],
)
async def test_a_budget_that_cannot_count_a_model_is_warned_of(budget: Budget | None, warned: bool) -> None:
    def model(name: str, **prices: float) -> CloudModel:
        return CloudModel(
            provider="openai",
            name=name,
            capabilities=ModelCapabilities(),
            input_usd_per_mtok=prices.get("into"),
            output_usd_per_mtok=prices.get("out"),
        )

    models = [model("half", into=1.0), model("declared", into=1.0, out=3.0), model("new")]
    provider = replace(OPENAI, budget=budget)
    source = CloudSource(provider=provider, models=models, facts=Prices(), enricher=enricher({}))
    state, _ = await source.discover()
    warning = (
        "the budget of openai cannot count what half, new costs: no price is known; declare input_usd_per_mtok"
        " and output_usd_per_mtok under cloud_providers.openai.models"
    )
    assert state.warnings == ((warning,) if warned else ())

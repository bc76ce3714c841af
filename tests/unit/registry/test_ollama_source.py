"""An Ollama host as discovery sees it, whatever it sends."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from fakes import faults
from fakes.ollama import FakeOllama
from fakes.ollama_models import FakeModel, alias, catalogue
from gateway.catalog.names import ModelIdentity
from gateway.domain.capabilities import Fact, ModelCapabilities, Origin
from gateway.domain.memory import estimate
from gateway.domain.model import Lane, Model, Provider, ProviderKind, Residency
from gateway.registry.cache import CapabilityCache
from gateway.registry.enrich import Enricher
from gateway.registry.fetch import BODY_LIMIT_BYTES
from gateway.registry.ollama import OllamaSource
from gateway.registry.ollama_listing import names_cloud

ASK = {"messages": [{"role": "user", "content": "hi"}], "stream": False}


class NoScores:
    def capabilities(self, identity: ModelIdentity) -> ModelCapabilities:
        return ModelCapabilities()


def provider(url: str) -> Provider:
    return Provider(name="ollama", kind=ProviderKind.OLLAMA, lane=Lane.OLLAMA, url=url, key_variable="OLLAMA_API_KEY")


@pytest.fixture
async def fake() -> AsyncIterator[FakeOllama]:
    models = ("llama3.1:8b", "gpt-oss:20b", "qwen3:8b", "nomic-embed-text", "gpt-oss:120b-cloud")
    async with FakeOllama(models=models) as server:
        yield server


@pytest.fixture
def source_of(tmp_path: Path) -> Callable[..., OllamaSource]:
    """A new source each time, all over one cache file."""

    def make(url: str, *, answer_s: float = 10.0, making_s: float = 10.0) -> OllamaSource:
        return OllamaSource(
            provider=provider(url),
            cache=CapabilityCache(path=tmp_path / "registry.sqlite"),
            enricher=Enricher(declared={}, providers=["ollama"], scores=NoScores()),
            answer_s=answer_s,
            making_s=making_s,
        )

    return make


async def models_of(source: OllamaSource) -> dict[str, Model]:
    state, models = await source.discover()
    assert state.up, state.error
    return {model.ref.name: model for model in models}


def values(capabilities: ModelCapabilities) -> dict[str, Any]:
    return {
        name: fact.value
        for name in capabilities.__slots__
        if (fact := getattr(capabilities, name)) is not None and fact.origin is Origin.REPORTED
    }


async def test_a_model_has_what_the_server_reports(fake: FakeOllama, source_of: Callable[..., OllamaSource]) -> None:
    model = (await models_of(source_of(fake.url)))["llama3.1:8b"]
    assert str(model.ref) == "ollama:llama3.1:8b"
    assert (model.chats, model.embeds, model.cloud, model.lane) == (True, False, False, Lane.OLLAMA)
    assert model.digest == fake.models["llama3.1:8b"].digest
    assert values(model.capabilities) == {
        "context_length": 131072,
        "quantization_level": "Q4_K_M",
        "model_size": 8.03,
        "model_source": "ollama",
        "requires_api_key": False,
        "supports_audio": False,
        "supports_function_calling": True,
        "supports_insert": False,
        "supports_json_schema": True,
        "supports_prefill": True,
        "supports_tools": True,
        "supports_thinking": False,
        "supports_vision": False,
    }
    assert model.architecture is not None
    assert model.architecture.weights_bytes == 4_912_898_048
    assert model.architecture.kv_widths == ((1024, 1024),) * 32
    assert model.capabilities.memory_gb_estimate == Fact(
        value=5.99, origin=Origin.ESTIMATED, source="at a context of 8192 tokens"
    )


async def test_show_is_the_truth_where_the_list_knows_less(
    fake: FakeOllama, source_of: Callable[..., OllamaSource]
) -> None:
    capabilities = (await models_of(source_of(fake.url)))["gpt-oss:20b"].capabilities
    assert capabilities.supports_tools is not None
    assert capabilities.supports_tools.value


async def test_whether_a_model_that_thinks_goes_on_with_a_message_is_unknown(
    fake: FakeOllama, source_of: Callable[..., OllamaSource]
) -> None:
    capabilities = (await models_of(source_of(fake.url)))["gpt-oss:20b"].capabilities
    assert capabilities.supports_prefill is None
    assert capabilities.supports_json_schema == Fact(value=True, origin=Origin.REPORTED)


async def test_whether_ollamas_cloud_keeps_to_a_schema_is_unknown(
    fake: FakeOllama, source_of: Callable[..., OllamaSource]
) -> None:
    capabilities = (await models_of(source_of(fake.url)))["gpt-oss:120b-cloud"].capabilities
    assert (capabilities.supports_json_schema, capabilities.supports_prefill) == (None, None)


async def test_sound_and_suffixes_are_in_the_servers_list(
    fake: FakeOllama, source_of: Callable[..., OllamaSource]
) -> None:
    able = replace(fake.models["llama3.1:8b"], capabilities=("completion", "audio", "insert"))
    fake.models["llama3.1:8b"] = able
    capabilities = (await models_of(source_of(fake.url)))["llama3.1:8b"].capabilities
    assert capabilities.supports_audio == capabilities.supports_insert == Fact(value=True, origin=Origin.REPORTED)


async def test_an_embedding_model_embeds_and_does_not_chat(
    fake: FakeOllama, source_of: Callable[..., OllamaSource]
) -> None:
    model = (await models_of(source_of(fake.url)))["nomic-embed-text:latest"]
    assert (model.chats, model.embeds) == (False, True)


async def test_a_cloud_stub_is_cloud_and_takes_no_memory(
    fake: FakeOllama, source_of: Callable[..., OllamaSource]
) -> None:
    model = (await models_of(source_of(fake.url)))["gpt-oss:120b-cloud"]
    assert (model.cloud, model.chats, model.architecture) == (True, True, None)
    assert model.capabilities.memory_gb_estimate is None
    assert values(model.capabilities)["context_length"] == 131072


async def test_ollama_signs_in_to_its_cloud_itself(fake: FakeOllama, source_of: Callable[..., OllamaSource]) -> None:
    capabilities = (await models_of(source_of(fake.url)))["gpt-oss:120b-cloud"].capabilities
    assert capabilities.model_source == Fact(value="cloud", origin=Origin.REPORTED)
    assert capabilities.requires_api_key == Fact(value=False, origin=Origin.REPORTED)


async def test_what_no_server_tells_stays_unknown(fake: FakeOllama, source_of: Callable[..., OllamaSource]) -> None:
    for model in (await models_of(source_of(fake.url))).values():
        capabilities = model.capabilities
        assert capabilities.min_memory_gb is None
        assert capabilities.recommended_memory_gb is None
        assert capabilities.thermal_sensitivity is None


async def test_a_model_without_tensors_and_size_takes_what_its_quantisation_makes_of_its_parameters(
    fake: FakeOllama, source_of: Callable[..., OllamaSource]
) -> None:
    fake.overrides["/api/tags"] = b'{"models":[{"name":"bare:7b"}]}'
    fake.overrides["/api/show"] = json.dumps(
        {
            "model_info": {"general.architecture": "llama", "general.parameter_count": 7_000_000_000},
            "details": {"quantization_level": "Q4_K_M"},
            "capabilities": ["completion"],
        }
    ).encode()
    model = (await models_of(source_of(fake.url)))["bare:7b"]
    assert model.architecture is not None
    found = estimate(architecture=model.architecture, context_tokens=4096)
    assert found is not None
    assert [part.name for part in found.parts] == ["weights", "kv_full", "allowance"]
    assert found.parts[0].arithmetic == "7,000,000,000 parameters x 4.89 bits / 8"


async def test_a_local_name_over_a_foreign_cloud_is_cloud_with_a_warning(
    fake: FakeOllama, source_of: Callable[..., OllamaSource]
) -> None:
    stub = catalogue()["gpt-oss:120b-cloud"]
    fake.models["mine:latest"] = replace(stub, name="mine:latest", remote_host="https://llm.example.com")
    model = (await models_of(source_of(fake.url)))["mine:latest"]
    assert model.cloud
    assert model.warnings == ("mine:latest is served by https://llm.example.com, which is not ollama.com",)


@pytest.mark.parametrize(
    ("name", "cloud"),
    [
        ("gpt-oss:120b-cloud", True),
        ("gpt-oss:120B-CLOUD", True),
        ("gpt-oss:20b:cloud", True),
        ("foo-cloud", False),
        ("foo-cloud:latest", False),
        ("host:80-cloud/foo", False),
        ("gpt-oss:20b:local", False),
    ],
)
def test_names_alone_tell_cloud_models(name: str, cloud: bool) -> None:
    assert names_cloud(name) is cloud


async def test_names_over_the_same_weights_are_aliases_and_share_what_is_loaded(
    fake: FakeOllama, source_of: Callable[..., OllamaSource]
) -> None:
    fake.models["long:latest"] = alias(fake.models["llama3.1:8b"], "long:latest", num_ctx=16384)
    async with httpx.AsyncClient(base_url=fake.url, trust_env=False) as client:
        await client.post("/api/chat", json={"model": "long", **ASK})
    models = await models_of(source_of(fake.url))
    assert models["llama3.1:8b"].aliases == {"long:latest"}
    assert models["long:latest"].aliases == {"llama3.1:8b"}
    loaded = Residency(size_bytes=4_920_753_328 + (2 << 30), size_vram_bytes=0, context_tokens=16384)
    assert models["long:latest"].resident == models["llama3.1:8b"].resident == loaded
    assert models["qwen3:8b"].resident is None


async def test_a_described_model_is_not_asked_for_again(
    fake: FakeOllama, source_of: Callable[..., OllamaSource]
) -> None:
    source = source_of(fake.url)
    first = await models_of(source)
    assert len(fake.requests_to("/api/show")) == 5
    assert await models_of(source) == first
    assert await models_of(source_of(fake.url)) == first
    assert len(fake.requests_to("/api/show")) == 5


async def test_another_server_version_describes_its_models_anew(
    fake: FakeOllama, source_of: Callable[..., OllamaSource]
) -> None:
    source = source_of(fake.url)
    await models_of(source)
    fake.version = "0.34.0"
    state, _ = await source.discover()
    assert state.version == "0.34.0"
    assert len(fake.requests_to("/api/show")) == 10


async def test_a_changed_model_is_described_anew_and_a_deleted_one_is_gone(
    fake: FakeOllama, source_of: Callable[..., OllamaSource]
) -> None:
    source = source_of(fake.url)
    await models_of(source)
    del fake.models["qwen3:8b"]
    fake.models["llama3.1:8b"] = replace(fake.models["llama3.1:8b"], weights="other", capabilities=("completion",))
    models = await models_of(source)
    assert "qwen3:8b" not in models
    assert models["llama3.1:8b"].capabilities.supports_tools == Fact(value=False, origin=Origin.REPORTED)


async def test_a_refused_connection_reads_well(fake: FakeOllama, source_of: Callable[..., OllamaSource]) -> None:
    await fake.stop()
    state, models = await source_of(fake.url).discover()
    assert (state.up, models) == (False, ())
    assert state.error == f"ollama at {fake.url} does not answer: connection refused"


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (faults.hang(), "does not answer: no answer within 0.3 s"),
        (faults.stall(), "does not answer: no answer within 0.3 s"),
        (faults.reset(), "does not answer: it closed the connection"),
        (faults.cut(), "does not answer: it broke off its answer"),
        (faults.cut(after_chunks=1), "does not answer: it broke off its answer"),
        (faults.status(500, '{"error":"out\\nof order"}'), "answers /api/tags with status 500: out of order"),
        (faults.status(502, "<html>"), "answers /api/tags with status 502: <html>"),
        (
            faults.status(401, '{"error":"unauthorized"}'),
            (
                "answers /api/tags with status 401: unauthorized; give it a key that it accepts: "
                "`rolegate providers set-key ollama`, or OLLAMA_API_KEY, which counts before the vault"
            ),
        ),
        (
            faults.status(307, location="http://10.0.0.1/api/tags"),
            "answers /api/tags with a redirect to http://10.0.0.1/api/tags, which is not followed",
        ),
        (
            faults.status(200, "<html>hello</html>"),
            ("answers /api/tags with something that is not JSON; check the address under local_providers.ollama.url"),
        ),
        (
            faults.status(200, "[" * 100_000),
            ("answers /api/tags with something that is not JSON; check the address under local_providers.ollama.url"),
        ),
        (
            faults.status(200, "[]"),
            (
                "is no Ollama server: /api/tags answers without a list of models;"
                " if it speaks the OpenAI wire, say kind: openai under local_providers.ollama"
            ),
        ),
        (faults.status(200, " " * (BODY_LIMIT_BYTES + 1)), "answers /api/tags with more than 32 MiB"),
    ],
    ids=lambda value: value.kind.value if isinstance(value, faults.Fault) else value[:40],
)
async def test_a_host_that_answers_wrongly_is_down_for_a_stated_reason(
    fake: FakeOllama, source_of: Callable[..., OllamaSource], fault: faults.Fault, what: str
) -> None:
    fake.fail(fault, route="/api/tags")
    waits = fault.kind in (faults.FaultKind.HANG, faults.FaultKind.STALL)
    state, models = await source_of(fake.url, answer_s=0.3 if waits else 10).discover()
    assert (state.up, models) == (False, ())
    assert state.error == f"ollama at {fake.url} {what}"


async def test_a_host_without_residency_or_version_is_up(
    fake: FakeOllama, source_of: Callable[..., OllamaSource]
) -> None:
    fake.fail(faults.status(404, "404 page not found"), route="/api/ps")
    fake.fail(faults.status(404), route="/api/version")
    state, models = await source_of(fake.url).discover()
    assert (state.up, state.version, len(models)) == (True, "", 5)
    assert state.warnings == (
        f"what is loaded is not known: ollama at {fake.url} answers /api/ps with status 404: 404 page not found",
    )


async def test_a_model_that_cannot_be_described_is_listed_with_what_the_list_says(
    fake: FakeOllama, source_of: Callable[..., OllamaSource]
) -> None:
    fake.fail(faults.status(500, '{"error":"bad file"}'), route="/api/show", model="qwen3:8b")
    state, models = await source_of(fake.url).discover()
    assert state.warnings == (
        f"qwen3:8b is not described: ollama at {fake.url} answers /api/show with status 500: bad file",
    )
    [model] = [one for one in models if one.ref.name == "qwen3:8b"]
    assert model.chats
    assert values(model.capabilities) == {
        "context_length": 40960,
        "quantization_level": "Q4_K_M",
        "model_size": 8.2,
        "model_source": "ollama",
        "requires_api_key": False,
        "supports_function_calling": True,
        "supports_tools": True,
        "supports_thinking": True,
    }


async def test_descriptions_that_come_late_come_with_the_next_look(
    fake: FakeOllama, source_of: Callable[..., OllamaSource]
) -> None:
    fake.fail(faults.hang(), route="/api/show", model="llama3.1:8b", times=1)
    source = source_of(fake.url, answer_s=2.0)
    state, models = await source.discover()
    assert (state.up, state.complete, len(models)) == (True, False, 5)
    assert state.warnings == (
        f"ollama at {fake.url} has not described 1 of 5 models in time; what is known of them is incomplete",
    )
    state, _ = await source.discover()
    assert (state.complete, state.warnings) == (True, ())


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (
            faults.status(307, location="/api/version"),
            "answers /api/show with a redirect to /api/version, which is not followed",
        ),
        (faults.status(200, " " * (BODY_LIMIT_BYTES + 1)), "answers /api/show with more than 32 MiB"),
    ],
    ids=["redirect", "too much"],
)
async def test_a_description_is_neither_fetched_elsewhere_nor_of_any_size(
    fake: FakeOllama, source_of: Callable[..., OllamaSource], fault: faults.Fault, what: str
) -> None:
    fake.fail(fault, route="/api/show", model="qwen3:8b")
    state, models = await source_of(fake.url).discover()
    assert (state.up, len(models)) == (True, 5)
    assert state.warnings == (f"qwen3:8b is not described: ollama at {fake.url} {what}",)
    assert len(fake.requests_to("/api/version")) == 1


def many(count: int) -> bytes:
    details = {"family": "llama", "parameter_size": "8.0B", "quantization_level": "Q4_K_M", "padding": "x" * 600}
    entries = [{"name": f"m{number}:8b", "digest": f"{number:064x}", "details": details} for number in range(count)]
    return json.dumps({"models": entries}).encode()


async def test_of_more_models_than_a_look_takes_the_rest_comes_with_the_next_ones(
    fake: FakeOllama, source_of: Callable[..., OllamaSource]
) -> None:
    fake.overrides["/api/tags"] = many(600)
    fake.overrides["/api/show"] = b'{"capabilities":["completion"]}'
    source = source_of(fake.url, making_s=0)
    for made, left in ((256, 344), (512, 88)):
        state, models = await source.discover()
        assert (state.up, state.complete, len(models)) == (True, False, made)
        assert state.warnings == (
            f"ollama at {fake.url} has more models than one look takes; {left} come with the next ones",
        )
    state, models = await source.discover()
    assert (state.up, state.complete, state.warnings) == (True, True, ())
    assert [model.ref.name for model in models] == [f"m{number}:8b" for number in range(600)]


async def test_models_that_there_is_no_time_to_look_at_again_stay_except_for_what_is_loaded(
    fake: FakeOllama, source_of: Callable[..., OllamaSource]
) -> None:
    fake.overrides["/api/tags"] = many(300)
    fake.overrides["/api/show"] = b'{"capabilities":["completion"]}'
    source = source_of(fake.url, making_s=0)
    await source.discover()
    _, before = await source.discover()
    fake.version = "0.34.0"
    fake.overrides["/api/show"] = b'{"capabilities":["completion","tools"]}'
    fake.overrides["/api/ps"] = b'{"models":[{"name":"m299:8b","size":5}]}'
    state, models = await source.discover()
    assert (state.complete, len(models)) == (False, 300)
    assert state.warnings == (f"ollama at {fake.url} has more models than one look takes; 44 come with the next ones",)
    fresh, last = models[0].capabilities.supports_tools, models[-1]
    assert fresh == Fact(value=True, origin=Origin.REPORTED)
    assert last == replace(before[-1], resident=Residency(size_bytes=5, size_vram_bytes=0))
    state, models = await source.discover()
    assert (state.complete, models[-1].capabilities.supports_tools) == (True, fresh)


async def test_hundreds_of_kept_descriptions_are_all_found_again(
    fake: FakeOllama, source_of: Callable[..., OllamaSource]
) -> None:
    fake.overrides["/api/tags"] = many(600)
    fake.overrides["/api/show"] = b'{"capabilities":["completion"]}'
    first = await models_of(source_of(fake.url))
    assert await models_of(source_of(fake.url)) == first
    assert len(fake.requests_to("/api/show")) == len(first) == 600


@pytest.mark.parametrize(
    "tags",
    [
        {"models": None},
        {"models": []},
        {"models": [None, 3, {}, {"name": None}, {"name": ""}]},
    ],
)
async def test_a_list_with_nothing_in_it_has_no_models(
    fake: FakeOllama, source_of: Callable[..., OllamaSource], tags: object
) -> None:
    fake.overrides["/api/tags"] = json.dumps(tags).encode()
    state, models = await source_of(fake.url).discover()
    assert (state.up, models) == (True, ())


async def test_missing_and_odd_fields_are_unknown(fake: FakeOllama, source_of: Callable[..., OllamaSource]) -> None:
    entries = [
        {"name": "bare"},
        {"model": "other:tag", "size": "big", "digest": 7, "details": None, "capabilities": "completion"},
        {"name": "odd:tag", "digest": "sha256:ff", "details": {"families": None, "parameter_size": "many"}},
        {"name": "odd:tag", "digest": "again"},
    ]
    fake.overrides["/api/tags"] = json.dumps({"models": entries}).encode()
    fake.overrides["/api/show"] = json.dumps(
        {
            "model_info": {"general.architecture": 4, "general.parameter_count": True, "x.context_length": None},
            "tensors": [{"name": "a", "type": "F32", "shape": [1]}, {"name": "b"}],
            "capabilities": [],
            "details": [],
        }
    ).encode()
    models = await models_of(source_of(fake.url))
    assert list(models) == ["bare:latest", "other:tag", "odd:tag"]
    assert [model.digest for model in models.values()] == ["", "", "ff"]
    for model in models.values():
        assert (model.chats, model.embeds) == (None, None)
        assert values(model.capabilities) == {"model_source": "ollama", "requires_api_key": False}


async def test_models_without_metadata_are_unknown_and_not_assigned(
    fake: FakeOllama, source_of: Callable[..., OllamaSource]
) -> None:
    fake.models.clear()
    fake.models["broken:latest"] = FakeModel(
        name="broken:latest", family="", parameter_size="", quantization="", size_bytes=10, capabilities=()
    )
    model = (await models_of(source_of(fake.url)))["broken:latest"]
    assert (model.chats, model.embeds) == (None, None)


async def test_half_a_surrogate_pair_anywhere_is_replaced_and_a_whole_one_kept(
    fake: FakeOllama, source_of: Callable[..., OllamaSource]
) -> None:
    fake.overrides["/api/version"] = rb'{"version":"1\uD800"}'
    fake.overrides["/api/tags"] = (
        rb'{"models":[{"name":"a\ud800:1","digest":"d\udfff"},{"name":"b\ud83d\ude00:1","digest":"e\\ud800"},'
        b'{"name":"c\xed\xa0\x80:1","digest":"f"}]}'
    )
    fake.overrides["/api/show"] = rb'{"model_info":{"x\udc00":"y\udc00"},"capabilities":["completion"]}'
    state, models = await source_of(fake.url).discover()
    assert (state.up, state.version, state.warnings) == (True, "1\ufffd", ())
    assert [(model.ref.name, model.digest) for model in models] == [
        ("a\ufffd:1", "d\ufffd"),
        ("b\U0001f600:1", "e\\ud800"),
        ("c\ufffd\ufffd\ufffd:1", "f"),
    ]
    assert await source_of(fake.url).discover() == (state, models)
    assert len(fake.requests_to("/api/show")) == 3


async def test_half_a_surrogate_pair_in_a_large_answer_is_replaced_too(
    fake: FakeOllama, source_of: Callable[..., OllamaSource]
) -> None:
    fake.overrides["/api/tags"] = rb'{"models":[{"name":"a\ud800:1"}],"padding":"' + b"x" * (512 << 10) + b'"}'
    assert list(await models_of(source_of(fake.url))) == ["a\ufffd:1"]


async def test_half_a_surrogate_pair_in_an_errors_message_is_replaced(
    fake: FakeOllama, source_of: Callable[..., OllamaSource]
) -> None:
    fake.fail(faults.status(500, r'{"error":"no \ud800"}'), route="/api/tags")
    state, _ = await source_of(fake.url).discover()
    assert state.error == f"ollama at {fake.url} answers /api/tags with status 500: no \ufffd"


async def test_sizes_that_no_model_has_are_unknown(fake: FakeOllama, source_of: Callable[..., OllamaSource]) -> None:
    details = {"family": "llama", "parameter_size": "9" * 400 + "B", "context_length": 2**62}
    fake.overrides["/api/tags"] = json.dumps({"models": [{"name": "odd:1", "size": 10, "details": details}]}).encode()
    info = {"general.architecture": "llama", "llama.block_count": 2**62, "llama.context_length": 2**62}
    fake.overrides["/api/show"] = json.dumps({"model_info": info, "details": details}).encode()
    model = (await models_of(source_of(fake.url)))["odd:1"]
    assert (model.capabilities.context_length, model.capabilities.model_size) == (None, None)
    assert model.architecture is not None
    assert model.architecture.kv_widths == ()
    assert model.architecture.notes == (
        "llama.block_count counts as unknown: it is 4611686018427387904, which no model has",
        "llama.context_length counts as unknown: it is 4611686018427387904, which no model has",
    )


async def test_of_very_many_names_over_the_same_weights_a_model_has_the_first_as_aliases(
    fake: FakeOllama, source_of: Callable[..., OllamaSource]
) -> None:
    names = [f"n{number:03}:1" for number in range(200)]
    fake.overrides["/api/tags"] = json.dumps({"models": [{"name": name} for name in reversed(names)]}).encode()
    modelfile = f"FROM /blobs/sha256-{'a' * 64}"
    fake.overrides["/api/show"] = json.dumps({"modelfile": modelfile, "capabilities": ["completion"]}).encode()
    fake.overrides["/api/ps"] = b'{"models":[{"name":"n199:1","size":5}]}'
    models = await models_of(source_of(fake.url))
    assert models["n000:1"].aliases == set(names[1:65])
    assert models["n064:1"].aliases == set(names[:64])
    assert models["n150:1"].aliases == set(names[:64])
    assert {str(model.weights_ref) for model in models.values()} == {"ollama:n000:1"}
    assert {model.resident for model in models.values()} == {Residency(size_bytes=5, size_vram_bytes=0)}

"""What is done to the models of an Ollama host, over real TCP."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest

from builders import a_model
from fakes import faults
from fakes.ollama import FakeOllama
from fakes.ollama_models import alias, catalogue
from gateway.domain.keeping import PullStep
from gateway.domain.model import Lane, Model, Provider, ProviderKind
from gateway.errors import ProviderDown, ProviderFailed, Unsupported
from gateway.registry.ollama_keeping import OllamaKeeper
from gateway.registry.ollama_talk import LINE_LIMIT_BYTES, said

LLAMA = a_model("ollama:llama3.1:8b")
EMBEDDER = a_model("ollama:nomic-embed-text:latest", chats=False, embeds=True, context=2048)
DIGESTED = {"status": "pulling 8754b77c7eee", "total": 4_920_753_328}


def num_ctx(context_tokens: int | None) -> Mapping[str, object]:
    return {} if context_tokens is None else {"num_ctx": context_tokens}


def keeper_at(url: str, **deadlines: Any) -> OllamaKeeper:
    provider = Provider(name="ollama", kind=ProviderKind.OLLAMA, lane=Lane.OLLAMA, url=url)
    return OllamaKeeper(provider=provider, load_options=num_ctx, **deadlines)


@pytest.fixture
async def fake() -> AsyncIterator[FakeOllama]:
    async with FakeOllama(models=("llama3.1:8b", "mistral", "nomic-embed-text")) as server:
        yield server


@pytest.fixture
def keeper(fake: FakeOllama) -> OllamaKeeper:
    return keeper_at(fake.url)


async def load(keeper: OllamaKeeper, model: Model = LLAMA, *, context: int | None = 16_384, **changes: Any) -> Any:
    given = {"keep_alive": None, "within_s": 60.0, **changes}
    return await keeper.load(model, context_tokens=context, **given)


async def test_a_load_is_an_empty_prompt_with_the_options_of_every_call(fake: FakeOllama, keeper: OllamaKeeper) -> None:
    report = await load(keeper)
    assert fake.loaded == {"llama3.1:8b": 16_384}
    [asked] = fake.requests_to("/api/generate")
    assert asked.json == {"model": "llama3.1:8b", "options": {"num_ctx": 16_384}, "stream": False}
    assert (report.ref, report.context_tokens, report.already) == (LLAMA.ref, 16_384, False)
    assert report.held.residency.context_tokens == 16_384
    assert report.held.residency.size_bytes > 4_000_000_000
    assert report.held.expires is not None


async def test_an_embedding_model_is_loaded_by_an_empty_input(fake: FakeOllama, keeper: OllamaKeeper) -> None:
    await load(keeper, EMBEDDER, context=2048)
    [asked] = fake.requests_to("/api/embed")
    assert asked.json == {"model": "nomic-embed-text:latest", "input": "", "options": {"num_ctx": 2048}}
    assert fake.loaded == {"nomic-embed-text:latest": 2048}


async def test_a_load_can_say_how_long_the_model_stays(fake: FakeOllama, keeper: OllamaKeeper) -> None:
    await load(keeper, keep_alive="30m")
    assert fake.last.path == "/api/ps"
    [asked] = fake.requests_to("/api/generate")
    assert asked.json["keep_alive"] == "30m"
    report = await load(keeper, keep_alive=-1)
    assert report.held.expires.startswith("2318-")


async def test_a_second_load_with_the_same_context_says_that_it_was_there(
    fake: FakeOllama, keeper: OllamaKeeper
) -> None:
    await load(keeper)
    assert (await load(keeper)).already is True
    assert (await load(keeper, context=8192)).already is False
    assert [(one.num_ctx, one.reload) for one in fake.runners.loads] == [(16_384, False), (8192, True)]


async def test_a_load_that_takes_too_long_is_given_up_and_said(fake: FakeOllama, keeper: OllamaKeeper) -> None:
    fake.runners.gate.clear()
    with pytest.raises(ProviderFailed) as caught:
        await load(keeper, within_s=0.2)
    assert str(caught.value) == f"ollama at {fake.url} has not loaded llama3.1:8b within 0.2 s"
    await fake.until(lambda: fake.runners.loads[0].outcome == "aborted")


async def test_what_the_server_says_of_a_failed_load_is_handed_on_unwrapped(
    fake: FakeOllama, keeper: OllamaKeeper
) -> None:
    fake.runners.load_errors["llama3.1:8b"] = '{"error":{"code":500,"message":"failed to allocate 9 GB"}}'
    with pytest.raises(ProviderFailed) as caught:
        await load(keeper)
    assert str(caught.value) == f"ollama at {fake.url} answers /api/generate with status 500: failed to allocate 9 GB"


async def test_a_model_that_went_away_is_said_in_the_servers_words(fake: FakeOllama, keeper: OllamaKeeper) -> None:
    del fake.models["llama3.1:8b"]
    with pytest.raises(ProviderFailed, match=r"answers /api/generate with status 404: model 'llama3\.1:8b' not found"):
        await load(keeper)


async def test_a_host_that_does_not_answer_is_down(fake: FakeOllama, keeper: OllamaKeeper) -> None:
    await fake.stop()
    for work in (load(keeper), keeper.unload(LLAMA, within_s=1.0), keeper.remove(LLAMA), keeper.held()):
        with pytest.raises(ProviderDown) as caught:
            await work
        assert str(caught.value) == f"ollama at {fake.url} does not answer: connection refused"


async def test_a_host_that_hangs_is_down_after_its_time_to_answer(fake: FakeOllama) -> None:
    fake.fail(faults.hang(), route="/api/ps")
    with pytest.raises(ProviderDown) as caught:
        await keeper_at(fake.url, answer_s=0.2).held()
    assert str(caught.value) == f"ollama at {fake.url} does not answer: no answer to /api/ps within 0.2 s"


async def test_models_of_ollamas_cloud_are_not_loaded(keeper: OllamaKeeper) -> None:
    cloudy = a_model("ollama:gpt-oss:120b-cloud", cloud=True)
    with pytest.raises(Unsupported) as caught:
        await load(keeper, cloudy)
    assert str(caught.value) == ("ollama:gpt-oss:120b-cloud is served by Ollama's cloud: there is nothing to load here")
    with pytest.raises(Unsupported, match="nothing to unload here"):
        await keeper.unload(cloudy, within_s=1.0)


async def test_an_unload_waits_until_the_model_is_out_of_memory(fake: FakeOllama, keeper: OllamaKeeper) -> None:
    fake.profile.unload_s = 0.2
    await load(keeper)
    report = await keeper.unload(LLAMA, within_s=30.0)
    assert (report.was_loaded, report.gone, fake.loaded) == (True, True, {})
    asked = fake.requests_to("/api/generate")[-1]
    assert asked.json == {"model": "llama3.1:8b", "keep_alive": 0, "stream": False}


async def test_an_unload_of_what_is_not_loaded_says_so(keeper: OllamaKeeper) -> None:
    report = await keeper.unload(LLAMA, within_s=30.0)
    assert (report.was_loaded, report.gone) == (False, True)


async def test_an_unload_while_requests_are_in_flight_ends_with_the_model_in_memory(
    fake: FakeOllama, keeper: OllamaKeeper
) -> None:
    fake.fail(faults.stall(after_chunks=1), route="/api/chat")
    async with httpx.AsyncClient(base_url=fake.url, timeout=None) as client:
        body = {"model": "llama3.1:8b", "messages": [{"role": "user", "content": "Count."}]}
        chat = asyncio.create_task(client.post("/api/chat", json=body))
        await fake.until(lambda: any(one.chunks for one in fake.requests_to("/api/chat")))
        assert (await keeper.unload(LLAMA, within_s=0.3)).gone is False
        assert "llama3.1:8b" in fake.loaded
        unload = asyncio.create_task(keeper.unload(LLAMA, within_s=60.0))
        await fake.until(lambda: len(fake.requests_to("/api/generate")) == 2)
        chat.cancel()
        report = await unload
    assert (report.was_loaded, report.gone) == (True, True)


async def test_a_model_is_out_of_memory_only_when_no_name_of_its_weights_is_listed(fake: FakeOllama) -> None:
    known = catalogue()
    fake.models["mine:latest"] = alias(known["llama3.1:8b"], "mine:latest")
    keeper = keeper_at(fake.url)
    await load(keeper, LLAMA)
    mine = a_model("ollama:mine:latest")
    also_llama = Model(
        ref=mine.ref, lane=mine.lane, cloud=False, chats=True, embeds=False, aliases=frozenset({"llama3.1:8b"})
    )
    report = await keeper.unload(also_llama, within_s=30.0)
    assert (report.was_loaded, report.gone, fake.loaded) == (True, True, {})


async def test_a_removed_model_is_gone_from_disk_and_memory(fake: FakeOllama, keeper: OllamaKeeper) -> None:
    await load(keeper)
    await keeper.remove(a_model("ollama:llama3.1:8b", resident_context=16_384))
    assert "llama3.1:8b" not in fake.models
    await fake.until(lambda: fake.loaded == {})
    assert fake.last.method == "DELETE"
    assert fake.last.json == {"model": "llama3.1:8b"}


async def test_a_removal_leaves_the_runner_to_another_name_of_the_same_weights(
    fake: FakeOllama, keeper: OllamaKeeper
) -> None:
    await load(keeper)
    model = a_model("ollama:llama3.1:8b", resident_context=16_384)
    shared = Model(
        ref=model.ref,
        lane=model.lane,
        cloud=False,
        chats=True,
        embeds=False,
        resident=model.resident,
        aliases=frozenset({"mine:latest"}),
    )
    await keeper.remove(shared)
    assert fake.loaded == {"llama3.1:8b": 16_384}


async def test_removing_what_is_not_there_is_said_in_the_servers_words(fake: FakeOllama, keeper: OllamaKeeper) -> None:
    with pytest.raises(ProviderFailed) as caught:
        await keeper.remove(a_model("ollama:gone:1b"))
    assert str(caught.value) == f"ollama at {fake.url} answers /api/delete with status 404: model 'gone:1b' not found"


async def pulled(keeper: OllamaKeeper, name: str = "gpt-oss:20b") -> list[PullStep]:
    steps: list[PullStep] = []
    await keeper.pull(name, progress=steps.append)
    return steps


async def test_a_pull_tells_of_every_layer_and_ends_with_success(fake: FakeOllama, keeper: OllamaKeeper) -> None:
    steps = await pulled(keeper)
    assert "gpt-oss:20b" in fake.models
    assert [one.status for one in steps if not one.layer] == [
        "pulling manifest",
        "verifying sha256 digest",
        "writing manifest",
        "success",
    ]
    layers = [one for one in steps if one.layer]
    assert layers[0].done_bytes == 0
    assert layers[-1].done_bytes == layers[-1].total_bytes == fake.models["gpt-oss:20b"].size_bytes
    assert fake.last.json == {"model": "gpt-oss:20b", "stream": True}


async def test_an_error_in_a_stream_of_status_200_fails_the_pull(fake: FakeOllama, keeper: OllamaKeeper) -> None:
    with pytest.raises(ProviderFailed) as caught:
        await pulled(keeper, "nothing:here")
    assert str(caught.value) == (
        f"ollama at {fake.url} could not pull nothing:here: pull model manifest: file does not exist"
    )
    assert caught.value.hint == "check the name and its tag"
    assert fake.last.status == 200


async def test_a_name_that_cannot_be_one_is_refused_by_the_server(fake: FakeOllama, keeper: OllamaKeeper) -> None:
    with pytest.raises(ProviderFailed) as caught:
        await pulled(keeper, "what is this")
    assert str(caught.value) == f"ollama at {fake.url} answers /api/pull with status 400: invalid model name"


@pytest.mark.parametrize(
    "fault", [faults.reset(after_chunks=2), faults.cut(after_chunks=2), faults.eof(after_chunks=2)]
)
async def test_a_pull_that_breaks_off_says_that_it_can_be_taken_up_again(
    fault: faults.Fault, fake: FakeOllama, keeper: OllamaKeeper
) -> None:
    fake.fail(fault, route="/api/pull", times=1)
    with pytest.raises(ProviderDown) as caught:
        await pulled(keeper)
    assert str(caught.value) == f"ollama at {fake.url} broke off the pull of gpt-oss:20b"
    assert caught.value.hint == "run it again: it goes on where it stopped"
    assert (await pulled(keeper))[-1].status == "success"


async def test_a_pull_that_falls_silent_is_given_up(fake: FakeOllama) -> None:
    fake.fail(faults.stall(after_chunks=2), route="/api/pull")
    with pytest.raises(ProviderFailed) as caught:
        await pulled(keeper_at(fake.url, silence_s=0.3))
    assert str(caught.value) == f"ollama at {fake.url} has said nothing of the pull of gpt-oss:20b for too long"


async def test_comparing_digests_may_be_silent_for_longer(fake: FakeOllama) -> None:
    fake.fail(faults.stall(after_chunks=7), route="/api/pull", times=1)
    steps: list[PullStep] = []
    with pytest.raises(ProviderFailed, match="has said nothing"):
        await keeper_at(fake.url, silence_s=60.0, checking_s=0.2).pull("gpt-oss:20b", progress=steps.append)
    assert steps[-1].status == "verifying sha256 digest"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"{not json}\n", "answers /api/pull with a line that is not JSON"),
        (b"[1]\n", "answers /api/pull with a line that is not an object"),
        (b"x" * (LINE_LIMIT_BYTES + 1), "answers /api/pull with a line of more than 1 MiB"),
    ],
)
async def test_a_pull_is_no_place_for_anything_but_short_objects(
    content: bytes, what: str, fake: FakeOllama, keeper: OllamaKeeper
) -> None:
    fake.overrides["/api/pull"] = content
    with pytest.raises(ProviderFailed) as caught:
        await pulled(keeper)
    assert str(caught.value) == f"ollama at {fake.url} {what}"


async def test_the_last_line_of_a_pull_needs_no_line_break(fake: FakeOllama, keeper: OllamaKeeper) -> None:
    fake.overrides["/api/pull"] = b'\n{"status":"pulling manifest"}\r\n\n{"status":"success"}'
    assert [one.status for one in await pulled(keeper)] == ["pulling manifest", "success"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("plain\nwords", "plain words"),
        ('{"error":"one"}', "one"),
        ('{"error":"{\\"error\\":{\\"message\\":\\"two\\"}}"}', "two"),
        ('{"message":"three"}', "three"),
        ('{"else":1}', '{"else":1}'),
        ("x" * 500, "x" * 400 + "…"),
    ],
)
def test_the_words_in_an_error_are_found_however_deep(text: str, words: str) -> None:
    assert said(text) == words

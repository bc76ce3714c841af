"""The ollama lane over real TCP: the load profile, loads, and what a server may lack."""

import asyncio

import orjson
import pytest

from core_builders import served
from fakes import faults
from fakes.ollama import FakeOllama
from fakes.replies import Reply
from gateway.domain.role import Deadlines
from gateway.errors import RequestFailed
from plans import KnownKeys
from relay_builders import a_deployment, a_relay, a_route, ask, ask_whole

LLAMA = a_deployment("ollama:llama3.1:8b", context_tokens=16_384)


async def test_a_model_that_is_not_resident_is_loaded_first_with_its_profile() -> None:
    async with FakeOllama() as ollama, a_relay() as relay:
        route = a_route(LLAMA, urls={"ollama": ollama.url})
        await ask(relay, route)
        await ask(relay, route)
        assert [one.path for one in ollama.requests] == ["/api/ps", "/api/generate", "/api/chat", "/api/chat"]
        assert [(load.num_ctx, load.reload) for load in ollama.runners.loads] == [(16_384, False)]
        for recorded in ollama.requests_to("/api/chat"):
            assert recorded.json["options"]["num_ctx"] == 16_384
            assert recorded.json["truncate"] is False
            assert "shift" not in recorded.json


async def test_a_model_loaded_with_another_context_is_loaded_again_before_the_call() -> None:
    async with FakeOllama() as ollama, a_relay() as relay:
        await ask(relay, a_route(a_deployment("ollama:llama3.1:8b", context_tokens=4096), urls={"ollama": ollama.url}))
        await ask(relay, a_route(LLAMA, urls={"ollama": ollama.url}))
        assert ollama.loaded == {"llama3.1:8b": 16_384}
        assert len(ollama.requests_to("/api/generate")) == 2


async def test_a_resident_model_is_called_at_once() -> None:
    async with FakeOllama() as ollama:
        for _ in range(2):
            async with a_relay() as relay:
                await ask(relay, a_route(LLAMA, urls={"ollama": ollama.url}))
        assert len(ollama.requests_to("/api/generate")) == 1


async def test_callers_share_one_load_and_one_that_leaves_does_not_end_it() -> None:
    async with FakeOllama() as ollama, a_relay() as relay:
        ollama.runners.gate.clear()
        route = a_route(LLAMA, urls={"ollama": ollama.url})
        leaver = asyncio.create_task(ask(relay, route))
        await ollama.until(lambda: len(ollama.runners.loads) == 1)
        stayer = asyncio.create_task(ask(relay, route))
        await ollama.until(lambda: len(ollama.requests_to("/api/ps")) == 2)
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        ollama.runners.gate.set()
        await stayer
        assert [load.outcome for load in ollama.runners.loads] == ["loaded"]
        assert len(ollama.requests_to("/api/generate")) == 1


async def test_time_spent_loading_is_not_first_token_time() -> None:
    async with FakeOllama() as ollama, a_relay() as relay:
        ollama.profile.load_s = 0.5
        deadlines = Deadlines(load_s=10, first_token_s=0.3)
        answer = await ask(relay, a_route(LLAMA, urls={"ollama": ollama.url}, deadlines=deadlines))
        assert [one.failure for one in answer.attempts] == [""]


async def test_a_load_that_takes_too_long_is_a_timeout() -> None:
    async with FakeOllama() as ollama, a_relay() as relay:
        ollama.runners.gate.clear()
        with pytest.raises(RequestFailed) as caught:
            await ask(relay, a_route(LLAMA, urls={"ollama": ollama.url}, deadlines=Deadlines(load_s=0.2)))
    assert caught.value.status == 504
    assert caught.value.message == (
        'no deployment of role "planner" answered; the last, ollama:llama3.1:8b, failed with timeout: '
        "the model was not ready within 0.2 s"
    )


async def test_a_load_that_fails_says_what_the_server_said() -> None:
    async with FakeOllama() as ollama, a_relay() as relay:
        ollama.runners.load_errors["llama3.1:8b"] = "llama-server process has terminated: failed to allocate buffer"
        with pytest.raises(RequestFailed) as caught:
            await ask(relay, a_route(LLAMA, urls={"ollama": ollama.url}))
    assert (caught.value.status, caught.value.failure_code) == (503, "model_load_failed")
    assert "failed to allocate buffer" in caught.value.message


@pytest.mark.parametrize("status", [404, 405])
async def test_a_server_without_preloads_is_simply_called(status: int) -> None:
    async with FakeOllama() as ollama, a_relay() as relay:
        ollama.fail(faults.status(status, "404 page not found"), route="/api/generate")
        answer = await ask(relay, a_route(LLAMA, urls={"ollama": ollama.url}))
        assert answer.deployment is LLAMA


@pytest.mark.parametrize("listing", [b"not json", b'{"models": null}', b"[]"])
async def test_a_listing_nobody_understands_does_not_stop_the_call(listing: bytes) -> None:
    async with FakeOllama() as ollama, a_relay() as relay:
        ollama.overrides["/api/ps"] = listing
        answer = await ask(relay, a_route(LLAMA, urls={"ollama": ollama.url}))
        assert answer.deployment is LLAMA


async def test_a_listing_that_comes_in_pieces_is_read_to_its_end() -> None:
    padding = [{"name": f"other-{number}:latest", "model": "x" * 1000} for number in range(2000)]
    async with FakeOllama() as ollama, a_relay() as relay:
        ollama.overrides["/api/ps"] = orjson.dumps({"models": padding})
        await ask(relay, a_route(LLAMA, urls={"ollama": ollama.url}))
        assert [one.path for one in ollama.requests] == ["/api/ps", "/api/generate", "/api/chat"]


async def test_the_hosts_key_goes_along_with_every_call() -> None:
    keys = KnownKeys(by_provider={"ollama": "sk-host"})
    async with FakeOllama() as ollama, a_relay(keys=keys) as relay:
        await ask(relay, a_route(LLAMA, urls={"ollama": ollama.url}))
        assert [one.path for one in ollama.requests] == ["/api/ps", "/api/generate", "/api/chat"]
        assert [one.headers["Authorization"] for one in ollama.requests] == ["Bearer sk-host"] * 3


async def test_without_a_key_none_is_sent() -> None:
    async with FakeOllama() as ollama, a_relay(keys=KnownKeys()) as relay:
        await ask(relay, a_route(LLAMA, urls={"ollama": ollama.url}))
        assert not any("Authorization" in one.headers for one in ollama.requests)


@pytest.mark.parametrize("route", ["/api/generate", "/api/chat"])
async def test_a_key_that_the_host_refuses_is_an_auth_failure_and_never_retried(route: str) -> None:
    async with FakeOllama() as ollama, a_relay(keys=KnownKeys(by_provider={"ollama": "sk-host"})) as relay:
        ollama.fail(faults.status(401, '{"error":"no such key: sk-host"}'), route=route)
        with pytest.raises(RequestFailed) as caught:
            await ask(relay, a_route(LLAMA, urls={"ollama": ollama.url}))
        assert len(ollama.requests_to(route)) == 1
    assert [one.failure for one in caught.value.attempts] == ["auth"]
    assert caught.value.message.endswith("failed with auth: the provider refused the gateway's key (status 401)")
    assert caught.value.hint == (
        "`rolegate providers set-key ollama` gives it another at once; "
        "where OLLAMA_API_KEY is set, that counts, and takes a restart"
    )


@pytest.mark.parametrize("fault", [faults.status(400, '{"error":"bad sk-host"}'), faults.error("bad sk-host")])
async def test_a_key_that_the_host_repeats_is_masked(fault: faults.Fault) -> None:
    async with FakeOllama() as ollama, a_relay(keys=KnownKeys(by_provider={"ollama": "sk-host"})) as relay:
        ollama.fail(fault, route="/api/chat")
        with pytest.raises(RequestFailed) as caught:
            await ask(relay, a_route(LLAMA, urls={"ollama": ollama.url}))
    assert caught.value.message.endswith("bad **********")


@pytest.mark.parametrize(
    ("cloud", "words"),
    [
        ("signed_out", "(status 401): unauthorized"),
        ("disabled", "(status 403): ollama cloud is disabled: remote inference is unavailable"),
    ],
)
async def test_a_cloud_model_of_a_host_that_may_not_use_it_is_an_auth_failure(cloud: str, words: str) -> None:
    stub = a_deployment("ollama:gpt-oss:120b-cloud", cloud=True, context_tokens=None)
    async with FakeOllama() as ollama, a_relay() as relay:
        ollama.cloud = cloud
        with pytest.raises(RequestFailed) as caught:
            await ask(relay, a_route(stub, urls={"ollama": ollama.url}))
        assert [one.path for one in ollama.requests] == ["/api/chat"]
        answer = await ask(relay, a_route(stub, LLAMA, urls={"ollama": ollama.url}))
        assert answer.deployment is LLAMA
    assert (caught.value.failure_code, [one.failure for one in caught.value.attempts]) == ("provider_auth", ["auth"])
    assert caught.value.message.endswith(f"the server's own cloud account was refused {words}")
    assert caught.value.hint == "`ollama signin` on the host of ollama signs it in; then start the gateway again"


async def test_an_answer_that_ends_for_no_reason_is_truncated() -> None:
    async with FakeOllama() as ollama, a_relay() as relay:
        ollama.say("", Reply(done_reason=""))
        with pytest.raises(RequestFailed) as caught:
            await ask(relay, a_route(LLAMA, urls={"ollama": ollama.url}))
    assert caught.value.failure_code == "stream_truncated"
    assert "Ollama ended its answer without saying why" in caught.value.message


async def test_thoughts_come_in_both_spellings() -> None:
    qwen = a_deployment("ollama:qwen3:8b", features=frozenset({"supports_thinking", "supports_tools"}))
    async with FakeOllama(models=["qwen3:8b"]) as ollama, a_relay() as relay:
        ollama.say("", Reply(thinking=("Let me", " see."), content=("Four.",)))
        _, body = await ask_whole(relay, a_route(qwen, urls={"ollama": ollama.url}), reasoning_effort="high")
        assert ollama.last.json["think"] == "high"
    message = body["choices"][0]["message"]
    assert message["reasoning_content"] == message["reasoning"] == "Let me see."
    assert message["content"] == "Four."


async def test_an_effort_is_not_sent_to_a_model_that_does_not_think() -> None:
    async with FakeOllama() as ollama, a_relay() as relay:
        await ask(relay, a_route(LLAMA, urls={"ollama": ollama.url}), reasoning_effort="high")
        assert "think" not in ollama.last.json


async def test_a_long_prompt_that_upstream_refuses_is_a_context_error_in_upstreams_words() -> None:
    async with FakeOllama() as ollama, a_relay() as relay:
        ollama.profile.default_num_ctx = 64
        unplanned = a_deployment("ollama:llama3.1:8b", context_tokens=None)
        messages = [{"role": "user", "content": "a " * 70}]
        with pytest.raises(RequestFailed) as caught:
            await ask(relay, a_route(unplanned, urls={"ollama": ollama.url}), messages=messages)
    assert (caught.value.status, caught.value.failure_code) == (400, "context_length_exceeded")
    assert caught.value.message.startswith("request (74 tokens) exceeds the available context size (64 tokens)")


async def test_connections_are_used_again() -> None:
    async with FakeOllama() as ollama, a_relay() as relay:
        for _ in range(5):
            await ask(relay, a_route(LLAMA, urls={"ollama": ollama.url}))
        assert ollama.connections == 1


async def test_a_role_says_how_long_its_model_stays_and_others_leave_it_to_the_server() -> None:
    async with FakeOllama() as ollama, a_relay() as relay:
        route = a_route(LLAMA, urls={"ollama": ollama.url})
        await ask(relay, served(route, keep_alive="30m"))
        await ask(relay, route)
        stays = [recorded.json.get("keep_alive") for recorded in ollama.requests_to("/api/generate")]
        assert stays == ["30m"]
        stays = [recorded.json.get("keep_alive") for recorded in ollama.requests_to("/api/chat")]
        assert stays == ["30m", None]


async def test_a_model_on_a_provider_that_moved_is_loaded_where_it_is_now() -> None:
    async with FakeOllama() as here, FakeOllama() as there, a_relay() as relay:
        await ask(relay, a_route(LLAMA, urls={"ollama": here.url}))
        await ask(relay, a_route(LLAMA, urls={"ollama": there.url}))
        assert [one.path for one in there.requests] == ["/api/ps", "/api/generate", "/api/chat"]
        await ask(relay, a_route(LLAMA, urls={"ollama": here.url}))
        assert [one.path for one in here.requests] == ["/api/ps", "/api/generate", "/api/chat", "/api/chat"]


async def test_a_load_under_way_at_one_address_is_not_waited_for_at_another() -> None:
    async with FakeOllama() as here, FakeOllama() as there, a_relay() as relay:
        here.runners.gate.clear()
        stuck = asyncio.create_task(ask(relay, a_route(LLAMA, urls={"ollama": here.url})))
        await here.until(lambda: len(here.runners.loads) == 1)
        await ask(relay, a_route(LLAMA, urls={"ollama": there.url}))
        assert len(there.runners.loads) == 1
        here.runners.gate.set()
        await stuck

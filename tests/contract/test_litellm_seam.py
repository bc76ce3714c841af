"""The one room that imports LiteLLM, against a server that answers well, badly, late and not at all."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

import pytest

from builders import a_provider
from contract.litellm_builders import CLAUDE, GPT, HELLO, KEY, ODD_WARNINGS, a_backend, chunks
from fakes import faults
from fakes.replies import Reply, ToolCall
from fakes.upstream import FakeUpstream, UpstreamModel
from gateway.backend.router import LiteLLMBackend
from gateway.domain.failure import FailureClass
from gateway.domain.model import Lane, ModelRef, ProviderKind
from gateway.errors import UpstreamFailed
from gateway.relay.route import Route
from gateway.rendering.render import render
from gateway.rendering.templates import Templates
from plans import (
    ROUTER_TEMPLATES,
    KnownKeys,
    a_cloud_deployment,
    a_cloud_provider,
    a_deployment,
    a_plan,
    a_role_plan,
)
from relay_builders import a_relay, ask_whole

pytestmark = [pytest.mark.litellm_facts, *ODD_WARNINGS, pytest.mark.usefixtures("litellm_stays_at_home")]


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    models = [UpstreamModel(name="gpt-4o-mini", context_tokens=50), UpstreamModel(name="claude-sonnet-4-5")]
    async with FakeUpstream(models=models, key=KEY) as fake:
        yield fake


@pytest.fixture
async def backend(upstream: FakeUpstream) -> AsyncIterator[LiteLLMBackend]:
    built = a_backend(openai_url=upstream.base_url, anthropic_url=upstream.url)
    yield built
    await built.close()


async def failure(
    backend: LiteLLMBackend, *, ref: ModelRef = GPT, total_s: float = 20.0, **body: object
) -> UpstreamFailed:
    role = "planner" if ref == GPT else "critic"
    with pytest.raises(UpstreamFailed) as caught:
        await chunks(backend, {**HELLO, **body}, role=role, ref=ref, total_s=total_s)
    return caught.value


def deep(levels: int) -> dict[str, object]:
    schema: dict[str, object] = {}
    for _ in range(levels):
        schema = {"properties": schema}
    return schema


DEEP_FORMAT = {"type": "json_schema", "json_schema": {"name": "deep", "schema": deep(960)}}


def text(answer: list[Mapping[str, Any]]) -> str:
    return "".join(choice["delta"].get("content") or "" for chunk in answer for choice in chunk["choices"])


async def test_an_answer_comes_as_openai_chunks_with_the_usage_last(
    backend: LiteLLMBackend, upstream: FakeUpstream
) -> None:
    upstream.say("gpt-4o-mini", Reply(content=("Hello", " there"), prompt_tokens=11))
    answer = await chunks(backend)
    assert text(answer) == "Hello there"
    assert answer[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [choice["finish_reason"] for chunk in answer for choice in chunk["choices"]][-1] == "stop"
    assert answer[-1]["choices"] == []
    assert answer[-1]["usage"]["prompt_tokens"] == 11
    assert answer[-1]["usage"]["completion_tokens"] == 2


async def test_an_anthropic_model_answers_in_the_same_chunks(backend: LiteLLMBackend, upstream: FakeUpstream) -> None:
    upstream.say("claude-sonnet-4-5", Reply(content=("Good", " day")))
    answer = await chunks(backend, role="critic", ref=CLAUDE)
    assert text(answer) == "Good day"
    assert answer[-1]["usage"]["completion_tokens"] == 2
    assert upstream.requests[-1].path == "/v1/messages"


async def test_a_tool_call_keeps_its_name_and_arguments(backend: LiteLLMBackend, upstream: FakeUpstream) -> None:
    upstream.say("gpt-4o-mini", Reply(content=(), tool_calls=(ToolCall(name="look_up", arguments={"city": "Rome"}),)))
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}
    answer = await chunks(backend, {**HELLO, "tools": [tool]})
    calls = [call for chunk in answer for choice in chunk["choices"] for call in choice["delta"].get("tool_calls", ())]
    assert calls[0]["function"]["name"] == "look_up"
    assert "".join(call["function"]["arguments"] for call in calls).replace(" ", "") == '{"city":"Rome"}'
    assert upstream.requests[-1].json["tools"] == [tool]


async def test_the_defaults_of_a_role_hold_until_the_caller_overrides_them(
    backend: LiteLLMBackend, upstream: FakeUpstream
) -> None:
    await chunks(backend)
    await chunks(backend, {**HELLO, "temperature": 0.9, "seed": 7})
    first, second = upstream.requests
    assert first.json["temperature"] == 0.2
    assert (second.json["temperature"], second.json["seed"]) == (0.9, 7)


async def test_only_what_belongs_to_the_wire_reaches_upstream(backend: LiteLLMBackend, upstream: FakeUpstream) -> None:
    await chunks(backend)
    assert set(upstream.requests[-1].json) == {"model", "messages", "stream", "stream_options", "temperature"}


async def test_null_says_nothing_to_upstream_and_leaves_the_default_of_a_role(
    backend: LiteLLMBackend, upstream: FakeUpstream
) -> None:
    await chunks(backend, {**HELLO, "temperature": None, "seed": None})
    sent = upstream.requests[-1].json
    assert sent["temperature"] == 0.2
    assert "seed" not in sent


async def test_a_caller_of_the_gateway_cannot_redirect_forge_or_sign_a_call(
    backend: LiteLLMBackend, upstream: FakeUpstream
) -> None:
    deployment = a_cloud_deployment(str(GPT))
    async with FakeUpstream() as elsewhere, a_relay() as relay:
        route = Route(
            plan=a_role_plan("planner", deployment),
            providers={"openai": a_cloud_provider("openai", url=upstream.base_url)},
            generation=1,
            backend=backend,
        )
        hostile = {
            "api_base": elsewhere.base_url,
            "base_url": elsewhere.base_url,
            "api_key": "sk-other",
            "custom_llm_provider": "anthropic",
            "mock_response": "made up",
            "extra_headers": {"x-forged": "1"},
            "extra_body": {"model": "other"},
        }
        _, answer = await ask_whole(relay, route, **hostile, seed=7)
        assert not elsewhere.requests
    assert answer["choices"][0]["message"]["content"] == "Hello from gpt-4o-mini"
    seen = upstream.requests[-1]
    assert set(seen.json) == {"model", "messages", "stream", "stream_options", "temperature", "seed"}
    assert seen.headers["Authorization"] == f"Bearer {KEY}"
    assert "x-forged" not in seen.headers


async def test_a_caller_cannot_redirect_forge_or_sign_a_call(backend: LiteLLMBackend, upstream: FakeUpstream) -> None:
    async with FakeUpstream() as elsewhere:
        hostile = {
            "api_base": elsewhere.base_url,
            "base_url": elsewhere.base_url,
            "api_key": "sk-other",
            "model": "other",
            "custom_llm_provider": "anthropic",
            "mock_response": "made up",
            "extra_headers": {"x-forged": "1"},
            "extra_body": {"model": "other"},
            "fallbacks": ["other"],
            "num_retries": 5,
            "timeout": 0.001,
            "stream": False,
        }
        answer = await chunks(backend, {**HELLO, **hostile})
        assert not elsewhere.requests
    assert text(answer) == "Hello from gpt-4o-mini"
    seen = upstream.requests[-1]
    assert seen.headers["Authorization"] == f"Bearer {KEY}"
    assert "x-forged" not in seen.headers
    assert seen.json["model"] == "gpt-4o-mini"


@pytest.mark.parametrize("ref", [GPT, CLAUDE], ids=str)
@pytest.mark.parametrize(
    "fault", [faults.eof(after_chunks=2), faults.cut(after_chunks=2), faults.reset(after_chunks=2)]
)
async def test_a_stream_that_was_cut_is_an_error_and_never_a_clean_end(
    backend: LiteLLMBackend, upstream: FakeUpstream, fault: faults.Fault, ref: ModelRef
) -> None:
    upstream.fail(fault)
    assert (await failure(backend, ref=ref)).failure is FailureClass.TRUNCATED


async def test_a_stream_that_ends_before_any_content_names_its_model(
    backend: LiteLLMBackend, upstream: FakeUpstream
) -> None:
    upstream.fail(faults.eof(after_chunks=0))
    error = await failure(backend)
    assert str(error) == "the stream of openai:gpt-4o-mini ended without a finish signal"


async def test_a_missing_done_line_is_no_failure(backend: LiteLLMBackend, upstream: FakeUpstream) -> None:
    upstream.sends_done = False
    assert text(await chunks(backend)) == "Hello from gpt-4o-mini"


@pytest.mark.parametrize("pieces", [1, 2])
@pytest.mark.parametrize("chunks_sent", [0, 4])
@pytest.mark.parametrize("ref", [GPT, CLAUDE], ids=str)
async def test_closing_the_iterator_closes_upstream(
    backend: LiteLLMBackend, upstream: FakeUpstream, ref: ModelRef, chunks_sent: int, pieces: int
) -> None:
    upstream.fail(faults.stall(after_chunks=chunks_sent))
    role = "planner" if ref == GPT else "critic"
    async with aclosing(backend.stream(role=role, ref=ref, body=HELLO, connect_s=2.0, total_s=20.0)) as stream:
        for _ in range(pieces if chunks_sent else 1):
            await anext(stream)
    await upstream.until(lambda: upstream.requests[-1].outcome == "disconnected")


@pytest.mark.parametrize("ref", [GPT, CLAUDE], ids=str)
async def test_that_upstream_has_begun_to_answer_is_told_before_it_says_anything(
    backend: LiteLLMBackend, upstream: FakeUpstream, ref: ModelRef
) -> None:
    upstream.fail(faults.stall(after_chunks=0))
    role = "planner" if ref == GPT else "critic"
    async with aclosing(backend.stream(role=role, ref=ref, body=HELLO, connect_s=2.0, total_s=20.0)) as stream:
        assert await anext(stream) == {}


@pytest.mark.parametrize("fault", [faults.hang(), faults.stall(after_chunks=1)])
async def test_cancelling_a_waiting_call_closes_upstream(
    backend: LiteLLMBackend, upstream: FakeUpstream, fault: faults.Fault
) -> None:
    upstream.fail(fault)
    task = asyncio.create_task(chunks(backend))
    await upstream.until(lambda: bool(upstream.requests))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await upstream.until(lambda: upstream.requests[-1].outcome == "disconnected")


@pytest.mark.parametrize("ref", [GPT, CLAUDE], ids=str)
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, FailureClass.BAD_REQUEST),
        (401, FailureClass.AUTH),
        (402, FailureClass.RATE_LIMIT),
        (403, FailureClass.AUTH),
        (404, FailureClass.GONE),
        (418, FailureClass.UPSTREAM_ERROR),
        (422, FailureClass.BAD_REQUEST),
        (429, FailureClass.RATE_LIMIT),
        (500, FailureClass.UPSTREAM_ERROR),
        (502, FailureClass.UPSTREAM_ERROR),
        (503, FailureClass.OVERLOADED),
        (504, FailureClass.UPSTREAM_ERROR),
        (529, FailureClass.OVERLOADED),
    ],
)
async def test_the_status_that_upstream_answered_decides_the_class(
    backend: LiteLLMBackend, upstream: FakeUpstream, status: int, expected: FailureClass, ref: ModelRef
) -> None:
    upstream.fail(faults.status(status, '{"error": {"message": "no", "type": "x"}, "type": "error"}'))
    error = await failure(backend, ref=ref)
    assert (error.failure, error.status) == (expected, status)


@pytest.mark.parametrize("ref", [GPT, CLAUDE], ids=str)
@pytest.mark.parametrize("body", [{"tools": 5}, {"messages": [5]}, {"response_format": 5}])
async def test_a_value_that_litellm_cannot_work_with_is_the_callers(
    backend: LiteLLMBackend, upstream: FakeUpstream, body: dict[str, Any], ref: ModelRef
) -> None:
    error = await failure(backend, ref=ref, **body)
    assert (error.failure, error.status, error.spoken) == (FailureClass.BAD_REQUEST, None, False)
    assert "Traceback" not in str(error)
    assert not upstream.requests


async def test_a_schema_too_deep_for_litellm_is_the_callers(backend: LiteLLMBackend, upstream: FakeUpstream) -> None:
    error = await failure(backend, ref=CLAUDE, response_format=DEEP_FORMAT)
    assert error.failure is FailureClass.BAD_REQUEST
    assert not upstream.requests


@pytest.mark.parametrize("ref", [GPT, CLAUDE], ids=str)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(
    backend: LiteLLMBackend, upstream: FakeUpstream, status: int, ref: ModelRef
) -> None:
    path = "/v1/chat/completions" if ref == GPT else "/v1/messages"
    async with FakeUpstream(models=[GPT.name, CLAUDE.name]) as elsewhere:
        upstream.fail(faults.status(status, "", location=elsewhere.url + path))
        error = await failure(backend, ref=ref)
        assert not elsewhere.requests
    assert (error.failure, error.status) == (FailureClass.UPSTREAM_ERROR, status)
    assert str(error) == "the provider answered with a redirect, which is not followed"
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("ref", [GPT, CLAUDE], ids=str)
async def test_a_prompt_found_too_long_within_the_stream_is_told_as_such(
    backend: LiteLLMBackend, upstream: FakeUpstream, ref: ModelRef
) -> None:
    upstream.fail(faults.error("context length exceeded", after_chunks=1))
    assert (await failure(backend, ref=ref)).failure is FailureClass.CONTEXT_LENGTH


@pytest.mark.parametrize("status", [401, 403])
async def test_a_server_that_was_sent_no_key_cannot_refuse_it(upstream: FakeUpstream, status: int) -> None:
    upstream.fail(faults.status(status, '{"error": {"message": "no"}}'))
    ref = ModelRef(provider="lab", name="gpt-4o-mini")
    rendered = render(
        plan=a_plan(a_role_plan("planner", a_deployment(str(ref), lane=Lane.LITELLM))),
        providers={"lab": a_provider("lab", kind=ProviderKind.OPENAI, lane=Lane.LITELLM, url=upstream.base_url)},
        templates=Templates.load(ROUTER_TEMPLATES),
        gateway_url="http://127.0.0.1:4000",
    )
    backend = LiteLLMBackend.build(rendered, keys=KnownKeys(by_provider={}))
    with pytest.raises(UpstreamFailed, match="no") as caught:
        await chunks(backend, ref=ref)
    await backend.close()
    assert (caught.value.failure, caught.value.status) == (FailureClass.UPSTREAM_ERROR, status)


async def test_each_failure_is_one_call_and_never_retried(backend: LiteLLMBackend, upstream: FakeUpstream) -> None:
    upstream.fail(faults.status(500, "{}"))
    await failure(backend)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("ref", [GPT, CLAUDE], ids=str)
async def test_the_wait_that_upstream_asks_for_is_handed_on(
    backend: LiteLLMBackend, upstream: FakeUpstream, ref: ModelRef
) -> None:
    upstream.fail(faults.status(429, '{"error": {"message": "slow down"}}', retry_after="7"))
    assert (await failure(backend, ref=ref)).retry_after_s == 7.0


async def test_a_prompt_that_is_too_long_says_how_long_it_was(backend: LiteLLMBackend, upstream: FakeUpstream) -> None:
    error = await failure(backend, messages=[{"role": "user", "content": "word " * 80}])
    assert (error.failure, error.status, error.prompt_tokens) == (FailureClass.CONTEXT_LENGTH, 400, 84)


async def test_a_feature_that_the_model_lacks_is_its_own_class(backend: LiteLLMBackend, upstream: FakeUpstream) -> None:
    upstream.fail(faults.status(400, '{"error": {"message": "this model does not support tools"}}'))
    error = await failure(backend)
    assert (error.failure, str(error)) == (FailureClass.CAPABILITY, "this model does not support tools")


@pytest.mark.parametrize("ref", [GPT, CLAUDE], ids=str)
@pytest.mark.parametrize(
    ("status", "words", "code", "expected"),
    [
        (500, "error loading model: unable to allocate CUDA0 buffer", None, FailureClass.LOAD_FAILED),
        (500, "image input is not supported", None, FailureClass.CAPABILITY),
        (400, "no", "content_policy_violation", FailureClass.CONTENT_POLICY),
        (400, "no", "content_filter", FailureClass.CONTENT_POLICY),
        (400, "no", "context_length_exceeded", FailureClass.CONTEXT_LENGTH),
        (400, "Output blocked by content filtering policy", None, FailureClass.CONTENT_POLICY),
    ],
)
async def test_the_words_and_codes_of_upstream_mean_what_they_mean_on_every_lane(
    backend: LiteLLMBackend,
    upstream: FakeUpstream,
    status: int,
    words: str,
    code: str | None,
    expected: FailureClass,
    ref: ModelRef,
) -> None:
    upstream.fail(faults.status(status, json.dumps({"error": {"message": words, "code": code}})))
    error = await failure(backend, ref=ref)
    assert (error.failure, error.status, str(error)) == (expected, status, words)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("overloaded_error", FailureClass.OVERLOADED),
        ("rate_limit_error", FailureClass.RATE_LIMIT),
        ("api_error", FailureClass.UPSTREAM_ERROR),
    ],
)
async def test_the_kind_of_an_error_event_gives_its_class(
    backend: LiteLLMBackend, upstream: FakeUpstream, kind: str, expected: FailureClass
) -> None:
    event = b"data: " + json.dumps({"error": {"message": "no", "type": kind}}).encode() + b"\n\n"
    upstream.fail(faults.raw(faults.head(content_type="text/event-stream"), event))
    error = await failure(backend)
    assert (error.failure, error.spoken) == (expected, True)


async def test_a_refused_connection_is_a_transport_failure(upstream: FakeUpstream) -> None:
    backend = a_backend(openai_url=upstream.base_url, anthropic_url=upstream.url)
    await upstream.stop()
    for ref in (GPT, CLAUDE):
        error = await failure(backend, ref=ref)
        assert (error.failure, error.status) == (FailureClass.TRANSPORT, None)
    await backend.close()


@pytest.mark.parametrize("ref", [GPT, CLAUDE], ids=str)
async def test_a_connection_reset_before_any_byte_is_a_transport_failure(
    backend: LiteLLMBackend, upstream: FakeUpstream, ref: ModelRef
) -> None:
    upstream.fail(faults.reset())
    assert (await failure(backend, ref=ref)).failure is FailureClass.TRANSPORT


async def test_silence_is_ended_by_the_deadline_of_the_call(backend: LiteLLMBackend, upstream: FakeUpstream) -> None:
    upstream.fail(faults.hang(), times=1)
    upstream.fail(faults.stall(after_chunks=0), times=1)
    upstream.fail(faults.stall(after_chunks=2), times=1)
    expected = {
        FailureClass.TIMEOUT: "no answer within the time allowed",
        FailureClass.TIMEOUT_FIRST_TOKEN: "no content within the time allowed",
        FailureClass.STALL: "the stream did not end within the time allowed",
    }
    for kind, words in expected.items():
        error = await failure(backend, total_s=0.5)
        assert (error.failure, str(error)) == (kind, words)


async def test_an_error_event_in_a_stream_carries_the_words_of_upstream(
    backend: LiteLLMBackend, upstream: FakeUpstream
) -> None:
    upstream.fail(faults.error("the engine fell over", after_chunks=1))
    for ref in (GPT, CLAUDE):
        error = await failure(backend, ref=ref)
        assert (error.failure, error.spoken, str(error)) == (FailureClass.UPSTREAM_ERROR, True, "the engine fell over")


async def test_an_unreadable_chunk_counts_as_a_cut_stream(backend: LiteLLMBackend, upstream: FakeUpstream) -> None:
    upstream.fail(faults.garbage("data: {nonsense", after_chunks=1))
    assert (await failure(backend)).failure is FailureClass.TRUNCATED


async def test_what_upstream_says_of_a_refused_key_is_not_in_the_message(
    backend: LiteLLMBackend, upstream: FakeUpstream
) -> None:
    upstream.fail(faults.status(401, f'{{"error": {{"message": "wrong key {KEY}"}}}}'))
    assert str(await failure(backend)) == "the provider refused the gateway's key (status 401)"


async def test_without_a_key_nothing_is_sent(upstream: FakeUpstream) -> None:
    backend = a_backend(openai_url=upstream.base_url, keys={})
    error = await failure(backend)
    assert (error.failure, str(error)) == (FailureClass.AUTH, 'no key is known for the provider "openai"')
    assert not upstream.requests
    await backend.close()


@pytest.mark.parametrize("key", ["sk-one\nsk-two", "sk-\u043e-cyrillic", "\ufeffsk-from-a-pipe", "sk-\x00"])
async def test_a_key_that_no_header_can_carry_is_the_gateways_fault_and_not_repeated(
    key: str, upstream: FakeUpstream
) -> None:
    backend = a_backend(
        openai_url=upstream.base_url, anthropic_url=upstream.url, keys={"openai": key, "anthropic": key}
    )
    for ref in (GPT, CLAUDE):
        error = await failure(backend, ref=ref)
        assert error.failure is FailureClass.AUTH
        assert str(error) == (
            "the gateway's key for the provider holds characters that no key has (a line break, perhaps)"
        )
    assert not upstream.requests
    await backend.close()


async def test_a_deployment_of_another_lane_is_not_there(backend: LiteLLMBackend) -> None:
    mistral = ModelRef(provider="ollama", name="mistral:latest")
    with pytest.raises(UpstreamFailed) as caught:
        await chunks(backend, role="local", ref=mistral)
    assert caught.value.failure is FailureClass.GONE
    assert str(caught.value) == 'no deployment of "ollama:mistral:latest" for the role "local" on the litellm lane'


def test_a_key_is_in_no_representation() -> None:
    backend = a_backend(openai_url="http://127.0.0.1:9/v1")
    shown = f"{backend!r} {vars(backend)['_calls']!r}"
    asyncio.run(backend.close())
    assert KEY not in shown

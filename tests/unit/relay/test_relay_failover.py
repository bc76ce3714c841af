"""One request over real TCP: what answers, what is tried, what the caller hears."""

import asyncio

import pytest

from fakes import faults
from fakes.faults import Fault
from fakes.ollama import FakeOllama
from fakes.replies import Reply, ToolCall
from fakes.upstream import FakeUpstream
from gateway.domain.failure import FailureClass
from gateway.domain.model import Lane
from gateway.domain.plan import Deployment
from gateway.domain.role import Deadlines, Task
from gateway.errors import BadRequest, NoCapableDeployment, NoModelForRole, RequestFailed, UpstreamFailed
from gateway.relay.answer import StreamingAnswer
from gateway.relay.needs import Needs
from relay_builders import (
    ScriptedBackend,
    a_deployment,
    a_relay,
    a_route,
    ask,
    ask_stream,
    ask_whole,
    heard,
    text_of,
)

DEAD = "http://127.0.0.1:9"
OLLAMA = a_deployment("ollama:llama3.1:8b")
LAB = a_deployment("lab:gpt-4o-mini", lane=Lane.OPENAI, order=2)
QUICK = Deadlines(connect_s=2, load_s=5, first_token_s=1, gap_s=1, total_s=10)
FOREIGN = {
    "id": "chatcmpl-up",
    "object": "chat.completion.chunk",
    "created": 1_785_578_400,
    "model": "claude",
}


def chunk(delta: dict[str, object], *, finish: str | None = None, **more: object) -> dict[str, object]:
    return {**FOREIGN, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


async def test_a_whole_answer_comes_from_the_first_deployment() -> None:
    async with FakeOllama() as ollama, a_relay() as relay:
        ollama.say("llama3.1:8b", Reply(content=("Good", " morning"), prompt_tokens=7))
        answer, body = await ask_whole(relay, a_route(OLLAMA, urls={"ollama": ollama.url}))
    assert body["choices"][0]["message"]["content"] == "Good morning"
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["object"] == "chat.completion"
    assert body["model"] == "llama3.1:8b"
    assert body["usage"] == {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    assert answer.fallback_reason == ""
    assert [(one.model, one.failure, one.status) for one in answer.attempts] == [("ollama:llama3.1:8b", "", 200)]
    assert answer.upstream_s > 0


async def test_a_stream_is_role_deltas_finish_and_done_under_one_id() -> None:
    async with FakeOllama() as ollama, a_relay() as relay:
        ollama.say("llama3.1:8b", Reply(content=("Good", " morning")))
        answer = await ask_stream(relay, a_route(OLLAMA, urls={"ollama": ollama.url}))
        events = await heard(answer)
    assert events[-1] == "[DONE]"
    chunks = events[:-1]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [one["choices"][0]["finish_reason"] for one in chunks] == [None, None, None, "stop"]
    assert text_of(events) == "Good morning"
    assert len({(one["id"], one["created"], one["model"]) for one in chunks}) == 1
    assert not any("usage" in one for one in chunks)
    assert not answer.failed


async def test_token_counts_come_last_when_the_caller_asks_for_them() -> None:
    async with FakeOllama() as ollama, a_relay() as relay:
        route = a_route(OLLAMA, urls={"ollama": ollama.url})
        events = await heard(await ask_stream(relay, route, stream_options={"include_usage": True}))
    assert events[-1] == "[DONE]"
    assert events[-2]["choices"] == []
    assert events[-2]["usage"]["total_tokens"] > 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_dead_first_choice_leaves_the_answer_to_the_second(stream: bool) -> None:
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        answer = await ask(relay, a_route(OLLAMA, LAB, urls={"ollama": DEAD}), stream=stream)
        assert answer.deployment is LAB
        assert answer.fallback_reason == "ollama:llama3.1:8b: transport"
        assert [(one.model, one.failure) for one in answer.attempts] == [
            ("ollama:llama3.1:8b", "transport"),
            ("lab:gpt-4o-mini", ""),
        ]


BEFORE_CONTENT = [
    pytest.param(faults.reset(), "transport", id="reset before any byte"),
    pytest.param(faults.cut(), "transport", id="closed before any byte"),
    pytest.param(faults.reset(after_chunks=0), "truncated", id="reset after the headers"),
    pytest.param(faults.eof(after_chunks=0), "truncated", id="empty body"),
    pytest.param(faults.hang(), "timeout", id="no headers"),
    pytest.param(faults.stall(after_chunks=0), "timeout_first_token", id="headers and no token"),
    pytest.param(faults.status(429, '{"error":"slow down"}'), "rate_limit", id="429"),
    pytest.param(faults.status(503, '{"error":"server busy, please try again."}'), "overloaded", id="503"),
    pytest.param(faults.status(404, '{"error":"model \'x\' not found"}'), "gone", id="404"),
    pytest.param(faults.status(400, '{"error":"x does not support tools"}'), "capability", id="no tools"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("fault", "failure"), BEFORE_CONTENT)
async def test_a_failure_before_content_moves_on_unseen(fault: Fault, failure: str, stream: bool) -> None:
    async with FakeOllama() as ollama, FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        ollama.fail(fault, route="/api/chat")
        route = a_route(OLLAMA, LAB, urls={"ollama": ollama.url}, deadlines=QUICK)
        answer = await ask(relay, route, stream=stream)
        assert [one.failure for one in answer.attempts] == [failure, ""]
        assert len(ollama.requests_to("/api/chat")) == 1


@pytest.mark.parametrize(("fault", "failure"), BEFORE_CONTENT)
async def test_the_openai_lane_fails_in_the_same_classes(fault: Fault, failure: str) -> None:
    async with FakeUpstream() as lab, FakeOllama() as ollama, a_relay(urls={"lab": lab.base_url}) as relay:
        lab.fail(fault)
        answer = await ask(relay, a_route(LAB, OLLAMA, urls={"ollama": ollama.url}, deadlines=QUICK), stream=True)
        assert [one.failure for one in answer.attempts] == [failure, ""]
        assert answer.deployment is OLLAMA


@pytest.mark.parametrize("stream", [False, True])
async def test_a_server_error_is_tried_once_more_before_moving_on(stream: bool) -> None:
    async with FakeOllama() as ollama, FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        ollama.fail(faults.status(500, '{"error":"boom"}'), route="/api/chat")
        answer = await ask(relay, a_route(OLLAMA, LAB, urls={"ollama": ollama.url}), stream=stream)
        assert [one.failure for one in answer.attempts] == ["upstream_error", "upstream_error", ""]
        assert len(ollama.requests_to("/api/chat")) == 2


AFTER_CONTENT = [
    pytest.param(faults.reset(after_chunks=2), "stream_truncated", id="reset"),
    pytest.param(faults.cut(after_chunks=2), "stream_truncated", id="closed"),
    pytest.param(faults.eof(after_chunks=2), "stream_truncated", id="clean end without a finish"),
    pytest.param(faults.stall(after_chunks=2), "stream_stalled", id="silence"),
    pytest.param(faults.error("it broke", after_chunks=2), "upstream_error", id="error in the stream"),
]


@pytest.mark.parametrize("deployment", [OLLAMA, LAB], ids=["ollama", "openai"])
@pytest.mark.parametrize(("fault", "code"), AFTER_CONTENT)
async def test_a_stream_that_breaks_after_content_ends_in_an_error_and_no_done(
    deployment: object, fault: Fault, code: str
) -> None:
    async with FakeOllama() as ollama, FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        for fake in (ollama, lab):
            fake.say("", Reply(content=("one ", "two ", "three ", "four ")))
        ollama.fail(fault, route="/api/chat")
        lab.fail(fault)
        first, second = (OLLAMA, LAB) if deployment is OLLAMA else (LAB, OLLAMA)
        route = a_route(first, second, urls={"ollama": ollama.url}, deadlines=QUICK)
        answer = await ask_stream(relay, route)
        events = await heard(answer)
        asked = len(ollama.requests_to("/api/chat")) + len(lab.requests)
    assert asked == 1
    assert text_of(events).startswith("one ")
    assert events[-1]["error"]["code"] == code
    assert events[-1]["error"]["attempts"][-1]["model"] == str(first.ref)
    assert answer.failed
    assert len(answer.attempts) == 1


async def test_a_whole_answer_is_taken_from_the_second_when_the_first_breaks_in_the_middle() -> None:
    async with FakeOllama() as ollama, FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        ollama.fail(faults.cut(after_chunks=2), route="/api/chat")
        answer, body = await ask_whole(relay, a_route(OLLAMA, LAB, urls={"ollama": ollama.url}))
    assert [one.failure for one in answer.attempts] == ["truncated", ""]
    assert body["choices"][0]["message"]["content"] == "Hello from gpt-4o-mini"


@pytest.mark.parametrize("deployment", [OLLAMA, LAB], ids=["ollama", "openai"])
async def test_an_unreadable_chunk_is_skipped(deployment: object) -> None:
    async with FakeOllama() as ollama, FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        for fake in (ollama, lab):
            fake.say("", Reply(content=("one ", "two ", "three")))
            fake.fail(faults.garbage(after_chunks=2), route="/v1/chat/completions" if fake is lab else "/api/chat")
        chosen = OLLAMA if deployment is OLLAMA else LAB
        answer = await ask_stream(relay, a_route(chosen, urls={"ollama": ollama.url}))
        events = await heard(answer)
    assert text_of(events) == "one two three"
    assert events[-1] == "[DONE]"


async def test_a_complete_stream_without_done_ends_well_and_with_its_token_counts() -> None:
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        lab.sends_done = False
        events = await heard(await ask_stream(relay, a_route(LAB), stream_options={"include_usage": True}))
    assert events[-1] == "[DONE]"
    assert events[-2]["usage"]["completion_tokens"] == 3


async def test_the_callers_mistake_is_told_in_upstreams_words_and_goes_nowhere_else() -> None:
    async with FakeOllama() as ollama, FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        ollama.fail(faults.status(400, '{"error":"invalid think value"}'), route="/api/chat")
        with pytest.raises(RequestFailed) as caught:
            await ask(relay, a_route(OLLAMA, LAB, urls={"ollama": ollama.url}))
        assert lab.requests == []
    assert (caught.value.status, caught.value.failure_code, caught.value.source) == (400, "invalid_request", "upstream")
    assert caught.value.message == "invalid think value"


async def test_a_prompt_too_long_moves_on_only_to_a_larger_context() -> None:
    small = a_deployment("lab:small", lane=Lane.OPENAI, order=2, context_tokens=4096)
    large = a_deployment("lab:gpt-4o-mini", lane=Lane.OPENAI, order=3, context_tokens=128_000)
    too_long = (
        '{"error":"{\\"error\\":{\\"code\\":400,\\"type\\":\\"exceed_context_size_error\\",\\"n_prompt_tokens\\":9000,'
    )
    too_long += '\\"message\\":\\"request (9000 tokens) exceeds the available context size (4096 tokens)\\"}}"}'
    async with FakeOllama() as ollama, FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        ollama.fail(faults.status(400, too_long), route="/api/chat")
        answer = await ask(relay, a_route(OLLAMA, small, large, urls={"ollama": ollama.url}))
        assert answer.deployment is large
        with pytest.raises(RequestFailed) as caught:
            await ask(relay, a_route(OLLAMA, small, urls={"ollama": ollama.url}))
    assert (caught.value.status, caught.value.failure_code) == (400, "context_length_exceeded")


async def test_needs_rule_deployments_out_and_the_error_names_what_and_why() -> None:
    blind = a_deployment("ollama:mistral:latest", features=frozenset())
    async with a_relay() as relay:
        tool = {"type": "function", "function": {"name": "f"}}
        with pytest.raises(NoCapableDeployment) as caught:
            await ask(relay, a_route(blind, LAB, urls={"ollama": DEAD}), tools=[tool], max_tokens=5000)
    assert caught.value.message == (
        'no deployment of role "planner" can serve this request: ollama:mistral:latest: does not support tools; '
        "lab:gpt-4o-mini: its context of 4096 tokens is too small for a prompt of about 12 tokens and an answer of up to 5000"
    )


async def test_a_filtered_first_choice_is_named_as_the_reason_of_the_fallback() -> None:
    blind = a_deployment("ollama:mistral:latest", features=frozenset())
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        tool = {"type": "function", "function": {"name": "f"}}
        answer = await ask(relay, a_route(blind, LAB, urls={"ollama": DEAD}), tools=[tool])
    assert answer.fallback_reason == "ollama:mistral:latest: does not support tools"
    assert len(answer.attempts) == 1


async def test_the_last_failure_decides_what_the_caller_sees() -> None:
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        lab.fail(faults.status(503, '{"error":{"message":"full"}}', retry_after="900"))
        with pytest.raises(RequestFailed) as caught:
            await ask(relay, a_route(OLLAMA, LAB, urls={"ollama": DEAD}))
    assert caught.value.status == 503
    assert caught.value.retry_after_s == 900
    assert (
        caught.value.message
        == 'no deployment of role "planner" answered; the last, lab:gpt-4o-mini, failed with overloaded: full'
    )
    assert [one.failure for one in caught.value.attempts] == ["transport", "overloaded"]


async def test_a_refused_connection_is_tried_once_more_when_nothing_else_is_left() -> None:
    async with a_relay() as relay:
        with pytest.raises(RequestFailed) as caught:
            await ask(relay, a_route(OLLAMA, urls={"ollama": DEAD}))
    assert [one.failure for one in caught.value.attempts] == ["transport", "transport"]
    assert caught.value.status == 502


async def test_a_rate_limit_is_waited_out_when_nothing_else_is_left() -> None:
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        lab.fail(faults.status(429, "", retry_after="0"), times=1)
        answer = await ask(relay, a_route(LAB))
    assert [one.failure for one in answer.attempts] == ["rate_limit", ""]
    assert answer.fallback_reason == ""


async def test_a_key_that_is_refused_holds_the_deployment_back() -> None:
    async with FakeUpstream(key="right") as lab, a_relay(urls={"lab": lab.base_url}, key="wrong-key") as relay:
        with pytest.raises(RequestFailed) as first:
            await ask(relay, a_route(LAB))
        with pytest.raises(RequestFailed) as second:
            await ask(relay, a_route(LAB))
        assert len(lab.requests) == 1
    assert (first.value.status, first.value.failure_code) == (502, "provider_auth")
    assert "wrong-key" not in first.value.message
    hint = (
        "`rolegate providers set-key lab` gives it another at once; "
        "where LAB_API_KEY is set, that counts, and takes a restart"
    )
    assert (first.value.hint, second.value.hint) == (hint, hint)
    assert second.value.message == (
        'no deployment of role "planner" can be called now: lab:gpt-4o-mini: auth: '
        "the provider refused the gateway's key (status 401)"
    )


async def test_three_failures_put_the_first_choice_behind_the_second() -> None:
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        route = a_route(OLLAMA, LAB, urls={"ollama": DEAD})
        for _ in range(3):
            await ask(relay, route)
        answer = await ask(relay, route)
    assert [one.model for one in answer.attempts] == ["lab:gpt-4o-mini"]
    assert answer.fallback_reason == "ollama:llama3.1:8b: cooling down after transport"


async def test_a_lone_deployment_is_tried_even_while_it_cools() -> None:
    async with FakeOllama() as ollama, a_relay() as relay:
        route = a_route(OLLAMA, urls={"ollama": ollama.url})
        await ollama.stop()
        for _ in range(3):
            with pytest.raises(RequestFailed):
                await ask(relay, route)
        await ollama.start()
        answer = await ask(relay, route)
    assert answer.deployment is OLLAMA


async def test_a_caller_that_leaves_closes_upstream() -> None:
    async with FakeOllama() as ollama, a_relay() as relay:
        ollama.fail(faults.stall(after_chunks=2), route="/api/chat")
        answer = await ask_stream(relay, a_route(OLLAMA, urls={"ollama": ollama.url}))
        heard_first = asyncio.Event()

        async def write(frames: bytes) -> None:
            heard_first.set()

        delivery = asyncio.create_task(answer.deliver(write))
        await heard_first.wait()
        delivery.cancel()
        await asyncio.gather(delivery, return_exceptions=True)
        await answer.aclose()
        await ollama.until(lambda: ollama.requests_to("/api/chat")[0].outcome == "disconnected")


async def test_a_stream_closed_unread_closes_upstream() -> None:
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        lab.fail(faults.stall(after_chunks=2))
        answer = await ask_stream(relay, a_route(LAB))
        await answer.aclose()
        await lab.until(lambda: lab.active == 0)


async def test_a_caller_that_leaves_while_waiting_closes_upstream() -> None:
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        lab.fail(faults.hang())
        task = asyncio.create_task(ask(relay, a_route(LAB)))
        await lab.until(lambda: lab.active == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await lab.until(lambda: lab.active == 0)


async def test_the_roles_parameters_hold_where_the_caller_says_nothing() -> None:
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        route = a_route(LAB, parameters={"temperature": 0.2, "top_p": 0.5, "max_tokens": 50})
        await ask(relay, route, top_p=0.9, temperature=None, max_completion_tokens=7)
        sent = lab.last.json
    assert (sent["temperature"], sent["top_p"]) == (0.2, 0.9)
    assert sent["max_completion_tokens"] == 7
    assert sent["max_tokens"] == 7


async def test_tool_calls_are_put_together_for_a_caller_who_does_not_stream() -> None:
    call = ToolCall(name="look_up", arguments={"q": "weather"}, call_id="call_a")
    async with FakeUpstream() as lab, FakeOllama() as ollama, a_relay(urls={"lab": lab.base_url}) as relay:
        for fake in (lab, ollama):
            fake.say("", Reply(content=(), tool_calls=(call,)))
        tool = {"type": "function", "function": {"name": "look_up"}}
        for deployment in (LAB, OLLAMA):
            _, body = await ask_whole(relay, a_route(deployment, urls={"ollama": ollama.url}), tools=[tool])
            choice = body["choices"][0]
            assert choice["finish_reason"] == "tool_calls"
            assert choice["message"]["content"] is None
            assert choice["message"]["tool_calls"] == [
                {
                    "id": "call_a",
                    "type": "function",
                    "function": {"name": "look_up", "arguments": '{"q":"weather"}'},
                }
            ]


async def test_the_litellm_lane_relays_the_backends_chunks_under_our_model_name() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    backend = ScriptedBackend(
        [
            chunk({"role": "assistant", "content": "Hi"}),
            chunk({"content": " you"}),
            chunk({}, finish="stop"),
            {**FOREIGN, "choices": [], "usage": usage},
        ]
    )
    claude = a_deployment("anthropic:claude-sonnet-4-5", lane=Lane.LITELLM)
    async with a_relay() as relay:
        answer, body = await ask_whole(
            relay,
            a_route(claude, backend=backend),
            temperature=0.5,
            prediction={"type": "content", "content": "Hi"},
            reasoning_effort="low",
            stream_options={"include_usage": True},
        )
    assert body["choices"][0]["message"]["content"] == "Hi you"
    assert (body["model"], body["usage"]) == ("claude-sonnet-4-5", usage)
    assert answer.deployment.cloud
    sent = backend.bodies[0]
    assert set(sent) == {"role", "ref", "connect_s", "total_s", "messages", "temperature", "prediction"}
    assert backend.closed == 1


async def test_a_failing_backend_leaves_the_answer_to_the_next_lane() -> None:
    failed = UpstreamFailed("overloaded", failure=FailureClass.OVERLOADED, status=529)
    backend = ScriptedBackend(failed=failed)
    claude = a_deployment("anthropic:claude-sonnet-4-5", lane=Lane.LITELLM)
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        answer = await ask(relay, a_route(claude, LAB, backend=backend))
    assert answer.deployment is LAB
    assert answer.attempts[0].status == 529


async def test_a_backend_whose_stream_lacks_a_finish_is_truncated() -> None:
    backend = ScriptedBackend([chunk({"role": "assistant", "content": "Hi"})])
    claude = a_deployment("anthropic:claude-sonnet-4-5", lane=Lane.LITELLM)
    async with a_relay() as relay:
        events = await heard(await ask_stream(relay, a_route(claude, backend=backend)))
    assert events[-1]["error"]["code"] == "stream_truncated"


class Diary:
    def __init__(self) -> None:
        self.entries: list[tuple[str, str]] = []

    def attempt_failed(self, deployment: Deployment, failed: UpstreamFailed, *, needs: Needs) -> None:
        self.entries.append((str(deployment.ref), failed.failure))


async def test_whoever_wants_to_know_hears_of_every_failed_attempt() -> None:
    diary = Diary()
    async with FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}, observer=diary) as relay:
        missing = a_deployment("lab:missing", lane=Lane.OPENAI)
        await ask(relay, a_route(OLLAMA, missing, LAB, urls={"ollama": DEAD}))
    assert diary.entries == [("ollama:llama3.1:8b", "transport"), ("lab:missing", "gone")]


async def test_callers_that_leave_at_any_point_leave_no_task_and_no_connection_behind() -> None:
    async with FakeOllama() as ollama, FakeUpstream() as lab, a_relay(urls={"lab": lab.base_url}) as relay:
        before = len(asyncio.all_tasks())
        route = a_route(OLLAMA, LAB, urls={"ollama": ollama.url})
        await ask(relay, route)
        for steps in range(60):
            task = asyncio.create_task(ask(relay, route, stream=steps % 2 == 0))
            for _ in range(steps):
                await asyncio.sleep(0)
            if not task.cancel():
                answer = task.result()
                if isinstance(answer, StreamingAnswer):
                    await answer.aclose()
            await asyncio.gather(task, return_exceptions=True)
        await ollama.until(lambda: ollama.active == 0)
        await lab.until(lambda: lab.active == 0)
        assert len([one for one in asyncio.all_tasks() if "RequestHandler" not in repr(one)]) <= before


async def test_a_role_for_embeddings_does_not_chat() -> None:
    async with a_relay() as relay:
        with pytest.raises(BadRequest, match=r'^"planner" is for embeddings; it does not chat$') as caught:
            await ask(relay, a_route(OLLAMA, task=Task.EMBEDDING))
    assert caught.value.param == "model"


async def test_a_role_without_deployments_says_so() -> None:
    async with a_relay() as relay:
        with pytest.raises(NoModelForRole, match='no model can serve the role "planner" now'):
            await ask(relay, a_route())

"""What goes wrong, as the official clients' own exceptions, over each lane, streaming or not."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import anthropic
import openai
import pytest

from client_builders import KEY, LANES, ROLES, World, done, drained, user
from fakes import faults
from fakes.faults import Fault
from fakes.replies import Reply

MASKED: Final = f"{KEY[:5]}*****{KEY[-4:]}"
"""A key as OpenAI repeats it: half of it is there to be read."""


def refusal(lane: str, status: int, message: str, *, kind: str = "", code: str = "", **headers: str) -> Fault:
    """An error in the words of the server behind ``lane``."""
    if lane.startswith("local"):
        body: dict[str, Any] = {"error": message}
    elif lane.startswith("claude"):
        kinds = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error"}
        kinds |= {413: "request_too_large", 429: "rate_limit_error", 529: "overloaded_error"}
        body = {"type": "error", "error": {"type": kinds.get(status, "api_error"), "message": message}}
    else:
        body = {"error": {"message": message, "type": kind or "server_error", "param": None, "code": code or None}}
    return faults.status(status, json.dumps(body), **headers)


def too_long(lane: str) -> Fault:
    if lane == "local":
        inner = {
            "code": 400,
            "message": "request (9000 tokens) exceeds the available context size (8192 tokens), try increasing it",
            "type": "exceed_context_size_error",
            "n_prompt_tokens": 9000,
            "n_ctx": 8192,
        }
        return refusal(lane, 400, json.dumps({"error": inner}))
    if lane == "claude":
        return refusal(lane, 400, "prompt is too long: 210000 tokens > 200000 maximum")
    words = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."
    return refusal(lane, 400, words, kind="invalid_request_error", code="context_length_exceeded")


BROKEN: Final[Mapping[str, tuple[Callable[[str], Fault], int, str, str]]] = {
    "bad field": (lambda lane: refusal(lane, 400, "temper: bad"), 400, "invalid_request", "invalid_request_error"),
    "too long": (too_long, 400, "context_length_exceeded", "invalid_request_error"),
    "broken": (lambda lane: refusal(lane, 500, "broken"), 502, "upstream_error", "api_error"),
    "bad gateway": (lambda lane: refusal(lane, 502, "broken"), 502, "upstream_error", "api_error"),
    "no answer": (lambda _: faults.reset(), 502, "upstream_unreachable", "api_error"),
    "cut before content": (lambda _: faults.eof(after_chunks=0), 502, "stream_truncated", "api_error"),
}
"""Faults that leave the deployment to be called again, with the status and code the caller sees."""
HELD: Final[Mapping[str, tuple[Callable[[str], Fault], int, str]]] = {
    "limited": (lambda lane: refusal(lane, 429, "slow down", retry_after="1000"), 429, "rate_limit_exceeded"),
    "busy": (lambda lane: refusal(lane, 503, "come back", retry_after="1000"), 503, "upstream_overloaded"),
    "keyless": (lambda lane: refusal(lane, 401, f"Incorrect key: {KEY}, or {MASKED}."), 502, "provider_auth"),
    "missing": (lambda lane: refusal(lane, 404, "no such model"), 503, "model_gone"),
}
"""Faults after which a deployment is left alone, each on a model of its own."""

OPENAI_KINDS: Final = {
    400: openai.BadRequestError,
    429: openai.RateLimitError,
    502: openai.InternalServerError,
    503: openai.InternalServerError,
    504: openai.InternalServerError,
}
ANTHROPIC_KINDS: Final = {
    400: (anthropic.BadRequestError, "invalid_request_error"),
    404: (anthropic.NotFoundError, "not_found_error"),
    413: (anthropic.RequestTooLargeError, "request_too_large"),
    429: (anthropic.RateLimitError, "rate_limit_error"),
    502: (anthropic.InternalServerError, "api_error"),
    503: (anthropic.InternalServerError, "overloaded_error"),
}


async def chat(client: Any, role: str, **more: Any) -> Any:
    return await done(client.chat.completions.create(**{"model": role, "messages": user("Hello."), **more}))


async def message(claude: Any, role: str, **more: Any) -> Any:
    return await done(claude.messages.create(**{"model": role, "messages": user("Hello."), "max_tokens": 100, **more}))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("trouble", BROKEN)
@pytest.mark.parametrize("lane", LANES)
async def test_an_upstream_that_refuses_or_breaks_is_the_clients_own_exception(
    world: World, client: Any, lane: str, trouble: str, stream: bool
) -> None:
    fault, status, code, kind = BROKEN[trouble]
    world.fail(lane, fault(lane))
    with pytest.raises(OPENAI_KINDS[status]) as refused:
        await chat(client, lane, stream=stream)
    error = refused.value
    assert (error.status_code, error.code, error.type) == (status, code, kind)
    body: Any = error.body
    assert set(body) >= {"message", "type", "code", "param", "source", "attempts"}
    assert body["source"] in ("gateway", "upstream")
    assert {one["model"] for one in body["attempts"]} == {ROLES[lane].reference}
    assert error.response.headers["x-rolegate-role"] == lane
    assert error.response.headers["x-rolegate-attempts"] == str(len(body["attempts"]))
    assert error.request_id


@pytest.mark.parametrize("trouble", BROKEN)
@pytest.mark.parametrize("lane", LANES)
async def test_an_upstream_that_refuses_or_breaks_is_anthropics_own_exception(
    world: World, claude: Any, lane: str, trouble: str
) -> None:
    fault, status, code, _ = BROKEN[trouble]
    kind, named = ANTHROPIC_KINDS[status]
    for stream in (False, True):
        world.fail(lane, fault(lane))
        with pytest.raises(kind) as refused:
            await message(claude, lane, stream=stream)
        body: Any = refused.value.body
        assert refused.value.status_code == status
        assert (body["type"], body["error"]["type"], body["error"]["code"]) == ("error", named, code)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("trouble", HELD)
@pytest.mark.parametrize("lane", LANES)
async def test_an_upstream_that_wants_to_be_left_alone_is_the_clients_own_exception(
    world: World, client: Any, lane: str, trouble: str, stream: bool
) -> None:
    role = f"{lane}-{trouble}"
    fault, status, code = HELD[trouble]
    if (lane, trouble) == ("local", "keyless"):
        status, code = 502, "upstream_error"  # nobody gave it a key that it could refuse
    world.fail(role, fault(lane))
    with pytest.raises(OPENAI_KINDS[status]) as refused:
        await chat(client, role, stream=stream)
    assert (refused.value.status_code, refused.value.code) == (status, code)
    assert not isinstance(refused.value, openai.AuthenticationError)
    waits = refused.value.response.headers.get("retry-after")
    if trouble in ("limited", "busy"):
        assert waits is not None
        assert 900 < int(waits) <= 1000
    else:
        assert waits is None


@pytest.mark.parametrize("lane", ["wire", "cloud", "claude"])
async def test_a_refused_key_is_not_shown_to_the_caller_not_even_half_of_it(
    world: World, client: Any, lane: str
) -> None:
    role = f"{lane}-keyless"
    world.fail(role, HELD["keyless"][0](lane))
    with pytest.raises(openai.InternalServerError) as refused:
        await chat(client, role)
    assert refused.value.code == "provider_auth"
    assert MASKED not in refused.value.response.text
    assert KEY not in refused.value.response.text


@pytest.mark.parametrize("trouble", HELD)
@pytest.mark.parametrize("lane", LANES)
async def test_an_upstream_that_wants_to_be_left_alone_is_anthropics_own_exception(
    world: World, claude: Any, lane: str, trouble: str
) -> None:
    role = f"{lane}-{trouble}"
    fault, status, _ = HELD[trouble]
    world.fail(role, fault(lane))
    kind, named = ANTHROPIC_KINDS[status]
    with pytest.raises(kind) as refused:
        await message(claude, role)
    body: Any = refused.value.body
    assert body["error"]["type"] == named
    assert not isinstance(refused.value, anthropic.AuthenticationError)
    if trouble in ("limited", "busy"):
        assert int(refused.value.response.headers["retry-after"]) > 900


@pytest.mark.parametrize("lane", LANES)
async def test_an_upstream_that_does_not_begin_in_time_is_the_clients_own_exception(
    world: World, client: Any, lane: str
) -> None:
    role = f"{lane}-hasty"
    world.fail(role, faults.hang())
    with pytest.raises(openai.InternalServerError) as refused:
        await chat(client, role)
    assert refused.value.status_code == 504
    assert refused.value.code in ("upstream_timeout", "first_token_timeout")


@pytest.mark.parametrize("lane", LANES)
async def test_an_upstream_that_does_not_begin_in_time_is_anthropics_own_exception(
    world: World, claude: Any, lane: str
) -> None:
    role = f"{lane}-hasty"
    world.fail(role, faults.hang())
    with pytest.raises(anthropic.InternalServerError) as refused:
        await message(claude, role)
    body: Any = refused.value.body
    assert (refused.value.status_code, body["error"]["type"]) == (504, "timeout_error")


@pytest.mark.parametrize("lane", LANES)
async def test_a_stream_that_falls_silent_is_raised_while_reading_it(world: World, client: Any, lane: str) -> None:
    role = f"{lane}-stalling"
    world.say(role, Reply(content=("One", " two", " three", " four", " five", " six")))
    world.fail(role, faults.stall(after_chunks=5))
    heard: list[str] = []
    with pytest.raises(openai.APIError) as refused:
        await _read(await chat(client, role, stream=True), heard)
    body: Any = refused.value.body
    assert body["code"] == "stream_stalled"
    assert heard[:2] == ["One", " two"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_second_choice_that_answers_is_no_error_and_the_headers_tell_why(
    world: World, client: Any, stream: bool
) -> None:
    world.say("local-plain", Reply(content=("Here", " I am.")))
    world.fail("wire-first", refusal("wire", 503, "busy"))
    raw = await done(
        client.chat.completions.with_raw_response.create(
            model="wire-first", messages=user("Hello."), stream=stream, extra_headers={"x-rolegate-trace": "1"}
        )
    )
    assert raw.headers["x-rolegate-model"] == "ollama:llama3.1:8b"
    asked_first = len(world.asked("wire-first"))  # after a few times it is left alone for a while
    assert raw.headers["x-rolegate-attempts"] == str(asked_first + 1)
    assert "lab:lab-first" in raw.headers["x-rolegate-fallback-reason"]
    answer = raw.parse()
    if stream:
        heard: list[str] = []
        await _read(answer, heard)
        assert "".join(heard) == "Here I am."
    else:
        assert (answer.model, answer.choices[0].message.content) == ("llama3.1:8b", "Here I am.")
        assert raw.headers["x-rolegate-trace"].count("lab:lab-first=overloaded") == asked_first


@pytest.mark.parametrize("lane", ["wire", "cloud"])
async def test_a_refusal_by_policy_keeps_the_providers_words(world: World, client: Any, lane: str) -> None:
    words = "Your request was rejected by our safety system (content policy)."
    world.fail(lane, refusal(lane, 400, words, kind="invalid_request_error", code="content_policy_violation"))
    with pytest.raises(openai.BadRequestError) as refused:
        await chat(client, lane)
    body: Any = refused.value.body
    assert (refused.value.code, body["source"]) == ("content_policy_violation", "upstream")
    assert words in body["message"]
    assert len(body["attempts"]) == 1


@pytest.mark.parametrize("lane", LANES)
async def test_an_error_in_the_middle_of_a_stream_is_raised_while_reading_it(
    world: World, client: Any, lane: str
) -> None:
    world.say(lane, Reply(content=("One", " two"), error="the model fell over"))
    stream = await chat(client, lane, stream=True)
    heard: list[str] = []
    with pytest.raises(openai.APIError) as refused:
        await _read(stream, heard)
    assert heard == ["One", " two"]
    assert not isinstance(refused.value, openai.APIStatusError)
    body: Any = refused.value.body
    assert body["code"] == "upstream_error"
    assert "the model fell over" in body["message"]


@pytest.mark.parametrize("ends", ["eof", "cut", "reset"])
@pytest.mark.parametrize("lane", LANES)
async def test_a_stream_that_is_cut_after_content_never_ends_cleanly(
    world: World, client: Any, lane: str, ends: str
) -> None:
    world.say(lane, Reply(content=("One", " two", " three", " four", " five", " six"), gap_s=0.01))
    world.fail(lane, getattr(faults, ends)(after_chunks=5))
    stream = await chat(client, lane, stream=True)
    heard: list[str] = []
    with pytest.raises(openai.APIError) as refused:
        await _read(stream, heard)
    assert heard[:2] == ["One", " two"]
    body: Any = refused.value.body
    assert body["code"] == "stream_truncated"


@pytest.mark.parametrize("lane", LANES)
async def test_a_message_that_breaks_off_is_raised_while_reading_it(world: World, claude: Any, lane: str) -> None:
    world.say(lane, Reply(content=("One", " two"), error="the model fell over"))
    stream = await message(claude, lane, stream=True)
    with pytest.raises(anthropic.APIError) as refused:
        await drained(stream)
    body: Any = refused.value.body
    assert (body["type"], body["error"]["code"]) == ("error", "upstream_error")
    assert "the model fell over" in body["error"]["message"]


@pytest.mark.parametrize("lane", LANES)
async def test_a_completion_that_breaks_off_is_raised_while_reading_it(world: World, client: Any, lane: str) -> None:
    world.say(lane, Reply(content=("One", " two"), error="the model fell over"))
    stream = await done(client.completions.create(model=lane, prompt="Once", stream=True))
    with pytest.raises(openai.APIError, match="the model fell over"):
        await drained(stream)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_an_unknown_role_is_not_found_and_the_nearest_is_named(client: Any, stream: bool) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        await chat(client, "locla", stream=stream)
    body: Any = refused.value.body
    assert (refused.value.code, body["source"]) == ("model_not_found", "gateway")
    assert body["message"].startswith('there is no role or model "locla"; the roles are: ')
    assert body["message"].endswith('(did you mean "local"?)')


async def test_an_unknown_role_is_not_found_for_anthropics_client_too(claude: Any) -> None:
    with pytest.raises(anthropic.NotFoundError, match='did you mean "local"') as refused:
        await message(claude, "locla")
    body: Any = refused.value.body
    assert body["error"]["type"] == "not_found_error"


async def test_a_body_over_the_limit_is_refused_by_size(client: Any, claude: Any) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        await chat(client, "wire", messages=user("a" * (1 << 20)))
    assert (refused.value.status_code, refused.value.code) == (413, "request_too_large")
    with pytest.raises(anthropic.RequestTooLargeError):
        await message(claude, "wire", messages=user("a" * (1 << 20)))


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"temperature": "hot"}, "temperature"),
        ({"messages": "hello"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"top_logprobs": 50}, "top_logprobs"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"max_tokens": -1}, "max_tokens"),
    ],
)
async def test_nonsense_is_refused_by_field(client: Any, more: dict[str, Any], field: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await chat(client, "wire", **more)
    assert (refused.value.code, refused.value.param) == ("invalid_request", field)


@pytest.mark.parametrize("lane", ["local", "wire", "cloud", "claude"])
async def test_a_prompt_that_fits_no_model_is_refused_before_it_is_sent(world: World, client: Any, lane: str) -> None:
    with pytest.raises(openai.BadRequestError, match="is too small for a prompt of about") as refused:
        await chat(client, lane, messages=user("word " * 60_000))
    assert refused.value.code == "no_capable_deployment"
    assert not world.asked(lane)


async def _read(stream: Any, heard: list[str]) -> None:
    def hear(chunk: Any) -> None:
        if chunk.choices and chunk.choices[0].delta.content:
            heard.append(chunk.choices[0].delta.content)

    if hasattr(stream, "__aiter__"):
        async for chunk in stream:
            hear(chunk)
    else:
        for chunk in stream:
            hear(chunk)

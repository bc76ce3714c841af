"""Which chat requests are understood, and what is said of the others."""

from typing import Any

import orjson
import pytest

from builders import a_cloud, a_provider
from gateway.domain.model import Lane
from gateway.domain.plan import Via
from gateway.domain.role import Deadlines
from gateway.errors import BadRequest, Unsupported
from gateway.relay.deadlines import CLOUD, LOCAL, limits, prefill_s
from gateway.relay.needs import Needs, needs_of, stripped, why_not
from gateway.relay.relay import with_defaults
from gateway.relay.request import ChatRequest
from relay_builders import a_deployment, a_request

USER = {"role": "user", "content": "Hi"}
TOOL = {"type": "function", "function": {"name": "f"}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
LINK = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
SOUND = {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}


def parse(**changes: Any) -> ChatRequest:
    return ChatRequest.parse(orjson.dumps({"model": "planner", "messages": [USER], **changes}))


def test_a_request_keeps_its_body_as_it_came() -> None:
    request = parse(stream=True, stream_options={"include_usage": True}, unknown=[1])
    assert (request.model, request.stream, request.include_usage) == ("planner", True, True)
    assert request.body["unknown"] == [1]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[]", "the body must be a JSON object; found an empty list"),
        (b'{"messages":[]}', "model: found nothing; allowed: the name of a role or model"),
        (b'{"model":5}', "model: found 5; allowed: the name of a role or model"),
        (
            b'{"model":"%s"}' % (b"x" * 257),
            "model: found a name of 257 characters; allowed: the name of a role or model, of at most 256 characters",
        ),
        (b'{"model":"a"}', "messages: found nothing; allowed: a list of at least one message"),
        (b'{"model":"a","messages":[]}', "messages: found an empty list; allowed: a list of at least one message"),
        (b'{"model":"a","messages":[1]}', "messages[0]: found 1; allowed: an object"),
    ],
)
def test_what_is_not_a_chat_request_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        ChatRequest.parse(body)
    assert caught.value.message == message


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"a":NaN}', b"[" * 100_000])
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest, match="the body is not valid JSON: "):
        ChatRequest.parse(body)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stream": "yes"}, 'stream: found "yes"; allowed: true or false'),
        ({"temperature": 3}, "temperature: found 3; allowed: a number from 0 to 2"),
        ({"temperature": True}, "temperature: found true; allowed: a number from 0 to 2"),
        ({"seed": 1.5}, "seed: found 1.5; allowed: a whole number from -9223372036854775808 to 9223372036854775807"),
        ({"max_tokens": 0}, "max_tokens: found 0; allowed: a whole number from 1"),
        ({"stop": [1]}, "stop: found a list; allowed: a string or a list of at most 64 strings"),
        ({"top_logprobs": 21}, "top_logprobs: found 21; allowed: a whole number from 0 to 20"),
        (
            {"reasoning_effort": "very"},
            'reasoning_effort: found "very"; allowed: one of none, minimal, low, medium, high, xhigh, ultra, max',
        ),
        (
            {"tool_choice": "always"},
            'tool_choice: found "always"; allowed: "none", "auto", "required" or an object that names a function',
        ),
        (
            {"response_format": {"type": "xml"}},
            'response_format.type: found "xml"; allowed: text, json_object, json_schema',
        ),
        (
            {"response_format": {"type": "json_schema"}},
            "response_format.json_schema: found nothing; allowed: an object with a schema",
        ),
        ({"tools": {}}, "tools: found an object; allowed: a list of tools"),
        (
            {"tools": [{"type": "custom"}]},
            'tools[0]: found an object; allowed: an object of type "function" with a function and its name',
        ),
        (
            {"messages": [{"role": "robot", "content": "x"}]},
            'messages[0].role: found "robot"; allowed: assistant, developer, function, system, tool, user',
        ),
        (
            {"messages": [{"role": "user"}]},
            "messages[0].content: found nothing; allowed: a string or a list of parts",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content[0]: found an object; allowed: a part of type image_url with its image_url",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "video"}]}]},
            "messages[0].content[0]: found an object; allowed: a part of type image_url, input_audio, refusal, text",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{}]}]},
            "messages[0].tool_calls[0]: found an object; allowed: an object with a function and its name",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}]},
            "messages[0].tool_calls[0].function.arguments: found an object; allowed: a string of JSON",
        ),
    ],
)
def test_a_wrong_field_is_named_with_what_was_found_and_what_is_allowed(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(**changes)
    assert caught.value.message == message
    assert caught.value.param == message.partition(": ")[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 2}, "n: found 2; allowed: 1; send the request 2 times instead"),
        ({"functions": []}, "functions: this gateway does not offer it; use tools"),
        ({"modalities": ["text", "audio"]}, "audio: this gateway answers with text only"),
        ({"modalities": "audio"}, "audio: this gateway answers with text only"),
        ({"audio": {"voice": "alloy"}}, "audio: this gateway answers with text only"),
        (
            {"messages": [{"role": "user", "content": [{"type": "file"}]}]},
            "messages[0].content[0]: this gateway does not take files",
        ),
    ],
)
def test_what_is_not_offered_is_said_so(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Unsupported) as caught:
        parse(**changes)
    assert caught.value.message == message


def test_null_says_nothing() -> None:
    nothing = dict.fromkeys(("stream", "temperature", "stop", "tools", "response_format", "n", "stream_options"))
    assert not parse(**nothing).stream


def test_the_needs_of_a_request() -> None:
    request = parse(
        messages=[{"role": "user", "content": [{"type": "text", "text": "Hi"}, IMAGE, LINK]}],
        tools=[TOOL],
        tool_choice="required",
        response_format={"type": "json_schema", "json_schema": {"schema": {}}},
        reasoning_effort="HIGH",
        max_tokens=9,
        logit_bias={"1": 2},
    )
    needs = request.needs
    assert (needs.tools, needs.forced_tool, needs.images, needs.linked_images) == (True, True, 2, True)
    assert (needs.json_schema, needs.logit_bias, needs.effort, needs.answer_tokens) == (True, True, "high", 9)
    assert needs.texts == ("Hi", "type", "function", "function", "name", "f")
    assert needs_of(parse(tools=[TOOL], tool_choice="none").body).tools is False


def test_sound_is_taken_with_its_data_and_its_format_and_counted() -> None:
    needs = parse(messages=[{"role": "user", "content": [SOUND, SOUND]}]).needs
    assert (needs.audio, needs.features) == (2, ("supports_audio",))
    with pytest.raises(BadRequest) as caught:
        parse(messages=[{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "aGk="}}]}])
    allowed = "a part of type input_audio with its input_audio"
    assert caught.value.message == f"messages[0].content[0]: found an object; allowed: {allowed}"


def test_a_request_needs_the_features_that_it_makes_use_of() -> None:
    everything = Needs(tools=True, images=1, audio=1, json_schema=True, suffix=True)
    assert everything.features == (
        "supports_tools", "supports_vision", "supports_audio", "supports_json_schema", "supports_insert",
    )  # fmt: skip
    assert Needs(effort="high").features == Needs(effort="none").asked_features == ()
    assert Needs(tools=True, effort="high").asked_features == ("supports_tools", "supports_thinking")
    assert needs_of({"messages": [USER], "response_format": {"type": "json_object"}}).features == ()


def test_the_estimate_is_below_the_bound_and_near_the_number_of_words() -> None:
    needs = Needs(messages=1, texts=("The quick brown fox jumps over the lazy dog. " * 100,))
    assert needs.prompt_tokens == 1004
    assert needs.prompt_tokens < needs.most_prompt_tokens


def test_of_a_very_long_prompt_only_the_beginning_is_counted() -> None:
    rest = "more words " * 10
    assert Needs(texts=("word " * 209_715 + "x", rest)).prompt_tokens == 209_716
    assert Needs(texts=("word " * 6_000_000, rest)).prompt_tokens == 209_716


def test_a_model_name_of_the_greatest_length_is_understood() -> None:
    assert parse(model="x" * 256).model == "x" * 256


@pytest.mark.parametrize(
    ("needs", "changes", "reason"),
    [
        (Needs(tools=True), {"features": frozenset()}, "does not support tools"),
        (Needs(tools=True), {"features": frozenset({"supports_function_calling"})}, ""),
        (Needs(tools=True), {"features": frozenset(), "unknown_features": frozenset({"supports_tools"})}, ""),
        (
            Needs(tools=True),
            {"features": frozenset(), "unknown_features": frozenset({"supports_tools"}), "via": Via.DISCOVERED},
            "does not support tools",
        ),
        (Needs(images=1), {}, "does not take images"),
        (Needs(images=1), {"features": frozenset({"supports_vision"})}, ""),
        (
            Needs(images=1, linked_images=True),
            {"features": frozenset({"supports_vision"})},
            "takes images as data URIs only, not by URL",
        ),
        (Needs(audio=1), {}, "does not take audio"),
        (Needs(audio=1), {"features": frozenset({"supports_audio"})}, ""),
        (Needs(json_schema=True), {}, "does not keep to a JSON schema"),
        (Needs(json_schema=True), {"unknown_features": frozenset({"supports_json_schema"})}, ""),
        (
            Needs(json_schema=True),
            {"unknown_features": frozenset({"supports_json_schema"}), "via": Via.DISCOVERED},
            "does not keep to a JSON schema",
        ),
        (Needs(suffix=True), {}, "does not fill in the middle (suffix)"),
        (Needs(suffix=True), {"features": frozenset({"supports_insert"})}, ""),
        (Needs(effort="high"), {}, ""),
        (Needs(tools=True, forced_tool=True), {}, "Ollama cannot be made to call a tool (tool_choice)"),
        (Needs(tools=True, forced_tool=True), {"lane": Lane.OPENAI}, ""),
        (Needs(logit_bias=True), {}, "Ollama has no logit_bias"),
        (Needs(answer_tokens=4096), {}, ""),
        (
            Needs(answer_tokens=4097),
            {},
            "its context of 4096 tokens is too small for a prompt of about 0 tokens and an answer of up to 4097",
        ),
        (
            Needs(texts=("word " * 5000,)),
            {},
            "its context of 4096 tokens is too small for a prompt of about 5000 tokens",
        ),
        (Needs(texts=("word " * 4000,)), {}, ""),
        (Needs(texts=("word " * 5000,)), {"context_tokens": None}, ""),
    ],
)
def test_why_a_deployment_cannot_serve(needs: Needs, changes: dict[str, Any], reason: str) -> None:
    assert why_not(a_deployment(**changes), needs=needs, provider=a_provider()) == reason


def test_what_a_model_refused_rules_it_out_with_its_own_words() -> None:
    deployment, words = a_deployment(), "llama3.1:8b does not support tools"
    refused = {"supports_tools": words, "supports_function_calling": words, "supports_thinking": "no"}
    reason = why_not(deployment, needs=Needs(tools=True), provider=a_provider(), refused=refused)
    assert reason == "refused tools when it was asked: llama3.1:8b does not support tools"
    assert why_not(deployment, needs=Needs(effort="high"), provider=a_provider(), refused=refused) == ""


def test_what_a_model_refused_is_neither_there_nor_unknown() -> None:
    features = frozenset({"supports_tools", "supports_thinking"})
    deployment = a_deployment(features=features, unknown_features=frozenset({"supports_audio"}))
    assert stripped(deployment, refused={}) is deployment
    known = stripped(deployment, refused={"supports_thinking": "no", "supports_audio": "no"})
    assert (known.features, known.unknown_features) == (frozenset({"supports_tools"}), frozenset())


def test_a_cloud_deployment_needs_a_key_and_every_one_a_provider() -> None:
    claude = a_deployment("anthropic:claude", lane=Lane.LITELLM)
    assert why_not(claude, needs=Needs(), provider=a_cloud("anthropic")) == ""
    no_key = 'there is no key for the provider "anthropic"'
    assert why_not(claude, needs=Needs(), provider=a_cloud("anthropic", has_key=False)) == no_key
    assert why_not(claude, needs=Needs(), provider=None) == "its provider is not configured"


def test_defaults_fill_what_the_caller_left_open() -> None:
    body = a_request(temperature=0.9, max_completion_tokens=5, top_p=None).body
    merged = with_defaults(body, parameters={"temperature": 0.1, "top_p": 0.3, "max_tokens": 99, "seed": 1})
    assert (merged["temperature"], merged["top_p"], merged["seed"]) == (0.9, 0.3, 1)
    assert "max_tokens" not in merged


def test_deadlines_are_the_roles_over_the_kinds() -> None:
    assert limits(deadlines=Deadlines(), cloud=False) == LOCAL
    assert limits(deadlines=Deadlines(), cloud=True, more_s=200) == CLOUD
    assert limits(deadlines=Deadlines(), cloud=False, more_s=prefill_s(1000)).first_token_s == 80
    told = limits(deadlines=Deadlines(first_token_s=3, total_s=9, load_s=1), cloud=False, more_s=200)
    assert (told.first_token_s, told.total_s, told.load_s, told.connect_s) == (3, 9, 1, 2)


def deep(levels: int) -> Any:
    return orjson.loads(b'{"a":' * levels + b"1" + b"}" * levels)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"x": deep(100)}, "x"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": deep(97)}}]}, "tools"),
        ({"x" * 100: deep(240)}, "x" * 57 + "..."),
    ],
)
def test_what_is_nested_too_deeply_is_refused_by_its_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(**changes)
    assert caught.value.param == field
    allowed = "at most 100 levels of objects and lists in the whole body"
    assert caught.value.message == f"{field}: found JSON nested too deeply; allowed: {allowed}"


def test_nesting_that_can_be_read_but_not_written_is_refused() -> None:
    body = b'{"model":"m","messages":[],"x":%s}' % (b"[" * 1000 + b"]" * 1000)
    with pytest.raises(BadRequest, match=r"^x: found JSON nested too deeply"):
        ChatRequest.parse(body)


def test_nesting_up_to_the_limit_and_brackets_in_texts_are_taken() -> None:
    brackets = [{"role": "user", "content": "[{" * 500}]
    assert parse(x=deep(99), messages=brackets).body["x"] == deep(99)


def test_the_words_of_a_deeply_nested_schema_are_counted() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": orjson.loads(b"[" * 1000 + b"]" * 1000)}}
    assert needs_of({"messages": [USER], "tools": [tool]}).texts[-1] == "parameters"

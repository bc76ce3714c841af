"""What an embedding request may hold, and which deployments can serve it."""

from typing import Any

import orjson
import pytest

from builders import a_provider
from gateway.domain.model import Lane, ProviderKind
from gateway.errors import BadRequest
from gateway.relay.embedding_request import MAX_INPUTS, EmbeddingRequest, why_not_embed
from gateway.relay.inquiry import Inquiry, Operation
from relay_builders import a_deployment


def parsed(**body: Any) -> EmbeddingRequest:
    return EmbeddingRequest.parse(orjson.dumps({"model": "embedder", **body}))


def reason(
    request: EmbeddingRequest, *, lane: Lane = Lane.OLLAMA, context_tokens: int | None = 8, **provider: Any
) -> str:
    kind = {Lane.OLLAMA: ProviderKind.OLLAMA, Lane.OPENAI: ProviderKind.OPENAI, Lane.LITELLM: ProviderKind.CLOUD}[lane]
    known = a_provider("there", kind=kind, **{"has_key": True, **provider})
    deployment = a_deployment("there:e", lane=lane, context_tokens=context_tokens)
    return why_not_embed(deployment, request=request, provider=known)


@pytest.mark.parametrize(
    ("given", "texts", "tokens"),
    [
        ("a", ("a",), ()),
        (["a", " "], ("a", " "), ()),
        ([0, 7, 9], (), ((0, 7, 9),)),
        ([[1], [2, 3]], (), ((1,), (2, 3))),
    ],
)
def test_inputs_come_in_four_forms(given: object, texts: object, tokens: object) -> None:
    request = parsed(input=given)
    assert (request.texts, request.tokens) == (texts, tokens)


def test_the_body_holds_a_list_of_inputs_and_otherwise_what_the_caller_sent() -> None:
    assert parsed(input="a", user="u", extra=1).body == {"model": "embedder", "input": ["a"], "user": "u", "extra": 1}
    assert parsed(input=[1, 2]).body["input"] == [[1, 2]]


def test_an_embedding_request_is_an_inquiry() -> None:
    inquiry: Inquiry = parsed(input="a")
    assert (inquiry.operation, inquiry.model) == (Operation.EMBEDDING, "embedder")
    assert (inquiry.stream, inquiry.include_usage) == (False, False)


def test_the_format_is_floats_unless_base64_is_asked_for() -> None:
    assert not parsed(input="a").base64
    assert not parsed(input="a", encoding_format="float").base64
    assert not parsed(input="a", encoding_format=None).base64
    assert parsed(input="a", encoding_format="base64").base64


def test_as_many_inputs_as_openai_allows_are_taken() -> None:
    assert len(parsed(input=["a"] * MAX_INPUTS).texts) == 2048
    assert len(parsed(input=list(range(MAX_INPUTS + 1))).tokens[0]) == 2049


_FORMS = "a text, a list of texts, a list of token numbers or a list of such lists"


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        ({}, "input", f"input: found nothing; allowed: {_FORMS}"),
        ({"input": []}, "input", f"input: found an empty list; allowed: {_FORMS}"),
        ({"input": 5}, "input", f"input: found 5; allowed: {_FORMS}"),
        ({"input": ""}, "input", 'input: found ""; allowed: a text of at least one character'),
        ({"input": ["a", ""]}, "input[1]", 'input[1]: found ""; allowed: a text of at least one character'),
        ({"input": ["a", 5]}, "input[1]", "input[1]: found 5; allowed: a text of at least one character"),
        ({"input": [None]}, "input[0]", "input[0]: found nothing; allowed: a text of at least one character"),
        ({"input": [1, "a"]}, "input[1]", 'input[1]: found "a"; allowed: a token number from 0'),
        ({"input": [1, True]}, "input[1]", "input[1]: found true; allowed: a token number from 0"),
        ({"input": [[1], [2, -1]]}, "input[1][1]", "input[1][1]: found -1; allowed: a token number from 0"),
        (
            {"input": [[1], []]},
            "input[1]",
            "input[1]: found an empty list; allowed: a list of at least one token number",
        ),
        ({"input": [[1], "a"]}, "input[1]", 'input[1]: found "a"; allowed: a list of at least one token number'),
        (
            {"input": ["a"] * 2049},
            "input",
            "input: found 2049 inputs; allowed: at most 2048 inputs in one request; send the rest in another",
        ),
        ({"input": "a", "dimensions": 0}, "dimensions", "dimensions: found 0; allowed: a whole number from 1"),
        (
            {"input": "a", "encoding_format": "int8"},
            "encoding_format",
            'encoding_format: found "int8"; allowed: "float" or "base64"',
        ),
        (
            {"input": "a", "encoding_format": ["float"]},
            "encoding_format",
            'encoding_format: found a list; allowed: "float" or "base64"',
        ),
        ({"input": "a", "user": 5}, "user", "user: found 5; allowed: a string"),
    ],
)
def test_what_cannot_be_embedded_is_named(body: dict[str, Any], param: str, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parsed(**body)
    assert (caught.value.message, caught.value.param) == (message, param)


def test_each_input_has_the_whole_context_for_itself() -> None:
    assert reason(parsed(input=["one two three four five"] * 9)) == ""
    assert reason(parsed(input=["a", "one two three four five six seven eight nine"])) == (
        "its context of 8 tokens is too small for a prompt of about 9 tokens"
    )
    assert reason(parsed(input=["word " * 9]), context_tokens=None) == ""


def test_token_numbers_go_to_servers_that_take_them() -> None:
    request = parsed(input=[[1], [1, 2]])
    refused = "takes texts only, not token arrays"
    assert reason(request) == refused
    assert reason(request, lane=Lane.OPENAI) == ""
    assert reason(request, lane=Lane.LITELLM, litellm_name="openai") == ""
    assert reason(request, lane=Lane.LITELLM, litellm_name="gemini") == refused


def test_token_numbers_are_counted_exactly() -> None:
    assert reason(parsed(input=[1] * 8), lane=Lane.OPENAI) == ""
    assert reason(parsed(input=[1] * 9), lane=Lane.OPENAI) == (
        "its context of 8 tokens is too small for an input of 9 tokens"
    )


def test_a_provider_without_its_key_embeds_nothing() -> None:
    assert reason(parsed(input="a"), lane=Lane.LITELLM, has_key=False) == 'there is no key for the provider "there"'
    assert why_not_embed(a_deployment(), request=parsed(input=[1]), provider=None) == "its provider is not configured"

"""What a text completion request may hold, and what it asks of a model."""

from typing import Any

import orjson
import pytest

from gateway.domain.failure import FailureClass
from gateway.errors import BadRequest, Unsupported, UpstreamFailed
from gateway.relay.completion_request import CompletionRequest, as_chat
from gateway.relay.inquiry import Inquiry, Operation
from gateway.relay.request import ChatRequest


def parsed(**body: Any) -> CompletionRequest:
    return CompletionRequest.parse(orjson.dumps({"model": "writer", "prompt": "Once", **body}))


def test_a_completion_request_is_an_inquiry() -> None:
    inquiry: Inquiry = parsed(stream=True, stream_options={"include_usage": True})
    assert (inquiry.operation, inquiry.model) == (Operation.COMPLETION, "writer")
    assert (inquiry.stream, inquiry.include_usage) == (True, True)
    assert not parsed().stream


def test_a_list_of_one_text_is_that_text() -> None:
    assert parsed(prompt=["Once"], user="u").body == {"model": "writer", "prompt": "Once", "user": "u"}


def test_what_openai_clients_send_is_taken() -> None:
    sent = {
        "best_of": 1,
        "echo": False,
        "frequency_penalty": 0.5,
        "logit_bias": {"50256": -100},
        "logprobs": 5,
        "max_tokens": 16,
        "n": 1,
        "presence_penalty": -0.5,
        "seed": 7,
        "stop": ["a", "b"],
        "suffix": "end",
        "temperature": 0,
        "top_p": 1,
        "user": "u",
    }
    assert parsed(**sent).body == {"model": "writer", "prompt": "Once", **sent}
    assert parsed(**dict.fromkeys(sent)).needs == parsed().needs


def test_needs_count_prompt_and_suffix() -> None:
    needs = parsed(prompt="one two", suffix="three", max_tokens=9, logit_bias={"1": 2}).needs
    assert needs.texts == ("one two", "three")
    assert (needs.suffix, needs.logit_bias, needs.answer_tokens) == (True, True, 9)
    assert needs.features == ("supports_insert",)
    plain = parsed(suffix="").needs
    assert (plain.suffix, plain.logit_bias, plain.answer_tokens, plain.features) == (False, False, None, ())


_A_TEXT = "a text of at least one character"


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        ({"prompt": None}, "prompt", f"prompt: found nothing; allowed: {_A_TEXT}"),
        ({"prompt": ""}, "prompt", f'prompt: found ""; allowed: {_A_TEXT}'),
        ({"prompt": [""]}, "prompt", f'prompt: found ""; allowed: {_A_TEXT}'),
        ({"prompt": []}, "prompt", f"prompt: found an empty list; allowed: {_A_TEXT}"),
        ({"prompt": {}}, "prompt", f"prompt: found an object; allowed: {_A_TEXT}"),
        ({"suffix": 5}, "suffix", "suffix: found 5; allowed: a text"),
        ({"logprobs": 6}, "logprobs", "logprobs: found 6; allowed: a whole number from 0 to 5"),
        ({"logprobs": True}, "logprobs", "logprobs: found true; allowed: a whole number from 0 to 5"),
        ({"max_tokens": 0}, "max_tokens", "max_tokens: found 0; allowed: a whole number from 1"),
        ({"echo": 1}, "echo", "echo: found 1; allowed: true or false"),
        ({"stop": [1]}, "stop", "stop: found a list; allowed: a string or a list of at most 64 strings"),
        ({"temperature": 3}, "temperature", "temperature: found 3; allowed: a number from 0 to 2"),
    ],
)
def test_what_cannot_be_understood_is_named(body: dict[str, Any], param: str, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parsed(**body)
    assert (caught.value.message, caught.value.param) == (message, param)
    assert not isinstance(caught.value, Unsupported)


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        ({"prompt": ["a", "b"]}, "prompt", "prompt: found 2 texts; allowed: one; send 2 requests instead"),
        ({"prompt": [1, 2]}, "prompt", "prompt: this gateway does not take token numbers; send the text itself"),
        ({"prompt": [[1], [2]]}, "prompt", "prompt: this gateway does not take token numbers; send the text itself"),
        ({"n": 2}, "n", "n: found 2; allowed: 1; send the request 2 times instead"),
        ({"best_of": 3}, "best_of", "best_of: found 3; allowed: 1; send the request 3 times instead"),
        (
            {"echo": True},
            "echo",
            "echo: found true; allowed: false; leave it out and put the prompt before the answer yourself",
        ),
    ],
)
def test_what_is_not_offered_says_what_to_do_instead(body: dict[str, Any], param: str, message: str) -> None:
    with pytest.raises(Unsupported) as caught:
        parsed(**body)
    assert (caught.value.message, caught.value.param) == (message, param)


def test_for_a_model_that_only_chats_the_prompt_is_the_one_message() -> None:
    body = parsed(max_tokens=9, stop="x", echo=False, best_of=1, suffix=None, logprobs=2).body
    chat = as_chat(body)
    assert chat == {
        "model": "writer",
        "messages": [{"role": "user", "content": "Once"}],
        "max_tokens": 9,
        "stop": "x",
        "logprobs": True,
        "top_logprobs": 2,
    }
    assert ChatRequest.of(chat).body == chat


def test_log_probabilities_without_alternatives_are_asked_for_as_such() -> None:
    assert as_chat(parsed(logprobs=0).body)["logprobs"] is True
    assert "top_logprobs" not in as_chat(parsed(logprobs=0).body)
    assert "logprobs" not in as_chat(parsed().body)


def test_a_chat_has_no_place_for_a_suffix() -> None:
    with pytest.raises(UpstreamFailed, match=r"^does not fill in the middle \(suffix\)$") as caught:
        as_chat(parsed(suffix="end").body)
    assert caught.value.failure == FailureClass.CAPABILITY

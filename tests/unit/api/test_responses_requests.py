"""What a Responses request becomes as a chat request, and what is said of those that cannot become one."""

from typing import Any

import orjson
import pytest

from gateway.api.responses import Responses
from gateway.errors import BadRequest, Unsupported
from gateway.relay.request import ChatRequest

TOOL = {"type": "function", "name": "f", "description": "Does it", "parameters": {"type": "object"}, "strict": True}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "42"}
IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,aGk=", "detail": "low"}


def chat_of(**content: Any) -> dict[str, Any]:
    asked = Responses().asked(orjson.dumps({"model": "planner", "input": "Hi", **content}))
    assert isinstance(asked.inquiry, ChatRequest)
    return dict(asked.inquiry.body)


def messages_of(*items: Any) -> Any:
    return chat_of(input=list(items))["messages"]


def settings_of(**content: Any) -> dict[str, Any]:
    asked = Responses().asked(orjson.dumps({"model": "planner", "input": "Hi", **content}))
    assert asked.wire is not None
    response: dict[str, Any] = orjson.loads(asked.wire.whole({"choices": []}))
    return response


def test_a_text_is_a_message_of_the_user() -> None:
    assert chat_of() == {"model": "planner", "messages": [{"role": "user", "content": "Hi"}]}


def test_instructions_come_first_as_the_system_message() -> None:
    assert chat_of(instructions="Be brief")["messages"] == [
        {"role": "system", "content": "Be brief"},
        {"role": "user", "content": "Hi"},
    ]


def test_messages_are_taken_in_the_easy_and_in_the_full_form() -> None:
    two = [{"type": "input_text", "text": "Look"}, IMAGE]
    assert messages_of(
        {"role": "developer", "content": "Be kind"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"role": "assistant", "content": "Hello"},
        {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [
            {"type": "output_text", "text": "Well", "annotations": []}, {"type": "refusal", "refusal": "No"},
        ]},
        {"type": "message", "role": "user", "content": two},
    ) == [
        {"role": "developer", "content": "Be kind"},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "assistant", "content": [{"type": "text", "text": "Well"}, {"type": "refusal", "refusal": "No"}]},
        {"role": "user", "content": [
            {"type": "text", "text": "Look"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "low"}},
        ]},
    ]  # fmt: skip


def test_sound_is_carried_over() -> None:
    sound = {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}
    assert messages_of({"role": "user", "content": [sound]}) == [{"role": "user", "content": [sound]}]


def test_reasoning_text_and_calls_of_one_turn_are_one_message() -> None:
    second = {**CALL, "call_id": "c2", "arguments": '{"a":1}'}
    assert messages_of(
        {"role": "user", "content": "Go"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm"}]},
        {"role": "assistant", "content": "I will"},
        CALL,
        second,
        RESULT,
        {**RESULT, "call_id": "c2", "output": [{"type": "input_text", "text": "43"}]},
        {"role": "assistant", "content": "Done"},
    )[1:] == [
        {
            "role": "assistant",
            "content": "I will",
            "reasoning_content": "Hm",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": "c2", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
        {"role": "tool", "tool_call_id": "c2", "content": "43"},
        {"role": "assistant", "content": "Done"},
    ]


def test_a_call_after_a_result_is_a_turn_of_its_own() -> None:
    messages = messages_of(CALL, RESULT, {**CALL, "call_id": "c2"}, {**RESULT, "call_id": "c2"})
    assert [message["role"] for message in messages] == ["assistant", "tool", "assistant", "tool"]
    assert [len(message["tool_calls"]) for message in messages[::2]] == [1, 1]


def test_text_between_a_call_and_its_result_stays_in_the_turn() -> None:
    said = [{"role": "assistant", "content": "One"}, CALL, {"role": "assistant", "content": "Two"}, RESULT]
    turn, result = messages_of(*said)
    assert turn["content"] == [{"type": "text", "text": "One"}, {"type": "text", "text": "Two"}]
    assert (len(turn["tool_calls"]), result["role"]) == (1, "tool")


def test_reasoning_is_taken_from_its_summary_where_only_that_is_known() -> None:
    summary = [{"type": "summary_text", "text": "One"}, {"type": "summary_text", "text": "Two"}]
    reasoning = {"type": "reasoning", "summary": summary, "encrypted_content": "x"}
    messages = messages_of(reasoning, {"role": "assistant", "content": "So"}, {"role": "user", "content": "?"})
    assert messages[0] == {"role": "assistant", "content": "So", "reasoning_content": "One\n\nTwo"}


def test_reasoning_that_nothing_follows_or_that_is_encrypted_is_left_out() -> None:
    hidden = {"type": "reasoning", "summary": [], "encrypted_content": "x"}
    known = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}]}
    said = {"role": "assistant", "content": "So"}
    assert messages_of(known, {"role": "user", "content": "Hi"}, hidden, said) == [
        {"role": "user", "content": "Hi"},
        said,
    ]


def test_settings_are_carried_over_under_their_chat_names() -> None:
    chat = chat_of(
        max_output_tokens=9,
        temperature=0.5,
        top_p=0.9,
        parallel_tool_calls=False,
        user="u",
        safety_identifier="s",
        prompt_cache_key="k",
        reasoning={"effort": "low", "summary": "auto"},
        text={"verbosity": "high"},
        stream=True,
        store=True,
        truncation="auto",
        metadata={"a": "b"},
        unheard_of=[1],
    )
    chat.pop("messages")
    assert chat == {
        "model": "planner",
        "max_completion_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "parallel_tool_calls": False,
        "user": "u",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "reasoning_effort": "low",
        "verbosity": "high",
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_tools_and_the_choice_among_them_are_carried_over() -> None:
    chat = chat_of(tools=[TOOL, {"type": "function", "name": "g"}], tool_choice={"type": "function", "name": "f"})
    function = {"name": "f", "description": "Does it", "parameters": {"type": "object"}, "strict": True}
    assert chat["tools"] == [
        {"type": "function", "function": function},
        {"type": "function", "function": {"name": "g"}},
    ]
    assert chat["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert chat_of(tools=[TOOL], tool_choice="required")["tool_choice"] == "required"


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"type": "json_object"}),
        (
            {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True},
            {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}},
        ),
    ],
)
def test_the_format_of_the_answer_is_carried_over(form: dict[str, Any], expected: object) -> None:
    assert chat_of(text={"format": form}).get("response_format") == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({}, (None, None)),
        ({"include": ["message.output_text.logprobs"]}, (True, None)),
        ({"include": ["message.output_text.logprobs"], "top_logprobs": 3}, (True, 3)),
        ({"top_logprobs": 3}, (True, 3)),
        ({"include": ["reasoning.encrypted_content"]}, (None, None)),
    ],
)
def test_log_probabilities_are_asked_for(content: dict[str, Any], expected: object) -> None:
    chat = chat_of(**content)
    assert (chat.get("logprobs"), chat.get("top_logprobs")) == expected


def test_the_answer_repeats_the_settings_as_they_took_effect() -> None:
    response = settings_of(
        tools=[{"type": "function", "name": "g"}],
        tool_choice={"type": "function", "name": "g"},
        store=True,
        truncation="auto",
        instructions="Be brief",
        metadata={"a": "b"},
        reasoning={"effort": "low"},
    )
    assert response["tools"] == [
        {"type": "function", "name": "g", "description": None, "parameters": None, "strict": None}
    ]
    assert response["tool_choice"] == {"type": "function", "name": "g"}
    assert (response["store"], response["truncation"], response["background"]) == (False, "disabled", False)
    assert (response["instructions"], response["metadata"]) == ("Be brief", {"a": "b"})
    assert response["reasoning"] == {"effort": "low", "summary": None}
    assert response["text"] == {"format": {"type": "text"}}
    assert response["parallel_tool_calls"] is True


def a_part(part: object, role: str = "user") -> dict[str, Any]:
    return {"input": [{"role": role, "content": [part]}]}


NO_TOOLS = "this gateway does not run tools of type"
NO_CHOICE = "tool_choice: this gateway does not offer a choice of type"
ITEMS = "message, function_call, function_call_output, reasoning"


@pytest.mark.parametrize(
    ("content", "param", "message"),
    [
        (
            {"previous_response_id": "resp_1"},
            "previous_response_id",
            "previous_response_id: this gateway stores no responses; send the whole conversation as input",
        ),
        (
            {"conversation": "conv_1"},
            "conversation",
            "conversation: this gateway stores no conversations; send the whole conversation as input",
        ),
        (
            {"prompt": {"id": "p"}},
            "prompt",
            "prompt: this gateway stores no prompts; send the text as instructions and input",
        ),
        (
            {"background": True},
            "background",
            "background: found true; the answer is given while the caller waits; leave it out, and stream a long answer",
        ),
        (
            {"tools": [TOOL, {"type": "web_search"}]},
            "tools[1]",
            f'tools[1]: {NO_TOOLS} "web_search"; allowed: function, which the caller runs',
        ),
        (
            {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}},
            "tool_choice",
            f'{NO_CHOICE} "allowed_tools"; allowed: function, or "none", "auto", "required"',
        ),
        (
            {"input": [{"type": "item_reference", "id": "msg_1"}]},
            "input[0]",
            "input[0]: this gateway stores no items to refer to; send the item itself",
        ),
        (
            {"input": [{"id": "msg_1"}]},
            "input[0]",
            "input[0]: this gateway stores no items to refer to; send the item itself",
        ),
        (
            {"input": [{"type": "web_search_call", "id": "ws_1"}]},
            "input[0]",
            f'input[0]: this gateway does not take items of type "web_search_call"; allowed: {ITEMS}',
        ),
        (
            a_part({"type": "input_file", "file_id": "f"}),
            "input[0].content[0]",
            "input[0].content[0]: this gateway does not take files; send the text of the file as input_text",
        ),
        (
            a_part({"type": "input_image", "file_id": "f"}),
            "input[0].content[0].file_id",
            "input[0].content[0].file_id: this gateway stores no files; send the image in image_url, as a data URI or a URL",
        ),
    ],
)
def test_what_this_gateway_does_not_offer_is_refused_with_what_to_do_instead(
    content: dict[str, Any], param: str, message: str
) -> None:
    with pytest.raises(Unsupported) as caught:
        chat_of(**content)
    assert (caught.value.message, caught.value.param) == (message, param)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": None}, "model: found nothing; allowed: the name of a role or model"),
        ({"input": None}, "input: found nothing; allowed: a string, or a list of at least one item"),
        ({"input": []}, "input: found an empty list; allowed: a string, or a list of at least one item"),
        ({"input": 5}, "input: found 5; allowed: a string, or a list of at least one item"),
        ({"input": [5]}, "input[0]: found 5; allowed: an object"),
        ({"input": [{}]}, f"input[0].type: found nothing; allowed: {ITEMS}"),
        (
            {"input": [{"type": "reasoning", "summary": []}]},
            "input: found a list; allowed: a string, or a list with at least one message",
        ),
        (
            {"input": [{"role": "tool", "content": "x"}]},
            'input[0].role: found "tool"; allowed: assistant, developer, system, user',
        ),
        (
            {"input": [{"role": "user", "content": []}]},
            "input[0].content: found an empty list; allowed: a string, or a list of at least one part",
        ),
        (
            {"input": [{"role": "assistant", "content": 5}]},
            "input[0].content: found 5; allowed: a string or a list of parts",
        ),
        (a_part(5), "input[0].content[0]: found 5; allowed: a part of type input_text, input_image, input_audio"),
        (
            a_part({"type": "text", "text": "Hi"}),
            'input[0].content[0].type: found "text"; allowed: input_text, input_image, input_audio',
        ),
        (
            a_part({"type": "input_image"}, "assistant"),
            'input[0].content[0].type: found "input_image"; allowed: output_text, input_text, refusal',
        ),
        (a_part({"type": "input_text", "text": 5}), "input[0].content[0].text: found 5; allowed: a string"),
        (
            a_part({"type": "input_audio", "input_audio": {"data": "aGk="}}),
            "input[0].content[0].input_audio.format: found nothing; allowed: a string",
        ),
        (
            a_part({"type": "input_audio"}),
            "input[0].content[0].input_audio: found nothing; allowed: an object with data and format",
        ),
        (a_part({"type": "input_image"}), "input[0].content[0].image_url: found nothing; allowed: a string"),
        ({"input": [{**CALL, "arguments": {}}]}, "input[0].arguments: found an object; allowed: a string"),
        ({"input": [{**CALL, "call_id": None}]}, "input[0].call_id: found nothing; allowed: a string"),
        (
            {"input": [CALL, {**RESULT, "call_id": "c9"}]},
            'input[1].call_id: found "c9"; allowed: the call_id of a function_call before it',
        ),
        (
            {"input": [CALL, {**RESULT, "output": [IMAGE]}]},
            'input[1].output[0].type: found "input_image"; allowed: input_text',
        ),
        (
            {"input": [{"type": "reasoning", "summary": [{"text": 5}]}]},
            "input[0].summary[0].text: found 5; allowed: a string",
        ),
        ({"instructions": []}, "instructions: found an empty list; allowed: a string"),
        ({"max_output_tokens": 0}, "max_output_tokens: found 0; allowed: a whole number from 1"),
        ({"temperature": 3}, "temperature: found 3; allowed: a number from 0 to 2"),
        ({"stream": "yes"}, 'stream: found "yes"; allowed: true or false'),
        ({"metadata": {"a": 1}}, "metadata: found an object; allowed: an object of strings"),
        ({"truncation": "some"}, 'truncation: found "some"; allowed: disabled or auto'),
        (
            {"reasoning": {"effort": "vast"}},
            'reasoning.effort: found "vast"; allowed: one of none, minimal, low, medium, high, xhigh, ultra, max',
        ),
        ({"text": {"verbosity": 1}}, "text.verbosity: found 1; allowed: one of low, medium, high"),
        ({"text": {"format": "json"}}, 'text.format: found "json"; allowed: an object'),
        (
            {"text": {"format": {"type": "xml"}}},
            'text.format.type: found "xml"; allowed: text, json_object, json_schema',
        ),
        (
            {"text": {"format": {"type": "json_schema", "schema": {}}}},
            "text.format.name: found nothing; allowed: a name for the schema",
        ),
        (
            {"text": {"format": {"type": "json_schema", "name": "n"}}},
            "text.format.schema: found nothing; allowed: an object with a JSON schema",
        ),
        ({"tools": {}}, "tools: found an object; allowed: a list of tools"),
        (
            {"tools": [{"type": "function", "function": {"name": "f"}}]},
            "tools[0].name: found nothing; allowed: the name of a function, beside the type",
        ),
        (
            {"tools": [{**TOOL, "parameters": "{}"}]},
            'tools[0].parameters: found "{}"; allowed: an object with a JSON schema',
        ),
        (
            {"tool_choice": "any"},
            'tool_choice: found "any"; allowed: "none", "auto", "required" or an object of type function with a name',
        ),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "name": "h"}},
            'tool_choice.name: found "h"; allowed: the name of a function among the tools',
        ),
    ],
)
def test_a_wrong_field_is_named_in_the_callers_own_terms(content: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        chat_of(**content)
    assert caught.value.message == message
    assert caught.value.param == message.partition(":")[0]


def test_an_unknown_include_is_refused() -> None:
    with pytest.raises(
        BadRequest, match=r'^include\[1\]: found "everything"; allowed: one of message\.output_text\.logprobs'
    ):
        chat_of(include=["reasoning.encrypted_content", "everything"])


def test_an_error_has_the_shape_of_every_other() -> None:
    body = orjson.loads(Responses().error(BadRequest("input: wrong", param="input"), request_id="req-1"))
    assert body["error"]["message"] == "input: wrong"
    assert (body["error"]["type"], body["error"]["param"]) == ("invalid_request_error", "input")

"""What an Anthropic Messages request becomes, and what is said of those that cannot be taken."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from gateway.api.messages import Messages, count_tokens
from gateway.errors import BadRequest, RolegateError, Unsupported

HI = {"role": "user", "content": "Hi"}
TOOL = {"name": "weather", "description": "Tells it", "input_schema": {"type": "object"}}
PIXEL = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
LINK = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
DATA_URI = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}


def a_body(**changes: Any) -> bytes:
    body = {"model": "planner", "max_tokens": 100, "messages": [HI], **changes}
    return orjson.dumps({key: value for key, value in body.items() if value is not ...})


def chat(**changes: Any) -> Mapping[str, Any]:
    return Messages().asked(a_body(**changes)).inquiry.body


def told(*messages: Mapping[str, object]) -> list[dict[str, Any]]:
    return list(chat(messages=list(messages))["messages"])


def user(*blocks: Mapping[str, object]) -> dict[str, object]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Mapping[str, object]) -> dict[str, object]:
    return {"role": "assistant", "content": list(blocks)}


def text(words: str, **more: object) -> dict[str, object]:
    return {"type": "text", "text": words, **more}


def result(**more: object) -> dict[str, object]:
    return {"type": "tool_result", "tool_use_id": "toolu_1", **more}


def refused(**changes: Any) -> RolegateError:
    with pytest.raises(BadRequest) as caught:
        Messages().asked(a_body(**changes))
    return caught.value


def test_the_least_request_is_a_chat_request() -> None:
    asked = Messages().asked(a_body())
    assert asked.inquiry.model == "planner"
    assert not asked.inquiry.stream
    assert asked.inquiry.body == {"model": "planner", "messages": [HI], "max_tokens": 100}


def test_what_chat_has_too_keeps_its_value() -> None:
    body = chat(
        system="Be brief",
        temperature=1,
        top_p=0.5,
        top_k=40,
        stop_sequences=["END"],
        stream=True,
        metadata={"user_id": "u1"},
    )
    assert body == {
        "model": "planner",
        "messages": [{"role": "system", "content": "Be brief"}, HI],
        "max_tokens": 100,
        "temperature": 1,
        "top_p": 0.5,
        "top_k": 40,
        "stop": ["END"],
        "stream": True,
        "stream_options": {"include_usage": True},
        "user": "u1",
    }


def test_what_does_not_change_the_answer_is_ignored() -> None:
    body = chat(
        service_tier="auto",
        speed="fast",
        context_management={"edits": []},
        cache_control={"type": "ephemeral"},
        something_new=1,
        mcp_servers=[],
        inference_geo="global",
        metadata={},
        thinking=None,
    )
    assert body == {"model": "planner", "messages": [HI], "max_tokens": 100}


def test_a_system_prompt_in_blocks_is_one_text() -> None:
    blocks = [text("One", cache_control={"type": "ephemeral"}), text("Two")]
    assert chat(system=blocks)["messages"] == [{"role": "system", "content": "One\n\nTwo"}, HI]
    assert chat(system="")["messages"] == [HI]
    assert told(HI, {"role": "system", "content": "Now in French"})[1] == {
        "role": "system",
        "content": "Now in French",
    }
    assert told({"role": "system", "content": ""}) == [{"role": "system", "content": ""}]


def test_text_and_images_are_parts() -> None:
    assert told(user(text("What is it?"), PIXEL, LINK)) == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is it?"},
                DATA_URI,
                {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
            ],
        }
    ]
    assert told(user(text("Hi"))) == [HI]


def test_an_assistant_turn_keeps_its_text_its_thoughts_and_its_calls() -> None:
    turn = assistant(
        {"type": "thinking", "thinking": "Hm", "signature": "x"},
        {"type": "redacted_thinking", "data": "secret"},
        text("I will "),
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}},
        text("look"),
    )
    assert told(HI, turn)[1] == {
        "role": "assistant",
        "content": "I will look",
        "reasoning_content": "Hm",
        "tool_calls": [
            {
                "id": "toolu_1",
                "type": "function",
                "function": {"name": "weather", "arguments": '{"city":"Oslo"}'},
            }
        ],
    }


def test_a_prefill_is_the_last_message() -> None:
    assert told(HI, {"role": "assistant", "content": "Well,"})[-1] == {"role": "assistant", "content": "Well,"}


def test_an_empty_answer_can_come_back_as_history() -> None:
    assert told(HI, assistant(), HI)[1] == {"role": "assistant", "content": ""}


def test_results_of_tools_come_before_what_the_user_says() -> None:
    assert told(user(text("And?"), result(content="12 degrees"), result(tool_use_id="toolu_2"))) == [
        {"role": "tool", "tool_call_id": "toolu_1", "content": "12 degrees"},
        {"role": "tool", "tool_call_id": "toolu_2", "content": ""},
        {"role": "user", "content": "And?"},
    ]


def test_images_in_a_result_follow_in_the_next_message() -> None:
    assert told(user(result(content=[text("Seen:"), PIXEL]), text("Describe it"))) == [
        {"role": "tool", "tool_call_id": "toolu_1", "content": "Seen:\n[an image, in the next message]"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "[from the result of tool call toolu_1:]"},
                DATA_URI,
                {"type": "text", "text": "Describe it"},
            ],
        },
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [("no such city", "The tool call failed: no such city"), (None, "The tool call failed without saying why.")],
)
def test_a_failed_tool_call_says_so(content: str | None, said: str) -> None:
    assert told(user(result(content=content, is_error=True)))[0]["content"] == said


def test_tools_are_functions() -> None:
    examples = {**TOOL, "type": "custom", "strict": True, "input_examples": [{"city": "Oslo"}]}
    assert chat(tools=[TOOL])["tools"] == [
        {
            "type": "function",
            "function": {"name": "weather", "parameters": {"type": "object"}, "description": "Tells it"},
        }
    ]
    function = chat(tools=[examples])["tools"][0]["function"]
    assert function["strict"] is True
    assert function["description"] == 'Tells it\n\nExamples of its input:\n{"city":"Oslo"}'


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        ({"type": "none"}, {"tool_choice": "none"}),
        ({"type": "any"}, {"tool_choice": "required"}),
        (
            {"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
            {"tool_choice": {"type": "function", "function": {"name": "weather"}}, "parallel_tool_calls": False},
        ),
    ],
)
def test_the_choice_of_tools_is_carried_over(choice: dict[str, object], expected: dict[str, object]) -> None:
    body = chat(tools=[TOOL], tool_choice=choice)
    assert {key: body[key] for key in ("tool_choice", "parallel_tool_calls") if key in body} == expected


def test_a_choice_without_tools_is_no_choice() -> None:
    assert "tool_choice" not in chat(tool_choice={"type": "auto"})


@pytest.mark.parametrize(
    ("fields", "effort"),
    [
        ({}, None),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}}, "none"),
        ({"thinking": {"type": "adaptive"}}, None),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, "max"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1_024}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 4_096}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 4_097}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 16_385}}, "high"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1_024}, "output_config": {"effort": "xhigh"}}, "xhigh"),
    ],
)
def test_thinking_is_an_effort(fields: dict[str, object], effort: str | None) -> None:
    assert chat(**fields).get("reasoning_effort") == effort


@pytest.mark.parametrize("under", ["output_config", "output_format"])
def test_a_schema_for_the_answer_is_a_response_format(under: str) -> None:
    asked = {"type": "json_schema", "schema": {"type": "object"}}
    body = chat(**{under: {"format": asked} if under == "output_config" else asked})
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
    }


def source(**fields: object) -> list[object]:
    return [HI, HI, user({"type": "image", "source": fields})]


def choice(**fields: object) -> dict[str, object]:
    return {"tools": [TOOL], "tool_choice": fields}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": ...}, "model: found nothing; allowed: the name of a role or model"),
        ({"max_tokens": ...}, "max_tokens: found nothing; allowed: a whole number from 1"),
        ({"max_tokens": 0}, "max_tokens: found 0; allowed: a whole number from 1"),
        ({"messages": []}, "messages: found an empty list; allowed: a list of at least one message"),
        ({"messages": ["Hi"]}, 'messages[0]: found "Hi"; allowed: an object'),
        ({"messages": [{"role": "tool"}]}, 'messages[0].role: found "tool"; allowed: user, assistant, system'),
        (
            {"messages": [{"role": "user"}]},
            "messages[0].content: found nothing; allowed: a string or a list of blocks",
        ),
        (
            {"messages": [user()]},
            "messages[0].content: found an empty list; allowed: a string or a list of at least one block",
        ),
        (
            {"messages": [{"role": "user", "content": ["Hi"]}]},
            'messages[0].content[0]: found "Hi"; allowed: a block, which is an object with a type',
        ),
        (
            {"messages": [user({"type": "tool_use"})]},
            'messages[0].content[0].type: found "tool_use"; allowed: text, image, tool_result',
        ),
        ({"messages": [user({"type": "text"})]}, "messages[0].content[0].text: found nothing; allowed: a string"),
        (
            {"messages": source(type="base64", media_type="image/bmp", data="x")},
            (
                'messages[2].content[0].source.media_type: found "image/bmp"; '
                "allowed: image/jpeg, image/png, image/gif, image/webp"
            ),
        ),
        (
            {"messages": source(type="base64", media_type="image/png", data="")},
            'messages[2].content[0].source.data: found ""; allowed: a string that is not empty',
        ),
        ({"messages": source(type="ftp")}, 'messages[2].content[0].source.type: found "ftp"; allowed: base64, url'),
        (
            {"messages": [user({"type": "image"})]},
            "messages[0].content[0].source: found nothing; allowed: an object of type base64 or url",
        ),
        (
            {"messages": [assistant({"type": "tool_use", "id": "a", "name": "f", "input": "{}"})]},
            'messages[0].content[0].input: found "{}"; allowed: an object',
        ),
        (
            {"messages": [user({"type": "tool_result"})]},
            "messages[0].content[0].tool_use_id: found nothing; allowed: a string that is not empty",
        ),
        (
            {"messages": [user(result(is_error="yes"))]},
            'messages[0].content[0].is_error: found "yes"; allowed: true or false',
        ),
        (
            {"messages": [user(result(content=[{"type": "text", "text": 1}]))]},
            "messages[0].content[0].content[0].text: found 1; allowed: a string",
        ),
        ({"system": 1}, "system: found 1; allowed: a string or a list of blocks"),
        ({"system": [PIXEL]}, 'system[0].type: found "image"; allowed: text'),
        ({"temperature": 1.5}, "temperature: found 1.5; allowed: a number from 0 to 1"),
        ({"top_k": -1}, "top_k: found -1; allowed: a whole number from 0"),
        ({"stop_sequences": "END"}, 'stop_sequences: found "END"; allowed: a list of at most 64 strings'),
        ({"tools": {}}, "tools: found an object; allowed: a list of tools"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema: found nothing; allowed: an object"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name: found nothing; allowed: a string that is not empty"),
        ({"tools": [TOOL, TOOL]}, 'tools[1].name: there is another tool "weather" before it'),
        (choice(type="some"), 'tool_choice.type: found "some"; allowed: auto, any, tool, none'),
        (choice(type="tool", name="f"), 'tool_choice.name: found "f"; allowed: the name of one of the tools'),
        (
            {"tool_choice": {"type": "any"}},
            "tools: found nothing; allowed: at least one tool, because tool_choice is of type any",
        ),
        ({"thinking": {"type": "on"}}, 'thinking.type: found "on"; allowed: enabled, disabled, adaptive'),
        (
            {"thinking": {"type": "enabled"}},
            "thinking.budget_tokens: found nothing; allowed: a whole number from 1",
        ),
        (
            {"output_config": {"effort": "none"}},
            'output_config.effort: found "none"; allowed: low, medium, high, xhigh, max',
        ),
        (
            {"output_config": {"format": {"type": "json_schema"}}},
            "output_config.format.schema: found nothing; allowed: an object",
        ),
        ({"metadata": {"user_id": 1}}, "metadata.user_id: found 1; allowed: a string"),
    ],
)
def test_a_wrong_field_is_named_as_the_caller_wrote_it(changes: dict[str, Any], message: str) -> None:
    error = refused(**changes)
    assert error.message == message
    assert not isinstance(error, Unsupported)
    assert isinstance(error, BadRequest)
    assert error.param == message.partition(": ")[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"messages": [user({"type": "document"})]},
            (
                'messages[0].content[0].type: found "document"; this gateway does not take documents; '
                "send their text in a text block"
            ),
        ),
        (
            {"messages": [user(result(content=[{"type": "tool_reference"}]))]},
            (
                'messages[0].content[0].content[0].type: found "tool_reference"; this gateway does not take references '
                "to tools; send every tool in tools"
            ),
        ),
        (
            {"messages": [assistant({"type": "web_search_tool_result"})]},
            (
                'messages[0].content[0].type: found "web_search_tool_result"; this gateway does not take blocks of tools '
                "that another server ran"
            ),
        ),
        (
            {"messages": source(type="file", file_id="f")},
            (
                'messages[2].content[0].source.type: found "file"; this gateway keeps no files; '
                "send the image as base64 or by url"
            ),
        ),
        (
            {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
            'tools[0].type: found "web_search_20250305"; this gateway offers only custom tools, with an input_schema',
        ),
        (
            {"mcp_servers": [{"url": "x"}]},
            "mcp_servers: this gateway calls no MCP servers; call them yourself and send their tools in tools",
        ),
        ({"container": "c"}, "container: this gateway runs no containers"),
        (
            {"inference_geo": "us"},
            'inference_geo: this gateway cannot choose where a model runs; leave it out, or send "global"',
        ),
    ],
)
def test_what_is_not_offered_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    error = refused(**changes)
    assert isinstance(error, Unsupported)
    assert error.message == message
    assert error.param == message.partition(": ")[0]


def test_a_prompt_is_counted_without_a_limit_for_the_answer() -> None:
    few = orjson.loads(count_tokens(a_body(max_tokens=...)))
    many = orjson.loads(count_tokens(a_body(max_tokens=..., system="Be brief.", tools=[TOOL])))
    assert few == {"input_tokens": 5}
    assert many["input_tokens"] > few["input_tokens"]


def test_a_prompt_that_cannot_be_read_is_not_counted() -> None:
    with pytest.raises(BadRequest, match="messages: found nothing"):
        count_tokens(b'{"model":"planner"}')

"""How an answer is written on the Responses wire."""

from typing import Any

import pytest

from gateway.errors import AttemptFacts, RequestFailed
from gateway.relay.event import OPENED
from responses_builders import USAGE, a_call, a_chunk, a_wire, streamed, told, whole

TOKEN = {"token": "Hé", "logprob": -0.5, "bytes": None, "top_logprobs": [{"token": "a", "logprob": -1, "bytes": [97]}]}
WRITTEN_TOKEN = {
    "token": "Hé",
    "logprob": -0.5,
    "bytes": [72, 195, 169],
    "top_logprobs": [{"token": "a", "logprob": -1, "bytes": [97]}],
}
WANTS_LOGPROBS: dict[str, Any] = {"include": ["message.output_text.logprobs"]}
FULL = [
    a_chunk({"role": "assistant", "content": ""}),
    a_chunk({"reasoning_content": "Hm", "reasoning": "Hm"}),
    a_chunk({"reasoning_content": "."}),
    a_chunk({"content": "Let "}),
    a_chunk({"content": "me"}),
    a_chunk(a_call("", call_id="c1", name="f")),
    a_chunk(a_call('{"a"')),
    a_chunk(a_call("{}", index=1, call_id="c2", name="g")),
    a_chunk(a_call(":1}")),
    a_chunk(finish="tool_calls"),
]
OUTPUT = [
    {
        "id": "rs_1f_0",
        "type": "reasoning",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "Hm."}],
        "status": "completed",
    },
    {
        "id": "msg_1f_1",
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Let me", "annotations": [], "logprobs": []}],
        "status": "completed",
    },
    {
        "id": "fc_1f_2",
        "type": "function_call",
        "call_id": "c1",
        "name": "f",
        "arguments": '{"a":1}',
        "status": "completed",
    },
    {"id": "fc_1f_3", "type": "function_call", "call_id": "c2", "name": "g", "arguments": "{}", "status": "completed"},
]


def test_a_whole_answer_is_a_response_with_its_items_in_order() -> None:
    assert whole(FULL, usage=USAGE, max_output_tokens=9) == {
        "id": "resp_1f",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": "llama3.1:8b",
        "output": OUTPUT,
        "usage": {
            "input_tokens": 5,
            "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
            "output_tokens": 7,
            "output_tokens_details": {"reasoning_tokens": 3},
            "total_tokens": 12,
        },
        "background": False,
        "instructions": None,
        "max_output_tokens": 9,
        "max_tool_calls": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "store": False,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": None,
        "truncation": "disabled",
        "user": None,
    }


def test_a_stream_opens_and_closes_each_item_in_order() -> None:
    events = streamed(FULL, usage=USAGE)
    assert [(event["type"].removeprefix("response."), event.get("output_index")) for event in events] == [
        ("created", None),
        ("in_progress", None),
        ("output_item.added", 0),
        ("content_part.added", 0),
        ("reasoning_text.delta", 0),
        ("reasoning_text.delta", 0),
        ("reasoning_text.done", 0),
        ("content_part.done", 0),
        ("output_item.done", 0),
        ("output_item.added", 1),
        ("content_part.added", 1),
        ("output_text.delta", 1),
        ("output_text.delta", 1),
        ("output_text.done", 1),
        ("content_part.done", 1),
        ("output_item.done", 1),
        ("output_item.added", 2),
        ("function_call_arguments.delta", 2),
        ("output_item.added", 3),
        ("function_call_arguments.delta", 3),
        ("function_call_arguments.delta", 2),
        ("function_call_arguments.done", 2),
        ("output_item.done", 2),
        ("function_call_arguments.done", 3),
        ("output_item.done", 3),
        ("completed", None),
    ]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["item"] for event in events if event["type"] == "response.output_item.done"] == OUTPUT
    assert events[-1]["response"] == whole(FULL, usage=USAGE)


def test_a_stream_begins_with_an_empty_response_in_progress() -> None:
    created, going = streamed([a_chunk({"role": "assistant"})])[:2]
    assert created["response"] == going["response"]
    response = created["response"]
    assert (response["status"], response["output"], response["usage"]) == ("in_progress", [], None)
    assert (response["id"], response["model"]) == ("resp_1f", "llama3.1:8b")


def test_nothing_is_told_before_the_first_chunk() -> None:
    assert a_wire().events([OPENED]) == b""


def test_the_events_of_text_tell_the_text() -> None:
    events = streamed([a_chunk({"content": "Hi"}), a_chunk(finish="stop")])
    place = {"item_id": "msg_1f_0", "output_index": 0, "content_index": 0}
    empty = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    assert events[3:7] == [
        {"type": "response.content_part.added", "sequence_number": 3, **place, "part": empty},
        {"type": "response.output_text.delta", "sequence_number": 4, **place, "delta": "Hi", "logprobs": []},
        {"type": "response.output_text.done", "sequence_number": 5, **place, "text": "Hi", "logprobs": []},
        {"type": "response.content_part.done", "sequence_number": 6, **place, "part": {**empty, "text": "Hi"}},
    ]


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_an_answer_that_was_cut_is_incomplete_and_so_is_its_last_item(finish: str, reason: str) -> None:
    chunks = [a_chunk({"reasoning_content": "Hm"}), a_chunk({"content": "Well"}), a_chunk(finish=finish)]
    last = streamed(chunks)[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"] == whole(chunks)
    assert (last["response"]["status"], last["response"]["incomplete_details"]) == ("incomplete", {"reason": reason})
    assert [item["status"] for item in last["response"]["output"]] == ["completed", "incomplete"]


def test_a_refusal_is_a_part_of_the_message() -> None:
    chunks = [
        a_chunk({"content": "Hi"}),
        a_chunk({"refusal": "I "}),
        a_chunk({"refusal": "won't"}),
        a_chunk(finish="stop"),
    ]
    events = streamed(chunks)
    assert events[-1]["response"] == whole(chunks)
    assert events[-1]["response"]["output"][0]["content"][1] == {"type": "refusal", "refusal": "I won't"}
    assert [(event["type"], event["content_index"]) for event in events if ".refusal." in event["type"]] == [
        ("response.refusal.delta", 1),
        ("response.refusal.delta", 1),
        ("response.refusal.done", 1),
    ]


def test_log_probabilities_are_told_where_they_were_asked_for() -> None:
    chunks = [a_chunk({"content": "Hé"}, logprobs=[TOKEN]), a_chunk(finish="stop")]
    events = streamed(chunks, **WANTS_LOGPROBS)
    deltas = [event["logprobs"] for event in events if event["type"] == "response.output_text.delta"]
    assert deltas == [[WRITTEN_TOKEN]]
    assert events[-1]["response"]["output"][0]["content"][0]["logprobs"] == [WRITTEN_TOKEN]
    assert events[-1]["response"] == whole(chunks, **WANTS_LOGPROBS)
    assert whole(chunks)["output"][0]["content"][0]["logprobs"] == []


def test_log_probabilities_without_text_go_with_the_text_around_them() -> None:
    chunks = [
        a_chunk({"content": ""}, logprobs=[TOKEN]),
        a_chunk({"content": "H"}, logprobs=[TOKEN]),
        a_chunk({"content": ""}, logprobs=[TOKEN]),
    ]
    events = streamed(chunks, **WANTS_LOGPROBS)
    told_of = [(event["delta"], len(event["logprobs"])) for event in events if event["type"].endswith("text.delta")]
    assert told_of == [("H", 2), ("", 1)]
    assert events[-1]["response"] == whole(chunks, **WANTS_LOGPROBS)


def test_unreadable_log_probabilities_are_left_out() -> None:
    chunks = [a_chunk({"content": "H"}, logprobs=[5, {"token": "x"}, {"token": "H", "logprob": -1}])]
    text = whole(chunks, **WANTS_LOGPROBS)["output"][0]["content"][0]
    assert text["logprobs"] == [{"token": "H", "logprob": -1, "bytes": [72], "top_logprobs": []}]


def test_what_comes_after_something_else_began_is_an_item_of_its_own() -> None:
    chunks = [
        a_chunk({"content": "One"}),
        a_chunk(a_call("{}", call_id="c1", name="f")),
        a_chunk({"content": "Two"}),
        a_chunk({"reasoning": "Hm"}),
        a_chunk(finish="stop"),
    ]
    output = streamed(chunks)[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["message", "function_call", "message", "reasoning"]
    assert [item["id"] for item in output] == ["msg_1f_0", "fc_1f_1", "msg_1f_2", "rs_1f_3"]


def test_pieces_of_calls_without_an_index_go_by_their_id() -> None:
    chunks = [
        a_chunk(a_call("{", index=None, call_id="c1", name="f")),
        a_chunk(a_call("}", index=None)),
        a_chunk(a_call("[", index=None, call_id="c2", name="g")),
        a_chunk(a_call("]", index=None, call_id="c2")),
        a_chunk(finish="tool_calls"),
    ]
    response = streamed(chunks)[-1]["response"]
    assert [(call["call_id"], call["arguments"]) for call in response["output"]] == [("c1", "{}"), ("c2", "[]")]
    assert response == whole(chunks)


def test_a_call_is_told_of_when_its_id_and_name_are_known() -> None:
    chunks = [
        a_chunk(a_call("{", name="f")),
        a_chunk(a_call("}", call_id="c1")),
        a_chunk(a_call("[]", index=1, name="g")),
    ]
    events = streamed(chunks)
    added = [event["item"] for event in events if event["type"] == "response.output_item.added"]
    assert [(item["call_id"], item["name"], item["arguments"]) for item in added] == [
        ("c1", "f", ""),
        ("call_1f_1", "g", ""),
    ]
    assert [event["delta"] for event in events if event["type"].endswith("arguments.delta")] == ["{", "}", "[]"]
    assert events[-1]["response"] == whole(chunks)


def test_content_in_parts_is_text_and_reasoning() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}
    chunks = [a_chunk({"content": [thinking]}), a_chunk({"content": [{"type": "text", "text": "Hi"}]})]
    response = whole(chunks)
    assert [item["content"][0]["text"] for item in response["output"]] == ["Hm", "Hi"]
    assert streamed(chunks)[-1]["response"] == response


def test_an_answer_without_anything_has_no_items() -> None:
    assert whole([])["output"] == []
    assert [event["type"] for event in streamed([])] == [
        "response.created",
        "response.in_progress",
        "response.completed",
    ]
    assert streamed([])[-1]["response"] == whole([])


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": 5}, {"prompt_tokens": 5, "completion_tokens": "7"}])
def test_unknown_token_counts_are_null(usage: dict[str, Any] | None) -> None:
    chunks = [a_chunk({"content": "Hi"}, finish="stop")]
    assert whole(chunks, usage=usage)["usage"] is None
    assert streamed(chunks, usage=usage)[-1]["response"]["usage"] is None


def a_failure(kind: str = "api_error", code: str = "stream_stalled") -> RequestFailed:
    return RequestFailed(
        "it fell silent",
        code=code,
        http_status=504,
        openai_type=kind,
        source="gateway",
        attempts=[AttemptFacts(model="ollama:a", failure="stall", status=None, ms=1.0)],
    )


def test_an_answer_that_breaks_off_ends_with_what_there_is_and_why() -> None:
    events = streamed([a_chunk({"reasoning": "Hm"}), a_chunk({"content": "Well"})], error=a_failure())
    assert events[-1]["type"] == "response.failed"
    response = events[-1]["response"]
    assert response["status"] == "failed"
    assert [(item["type"], item["status"]) for item in response["output"]] == [
        ("reasoning", "completed"),
        ("message", "incomplete"),
    ]
    assert response["error"] == {
        "message": "it fell silent",
        "type": "api_error",
        "code": "server_error",
        "failure": "stream_stalled",
        "param": None,
        "source": "gateway",
        "attempts": [{"model": "ollama:a", "class": "stall", "status": None, "ms": 1.0}],
    }


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("rate_limit_error", "rate_limit_exceeded"),
        ("invalid_request_error", "invalid_prompt"),
        ("api_error", "server_error"),
    ],
)
def test_a_failure_has_one_of_the_codes_that_clients_know(kind: str, code: str) -> None:
    assert streamed([], error=a_failure(kind))[-1]["response"]["error"]["code"] == code


def test_a_failure_before_the_first_chunk_is_told_in_a_response_too() -> None:
    events = told(a_wire().failed(a_failure()))
    assert [event["type"] for event in events] == ["response.created", "response.in_progress", "response.failed"]
    assert events[-1]["response"]["model"] == "planner"
